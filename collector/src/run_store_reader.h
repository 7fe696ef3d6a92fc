// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <shared_mutex>
#include <string>
#include <vector>

#include <weft/collector/log.h>
#include <weft/collector/run_store.h>

#include "fold.h"
#include "run_store_index.h"
#include "run_store_spans.h"

namespace weft::collector {

std::filesystem::path SummaryPath(const Log& log, std::uint64_t segment);

/// Answers one question of the store: finds the records, reads each once, folds.
///
/// What the index no longer holds is looked for in the segments whose summaries do not rule it out.
/// Traces come into the index and leave it all the time; so each look at it takes at one moment
/// what it holds and from where on that is all, and the log is asked for what lies before.
class StoreReader {
 public:
  /// `prices`: as of SpanToRunOptions.
  StoreReader(const Log& log, const TraceIndex& index, std::shared_mutex& index_mutex,
              const Prices* prices = nullptr)
      : log_(log), index_(index), index_mutex_(index_mutex), prices_(prices) {}

  absl::StatusOr<StoredRun> Run(const RunId& id);
  std::vector<StoredRun> Trace(const RunId& trace_id);
  std::vector<StoredRun> Traces(const TraceQuery& query);
  std::vector<RunId> TraceIds(const TraceQuery& query);
  std::vector<StoredRun> Roots(std::span<const RunId> trace_ids);
  absl::StatusOr<AttachmentContent> Attachment(const RunId& id, std::string_view name);

 private:
  struct Loaded {
    Record record;
    std::string payload;
  };
  using LoadedPtr = std::shared_ptr<const Loaded>;
  using Ids = std::set<RunId>;
  using Visit = std::function<void(const Record&, const RunOp&)>;
  using Places = std::set<Position>;
  // Operations with what they point into.
  struct Gathered {
    explicit Gathered(const Prices* prices) : spans(prices) {}

    RunId trace_id;
    std::string trace_project;
    std::map<RunId, std::vector<FoldOp>> runs;
    std::set<LoadedPtr> keep;
    FoundSpans spans;
  };

  absl::StatusOr<Gathered> GatherRun(const RunId& id);
  /// All runs of a trace; or, of all that is connected with it, `only` this one.
  Gathered GatherTrace(const RunId& trace_id, const std::optional<RunId>& only = std::nullopt);
  /// Adds the traces that spans connect with those given, and where they are. Returns the records
  /// among the places that have spans.
  Places AddLinked(Ids& traces, Places& places);
  void TakeSpans(const Places& places, const Ids& traces, const std::optional<RunId>& only,
                 Gathered& into);
  void TakeRoot(Gathered& into) const;
  std::optional<StoredRun> MissingRoot(const RunId& trace_id);
  StoredRun Fold(const Gathered& gathered, const RunId& id) const;

  std::optional<RunId> TraceOf(const RunId& run);
  /// Adds where the index has operations of the traces. Returns from where on that is all.
  std::uint64_t AddIndexed(const Ids& traces, bool root_only, Places& places) const;
  std::string RootProject(const RunId& trace_id);
  std::vector<RunId> OldTraces(const TraceQuery& query, const Ids& known, std::uint64_t end);

  /// Calls `visit` for the operations on the runs or in the traces `ids` that are in segments with
  /// records before `end`. `traceless`: only those that name no trace matter.
  void VisitOld(const Ids& ids, bool traceless, std::uint64_t end, const Visit& visit);
  void ScanSegment(const SegmentInfo& segment, const std::function<void(const Record&)>& visit);
  std::vector<SegmentInfo> OldSegments(std::uint64_t end) const;

  LoadedPtr Load(const Position& position);
  void Take(const LoadedPtr& loaded, std::size_t index, Gathered& into) const;

  const Log& log_;
  const TraceIndex& index_;
  std::shared_mutex& index_mutex_;
  const Prices* const prices_;
  std::map<std::uint64_t, LoadedPtr> loaded_;
  std::uint64_t loaded_bytes_ = 0;
};

}  // namespace weft::collector
