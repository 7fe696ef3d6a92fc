// SPDX-License-Identifier: Apache-2.0
#include <weft/collector/destination.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cinttypes>
#include <condition_variable>
#include <cstdio>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>

#include <weft/collector/process_log.h>
#include <xxhash.h>

#include "destinations/delivery.h"
#include "destinations/drain_limit.h"
#include "destinations/file_sink.h"
#include "destinations/finished_runs.h"
#include "destinations/langsmith_sink.h"
#include "destinations/otlp_sink.h"
#include "destinations/parked_op.h"
#include "destinations/placed_spans.h"
#include "destinations/round.h"
#include "destinations/shares.h"
#include "destinations/stage.h"
#include "destinations/waiting_file.h"

namespace weft::collector {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

// Beyond it runs of refused keys are parked: each held key reads the log on its own.
constexpr std::size_t kMaxHeldKeys = 64;
constexpr milliseconds kIdleWait{200};
// What a round is worth in batches: its end is waited for by all, and it ends with a sync.
constexpr std::size_t kBatchesOfWorker = 8;
constexpr milliseconds kTroubleWait{1'000};
// While operations wait behind the cursor it is saved only so often: their places are saved with
// it.
constexpr milliseconds kSaveInterval{1'000};

std::string Hex(std::uint64_t number) {
  std::array<char, 17> text{};
  std::snprintf(text.data(), text.size(), "%016" PRIx64, number);
  return text.data();
}

// Names a key in the process's log, where the key itself must not be.
std::string KeyLabel(std::uint64_t key_id) { return key_id == 0 ? "own" : Hex(key_id); }

using Kind = DestinationConfig::Kind;

absl::StatusOr<std::unique_ptr<Sink>> MakeSink(const DestinationConfig& config) {
  if (config.kind == Kind::kFile) return MakeFileSink(config);
  if (config.kind == Kind::kOtlp) return MakeOtlpSink(config);
  return MakeLangSmithSink(config);
}

std::string NameOf(const DestinationConfig& config) {
  const char* const kind = config.kind == Kind::kFile   ? "file-"
                           : config.kind == Kind::kOtlp ? "otlp-"
                                                        : "langsmith-";
  return kind + Hex(XXH3_64bits(config.target.data(), config.target.size()));
}

// A place in the log. The main lane carries all keys but those that are held: each of these has a
// lane of its own, behind the main one, until its target takes the key.
struct Lane {
  std::string name;
  Cursor cursor;
  Position at;                   ///< Where to read on; ahead of the cursor until that is saved.
  std::unique_ptr<Stage> stage;  ///< May be null.
  WaitingFile waiting;
  Clock::time_point saved_at{};
  bool is_dirty = false;  ///< More happened since.
  Clock::time_point retry_at{};
  bool throttled = false;  ///< Not refused: the target takes no more of the key for a while.
  int failures = 0;        ///< In a row, while throttled.
};

}  // namespace

class Destination::Impl {
 public:
  Impl(const DestinationConfig& config, DestinationOptions options)
      : options_(std::move(options)),
        spec_(config.Spec()),
        kind_(config.kind),
        name_(NameOf(config)),
        drain_({.factor = options_.drain_factor, .floor = options_.drain_floor}),
        reader_(options_.log, spec_, stopping_),
        api_key_(config.api_key) {}
  ~Impl() { Stop(milliseconds(0)); }

  absl::Status Start(const DestinationConfig& config) {
    absl::StatusOr<std::unique_ptr<Sink>> sink = MakeSink(config);
    if (!sink.ok()) return sink.status();
    sink_ = *std::move(sink);
    auto parked =
        ParkedFile::Open(options_.data / "parked" / (name_ + ".jsonl"), options_.max_parked_bytes);
    if (!parked.ok()) return parked.status();
    parked_ = *std::move(parked);
    if (absl::Status status = OpenLanes(); !status.ok()) return status;
    OpenGate();
    start_end_ = options_.log->DurableEnd();
    logged_before_ = options_.logged();
    thread_ = std::thread([this] { Run(); });
    return absl::OkStatus();
  }

  ParkedFile& parked() const { return *parked_; }

  void WakeUp() {
    std::lock_guard lock(mutex_);
    redrive_at_ = {};
    wake_.notify_all();
  }

  void Stop(milliseconds patience) {
    if (!thread_.joinable()) return;
    stopping_ = true;
    gate_->Stop();
    std::unique_lock lock(mutex_);
    wake_.notify_all();
    if (!wake_.wait_for(lock, patience, [this] { return finished_; })) delivery_->Abort();
    lock.unlock();
    thread_.join();
  }

  absl::StatusOr<std::function<void()>> PrepareReload(const DestinationConfig& config) {
    auto commit = sink_->PrepareReload(config);
    if (!commit.ok()) return commit.status();
    return [this, key = config.api_key, commit = *std::move(commit)] {
      commit();
      std::lock_guard lock(mutex_);
      api_key_ = key;
      retry_held_ = true;
      gate_->Hurry();
      wake_.notify_all();
    };
  }

  DestinationStats Stats() const;

  const std::string& spec() const { return spec_; }

 private:
  absl::Status OpenLanes();
  absl::StatusOr<Lane> OpenLane(const std::string& name, Position start);
  void OpenGate();
  std::unique_ptr<Stage> MakeStage() const;
  void Rewind(Lane& lane);
  Position OldestNeeded(const Lane& lane) const;
  bool Save(Lane& lane, bool is_main);
  void CountBacklog();
  void Run();
  bool AdvanceLane(Lane& lane, std::optional<std::uint64_t> only_key);
  RoundLimits Limits(const Lane& lane, std::optional<std::uint64_t> only_key);
  bool Carries(std::optional<std::uint64_t> only_key, std::uint64_t key_id) const;
  RoundReader::Carries CarriedBy(std::optional<std::uint64_t> only_key) const;
  std::size_t Workers() const;
  void DeliverShares(std::vector<Share>& shares, std::size_t workers);
  std::optional<std::string> KeyOf(std::uint64_t key_id) const;
  bool Hold(Share& share);
  bool ParkRest(Share& share);
  void Postpone(Lane& lane, const Share& failed, bool is_main);
  void Count(const std::vector<Share>& shares, const Position& end, bool is_main);
  milliseconds IdleTime() const;
  void CountExpired(std::uint64_t logged);
  bool Redrive();
  bool RedriveBatch(const std::vector<ParkedFile::Item>& items);
  void ReleaseLanes();
  bool Flush();
  void Wait(milliseconds time);

  const DestinationOptions options_;
  const std::string spec_;
  const Kind kind_;
  const std::string name_;  ///< Of cursors and parked files.
  std::unique_ptr<Sink> sink_;
  std::unique_ptr<ParkedFile> parked_;
  std::unique_ptr<RetryGate> gate_;
  DrainLimit drain_;
  std::unique_ptr<Delivery> delivery_;
  Position start_end_;  ///< Where the log ended at the start.
  std::uint64_t logged_before_ = 0;
  std::optional<Lane> main_;
  std::atomic<bool> stopping_{false};
  RoundReader reader_;

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  bool finished_ = false;
  bool retry_held_ = false;
  std::string api_key_;
  std::map<std::uint64_t, Lane> held_;  ///< Changed by the thread only.
  Clock::time_point redrive_at_{};      ///< Not before.
  Delivery::Counts counts_;
  std::uint64_t filtered_ = 0;
  std::uint64_t expired_ = 0;
  std::uint64_t backlog_ = 0;
  std::uint64_t oldest_pending_us_ = 0;

  std::thread thread_;
};

void Destination::Impl::OpenGate() {
  RetryGateOptions gate;
  gate.first_backoff = options_.first_backoff;
  gate.max_backoff = options_.max_backoff;
  gate.max_retry_after = options_.max_retry_after;
  gate.probe_interval = options_.probe_interval;
  gate.probe = [this] { return sink_->Probe(delivery_->abort()); };
  gate_ = std::make_unique<RetryGate>(std::move(gate));
  delivery_ = std::make_unique<Delivery>(spec_, *sink_, *gate_, drain_, *parked_);
}

DestinationStats Destination::Impl::Stats() const {
  DestinationStats stats;
  stats.errors = delivery_->Errors();
  stats.circuit = gate_->circuit();
  stats.parked_by_code = parked_->OperationsByCode();
  const std::uint64_t logged = options_.logged() - logged_before_;
  std::lock_guard lock(mutex_);
  stats.sent = counts_.sent;
  stats.parked_unkept = counts_.parked_unkept;
  stats.parked = parked_->operations() + counts_.parked_unkept;
  stats.discarded = parked_->discarded();
  stats.batches = counts_.batches;
  stats.filtered = filtered_;
  stats.expired = expired_;
  const std::uint64_t done =
      stats.sent + stats.parked + stats.discarded + stats.filtered + stats.expired;
  stats.available = std::max(backlog_ + logged + parked_->operations_from_before(), done);
  stats.lag = stats.available - done;
  stats.expired_records = reader_.expired_records();
  for (const auto& [key_id, lane] : held_) {
    ++(lane.throttled ? stats.throttled_keys : stats.held_keys);
  }
  stats.oldest_pending_us = stats.lag == 0 ? 0 : oldest_pending_us_;
  return stats;
}

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
  if (kind_ == Kind::kOtlp) {
    return std::make_unique<FinishedRuns>(FinishedRunsOptions{
        .log = options_.log, .store = options_.store, .max_open = options_.max_open});
  }
  return std::make_unique<PlacedSpans>(PlacedSpansOptions{.log = options_.log,
                                                          .store = options_.store,
                                                          .grace = options_.trace_grace,
                                                          .orphan_wait = options_.orphan_wait});
}

// Goes on at the saved cursor, with what waited there.
void Destination::Impl::Rewind(Lane& lane) {
  lane.at = lane.cursor.position();
  if (lane.stage) lane.stage->Resume(lane.waiting.Load(lane.at));
}

Position Destination::Impl::OldestNeeded(const Lane& lane) const {
  const std::vector<OpPlace> waiting = lane.stage ? lane.stage->Waiting() : std::vector<OpPlace>();
  return waiting.empty() ? lane.cursor.position() : waiting.front().position;
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
  if (is_main) {
    options_.log->SetRequired(name_, waiting.empty() ? lane.at : waiting.front().position);
  }
  return true;
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
  return absl::OkStatus();
}

// What lay in the log at the start, in operations.
void Destination::Impl::CountBacklog() {
  std::uint64_t backlog =
      reader_.Count(main_->cursor.position(), start_end_, CarriedBy(std::nullopt));
  if (main_->stage) backlog += main_->stage->waiting();
  for (const auto& [key_id, lane] : held_) {
    backlog += reader_.Count(lane.cursor.position(), start_end_, CarriedBy(key_id));
  }
  std::lock_guard lock(mutex_);
  backlog_ = backlog;
}

bool Destination::Impl::Carries(std::optional<std::uint64_t> only_key, std::uint64_t key_id) const {
  return only_key ? *only_key == key_id : !held_.contains(key_id);
}

// Empty for every key, which spares looking.
RoundReader::Carries Destination::Impl::CarriedBy(std::optional<std::uint64_t> only_key) const {
  if (!only_key && held_.empty()) return {};
  return [this, only_key](std::uint64_t key_id) { return Carries(only_key, key_id); };
}

void Destination::Impl::Run() {
  CountBacklog();
  while (!stopping_) {
    bool worked = false;
    bool retry_now = false;
    {
      std::lock_guard lock(mutex_);
      retry_now = std::exchange(retry_held_, false);
    }
    std::vector<std::uint64_t> held;
    for (const auto& [key_id, lane] : held_) {
      if (retry_now || Clock::now() >= lane.retry_at) held.push_back(key_id);
    }
    for (const std::uint64_t key_id : held) {
      if (!stopping_) worked |= AdvanceLane(held_.at(key_id), key_id);
    }
    ReleaseLanes();
    const std::uint64_t logged = options_.logged();
    drain_.Observe(logged, Clock::now());
    if (!stopping_) worked |= AdvanceLane(*main_, std::nullopt);
    if (!stopping_) worked |= Redrive();
    if (worked) continue;
    drain_.End();
    CountExpired(logged);
    if (main_->is_dirty) Save(*main_, true);
    options_.log->WaitForRecord(main_->at, IdleTime());
  }
  if (main_->is_dirty) Save(*main_, true);
  for (auto& [key_id, lane] : held_) {
    if (lane.is_dirty) Save(lane, false);
  }
  std::lock_guard lock(mutex_);
  finished_ = true;
  wake_.notify_all();
}

// One round: read, deliver, flush, move the cursor. True when there was something to do.
bool Destination::Impl::AdvanceLane(Lane& lane, std::optional<std::uint64_t> only_key) {
  const Position before = lane.at;
  Round round = reader_.Read(before, Limits(lane, only_key), CarriedBy(only_key), lane.stage.get());
  if (round.trouble) Wait(kTroubleWait);
  if (round.next == before && round.ops.empty() && round.filtered == 0) return false;
  if (!round.ops.empty()) {
    std::lock_guard lock(mutex_);
    if (!only_key) oldest_pending_us_ = round.ops.front().received_us;
  }
  // One at a time does not send twice what came before the refusal.
  const std::size_t workers = lane.throttled ? 1 : Workers();
  std::vector<Share> shares = Divide(round, *sink_, workers);
  DeliverShares(shares, workers);
  Position end = round.next;
  const Share* failed = nullptr;
  for (Share& share : shares) {
    if (share.outcome == Delivery::Outcome::kDone || (!only_key && Hold(share))) continue;
    if (failed == nullptr || share.positions[share.done] < end) failed = &share;
    end = std::min(end, share.positions[share.done]);
  }
  if (failed != nullptr) Postpone(lane, *failed, !only_key);
  // A stage cannot go back to a place in between.
  const bool progress = failed == nullptr || (!lane.stage && before < end);
  if (!progress || !Flush()) {
    Rewind(lane);
    return !only_key;
  }
  lane.at = end;
  if (!Save(lane, !only_key)) {
    Rewind(lane);
    Wait(kTroubleWait);
    return true;
  }
  if (failed == nullptr) lane.failures = 0;
  std::lock_guard lock(mutex_);
  filtered_ += round.filtered;
  Count(shares, end, !only_key);
  return true;
}

// Until the next held key is due.
milliseconds Destination::Impl::IdleTime() const {
  milliseconds time = kIdleWait;
  for (const auto& [key_id, lane] : held_) {
    const auto left =
        std::chrono::duration_cast<milliseconds>(lane.retry_at - Clock::now()) + milliseconds(1);
    time = std::clamp(left, milliseconds(1), time);
  }
  return time;
}

// The log's end was reached: of what was logged before, all that is not done is gone.
void Destination::Impl::CountExpired(std::uint64_t logged) {
  if (reader_.expired_records() == 0 || !held_.empty()) return;
  if (main_->stage && main_->stage->waiting() > 0) return;
  std::lock_guard lock(mutex_);
  const std::uint64_t known =
      backlog_ + logged - logged_before_ + parked_->operations_from_before();
  const std::uint64_t done = counts_.sent + counts_.parked_unkept + parked_->operations() +
                             parked_->discarded() + filtered_;
  if (known > done) expired_ = known - done;
}

// With the lock held. Runs of a key that is held now are counted by its lane from where that
// begins.
void Destination::Impl::Count(const std::vector<Share>& shares, const Position& end, bool is_main) {
  for (const Share& share : shares) {
    const auto held = is_main ? held_.find(share.key_id) : held_.end();
    const Delivery::Counts counts =
        share.CountsBefore(held == held_.end() ? end : held->second.cursor.position());
    counts_.sent += counts.sent;
    counts_.parked_unkept += counts.parked_unkept;
    counts_.batches += counts.batches;
  }
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

std::size_t Destination::Impl::Workers() const {
  return sink_->concurrency() == 1 ? 1 : options_.concurrency;
}

RoundLimits Destination::Impl::Limits(const Lane& lane, std::optional<std::uint64_t> only_key) {
  RoundLimits limits;
  limits.batch = sink_->Limits().operations;
  // Of a key that the target limits, each batch that it takes is progress.
  limits.operations = lane.throttled ? limits.batch : limits.batch * Workers() * kBatchesOfWorker;
  limits.whole = sink_->WholeLimits();
  // A lane of a held key follows the main one, which has waited already.
  if (only_key) {
    limits.end = main_->at;
  } else {
    limits.linger = options_.linger;
  }
  return limits;
}

void Destination::Impl::DeliverShares(std::vector<Share>& shares, std::size_t workers) {
  std::atomic<std::size_t> taken{0};
  const auto work = [&] {
    for (std::size_t i = taken++; i < shares.size(); i = taken++) {
      delivery_->DeliverShare(shares[i], sink_->uses_keys() ? KeyOf(shares[i].key_id) : "");
    }
  };
  std::vector<std::thread> helpers;
  const std::size_t wanted = std::min(workers, shares.size());
  for (std::size_t i = 1; i < wanted; ++i) helpers.emplace_back(work);
  work();
  for (std::thread& helper : helpers) helper.join();
}

std::optional<std::string> Destination::Impl::KeyOf(std::uint64_t key_id) const {
  if (key_id != 0) return options_.keys->Find(key_id);
  std::lock_guard lock(mutex_);
  return api_key_;
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
  absl::StatusOr<Lane> lane = OpenLane(name_ + ".held-" + Hex(share.key_id), start);
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

// Sends parked operations again that are marked for it. True when there was something to do.
bool Destination::Impl::Redrive() {
  {
    std::lock_guard lock(mutex_);
    if (Clock::now() < redrive_at_) return false;
  }
  const auto items = parked_->ToRedrive(sink_->Limits().operations);
  return !items.empty() && RedriveBatch(items);
}

// Those that have the key of the first one.
bool Destination::Impl::RedriveBatch(const std::vector<ParkedFile::Item>& items) {
  std::deque<ParkedOp> ops;
  std::vector<std::uint64_t> ids, refused;
  Share share;
  for (const ParkedFile::Item& item : items) {
    const absl::StatusOr<std::string> line = parked_->Read(item.id);
    absl::StatusOr<ParkedOp> op = line.ok() ? ReadParkedOp(*line) : line.status();
    if (!op.ok()) {
      LogLine(LogLevel::kError, "a parked operation cannot be sent again",
              {{"dest", spec_},
               {"id", HexId(item.id)},
               {"reason", std::string(op.status().message())}});
      refused.push_back(item.id);
      continue;
    }
    if (!ops.empty() && op->key_id != share.key_id) continue;
    share.key_id = op->key_id;
    share.ops.push_back(ops.emplace_back(*std::move(op)).Outgoing());
    ids.push_back(item.id);
  }
  const auto give_up = [&](std::size_t place, const OutgoingOp&, const SendResult&) {
    refused.push_back(ids[share.done + place]);
    return Delivery::Outcome::kDone;
  };
  delivery_->DeliverShare(share, sink_->uses_keys() ? KeyOf(share.key_id) : "", give_up);
  if (share.outcome != Delivery::Outcome::kDone) {
    std::lock_guard lock(mutex_);
    redrive_at_ = Clock::now() + options_.held_interval;
  }
  ids.resize(share.done);
  std::erase_if(ids, [&](std::uint64_t id) {
    return std::find(refused.begin(), refused.end(), id) != refused.end();
  });
  if (!Flush()) return true;
  const absl::StatusOr<std::uint64_t> unmarked = parked_->SetRedrive(refused, false);
  const absl::StatusOr<std::uint64_t> settled = parked_->Settle(ids);
  if (!settled.ok() || !unmarked.ok()) Wait(kTroubleWait);
  std::lock_guard lock(mutex_);
  counts_.sent += settled.value_or(0);
  counts_.batches += share.counts.batches;
  return true;
}

// A lane that came up to the main one is done: the key works again.
void Destination::Impl::ReleaseLanes() {
  for (auto it = held_.begin(); it != held_.end();) {
    const Lane& lane = it->second;
    if (lane.at < main_->at || (lane.stage && lane.stage->waiting() > 0)) {
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

bool Destination::Impl::Flush() {
  while (!stopping_) {
    const absl::Status status = sink_->Flush();
    if (status.ok()) return true;
    LogLine(LogLevel::kError, "destination cannot make runs durable",
            {{"dest", spec_}, {"reason", std::string(status.message())}});
    Wait(kTroubleWait);
  }
  return sink_->Flush().ok();
}

void Destination::Impl::Wait(milliseconds time) {
  std::unique_lock lock(mutex_);
  wake_.wait_for(lock, time, [this] { return stopping_.load(); });
}

absl::StatusOr<std::unique_ptr<Destination>> Destination::Start(const DestinationConfig& config,
                                                                DestinationOptions options) {
  auto impl = std::make_unique<Impl>(config, std::move(options));
  if (absl::Status status = impl->Start(config); !status.ok()) return status;
  return std::unique_ptr<Destination>(new Destination(std::move(impl)));
}

Destination::Destination(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Destination::~Destination() = default;

const std::string& Destination::spec() const { return impl_->spec(); }
DestinationStats Destination::Stats() const { return impl_->Stats(); }
absl::StatusOr<std::function<void()>> Destination::PrepareReload(const DestinationConfig& config) {
  return impl_->PrepareReload(config);
}
ParkedFile& Destination::parked() const { return impl_->parked(); }
void Destination::RedriveParked() { impl_->WakeUp(); }
void Destination::Stop(std::chrono::milliseconds patience) { impl_->Stop(patience); }

}  // namespace weft::collector
