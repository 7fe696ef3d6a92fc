// SPDX-License-Identifier: Apache-2.0
#include <cinttypes>
#include <cstdio>
#include <utility>

#include <weft/collector/process_log.h>

#include "destinations/destination_impl.h"
#include "destinations/finished_runs.h"
#include "destinations/placed_spans.h"

namespace weft::collector {
namespace {

// Beyond it runs of refused keys are parked: each held key reads the log on its own.
constexpr std::size_t kMaxHeldKeys = 64;
// While operations wait behind the cursor it is saved only so often: their places are saved with
// it.
constexpr std::chrono::milliseconds kSaveInterval{1'000};

// Names a key in the process's log, where the key itself must not be.
std::string KeyLabel(std::uint64_t key_id) { return key_id == 0 ? "own" : HexId(key_id); }

}  // namespace

absl::StatusOr<Lane> Destination::Impl::OpenLane(const std::string& name, Position start) {
  absl::StatusOr<Cursor> cursor = Cursor::Load(options_.data, name, start);
  if (!cursor.ok()) return cursor.status();
  // A cursor can be ahead only when the log was deleted by hand and the cursors were not.
  if (cursor->position() > options_.log->DurableEnd()) {
    LogLine(LogLevel::kError, "the cursor is ahead of the log; starting from the oldest record",
            {{"dest", spec_}, {"cursor", std::to_string(cursor->position().seq)}});
    if (absl::Status status = cursor->Save(start); !status.ok()) return status;
  }
  Lane lane;
  lane.name = name;
  lane.cursor = *std::move(cursor);
  lane.stage = MakeStage();
  lane.waiting = WaitingFile(options_.data, name);
  Rewind(lane);
  return lane;
}

std::unique_ptr<Stage> Destination::Impl::MakeStage() const {
  if (kind_ == DestinationConfig::Kind::kOtlp) {
    return std::make_unique<FinishedRuns>(FinishedRunsOptions{
        .log = options_.log, .store = options_.store, .max_open = options_.max_open});
  }
  return std::make_unique<PlacedSpans>(PlacedSpansOptions{.log = options_.log,
                                                          .store = options_.store,
                                                          .prices = options_.prices,
                                                          .grace = options_.trace_grace,
                                                          .orphan_wait = options_.orphan_wait});
}

// Goes on at the saved cursor, with what waited there.
void Destination::Impl::Rewind(Lane& lane) {
  lane.at = lane.cursor.position();
  lane.counts = {};
  lane.filtered = lane.expired = lane.orphans = 0;
  if (lane.stage) lane.stage->Resume(lane.waiting.Load(lane.at));
}

Position Destination::Impl::OldestNeeded(const Lane& lane) const {
  const std::vector<OpPlace> waiting = lane.stage ? lane.stage->Waiting() : std::vector<OpPlace>();
  return waiting.empty() ? lane.cursor.position() : waiting.front().position;
}

void Destination::Impl::CountOpen() {
  open_ = open_traces_ = 0;
  const auto add = [this](const Lane& lane) {
    if (!lane.stage) return;
    open_ += lane.stage->open();
    open_traces_ += lane.stage->open_traces();
  };
  if (main_) add(*main_);
  for (const auto& [key_id, lane] : held_) add(lane);
}

// False: not now. What waits is saved first, so that a cursor never leaves it behind.
bool Destination::Impl::Save(Lane& lane, bool is_main) {
  const std::size_t count = lane.stage ? lane.stage->waiting() : 0;
  const auto interval = kSaveInterval * (1 + count / 100'000);
  lane.is_dirty = true;
  if (count > 0 && !stopping_ && Clock::now() < lane.saved_at + interval) return true;
  const std::vector<OpPlace> waiting = count > 0 ? lane.stage->Waiting() : std::vector<OpPlace>();
  absl::Status status = lane.stage ? lane.waiting.Save(waiting) : absl::OkStatus();
  if (status.ok()) status = lane.cursor.Save(lane.at);
  if (!status.ok()) {
    LogLine(LogLevel::kError, "cannot save a cursor",
            {{"dest", spec_}, {"reason", std::string(status.message())}});
    return false;
  }
  lane.saved_at = Clock::now();
  lane.is_dirty = false;
  {
    std::lock_guard lock(mutex_);
    counts_ += std::exchange(lane.counts, {});
    filtered_ += std::exchange(lane.filtered, 0);
    expired_ += std::exchange(lane.expired, 0);
    orphans_ += std::exchange(lane.orphans, 0);
    CountOpen();
  }
  if (is_main) {
    options_.log->SetRequired(name_, waiting.empty() ? lane.at : waiting.front().position);
  }
  return true;
}

void Destination::Impl::SaveWaiting() {
  if (main_->is_dirty) Save(*main_, true);
  for (auto& [key_id, lane] : held_) {
    if (lane.is_dirty) Save(lane, false);
  }
}

absl::Status Destination::Impl::OpenLanes() {
  absl::StatusOr<Lane> main = OpenLane(name_, options_.log->Begin());
  if (!main.ok()) return main.status();
  main_ = *std::move(main);
  options_.log->SetRequired(name_, OldestNeeded(*main_));
  const std::string prefix = name_ + ".held-";
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(options_.data / "cursors", error)) {
    const std::string file = entry.path().filename();
    std::uint64_t key_id = 0;
    if (!file.starts_with(prefix) || file.size() != prefix.size() + 16 ||
        std::sscanf(file.c_str() + prefix.size(), "%16" SCNx64, &key_id) != 1) {
      continue;
    }
    absl::StatusOr<Lane> lane = OpenLane(file, options_.log->Begin());
    if (!lane.ok()) return lane.status();
    held_.emplace(key_id, *std::move(lane));
  }
  CountOpen();
  return absl::OkStatus();
}

// Gives the key a lane that starts at the first record with runs that were not delivered.
// False: the lane of the share has to wait itself.
bool Destination::Impl::Hold(Share& share) {
  if (share.outcome == Delivery::Outcome::kAbandoned) return false;
  const bool throttled = share.outcome == Delivery::Outcome::kThrottled;
  const Position start = share.positions[share.done];
  const auto known = held_.find(share.key_id);
  if (known != held_.end() && known->second.cursor.position() <= start) return true;
  if (known == held_.end() && held_.size() >= kMaxHeldKeys) return !throttled && ParkRest(share);
  absl::StatusOr<Lane> lane = OpenLane(name_ + ".held-" + HexId(share.key_id), start);
  absl::Status status = lane.status();
  if (status.ok()) status = lane->cursor.Save(start);
  if (!status.ok()) {
    LogLine(LogLevel::kError, "cannot save a cursor",
            {{"dest", spec_}, {"reason", std::string(status.message())}});
    return false;
  }
  lane->at = start;
  if (known == held_.end()) {
    LogLine(throttled ? LogLevel::kWarning : LogLevel::kError,
            throttled ? "destination takes no more of a key for a while, its runs wait in the log"
                      : "destination refuses a key, its runs wait in the log",
            {{"dest", spec_}, {"key", KeyLabel(share.key_id)}, {"code", share.failure.code}});
  }
  Postpone(*lane, share, false);
  std::lock_guard lock(mutex_);
  held_.insert_or_assign(share.key_id, *std::move(lane));
  return true;
}

bool Destination::Impl::ParkRest(Share& share) {
  for (; share.done < share.ops.size(); ++share.done) {
    OutgoingOp op = share.ops[share.done];
    std::string payload;
    if (op.whole != nullptr && !Unpack(*op.whole, std::span(&op, 1), &payload)) return false;
    const Delivery::Outcome outcome =
        delivery_->Park(op, share.key_id, "denied", "too many keys are refused", &share.counts);
    if (outcome != Delivery::Outcome::kDone) return false;
    share.parked.push_back(share.done);
  }
  return true;
}

// Says when to go on.
void Destination::Impl::Postpone(Lane& lane, const Share& failed, bool is_main) {
  if (failed.outcome == Delivery::Outcome::kAbandoned) return Wait(kTroubleWait);
  const bool throttled = failed.outcome == Delivery::Outcome::kThrottled;
  lane.failures = throttled ? lane.failures + 1 : 0;
  const milliseconds pause =
      throttled ? gate_->Pause(failed.failure, lane.failures) : options_.held_interval;
  if (is_main) return Wait(pause);
  lane.throttled = throttled;
  lane.retry_at = Clock::now() + pause;
}

// A lane that came up to the main one is done: the key works again.
void Destination::Impl::ReleaseLanes() {
  for (auto it = held_.begin(); it != held_.end();) {
    const Lane& lane = it->second;
    if (lane.at < main_->at || lane.is_dirty || (lane.stage && lane.stage->waiting() > 0)) {
      ++it;
      continue;
    }
    std::error_code ignored;
    std::filesystem::remove(options_.data / "cursors" / it->second.name, ignored);
    LogLine(LogLevel::kInfo, "destination takes the key again",
            {{"dest", spec_}, {"key", KeyLabel(it->first)}});
    std::lock_guard lock(mutex_);
    it = held_.erase(it);
  }
}

}  // namespace weft::collector
