// SPDX-License-Identifier: Apache-2.0
#include "method_tracing.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "call_outcome.h"
#include "stats.h"

namespace weft {
inline namespace v0 {
namespace internal {
namespace {

Json Text(std::string_view text) { return Json(boost::json::string(text)); }

// Where the runs are known as spans, the called server's are to find theirs.
std::optional<Propagation> PropagationOf(CallSide side, const std::shared_ptr<Tracer>& given,
                                         const TracingOptions& options) noexcept {
  if (options.propagation || side == CallSide::kServer) return options.propagation;
  const std::shared_ptr<Tracer> tracer = given ? given : GlobalTracer();
  if (tracer == nullptr) return std::nullopt;
  const auto& exporters = tracer->options().exporters;
  const bool opentelemetry =
      std::any_of(exporters.begin(), exporters.end(),
                  [](const auto& exporter) { return exporter->speaks_opentelemetry(); });
  return opentelemetry ? std::optional(Propagation::kBoth) : std::nullopt;
}

RunType TypeOf(const MethodDescription& method, const TracingOptions& options) noexcept try {
  if (options.run_type) return options.run_type(method);
  if (method.side == CallSide::kServer) return options.server_run_type;
  return method.kind == RpcKind::kUnary ? options.client_run_type : options.client_stream_run_type;
} catch (...) {
  CountHookFailure();
  return RunType::kChain;
}

std::string NameOf(const MethodDescription& method, const TracingOptions& options) noexcept try {
  std::string name = options.run_name ? options.run_name(method) : std::string();
  if (name.empty()) name = method.full_method.substr(method.full_method.starts_with('/') ? 1 : 0);
  return name;
} catch (...) {
  CountHookFailure();
  return "call";
}

}  // namespace

MessageReader ReaderOf(const MethodDescription& method, const TracingOptions& options) noexcept
    try {
  return options.message_reader ? options.message_reader(method) : nullptr;
} catch (...) {
  CountHookFailure();
  return nullptr;
}

std::shared_ptr<MethodTracing> MethodTracing::Of(const MethodDescription& method,
                                                 const std::shared_ptr<Tracer>& tracer,
                                                 const TracingOptions& options) {
  JsonObject metadata = {{"rpc.system", "grpc"},
                         {"rpc.service", Text(method.service)},
                         {"rpc.method", Text(method.method)},
                         {"rpc.grpc.kind", Text(RpcKindName(method.kind))},
                         {"otel_kind", method.side == CallSide::kClient ? "CLIENT" : "SERVER"}};
  if (!method.target.empty()) metadata["server.address"] = Text(method.target);
  auto tracing = std::make_shared<MethodTracing>();
  tracing->only_headers = options.headers_only && options.headers_only->Selects(method.full_method);
  tracing->client_run = options.client_runs && !tracing->only_headers;
  tracing->headers = {.propagation = PropagationOf(method.side, tracer, options),
                      .budget = options.header_budget,
                      .disclosure = DisclosureTo(method.target, options.disclosure)};
  tracing->trust = TrustPolicy(options.trust, method.full_method);
  tracing->reader = ReaderOf(method, options);
  tracing->capture = MethodCapture::Of(options.capture, method);
  const RunType type = TypeOf(method, options);
  const std::string name = NameOf(method, options);
  tracing->message_runs = MethodMessageRuns::Of(options.per_message, method, name);
  const auto make = [&] {
    auto kind = std::make_shared<RunTemplate>(name, type, metadata);
    kind->rpc_method = method.full_method;
    return kind;
  };
  tracing->kind = make();
  metadata[kStatusCode] = std::int64_t{grpc::StatusCode::OK};
  for (std::size_t api = 0; api < kServerApis; ++api) {
    const bool none = static_cast<ServerApi>(api) == ServerApi::kNone;
    if (none != (method.side == CallSide::kClient)) continue;
    if (!none) metadata[kServerApi] = Text(ServerApiName(static_cast<ServerApi>(api)));
    tracing->good[api] = make();
  }
  return tracing;
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
