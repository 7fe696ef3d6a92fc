// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <absl/container/flat_hash_set.h>

#include <weft/collector/record.h>
#include <weft/collector/run_store.h>

namespace weft::collector {

/// Fixed-size nodes named by number: no pointers, no header per node, no large copy on growth.
template <typename T>
class NodePool {
 public:
  std::uint32_t Take(T value) {
    std::uint32_t at;
    if (!free_.empty()) {
      at = free_.back();
      free_.pop_back();
    } else {
      at = size_++;
      if (at / kChunk == chunks_.size()) chunks_.push_back(std::make_unique<T[]>(kChunk));
    }
    (*this)[at] = std::move(value);
    return at;
  }
  void Free(std::uint32_t at) { free_.push_back(at); }
  T& operator[](std::uint32_t at) { return chunks_[at / kChunk][at % kChunk]; }
  const T& operator[](std::uint32_t at) const { return chunks_[at / kChunk][at % kChunk]; }
  std::uint64_t live_bytes() const { return (size_ - free_.size()) * sizeof(T); }

 private:
  static constexpr std::uint32_t kChunk = 1024;
  std::vector<std::unique_ptr<T[]>> chunks_;
  std::vector<std::uint32_t> free_;
  std::uint32_t size_ = 0;
};

/// Where the operations of traces and runs are, within a limit of memory.
///
/// Beyond the limit the traces that were touched longest ago go. `complete_from` is the promise
/// that stays: every operation in a record at or behind it is here; for older ones ask the log.
///
/// Threads: none of its own; the store locks.
/// Cost: about 70 bytes for a trace of one run, 25 for each further run (a span without a parent
///   counts as two), 16 for each further record that a trace is in; 0.2 us an operation.
class TraceIndex {
 public:
  explicit TraceIndex(std::uint64_t max_bytes, Position complete_from,
                      std::uint16_t max_trace_runs = 0xffff)
      : max_bytes_(max_bytes),
        max_trace_runs_(max_trace_runs),
        backfilled_to_(complete_from.seq),
        traces_by_id_(0, IdHash{this}, IdEqual{this}),
        runs_by_hash_(0, RunHash{this}, RunEqual{this}) {}
  TraceIndex(const TraceIndex&) = delete;
  TraceIndex& operator=(const TraceIndex&) = delete;

  /// Adds the operations of a record. `old`: it is older than all that is here (backfill).
  void Add(const Record& record, bool old);
  void AddProject(const std::string& name, std::uint64_t first_us, std::uint64_t last_us);
  /// Everything from `position` on was added.
  void SetBackfilledTo(Position position) { backfilled_to_ = position.seq; }
  /// Forgets the traces that have nothing at or behind `position`.
  void ForgetBefore(Position position);

  /// Records that hold operations of the trace (or only of its root), ascending.
  std::vector<Position> Find(const RunId& trace, bool root_only) const;
  std::optional<RunId> TraceOf(const RunId& run) const;
  /// Traces, newest first: those whose root is known, and those of which it should be by `now_s`
  /// (seconds since 1970).
  std::vector<RunId> Newest(const std::optional<std::string>& project, std::size_t limit,
                            std::uint32_t now_s) const;
  std::vector<Project> Projects() const;
  /// Whether the trace has `max_runs` runs, and this is none of them.
  bool IsFull(const RunId& trace, const RunId& run, std::uint64_t max_runs) const;
  void SetMaxTraceRuns(std::uint16_t runs) { max_trace_runs_ = runs; }
  std::size_t full_traces() const { return full_.size(); }

  std::uint64_t complete_from() const { return std::max(backfilled_to_, evicted_to_); }
  bool is_full() const { return bytes() > max_bytes_ / 10 * 9; }
  std::uint64_t bytes() const;

 private:
  static constexpr std::uint32_t kNone = 0x7fffffff;

  struct Trace {
    void Touch(std::uint64_t seq) {
      if (last_seq < seq) last_seq = seq & 0xffff'ffff'ffff;
    }

