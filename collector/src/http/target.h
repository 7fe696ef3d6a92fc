// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace weft::collector {

enum class Route : std::uint8_t {
  kUnknown,
  kHome,
  kInfo,
  kLive,
  kReady,
  kMetrics,
  kRuns,
  kRunsBatch,
  kRunsMultipart,
  kRunsQuery,
  kRun,
  kAttachment,
  kSessions,
  kSession,
  kOtlpTraces,
  kAdmin,
};

/// A request target, taken apart.
struct Target {
  Route route = Route::kUnknown;
  std::string id;                 ///< Of kRun, kAttachment and kSession, as sent.
  std::string name;               ///< Of kAttachment, percent-decoded.
  std::vector<std::string> path;  ///< Of kAdmin: the segments behind `/admin`, percent-decoded.
  std::string query;

  /// The parameter of the query, decoded; nothing when it is absent.
  std::optional<std::string> Parameter(std::string_view name) const;

  /// All parameters, decoded; of a name that is there twice the first.
  std::map<std::string, std::string> Parameters() const;
};

/// Paths mean the same at `/` and below `/api/v1`; doubled and trailing slashes do not matter.
Target ParseTarget(std::string_view target);

/// Whether what supervises the collector asks for it: without a key and under any name.
bool IsForProbes(Route route);

/// The methods of a route as the value of `Allow`.
std::string_view AllowedMethods(Route route);

bool IsAllowed(Route route, std::string_view method);

}  // namespace weft::collector
