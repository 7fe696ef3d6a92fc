// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <utility>

#include <weft/collector/process_log.h>
#include <xxhash.h>

#include "destinations/destination_impl.h"
#include "destinations/file_sink.h"
#include "destinations/langsmith_sink.h"
#include "destinations/otlp_sink.h"

namespace weft::collector {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kIdleWait{200};
// What a round is worth in batches: its end is waited for by all, and it ends with a sync.
constexpr std::size_t kBatchesOfWorker = 8;

using Kind = DestinationConfig::Kind;

absl::StatusOr<std::unique_ptr<Sink>> MakeSink(const DestinationConfig& config,
                                               const DestinationOptions& options) {
  if (config.kind == Kind::kFile) return MakeFileSink(config);
  if (config.kind == Kind::kOtlp) return MakeOtlpSink(config, options.span_ids);
  return MakeLangSmithSink(config);
}

std::string NameOf(const DestinationConfig& config) {
  const char* const kind = config.kind == Kind::kFile   ? "file-"
                           : config.kind == Kind::kOtlp ? "otlp-"
                                                        : "langsmith-";
  return kind + HexId(XXH3_64bits(config.target.data(), config.target.size()));
}

}  // namespace

Destination::Impl::Impl(const DestinationConfig& config, DestinationOptions options)
    : options_(std::move(options)),
      spec_(config.Spec()),
      kind_(config.kind),
      name_(NameOf(config)),
      drain_({.factor = options_.drain_factor, .floor = options_.drain_floor}),
      reader_(options_.log, spec_, stopping_),
      api_key_(config.api_key) {}

absl::Status Destination::Impl::Start(const DestinationConfig& config) {
  absl::StatusOr<std::unique_ptr<Sink>> sink = MakeSink(config, options_);
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
  // Until it is counted, which a long log takes time for: something, if there is anything.
  const bool is_behind = OldestNeeded(*main_) < start_end_ || !held_.empty();
  backlog_ = is_behind ? 1 : 0;
  thread_ = std::thread([this] { Run(); });
  return absl::OkStatus();
}

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
  stats.orphans = orphans_;
  const std::uint64_t done =
      stats.sent + stats.parked + stats.discarded + stats.filtered + stats.expired;
  stats.available = std::max(backlog_ + logged + parked_->operations_from_before(), done);
  stats.lag = stats.available - done;
  stats.open = std::min(open_, stats.lag);
  stats.open_traces = open_traces_;
  stats.expired_records = reader_.expired_records();
  for (const auto& [key_id, lane] : held_) {
    ++(lane.throttled ? stats.throttled_keys : stats.held_keys);
  }
  stats.oldest_pending_us = stats.lag == stats.open ? 0 : oldest_pending_us_;
  return stats;
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
    SaveWaiting();
    options_.log->WaitForRecord(main_->at, IdleTime());
  }
  SaveWaiting();
  std::lock_guard lock(mutex_);
  finished_ = true;
  wake_.notify_all();
}

// One round: read, deliver, flush, move the cursor. True when there was something to do.
bool Destination::Impl::AdvanceLane(Lane& lane, std::optional<std::uint64_t> only_key) {
  const Position before = lane.at;
  Round round = reader_.Read(before, Limits(lane, only_key), CarriedBy(only_key), lane.stage.get());
  if (round.trouble) Wait(kTroubleWait);
  const std::uint64_t left_out = round.filtered + round.expired;
  if (round.next == before && round.ops.empty() && left_out == 0) return false;
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
  lane.filtered += round.filtered;
  lane.expired += round.expired;
  lane.orphans += round.orphans;
  Count(shares, end, lane, !only_key);
  if (!Save(lane, !only_key)) {
    Rewind(lane);
    Wait(kTroubleWait);
  } else if (failed == nullptr) {
    lane.failures = 0;
  }
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

// Runs of a key that is held now are counted by its lane from where that begins.
void Destination::Impl::Count(const std::vector<Share>& shares, const Position& end, Lane& lane,
                              bool is_main) {
  for (const Share& share : shares) {
    const auto held = is_main ? held_.find(share.key_id) : held_.end();
    lane.counts += share.CountsBefore(held == held_.end() ? end : held->second.cursor.position());
  }
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
