// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include <weft/interceptors/capture.h>
#include <weft/interceptors/middleware.h>
#include <weft/interceptors/per_message.h>
#include <weft/interceptors/selector.h>
#include <weft/interceptors/trust.h>
#include <weft/tracing/json.h>
#include <weft/tracing/run.h>
#include <weft/tracing/tracer.h>

namespace weft {
inline namespace v0 {

/// Which headers carry a run to the called server.
enum class Propagation : std::uint8_t {
  kLangSmith,  ///< `langsmith-trace`, and `baggage` when there is something in it.
  kW3c,        ///< `traceparent`, `tracestate`, and `baggage`.
  kBoth,
};

/// What a message says about its call.
struct MessageFacts {
  JsonObject metadata{};  ///< Of the call's run; what later messages say replaces it.
  /// The same, and of the runs below the server's, if the request of a unary or server-streaming
  /// call says it. Keys that the run has from above stay as they are.
  JsonObject handed_down{};
};
/// Runs in a hook: see Middleware::OnMessage.
using MessageReader = std::function<MessageFacts(const MessageView&)>;

/// How calls are traced. docs/interceptors.md shows what a traced call looks like.
struct TracingOptions {
  /// Off: calls make no run of their own on that side; the tree stays connected all the same, and
  /// errors that a sample leaves out are told on.
  bool client_runs = true;
  bool server_runs = true;

  /// Methods whose calls carry the caller's run to the server and make no client run. A stream then
  /// costs nothing per message, and a call little more than its header, but for unary ones of runs
  /// that are held (TracerOptions::error_promotion), which hear from the server of errors; calls
  /// with tracing off, or of runs that are neither in the sample nor held, are made like that
  /// anyway.
  std::optional<Selector> headers_only{};

  RunType client_run_type = RunType::kTool;
  RunType client_stream_run_type = RunType::kChain;
  RunType server_run_type = RunType::kChain;
  /// Decides instead of the three above; asked once per method.
  std::function<RunType(const MethodDescription&)> run_type{};
  /// What runs are called instead of `package.Service/Method`; the same. Empty text: that.
  std::function<std::string(const MethodDescription&)> run_name{};
  /// What reads the messages of a method, if something does; the same.
  std::function<MessageReader(const MethodDescription&)> message_reader{};

  /// What runs show of messages and headers.
  Capture capture{};
  /// Absent: a stream is one run.
  std::optional<PerMessage> per_message{};

  /// Absent: kBoth if the call being handled came with `traceparent`, or if an exporter of the
  /// tracer speaks OpenTelemetry; else kLangSmith. A header costs 3 to 5 thousand instructions.
  std::optional<Propagation> propagation{};

  /// Which callers of a server are believed.
  TrustOptions trust{};
  /// Which servers a client tells how much.
  DisclosureOptions disclosure{};

  /// The most that trace headers may take of a request's metadata, counted as HTTP/2 does. Over it
  /// metadata values go first, largest first, then tags, foreign baggage and the project; never
  /// `langsmith-trace`. A gRPC server refuses calls with more than 8 KiB of metadata in all.
  std::size_t header_budget = 6 * 1024;

  /// How often one peer may have a trace kept that is out of the sample (`weft-keep`): a caller
  /// that `trust` trusts, or a server that `disclosure` tells everything. Others may never; that
  /// and what is beyond the rate is counted (TracerStats). Traces that are kept already are free.
  double keep_signals_per_second = 10;
};

/// The middleware that makes a run of every call, moves its identity across the wire and makes it
/// current for the handler. `InterceptorOptions::tracer` puts it first in a chain.
///
/// Null tracer: the one of the current run, else GlobalTracer().
std::shared_ptr<Middleware> Tracing(std::shared_ptr<Tracer> tracer, TracingOptions options = {});

}  // namespace v0
}  // namespace weft
