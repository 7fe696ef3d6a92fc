// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <weft/collector/record.h>
#include <weft/collector/run_store.h>

namespace weft::collector {

/// One operation on a run, with the payload that its parts lie in.
struct FoldOp {
  std::uint64_t seq = 0;  ///< With `index`: the order of arrival.
  std::size_t index = 0;  ///< Among the operations of its record.
  const RunOp* op = nullptr;
  std::string_view payload;
};

/// Makes one run of its operations, in whatever order they are given. The rules are those of
/// RunStore. `trace_project` is for a run that names no project itself; empty: `default`.
StoredRun FoldRun(RunId id, RunId trace_id, std::vector<FoldOp> ops,
                  std::string_view trace_project);

/// The attachment `name`, from the operation that has the last word.
std::optional<AttachmentContent> FoldAttachment(std::vector<FoldOp> ops, std::string_view name);

/// The project of what an operation says: an agent's address `lrn:agents/ID/environments/ENV` is
/// the project `ID/ENV`.
std::string ProjectName(std::string_view said);

/// `2026-09-10T00:26:40.021001Z` of a JSON value that is an ISO 8601 time (no zone: UTC) or a
/// number of milliseconds since 1970; nothing for anything else. Digits beyond six are cut.
std::optional<std::string> IsoTime(std::string_view json);

}  // namespace weft::collector
