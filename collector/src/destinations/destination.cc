// SPDX-License-Identifier: Apache-2.0
#include <weft/collector/destination.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cinttypes>
#include <condition_variable>
#include <cstdio>
#include <mutex>
#include <thread>
#include <utility>

#include <weft/collector/process_log.h>
#include <xxhash.h>

#include "destinations/delivery.h"
#include "destinations/file_sink.h"
#include "destinations/langsmith_sink.h"
#include "destinations/round.h"

namespace weft::collector {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

// Beyond it runs of refused keys are parked: each held key reads the log on its own.
constexpr std::size_t kMaxHeldKeys = 64;
constexpr milliseconds kIdleWait{500};
constexpr milliseconds kTroubleWait{1'000};

std::string Hex(std::uint64_t number) {
  std::array<char, 17> text{};
  std::snprintf(text.data(), text.size(), "%016" PRIx64, number);
  return text.data();
}

// Names a key in the process's log, where the key itself must not be.
std::string KeyLabel(std::uint64_t key_id) { return key_id == 0 ? "own" : Hex(key_id); }

absl::StatusOr<std::unique_ptr<Sink>> MakeSink(const DestinationConfig& config) {
  if (config.kind == DestinationConfig::Kind::kFile) return MakeFileSink(config);
  return MakeLangSmithSink(config);
}

// Operations of one key that must be sent in order: a share of a round.
struct Share {
  std::uint64_t key_id = 0;
  std::vector<OutgoingOp> ops;
  Position first;
  Delivery::Outcome outcome = Delivery::Outcome::kDone;
  Delivery::Counts counts;
};

// A place in the log. The main lane carries all keys but those that are held: each of these has a
// lane of its own, behind the main one, until its target takes the key.
struct Lane {
  std::string name;
  Cursor cursor;
  Clock::time_point retry_at{};
};

}  // namespace

class Destination::Impl {
 public:
  Impl(const DestinationConfig& config, DestinationOptions options)
      : options_(std::move(options)),
        spec_(config.Spec()),
        name_((config.kind == DestinationConfig::Kind::kFile ? "file-" : "langsmith-") +
              Hex(XXH3_64bits(config.target.data(), config.target.size()))),
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
    RetryGateOptions gate;
    gate.first_backoff = options_.first_backoff;
    gate.max_backoff = options_.max_backoff;
    gate.probe_interval = options_.probe_interval;
    gate.probe = [this] { return sink_->Probe(delivery_->abort()); };
    gate_ = std::make_unique<RetryGate>(std::move(gate));
    delivery_ = std::make_unique<Delivery>(spec_, *sink_, *gate_, *parked_);
    start_end_ = options_.log->DurableEnd();
    logged_before_ = options_.logged();
    thread_ = std::thread([this] { Run(); });
    return absl::OkStatus();
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

  DestinationStats Stats() const {
    DestinationStats stats;
    stats.errors = delivery_->Errors();
    const std::uint64_t logged = options_.logged() - logged_before_;
    std::lock_guard lock(mutex_);
    stats.sent = counts_.sent;
    stats.parked = counts_.parked;
    stats.parked_unkept = counts_.parked_unkept;
    stats.batches = counts_.batches;
    stats.available = std::max(backlog_ + logged, counts_.sent + counts_.parked);
    stats.lag = stats.available - counts_.sent - counts_.parked;
    stats.expired_records = reader_.expired_records();
    stats.held_keys = held_.size();
    stats.oldest_pending_us = stats.lag == 0 ? 0 : oldest_pending_us_;
    return stats;
  }

  const std::string& spec() const { return spec_; }

 private:
  absl::Status OpenLanes();
  absl::StatusOr<Lane> OpenLane(const std::string& name, Position start);
  void CountBacklog();
  void Run();
  bool AdvanceLane(Lane& lane, std::optional<std::uint64_t> only_key);
  RoundLimits Limits(std::optional<std::uint64_t> only_key);
  bool Carries(std::optional<std::uint64_t> only_key, std::uint64_t key_id) const;
  RoundReader::Carries CarriedBy(std::optional<std::uint64_t> only_key) const;
  std::size_t Workers() const;
  std::vector<Share> Divide(const Round& round);
  void DeliverShares(std::vector<Share>& shares);
  void DeliverShare(Share& share);
  std::optional<std::string> KeyOf(std::uint64_t key_id) const;
  Delivery::Outcome Hold(Share& share);
  Delivery::Outcome ParkShare(Share& share);
  void ReleaseLanes();
  bool Flush();
  void Wait(milliseconds time);

