// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include <absl/status/statusor.h>

#include "http_client.h"
#include "run_view.h"

namespace weft::cli {

/// A run as the collector wrote it (numbers as they were sent, on one line) and as it is shown.
struct StoredRun {
  std::string json;
  RunView view;
};

/// The calls of a collector's REST interface that the commands make.
///
/// Threads: one at a time.
/// Errors: as HttpClient; Internal when the reply is not what a collector says.
class CollectorClient {
 public:
  explicit CollectorClient(std::string endpoint) : http_(std::move(endpoint)) {}

  /// All runs of a trace, parents first; empty for an unknown one.
  absl::StatusOr<std::vector<StoredRun>> Trace(std::string_view trace_id) const;

  /// Up to `limit` root runs, newest first; of all projects when `project` is empty.
  absl::StatusOr<std::vector<StoredRun>> Roots(std::string_view project, std::size_t limit) const;

 private:
  absl::StatusOr<std::vector<StoredRun>> Query(boost::json::object query, std::size_t limit) const;
  absl::StatusOr<std::string> ProjectId(std::string_view project) const;

  HttpClient http_;
};

/// Splits the reply to `POST /runs/query`; `cursor` gets the next page's, empty for none.
/// Errors: InvalidArgument.
absl::StatusOr<std::vector<StoredRun>> ParseRuns(const std::string& body, std::string* cursor);

/// A trace id in either form (36 characters, or 32 hexadecimal digits) as the 36 characters.
/// Errors: InvalidArgument.
absl::StatusOr<std::string> ParseTraceId(std::string_view text);

}  // namespace weft::cli
