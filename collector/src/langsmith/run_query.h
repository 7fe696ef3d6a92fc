// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <weft/collector/run_store.h>

namespace weft::collector {

/// What `POST /runs/query` asks, as far as the store can answer it.
struct RunQuery {
  std::vector<RunId> sessions;
  std::vector<RunId> ids;
  std::vector<std::string> reference_examples;
  std::optional<RunId> trace;
  std::optional<RunId> parent_run;
  std::optional<bool> is_root;
  std::optional<bool> error;
  std::string run_type;           ///< Empty = any.
  std::string start_time;         ///< At or after; 6 digits and `Z`, as stored.
  std::string end_time;           ///< Started at or before.
  std::optional<bool> ascending;  ///< By start; absent = as the store orders them.
  std::size_t limit = 100;
  std::vector<std::string> select;  ///< Empty = everything.
  std::optional<RunId> after;       ///< From the cursor: the last run of the page before.
  std::size_t seen = 0;             ///< From the cursor: how many runs to expect before it.

  /// InvalidArgument names the member. A filter that is known but cannot be honoured is refused
  /// too: a wrong answer would not be noticed.
  static absl::StatusOr<RunQuery> Parse(std::string_view json);
};

/// One page: `{"runs": [...], "cursors": {"next": ...}}`.
absl::StatusOr<std::string> AnswerRunQuery(const RunStore& store, const RunQuery& query);

/// A time in any of ISO 8601's usual forms as `YYYY-MM-DDTHH:MM:SS.ffffffZ`; without a zone it is
/// UTC.
std::optional<std::string> NormalTime(std::string_view text);

/// Microseconds since 1970 in the same form.
std::string TimeText(std::uint64_t unix_us);

}  // namespace weft::collector
