// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <weft/tracing/run_context.h>

namespace weft {
inline namespace v0 {
namespace internal {

/// The id of the copy of a run that goes to another project: the same in every process and SDK.
/// `start_ms`: the time for an id that says none (it is not of version 7).
RunId ReplicaId(const RunId& id, std::string_view project, std::uint64_t start_ms) noexcept;

/// Gives runs the identity under which a replica gets them.
///
/// Threads: one.
class Replica {
 public:
  /// See LangSmithExporterOptions.
  Replica(std::string project, std::optional<bool> primary)
      : project_(std::move(project)), primary_(primary) {}

  bool ChangesNothing() const { return project_.empty() && primary_.value_or(true); }

  /// Nothing: the run keeps its own.
  std::optional<RunContext> Map(const RunContext& context);

 private:
  std::shared_ptr<const TraceBaggage> BaggageFor(const RunContext& context);

  const std::string project_;
  const std::optional<bool> primary_;
  // The last answer of BaggageFor: runs of one trace share theirs.
  std::shared_ptr<const TraceBaggage> from_;
  std::shared_ptr<const TraceBaggage> to_;
};

}  // namespace internal
}  // namespace v0
}  // namespace weft
