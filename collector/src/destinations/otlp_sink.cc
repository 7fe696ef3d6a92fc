// SPDX-License-Identifier: Apache-2.0
#include "destinations/otlp_sink.h"

#include <algorithm>
#include <mutex>
#include <set>
#include <utility>
#include <vector>

#include <weft/collector/process_log.h>
#include <weft/tracing/internal/otlp_request.h>
#include <weft/tracing/internal/otlp_transport.h>

#include "config_values.h"
#include "destinations/run_span.h"
#include "otlp/request_bytes.h"
#include "otlp/span_ids.h"

namespace weft::collector {
namespace {

using internal::OtlpRequest;
using internal::OtlpTransport;
using std::chrono::milliseconds;

// Receivers commonly take 4 MiB over gRPC; what is around the spans has to fit in, too.
constexpr std::size_t kMaxRequestBytes = 4u << 20;
constexpr std::size_t kMaxSpanBytes = kMaxRequestBytes - (64u << 10);
constexpr BatchLimits kLimits{2048, 3u << 20};
constexpr milliseconds kTimeout{60'000};
// gRPC looks for a lost receiver every second; so it is found within two.
constexpr milliseconds kUnreachablePause{500};
constexpr milliseconds kDeniedPause{30'000};

// Whether the target of `scheme://HOST[:PORT][/PATH]` is this machine.
bool IsLocal(std::string_view url) {
  std::string_view authority = url.substr(url.find("//") + 2);
  authority = authority.substr(0, authority.find('/'));
  return IsLoopback(authority) || IsLoopback(std::string(authority) + ":1");
}

bool IsGrpc(const DestinationConfig& config) { return config.target.starts_with("grpc"); }

OtlpExporterOptions TransportOptions(const DestinationConfig& config) {
  OtlpExporterOptions options;
  const std::string& target = config.target;
  if (IsGrpc(config)) {
    options.protocol = OtlpProtocol::kGrpc;
    options.endpoint = "http" + target.substr(4);
  } else {
    const std::size_t path = target.find('/', target.find("//") + 2);
    options.endpoint = target + (path == target.npos ? "/v1/traces" : "");
  }
  options.timeout = kTimeout;
  options.compression = IsLocal(target) ? OtlpCompression::kNone : OtlpCompression::kZstd;
  options.certificate = config.ca_file;
  if (!config.api_key.empty()) options.headers.emplace_back("x-api-key", config.api_key);
  return options;
}

absl::StatusOr<std::unique_ptr<OtlpTransport>> MakeTransport(const DestinationConfig& config) {
  const OtlpExporterOptions options = TransportOptions(config);
  return IsGrpc(config) ? internal::MakeOtlpGrpc(options) : internal::MakeOtlpHttp(options);
}

bool IsSpan(const OutgoingOp& op) { return op.receiver == Receiver::kOtlp; }

// How many operations from the first on are spans of the same record.
std::size_t OfOneRecord(std::span<const OutgoingOp> ops) {
  std::size_t count = 1;
  if (ops.front().record_ops == 0) return count;
  while (count < ops.size() && IsSpan(ops[count]) &&
         ops[count].payload.data() == ops.front().payload.data()) {
    ++count;
  }
  return count;
}

std::string SomeSpans(std::span<const OutgoingOp> ops) {
  std::set<std::uint64_t> wanted;
  for (const OutgoingOp& op : ops) {
    for (const Part& part : op.op->parts) {
      if (part.field == PartField::kSpan) wanted.insert(part.offset);
    }
  }
  return KeepSpans(ops.front().payload,
                   [&](std::uint64_t offset) { return wanted.contains(offset); });
}

// ExportTraceServiceRequests behind each other are one.
void AppendSpans(std::span<const OutgoingOp> ops, std::string& request) {
  const OutgoingOp& first = ops.front();
  if (first.record_ops == 0) {
    const SpanSlices slices = SlicesOf(*first.op, first.payload);  // that lies in no other
    request += OneSpanRequest(slices.span, slices.resource, slices.scope);
  } else if (first.record_ops == ops.size()) {
    request += first.payload;
  } else {
    request += SomeSpans(ops);
  }
}

class OtlpSink final : public Sink {
 public:
  OtlpSink(DestinationConfig config, internal::SpanIdBytes span_ids,
           std::unique_ptr<OtlpTransport> transport)
      : span_ids_(span_ids), config_(std::move(config)) {
    idle_.push_back({std::move(transport), 0});
  }

  SendResult Send(std::span<const OutgoingOp> ops, std::string_view,
                  const std::atomic<bool>& abort) override {
    absl::StatusOr<std::string> request = RequestOf(ops);
    if (!request.ok()) {
      return {Verdict::kRefused, "invalid", std::string(request.status().message()), {}, false};
    }
    if (request->size() > kMaxRequestBytes && ops.size() > 1) {
      return {Verdict::kTooLarge, "size", "a request of more than 4 MiB", {}, false};
    }
    Pooled pooled = Take();
    SendResult result = pooled.transport->Send(*std::move(request), ops.size(), abort);
    Give(std::move(pooled));
    return Judged(std::move(result), ops.size());
  }

  BatchLimits Limits() override { return kLimits; }
  std::size_t concurrency() const override { return 0; }
  bool uses_keys() const override { return false; }
  bool keeps_traces_in_order() const override { return false; }

  absl::StatusOr<std::function<void()>> PrepareReload(const DestinationConfig& config) override {
    absl::StatusOr<std::unique_ptr<OtlpTransport>> made = MakeTransport(config);
    if (!made.ok()) return made.status();
    auto transport = std::make_shared<std::unique_ptr<OtlpTransport>>(*std::move(made));
    return [this, config, transport] {
      std::lock_guard lock(mutex_);
      config_ = config;
      idle_.clear();
      idle_.push_back({std::move(*transport), ++generation_});
    };
  }

 private:
  // A transport carries one request at a time.
  struct Pooled {
    std::unique_ptr<OtlpTransport> transport;
    std::uint64_t generation = 0;  ///< Of the configuration.
  };

  // What the records of spans take.
  static std::size_t SizeOf(std::span<const OutgoingOp> ops) {
    std::size_t size = 0;
    for (std::size_t i = 0; i < ops.size(); ++i) {
      const bool is_new = i == 0 || ops[i].payload.data() != ops[i - 1].payload.data();
      if (IsSpan(ops[i]) && is_new) size += ops[i].payload.size();
    }
    return std::min(size, kMaxRequestBytes);
  }

  absl::StatusOr<std::string> RequestOf(std::span<const OutgoingOp> ops) const {
    std::string request;
    request.reserve(SizeOf(ops));
    OtlpRequest runs(JsonObject{});
    while (!ops.empty()) {
      std::size_t count = 1;
      if (IsSpan(ops.front())) {
        count = OfOneRecord(ops);
        AppendSpans(ops.first(count), request);
      } else {
        absl::StatusOr<RunSpan> run = RunSpan::Parse(ops.front());
        if (!run.ok()) return run.status();
        internal::SpanSource source = run->Source();
        source.span_ids = span_ids_;
        runs.Add(source, kMaxSpanBytes);
      }
      ops = ops.subspan(count);
    }
    if (runs.runs() > 0) request += runs.Take();
    return request;
  }

  Pooled Take() {
    std::unique_lock lock(mutex_);
    if (!idle_.empty()) {
      Pooled pooled = std::move(idle_.back());
      idle_.pop_back();
      return pooled;
    }
    const DestinationConfig config = config_;
    const std::uint64_t generation = generation_;
    lock.unlock();
    // What made the first one makes the next.
    return {MakeTransport(config).value(), generation};
  }

  void Give(Pooled pooled) {
    std::lock_guard lock(mutex_);
    if (pooled.generation == generation_) idle_.push_back(std::move(pooled));
  }

  // An exporter drops what OTLP does not allow to retry. Here it can wait, unless it is the spans
  // that are wrong.
  static SendResult Judged(SendResult result, std::size_t spans) {
    if (result.unreachable && !result.retry_after) result.retry_after = kUnreachablePause;
    if (result.verdict != Verdict::kSent || result.rejected < spans) return result;
    const std::string& code = result.code;
    // Without RetryInfo the receiver asks not to get them again.
    if (code == "partial success" || code == "RESOURCE_EXHAUSTED") return result;
    result.rejected = 0;
    result.verdict = Verdict::kRetry;
    if (code == "INTERNAL" || code == "UNKNOWN" || code == "FAILED_PRECONDITION") {
      result.verdict = Verdict::kRefused;
    } else if (code == "401" || code == "403" || code == "UNAUTHENTICATED" ||
               code == "PERMISSION_DENIED") {
      result.retry_after = kDeniedPause;
    } else if (code.starts_with('4') && !IsOfTheEndpoint(code)) {
      result.verdict = Verdict::kRefused;
    }
    return result;
  }

  static bool IsOfTheEndpoint(std::string_view code) {
    constexpr std::string_view kCodes[] = {"404", "405", "408", "425", "499"};
    return std::find(std::begin(kCodes), std::end(kCodes), code) != std::end(kCodes);
  }

  const internal::SpanIdBytes span_ids_;
  std::mutex mutex_;
  DestinationConfig config_;
  std::uint64_t generation_ = 0;
  std::vector<Pooled> idle_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Sink>> MakeOtlpSink(const DestinationConfig& config,
                                                   internal::SpanIdBytes span_ids) {
  absl::StatusOr<std::unique_ptr<OtlpTransport>> transport = MakeTransport(config);
  if (!transport.ok()) return transport.status();
  return std::make_unique<OtlpSink>(config, span_ids, *std::move(transport));
}

}  // namespace weft::collector
