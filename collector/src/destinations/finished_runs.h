// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <absl/container/flat_hash_map.h>

#include <weft/collector/run_store.h>

#include "destinations/stage.h"

namespace weft::collector {

struct FinishedRunsOptions {
  std::shared_ptr<Log> log;
  /// Asked about runs whose beginning went out long ago; may be null.
  const RunStore* store = nullptr;
  /// A run still open after so long goes out unfinished.
  std::chrono::milliseconds max_open{std::chrono::hours(1)};
  /// How long the end of a run waits for its beginning.
  std::chrono::milliseconds max_stray{std::chrono::seconds(60)};
  /// The oldest of more open runs go out unfinished.
  std::size_t max_runs = 1'000'000;
  /// Microseconds since any time.
  std::function<std::uint64_t()> now = SteadyMicroseconds;
};

/// For receivers that know finished spans only: keeps the operations of a run until it has ended,
/// then passes it on as one POST of the whole run. Feedback is left out.
///
/// Cost: about 170 bytes an open run and 25 a trace of such; 5 us and a copy of the payload a run.
class FinishedRuns final : public Stage {
 public:
  explicit FinishedRuns(FinishedRunsOptions options);

  bool Takes(Receiver receiver) const override { return receiver != Receiver::kOtlp; }
  void Take(Round::Loaded record, Round& round) override;
  void Release(Round& round) override;
  std::vector<OpPlace> Waiting() const override;
  std::size_t waiting() const override { return waiting_; }
  std::size_t open() const override { return waiting_; }
  std::size_t open_traces() const override { return traces_.size(); }
  void Resume(const std::vector<OpPlace>& places) override;

 private:
  struct Run {
    std::vector<OpPlace> places;
    RunId trace_id;  ///< As its first operation says; of none that says it, the run's own.
    std::uint64_t since_us = 0;
    bool posted = false;
    bool ended = false;
  };
  using Deadline = std::pair<std::uint64_t, RunId>;  ///< Since when the run is waited for.

  void TakeOp(const RecordCache::Entry& record, std::uint32_t index, Round& round,
              RoundWriter& writer);
  void Wait(const RunOp& op, OpPlace place, bool ended);
  void Emit(const std::vector<OpPlace>& places, Round& round, RoundWriter& writer);
  void EmitAlone(const std::vector<OpPlace>& places, Round& round);
  void Expire(std::deque<Deadline>& deadlines, std::uint64_t age_us, bool posted, Round& round);
  void Forget(absl::flat_hash_map<RunId, Run>::iterator run);
  bool EmitStored(const Run& run, const RunId& id, Round& round);

  const FinishedRunsOptions options_;
  RecordCache records_;
  absl::flat_hash_map<RunId, Run> runs_;
  absl::flat_hash_map<RunId, std::uint32_t> traces_;  ///< How many of these runs each has.
  std::size_t waiting_ = 0;
  std::deque<Deadline> open_;    ///< That began.
  std::deque<Deadline> strays_;  ///< Of which only a later part is known.
};

}  // namespace weft::collector