  const DestinationOptions options_;
  const std::string spec_;
  const std::string name_;  ///< Of cursors and parked files.
  std::unique_ptr<Sink> sink_;
  std::unique_ptr<ParkedFile> parked_;
  std::unique_ptr<RetryGate> gate_;
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
  Delivery::Counts counts_;
  std::uint64_t backlog_ = 0;
  std::uint64_t oldest_pending_us_ = 0;

  std::thread thread_;
};

absl::StatusOr<Lane> Destination::Impl::OpenLane(const std::string& name, Position start) {
  absl::StatusOr<Cursor> cursor = Cursor::Load(options_.data, name, start);
  if (!cursor.ok()) return cursor.status();
  // A cursor can be ahead only when the log was deleted by hand and the cursors were not.
  if (cursor->position() > options_.log->DurableEnd()) {
    LogLine(LogLevel::kError, "the cursor is ahead of the log; starting from the oldest record",
            {{"dest", spec_}, {"cursor", std::to_string(cursor->position().seq)}});
    if (absl::Status status = cursor->Save(start); !status.ok()) return status;
  }
  return Lane{name, *std::move(cursor), {}};
}

absl::Status Destination::Impl::OpenLanes() {
  absl::StatusOr<Lane> main = OpenLane(name_, options_.log->Begin());
  if (!main.ok()) return main.status();
  main_ = *std::move(main);
  options_.log->SetRequired(name_, main_->cursor.position());
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
    if (!stopping_) worked |= AdvanceLane(*main_, std::nullopt);
    if (!worked) options_.log->WaitForRecord(main_->cursor.position(), kIdleWait);
  }
  std::lock_guard lock(mutex_);
  finished_ = true;
  wake_.notify_all();
}

// One round: read, deliver, flush, move the cursor. True when there was something to do.
bool Destination::Impl::AdvanceLane(Lane& lane, std::optional<std::uint64_t> only_key) {
  const Position before = lane.cursor.position();
  const Round round = reader_.Read(before, Limits(only_key), CarriedBy(only_key));
  if (round.trouble) Wait(kTroubleWait);
  if (round.next == before) return false;
  if (!round.ops.empty()) {
    std::lock_guard lock(mutex_);
    if (!only_key) oldest_pending_us_ = round.ops.front().received_us;
  }
  std::vector<Share> shares = Divide(round);
  DeliverShares(shares);
  for (Share& share : shares) {
    if (share.outcome == Delivery::Outcome::kDenied && only_key) {
      lane.retry_at = Clock::now() + options_.held_interval;
      return false;
    }
    if (share.outcome == Delivery::Outcome::kDenied) share.outcome = Hold(share);
    if (share.outcome == Delivery::Outcome::kAbandoned) {
      Wait(kTroubleWait);
      return true;
    }
  }
  Delivery::Counts counts;
  for (const Share& share : shares) {
    // Runs of a key that is held now are delivered, and counted, by its lane.
    if (!Carries(only_key, share.key_id)) continue;
    counts.sent += share.counts.sent;
    counts.parked += share.counts.parked;
    counts.parked_unkept += share.counts.parked_unkept;
    counts.batches += share.counts.batches;
  }
  if (!Flush()) return true;
  if (absl::Status status = lane.cursor.Save(round.next); !status.ok()) {
    LogLine(LogLevel::kError, "cannot save a cursor",
            {{"dest", spec_}, {"reason", std::string(status.message())}});
    Wait(kTroubleWait);
    return true;
  }
  if (!only_key) options_.log->SetRequired(name_, round.next);
  std::lock_guard lock(mutex_);
  counts_.sent += counts.sent;
  counts_.parked += counts.parked;
  counts_.parked_unkept += counts.parked_unkept;
  counts_.batches += counts.batches;
  return true;
}

std::size_t Destination::Impl::Workers() const {
  return sink_->concurrency() == 1 ? 1 : options_.concurrency;
}

RoundLimits Destination::Impl::Limits(std::optional<std::uint64_t> only_key) {
  RoundLimits limits;
  limits.batch = sink_->Limits().operations;
  limits.operations = limits.batch * Workers();
  // A lane of a held key follows the main one, which has waited already.
  if (only_key) {
    limits.end = main_->cursor.position();
  } else {
    limits.linger = options_.linger;
  }
  return limits;
}

