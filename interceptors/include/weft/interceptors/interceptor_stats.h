// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace weft {
inline namespace v0 {

/// Counts of this process since it started.
struct InterceptorStats {
  /// Calls that middlewares saw; started = ended once nothing is in flight.
  std::uint64_t client_started = 0;
  std::uint64_t client_ended = 0;
  std::uint64_t server_started = 0;
  std::uint64_t server_ended = 0;

  /// Defects of received trace headers by HeaderProblem::code.
  std::map<std::string, std::uint64_t> header_problems;

  /// What was not sent, by reason: a pair that gRPC would not survive (`empty-key`, `bad-key`,
  /// `reserved-key`, `bad-value`), one that did not fit (`no-room`), or what the budget of the
  /// trace headers dropped (`budget-metadata`, `budget-tags`, `budget-foreign`, `budget-project`,
  /// `budget-segments`, `budget-tracestate`).
  std::map<std::string, std::uint64_t> dropped_headers;

  /// Functions given to weft that threw; what they were asked for was skipped.
  std::uint64_t hook_failures = 0;

  /// Handlers that threw, in calls that Recovery saw.
  std::uint64_t handler_exceptions = 0;
};

InterceptorStats GetInterceptorStats();

}  // namespace v0
}  // namespace weft
