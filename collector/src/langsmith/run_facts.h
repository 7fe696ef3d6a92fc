// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <absl/status/status.h>

#include <weft/collector/record.h>

namespace weft::collector {

/// The members of a run object that the collector itself needs, as JSON slices; empty = absent or
/// null.
struct RunFacts {
  std::string_view id;
  std::string_view trace_id;
  std::string_view parent_run_id;
  std::string_view dotted_order;
  std::string_view session_name;
  std::string_view address;
  std::string_view error;
  std::string_view run_id;  ///< Feedback only.

  std::size_t defects = 0;  ///< See JsonScanner.

  /// Walks an object and validates all of it. The error names the byte.
  absl::Status Read(std::string_view json);

 private:
  std::string_view* SlotOf(std::string_view key);
};

/// Members to put into a run object in the place of what it has under these names: name, JSON text.
using Additions = std::vector<std::pair<std::string, std::string>>;

/// Fills ids, project and flags of `op` and checks that they agree (docs/http-api.md, "What a run
/// must say"). `op->run_id` may be given beforehand (part name, path). What can be concluded but is
/// not said goes to `additions`. The error names the member.
absl::Status IdentifyRun(const RunFacts& facts, RunOp* op, Additions* additions);

/// The run and trace that feedback is about, as far as it says so.
absl::Status IdentifyFeedback(const RunFacts& facts, RunOp* op);

/// A valid object with the additions.
std::string WithMembers(std::string_view object, const Additions& additions);

}  // namespace weft::collector