// By key, and by trace within a key: operations of one run stay in order, others need not wait.
std::vector<Share> Destination::Impl::Divide(const Round& round) {
  const bool one_batch = round.ops.size() <= sink_->Limits().operations;
  std::map<std::pair<std::uint64_t, std::size_t>, Share> shares;
  for (std::size_t i = 0; i < round.ops.size(); ++i) {
    const RunOp& op = *round.ops[i].op;
    const RunId& id = op.trace_id.IsNil() ? op.run_id : op.trace_id;
    const std::size_t slot = one_batch ? 0 : std::hash<RunId>()(id) % Workers();
    const std::uint64_t key_id = sink_->uses_keys() ? round.key_ids[i] : 0;
    Share& share = shares[{key_id, slot}];
    if (share.ops.empty()) share.first = round.positions[i];
    share.key_id = key_id;
    share.ops.push_back(round.ops[i]);
  }
  std::vector<Share> list;
  for (auto& [key, share] : shares) list.push_back(std::move(share));
  return list;
}

void Destination::Impl::DeliverShares(std::vector<Share>& shares) {
  std::atomic<std::size_t> taken{0};
  const auto work = [&] {
    for (std::size_t i = taken++; i < shares.size(); i = taken++) DeliverShare(shares[i]);
  };
  std::vector<std::thread> helpers;
  const std::size_t wanted = std::min(options_.concurrency, shares.size());
  for (std::size_t i = 1; i < wanted; ++i) helpers.emplace_back(work);
  work();
  for (std::thread& helper : helpers) helper.join();
}

std::optional<std::string> Destination::Impl::KeyOf(std::uint64_t key_id) const {
  if (key_id != 0) return options_.keys->Find(key_id);
  std::lock_guard lock(mutex_);
  return api_key_;
}

void Destination::Impl::DeliverShare(Share& share) {
  const std::optional<std::string> key = sink_->uses_keys() ? KeyOf(share.key_id) : "";
  const BatchLimits limits = sink_->Limits();
  std::size_t start = 0;
  while (start < share.ops.size() && share.outcome == Delivery::Outcome::kDone) {
    if (!key) {
      share.outcome = delivery_->Park(share.ops[start++], "key",
                                      "the caller's key can no longer be read", &share.counts);
      continue;
    }
    std::size_t end = start;
    std::uint64_t bytes = 0;
    while (end < share.ops.size() && end - start < limits.operations) {
      const OutgoingOp& op = share.ops[end];
      const bool alone = sink_->MustTravelAlone(op);
      for (const Part& part : op.op->parts) bytes += part.length;
      if (end > start && (alone || bytes > limits.bytes)) break;
      ++end;
      if (alone) break;
    }
    share.outcome =
        delivery_->Deliver(std::span(share.ops).subspan(start, end - start), *key, &share.counts);
    start = end;
  }
}

// Gives the key a lane that starts at the first record with runs that were not delivered.
Delivery::Outcome Destination::Impl::Hold(Share& share) {
  const auto known = held_.find(share.key_id);
  if (known != held_.end() && known->second.cursor.position() <= share.first) {
    return Delivery::Outcome::kDone;
  }
  if (known == held_.end() && held_.size() >= kMaxHeldKeys) return ParkShare(share);
  absl::StatusOr<Lane> lane = OpenLane(name_ + ".held-" + Hex(share.key_id), share.first);
  absl::Status status = lane.status();
  if (status.ok()) status = lane->cursor.Save(share.first);
  if (!status.ok()) {
    LogLine(LogLevel::kError, "cannot save a cursor",
            {{"dest", spec_}, {"reason", std::string(status.message())}});
    return Delivery::Outcome::kAbandoned;
  }
  LogLine(LogLevel::kError, "destination refuses a key, its runs wait in the log",
          {{"dest", spec_}, {"key", KeyLabel(share.key_id)}});
  lane->retry_at = Clock::now() + options_.held_interval;
  std::lock_guard lock(mutex_);
  held_.insert_or_assign(share.key_id, *std::move(lane));
  return Delivery::Outcome::kDone;
}

Delivery::Outcome Destination::Impl::ParkShare(Share& share) {
  share.counts = {};
  for (const OutgoingOp& op : share.ops) {
    const Delivery::Outcome outcome =
        delivery_->Park(op, "denied", "too many keys are refused", &share.counts);
    if (outcome != Delivery::Outcome::kDone) return outcome;
  }
  return Delivery::Outcome::kDone;
}

// A lane that came up to the main one is done: the key works again.
void Destination::Impl::ReleaseLanes() {
  for (auto it = held_.begin(); it != held_.end();) {
    if (it->second.cursor.position() < main_->cursor.position()) {
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
void Destination::Stop(std::chrono::milliseconds patience) { impl_->Stop(patience); }

}  // namespace weft::collector