    RunId id;
    std::uint64_t last_seq : 48 = 0;
    std::uint64_t run_count : 16 = 0;  // of `runs`
    std::uint32_t first_s = ~0u;       // when it was first heard of, in seconds since 1970
    std::uint32_t places = kNone;
    std::uint32_t older = kNone;  // the chain of traces by the time they were touched
    std::uint32_t newer = kNone;
    std::uint32_t project : 31 = kNone;
    std::uint32_t has_root : 1 = 0;
    std::uint32_t runs : 31 = kNone;
    std::uint32_t is_named : 1 = 0;  // a run said that it belongs to it
  };
  // A record that has operations of a trace; the newest is first in its chain.
  struct Place {
    std::uint32_t segment = 0;  // index in segments_
    std::uint32_t seq = 0;      // less the segment's first
    std::uint32_t offset = 0;   // in units of 8 bytes
    std::uint32_t next : 31 = kNone;
    std::uint32_t has_root : 1 = 0;
  };
  struct Run {
    std::uint64_t hash = 0;
    std::uint32_t trace = kNone;
    std::uint32_t next = kNone;  // in its trace
  };

  // Hash tables of node numbers that are looked up by what the node holds.
  struct IdHash {
    using is_transparent = void;
    const TraceIndex* index;
    std::size_t operator()(std::uint32_t at) const { return (*this)(index->traces_[at].id); }
    std::size_t operator()(const RunId& id) const { return HashOf(id); }
  };
  struct IdEqual {
    using is_transparent = void;
    const TraceIndex* index;
    bool operator()(std::uint32_t a, std::uint32_t b) const { return a == b; }
    bool operator()(std::uint32_t a, const RunId& b) const { return index->traces_[a].id == b; }
  };
  struct RunHash {
    using is_transparent = void;
    const TraceIndex* index;
    std::size_t operator()(std::uint32_t at) const { return index->runs_[at].hash; }
    std::size_t operator()(std::uint64_t hash) const { return hash; }
  };
  struct RunEqual {
    using is_transparent = void;
    const TraceIndex* index;
    bool operator()(std::uint32_t a, std::uint32_t b) const { return a == b; }
    bool operator()(std::uint32_t a, std::uint64_t b) const { return index->runs_[a].hash == b; }
  };
  struct KnownProject {
    std::uint64_t first_us = 0;
    std::uint64_t last_us = 0;
  };

  struct Sought {
    std::uint64_t hash = 0;
    bool known = false;
  };

  static std::uint64_t HashOf(const RunId& id);

  std::uint32_t TraceNode(const RunId& id, bool old);
  void AddPlace(Trace& trace, std::uint32_t segment, const Position& position, bool is_root);
  void AddRun(std::uint32_t trace_at, std::uint64_t hash);
  void LookUp(std::span<const RunOp> ops, std::span<Sought> sought) const;
  bool IsListed(const Trace& trace, std::uint32_t now_s) const;
  std::uint32_t SegmentNumber(std::uint64_t first_seq);
  std::uint32_t ProjectNumber(const std::string& said, std::uint64_t time_us);
  void Link(std::uint32_t at, bool oldest);
  void Unlink(std::uint32_t at);
  void Evict(std::uint32_t at);
  void Shrink();
  Position PositionOf(const Place& place) const;

  const std::uint64_t max_bytes_;
  std::uint16_t max_trace_runs_;
  std::uint64_t backfilled_to_;
  std::uint64_t evicted_to_ = 0;

  NodePool<Trace> traces_;
  NodePool<Place> places_;
  NodePool<Run> runs_;
  absl::flat_hash_set<std::uint32_t, IdHash, IdEqual> traces_by_id_;
  absl::flat_hash_set<std::uint32_t, RunHash, RunEqual> runs_by_hash_;
  absl::flat_hash_set<RunId> full_;
  std::uint32_t oldest_ = kNone;
  std::uint32_t newest_ = kNone;

  std::vector<std::uint64_t> segments_;  // their first sequence numbers
  std::map<std::string, std::uint32_t, std::less<>> project_numbers_;
  std::vector<KnownProject> projects_;
};

}  // namespace weft::collector
