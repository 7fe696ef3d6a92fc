// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <absl/status/statusor.h>

#include <weft/collector/log.h>
#include <weft/collector/record.h>
#include <weft/tracing/run_id.h>

namespace weft::collector {

class Prices;

struct RunStoreOptions {
  /// Bytes of index in memory; beyond it the traces that were touched longest ago are found by a
  /// scan of the log's headers instead.
  std::uint64_t max_index_bytes = 48ull << 20;
  /// The least that a trace may be full with; 65,535 at most.
  std::uint16_t max_trace_runs = 25'000;
  /// For spans that tell tokens and no cost; null: none.
  std::shared_ptr<const Prices> prices{};
};

/// A project ("session" in LangSmith's API). The id is derived from the name.
struct Project {
  RunId id;
  std::string name;
  std::uint64_t first_seen_us = 0;
  std::uint64_t last_seen_us = 0;
};

RunId ProjectId(std::string_view name);

/// A run as it is read: all its operations folded into one object.
struct StoredRun {
  RunId id;
  RunId trace_id;
  RunId parent_run_id;  ///< Nil for a root.
  RunId session_id;     ///< The project's id.
  std::string session_name;
  std::string name;
  std::string run_type;
  std::string status;  ///< `success`, `error` or `pending`.
  std::string start_time;
  std::string end_time;  ///< Empty while it runs.
  std::string dotted_order;
  /// The whole run in the read shape, one line of JSON. It is put together from the bytes that
  /// arrived, so numbers are as they were written and unknown fields are there.
  std::string json;
};

struct TraceQuery {
  std::optional<std::string> project;
  std::size_t limit = 100;
};

struct AttachmentContent {
  std::string mime_type;
  std::string content;
};

/// Finds runs in the log and folds their operations into runs as they are read.
///
/// The index holds only where things are; payloads stay in the log. A reader thread follows the
/// log, so a run is visible a moment after it was acknowledged (WaitUntilIndexed). The index is
/// rebuilt from the log at start, newest first; what it does not hold is found by the summaries of
/// the segments (`index/` beside the log; they are caches and may be deleted).
///
/// Merge: PATCH fields win over POST fields whatever the arrival order, between PATCHes the later;
/// `null` and `{}` never replace something; `extra`, `extra.metadata` and `extra.runtime` merge key
/// by key; attachments unite.
///
/// Threads: any.
class RunStore {
 public:
  static std::unique_ptr<RunStore> Start(std::shared_ptr<Log> log, RunStoreOptions options);
  virtual ~RunStore() = default;

  /// The run, or NotFound.
  virtual absl::StatusOr<StoredRun> FindRun(RunId id) const = 0;

  /// All runs of a trace, ordered by dotted_order; empty for an unknown one.
  virtual absl::StatusOr<std::vector<StoredRun>> FindTrace(RunId trace_id) const = 0;

  /// Root runs, newest first. A trace in the index whose root is not there after some seconds has
  /// one that is made up, `(missing root)` with `weft_synthetic` in its metadata.
  virtual absl::StatusOr<std::vector<StoredRun>> ListTraces(const TraceQuery& query) const = 0;

  /// The same traces in the order in which their roots arrived, the newest first: a longer list
  /// begins with a shorter one.
  virtual std::vector<RunId> ListTraceIds(const TraceQuery& query) const = 0;

  /// The roots of traces, in their order; without those that are not there any more.
  virtual absl::StatusOr<std::vector<StoredRun>> FindRoots(
      std::span<const RunId> trace_ids) const = 0;

  virtual absl::StatusOr<AttachmentContent> FindAttachment(RunId id,
                                                           std::string_view name) const = 0;

  virtual std::vector<Project> Projects() const = 0;

  /// Whether a trace has `max_runs` runs, and this is none of them. Follows the log by as much as
  /// the index does.
  virtual bool IsFull(const RunId& trace_id, const RunId& run_id, std::uint64_t max_runs) const = 0;
  /// Whether any has as many as the least that a trace may be full with.
  virtual bool has_full_traces() const = 0;
  /// In the place of RunStoreOptions::max_trace_runs; for traces that grow from now on.
  virtual void SetMaxTraceRuns(std::uint16_t runs) = 0;

  /// Waits until everything that was durable at the call is indexed.
  virtual bool WaitUntilIndexed(std::chrono::milliseconds timeout) const = 0;

  /// Durable records that are not indexed yet.
  virtual std::uint64_t lag_records() const = 0;
  /// The age of the oldest durable record that the index will read next; 0 when it has them all.
  /// What older segments hold from before the start does not count: questions find it meanwhile.
  virtual std::chrono::microseconds lag() const = 0;
  virtual std::uint64_t index_bytes() const = 0;
  virtual void Stop() = 0;
};

}  // namespace weft::collector
