// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include <weft/interceptors/metrics_registry.h>
#include <weft/interceptors/middleware.h>

namespace weft {
inline namespace v0 {

struct MetricsOptions {
  /// Upper bounds of the buckets of `_handling_seconds`, ascending.
  std::vector<double> seconds{0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10};
  /// Remembers for each bucket the trace of a call that fell into it.
  bool exemplars = true;
  /// Methods that a generic service serves, as `/package.Service/Method`: peers choose those names,
  /// so only what is listed gets labels of its own.
  std::vector<std::string> generic_methods{};
  /// How many methods get labels of their own; the rest count as `unknown`.
  std::size_t max_methods = 1024;
};

/// Counts calls, under the names that go-grpc-middleware gave them, so that its dashboards and
/// alerts work unchanged.
///
///     auto registry = std::make_shared<weft::MetricsRegistry>();
///     weft::InterceptServer(builder, {.tracer = tracer, .middlewares =
///     {weft::Metrics(registry)}});
///     ...
///     reply.body = registry->Prometheus();   // in the handler of GET /metrics
///
/// For SIDE `server` or `client`, with the labels grpc_type, grpc_service, grpc_method:
///
///     grpc_SIDE_started_total
///     grpc_SIDE_handled_total       and grpc_code: `OK`, `Canceled` ... as Go spells them
///     grpc_SIDE_msg_received_total
///     grpc_SIDE_msg_sent_total
///     grpc_SIDE_handling_seconds    histogram, from the call's start to its end
///
/// On servers a method that is not registered is `unknown`, whatever the peer called it. All codes
/// of a method are there from its first call, so that a rate sees the first failure.
///
/// A null registry gives null. Errors: a family that the registry holds otherwise, or bad bounds:
///   the method's calls are not counted, and counted as a hook failure once.
/// Cost: about 300 instructions a call and side; no lock, no allocation. The first call of a method
///   makes its series: 17 codes, and the histogram.
std::shared_ptr<Middleware> Metrics(std::shared_ptr<MetricsRegistry> registry,
                                    MetricsOptions options = {});

}  // namespace v0
}  // namespace weft
