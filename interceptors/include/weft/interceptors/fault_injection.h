// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <absl/status/statusor.h>

#include <weft/interceptors/middleware.h>
#include <weft/interceptors/selector.h>

namespace weft {
inline namespace v0 {

/// What goes wrong, and with which calls.
struct Fault {
  Selector methods{};
  /// Not empty: only calls that carry this header, with this value unless it is empty.
  std::string header{};
  std::string value{};
  /// How many of those calls.
  double percent = 100;

  /// How long the call is late: on a client before it is sent, on a server before its handler runs.
  std::chrono::nanoseconds delay{0};
  /// Not OK: the call ends so, after the delay. It is not sent; its handler does not run.
  grpc::Status abort{};
  /// The work is done and its reply lost: the call ends with UNAVAILABLE.
  bool drop_reply = false;
};

struct FaultOptions {
  /// The first that takes a call happens to it.
  std::vector<Fault> faults{};
  /// The same seed takes the same calls of a sequence.
  std::uint64_t seed = 0;
};

/// Makes calls of a channel or a server go wrong, to see what becomes of their callers.
///
///     auto faults = weft::FaultInjection({.faults = {
///         {.methods = "/shop.Search/*", .percent = 5, .drop_reply = true},
///         {.header = "x-test-slow", .delay = 2s},
///         {.percent = 1, .abort = {grpc::StatusCode::UNAVAILABLE, "injected"}}}});
///     auto channel = weft::CreateChannel(target, credentials, {.middlewares = {*faults}});
///
/// For tests: it works only where the environment has WEFT_ALLOW_FAULTS=1, or in a weft that was
/// built with the CMake option WEFT_FAULT_INJECTION.
///
/// On a server the handlers of aborted calls do not run (see InterceptServer).
///
/// Threads: a client's delay blocks nobody but a synchronous caller. A server's blocks the thread
///   that would run the handler: with callbacks one of gRPC's, with a completion queue its loop.
/// Errors: FailedPrecondition where it is not allowed; InvalidArgument names the fault and its
///   value.
absl::StatusOr<std::shared_ptr<Middleware>> FaultInjection(FaultOptions options);

}  // namespace v0
}  // namespace weft
