// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <weft/tracing/json.h>

namespace weft {
inline namespace v0 {

struct TraceBaggage;

namespace internal {

/// The rendered header of a TraceBaggage, made when it is first asked for. A copy starts without,
/// because it may be changed.
class BaggageHeader {
 public:
  BaggageHeader() noexcept = default;
  BaggageHeader(const BaggageHeader&) noexcept {}
  BaggageHeader& operator=(const BaggageHeader& other) noexcept;
  ~BaggageHeader();

  std::string_view Get(const TraceBaggage& owner) const;

 private:
  mutable std::atomic<const std::string*> text_{nullptr};
};

}  // namespace internal

/// What a run hands to its descendants besides its identity; travels in the header `baggage`.
///
///     auto baggage = std::make_shared<weft::TraceBaggage>();
///     baggage->project = "checkout";
///     baggage->metadata["user_id"] = "u-17";
///     RunContext root = RunContext::Root(id, now, std::move(baggage));
///
/// Immutable once a RunContext holds it, and shared by all runs of a trace that do not change it.
struct TraceBaggage {
  std::optional<std::string> project{};  ///< Absent: the receiver's own default.
  /// An agent's address in place of a project: `lrn:agents/<id>/environments/<environment>`.
  std::optional<std::string> address{};
  std::vector<std::string> tags{};
  /// How many of `tags`, at the end, are one run's own: headers carry them, runs of the same
  /// process below it do not inherit them.
  std::size_t own_tags = 0;
  JsonObject metadata{};
  /// Members of `baggage` that are not LangSmith's, decoded; passed on.
  std::vector<std::pair<std::string, std::string>> foreign{};
  std::string tracestate{};  ///< W3C; passed on.
  bool w3c_caller = false;   ///< The headers that it came in had a `traceparent`.

  internal::BaggageHeader rendered{};  ///< See RunContext::baggage_header().
};

/// The value of the header `baggage`: metadata, tags, project or address, then foreign members.
/// Empty when there is nothing to say. Always printable ASCII, whatever bytes the values hold.
///
/// One destination only: an address is written when there is no project, and when it is valid.
/// Foreign members whose key is no token are left out. There is no size limit here.
std::string EncodeBaggage(const TraceBaggage& baggage);

/// `address` in its canonical form (environment in lower case), or nothing when it is not valid.
std::optional<std::string> NormalizeAgentAddress(std::string_view address);

}  // namespace v0
}  // namespace weft
