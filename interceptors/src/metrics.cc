// SPDX-License-Identifier: Apache-2.0
#include <weft/interceptors/metrics.h>

#include <algorithm>
#include <array>
#include <map>
#include <mutex>
#include <tuple>
#include <utility>

#include "call_run.h"
#include "registered_methods.h"
#include "stats.h"

namespace weft {
inline namespace v0 {
namespace {

// As Go's codes.Code writes them: dashboards for go-grpc-middleware look for these.
constexpr std::array<const char*, 17> kCodes = {
    "OK",       "Canceled",       "Unknown",          "InvalidArgument",   "DeadlineExceeded",
    "NotFound", "AlreadyExists",  "PermissionDenied", "ResourceExhausted", "FailedPrecondition",
    "Aborted",  "OutOfRange",     "Unimplemented",    "Internal",          "Unavailable",
    "DataLoss", "Unauthenticated"};

struct Help {
  const char* started;
  const char* handled;
  const char* received;
  const char* sent;
  const char* seconds;
};

constexpr Help kClientHelp = {
    "Total number of RPCs started on the client.",
    "Total number of RPCs completed by the client, regardless of success or failure.",
    "Total number of RPC stream messages received by the client.",
    "Total number of gRPC stream messages sent by the client.",
    "Histogram of response latency (seconds) of the gRPC until it is finished by the application."};
constexpr Help kServerHelp = {
    "Total number of RPCs started on the server.",
    "Total number of RPCs completed on the server, regardless of success or failure.",
    "Total number of RPC stream messages received on the server.",
    "Total number of gRPC stream messages sent by the server.",
    "Histogram of response latency (seconds) of gRPC that had been application-level handled by "
    "the server."};

struct MethodMetrics {
  Counter* started = nullptr;
  std::array<Counter*, kCodes.size()> handled{};
  Counter* received = nullptr;
  Counter* sent = nullptr;
  Histogram* seconds = nullptr;
};

absl::StatusOr<MethodMetrics> MakeMethodMetrics(MetricsRegistry& registry, CallSide side,
                                                const MetricLabels& labels,
                                                const std::vector<double>& bounds) {
  const bool client = side == CallSide::kClient;
  const Help& help = client ? kClientHelp : kServerHelp;
  const std::string prefix = client ? "grpc_client_" : "grpc_server_";
  MethodMetrics metrics;
  absl::Status problem;
  const auto counter = [&](const char* name, const char* text, const MetricLabels& with) {
    auto made = registry.GetCounter(prefix + name, text, with);
    problem.Update(made.status());
    return made.ok() ? *made : nullptr;
  };
  metrics.started = counter("started_total", help.started, labels);
  MetricLabels with_code = labels;
  with_code.emplace_back("grpc_code", "");
  for (std::size_t i = 0; i < kCodes.size(); ++i) {
    with_code.back().second = kCodes[i];
    metrics.handled[i] = counter("handled_total", help.handled, with_code);
  }
  metrics.received = counter("msg_received_total", help.received, labels);
  metrics.sent = counter("msg_sent_total", help.sent, labels);
  auto seconds = registry.GetHistogram(prefix + "handling_seconds", help.seconds, labels, bounds);
  problem.Update(seconds.status());
  if (!problem.ok()) return problem;
  metrics.seconds = *seconds;
  return metrics;
}

class MetricsMiddleware final : public Middleware {
 public:
  MetricsMiddleware(std::shared_ptr<MetricsRegistry> registry, MetricsOptions options)
      : registry_(std::move(registry)), options_(std::move(options)) {}

  HookSet hooks() const noexcept override { return HooksOf<MetricsMiddleware>(); }

  std::shared_ptr<void> OnMethod(const MethodDescription& method) noexcept override {
    const std::lock_guard lock(mutex_);
    Key key = KeyOf(method);
    auto found = methods_.find(key);
    if (found == methods_.end() && methods_.size() >= options_.max_methods) {
      key = Unknown(method);
      found = methods_.find(key);
    }
    if (found != methods_.end()) return found->second;
    const auto& [side, kind, service, name] = key;
    const MetricLabels labels = {{"grpc_type", std::string(RpcKindName(kind))},
                                 {"grpc_service", service},
                                 {"grpc_method", name}};
    auto made = MakeMethodMetrics(*registry_, side, labels, options_.seconds);
    if (!made.ok()) {
      internal::CountHookFailure();
      made = MakeMethodMetrics(unread_, side, labels, {});
    }
    auto metrics = std::make_shared<MethodMetrics>(*std::move(made));
    methods_.emplace(std::move(key), metrics);
    return metrics;
  }

  void OnStart(Call& call) noexcept override { call.method_state<MethodMetrics>().started->Add(); }

  // Both messages of a unary call are counted with its end: looking at each costs more than all
  // else here.
  bool sees_messages(const MethodDescription& method) const noexcept override {
    return method.kind != RpcKind::kUnary;
  }

  void OnMessage(Call& call, const MessageView& message) noexcept override {
    MethodMetrics& metrics = call.method_state<MethodMetrics>();
    const bool sent = message.direction == MessageView::Direction::kSent;
    (sent ? metrics.sent : metrics.received)->Add();
  }

  void OnEnd(Call& call, const CallReport& report) noexcept override {
    MethodMetrics& metrics = call.method_state<MethodMetrics>();
    const auto code = static_cast<std::size_t>(report.status.error_code());
    constexpr std::size_t kUnknown = grpc::StatusCode::UNKNOWN;
    metrics.handled[code < kCodes.size() ? code : kUnknown]->Add();
    if (call.kind() == RpcKind::kUnary) {
      metrics.sent->Add(report.messages_sent);
      metrics.received->Add(report.messages_received);
    }
    // The clock may have been set back in between.
    const double seconds =
        std::max(0.0, std::chrono::duration<double>(report.end - call.start()).count());
    if (options_.exemplars) {
      metrics.seconds->Record(seconds, report.end, [&] { return TraceOf(call); });
    } else {
      metrics.seconds->Record(seconds);
    }
  }

 private:
  using Key = std::tuple<CallSide, RpcKind, std::string, std::string>;

  static Key Unknown(const MethodDescription& method) {
    return {method.side, method.kind, "unknown", "unknown"};
  }

  Key KeyOf(const MethodDescription& method) const {
    const bool known = method.side == CallSide::kClient || internal::IsRegistered(method) ||
                       std::ranges::find(options_.generic_methods, method.full_method) !=
                           options_.generic_methods.end();
    if (!known) return Unknown(method);
    return {method.side, method.kind, std::string(method.service), std::string(method.method)};
  }

  static RunId TraceOf(const Call& call) noexcept {
    const RunContext run = internal::RunOf(call);
    return run.sampled() ? run.trace_id() : RunId();
  }

  std::shared_ptr<MetricsRegistry> registry_;
  MetricsOptions options_;
  MetricsRegistry unread_;  // for what `registry_` refuses
  std::mutex mutex_;
  // Bounded by max_methods and one `unknown` for each side and kind.
  std::map<Key, std::shared_ptr<MethodMetrics>> methods_;
};

}  // namespace

std::shared_ptr<Middleware> Metrics(std::shared_ptr<MetricsRegistry> registry,
                                    MetricsOptions options) {
  if (registry == nullptr) return nullptr;
  return std::make_shared<MetricsMiddleware>(std::move(registry), std::move(options));
}

}  // namespace v0
}  // namespace weft
