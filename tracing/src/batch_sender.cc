// SPDX-License-Identifier: Apache-2.0
#include "batch_sender.h"

#include <algorithm>
#include <cstdio>
#include <utility>

#include "signals.h"

namespace weft {
inline namespace v0 {
namespace internal {
namespace {

using Outcome = ExportQueue::Outcome;
using std::chrono::milliseconds;

constexpr std::chrono::hours kForever{1};
// A larger run does not wait for another one to take its place; see ExportQueue::Take.
constexpr std::size_t kMostKept = 4096;

}  // namespace

BatchSender::BatchSender(const BatchExporterOptions& options, std::unique_ptr<BatchSink> sink,
                         ExportQueue* queue, Bell* bell)
    : options_(options),
      sink_(std::move(sink)),
      queue_(*queue),
      bell_(*bell),
      loss_(options.destination),
      random_(std::random_device{}()) {}

void BatchSender::Loop() {
  BlockSignals();
  bool wake_seen = false;
  while (true) {
    const bool may_sleep = quiet_ && backlog_.empty();
    ExportQueue::Orders orders = queue_.Take(std::move(spare_), {.wake_seen = wake_seen,
                                                                 .may_sleep = may_sleep,
                                                                 .runs = backlog_runs_,
                                                                 .bytes = backlog_bytes_});
    auto now = Clock::now();
    asleep_ = may_sleep && orders.runs.empty();
    AddToBacklog(orders, now);
    if (orders.stop && !orders.wake_pending) return Finish();
    // Who waits wants to know now whether the target is back, unless it said when.
    if (orders.flush_below > flush_below_ && !told_when_) retry_at_ = now;
    flush_below_ = orders.flush_below;
    GiveUpExpired(now);
    const bool may_try = now >= retry_at_ && !abort_;
    const bool send = may_try && IsDue(now);
    if (send) SendBatch();
    if (may_try && idle_work_ && backlog_.empty()) DoIdleWork();
    queue_.Settle(resolved_);
    now = Clock::now();
    if (loss_.IsDue(now)) loss_.Say(queue_.Stats(), now);
    wake_seen = bell_.Wait(send ? Clock::duration::zero() : NextLook(now) - now);
    quiet_ = !wake_seen && !send;
  }
}

void BatchSender::AddToBacklog(ExportQueue::Orders& orders, Clock::time_point now) {
  if (orders.runs.empty()) {
    spare_ = std::move(orders.runs);
    return;
  }
  backlog_runs_ += orders.runs.size();
  backlog_bytes_ += orders.bytes;
  // While nothing can be sent, what trickles in must not hold the room of a full batch each time.
  if (!backlog_.empty()) backlog_.back().runs.shrink_to_fit();
  backlog_.push_back({.runs = std::move(orders.runs), .next = 0, .sent = 0, .taken = now});
}

bool BatchSender::IsDue(Clock::time_point now) const {
  if (backlog_.empty()) return false;
  return backlog_runs_ >= options_.batch_runs || backlog_bytes_ >= options_.batch_bytes ||
         backlog_.front().taken + options_.flush_interval <= now || resolved_ < flush_below_ ||
         !pieces_.empty() || failures_ > 0;
}

std::vector<const RunRecord*> BatchSender::MakeBatch(std::size_t most) {
  std::vector<const RunRecord*> batch;
  batch.reserve(std::min(most, backlog_runs_));
  std::size_t bytes = 0;
  for (Chunk& chunk : backlog_) {
    for (std::size_t i = chunk.next; i < chunk.runs.size(); ++i) {
      if (batch.size() == most || bytes >= options_.batch_bytes) return batch;
      QueuedRun& run = chunk.runs[i];
      FinishRecord(run.record);
      batch.push_back(&run.record);
      bytes += run.size;
    }
  }
  return batch;
}

void BatchSender::SendBatch() {
  const std::size_t most =
      pieces_.empty() ? std::max<std::size_t>(1, std::min(options_.batch_runs, sink_->max_runs()))
                      : pieces_.back();
  const std::vector<const RunRecord*> batch = MakeBatch(most);
  const bool shortened = shorten_ && batch.size() == 1;
  CountSent(batch.size());
  const SendResult result = sink_->Send({.runs = batch, .shorten = shortened}, abort_);
  HandleResult(result, batch.size(), shortened);
}

void BatchSender::CountSent(std::size_t runs) {
  std::size_t fresh = 0;
  for (Chunk& chunk : backlog_) {
    const std::size_t end = chunk.next + std::min(runs, chunk.runs.size() - chunk.next);
    runs -= end - chunk.next;
    if (end > chunk.sent) fresh += end - std::max(chunk.sent, chunk.next);
    chunk.sent = std::max(chunk.sent, end);
    if (runs == 0) break;
  }
  queue_.Sent(fresh);
}

void BatchSender::HandleResult(const SendResult& result, std::size_t runs, bool shortened) {
  if (!result.code.empty()) loss_.set_last_answer(OneLine(result.code, result.reason));
  if (result.verdict == Verdict::kRetry || result.verdict == Verdict::kDenied) {
    return HandleFailure(result);
  }
  HandleAnswer();
  // A large run may have made the batch end before the piece did.
  if (!pieces_.empty() && (pieces_.back() -= std::min(runs, pieces_.back())) == 0) {
    pieces_.pop_back();
  }
  shorten_ = false;
  if (result.verdict == Verdict::kSent) {
    Forget(runs, Outcome::kAcknowledged, std::min(result.rejected, runs));
  } else if (runs > 1) {
    pieces_.push_back(runs - runs / 2);
    pieces_.push_back(runs / 2);
  } else if (result.verdict == Verdict::kTooLarge && !shortened) {
    pieces_.push_back(1);
    shorten_ = true;
  } else {
    Forget(1, Outcome::kRejected);
  }
}

void BatchSender::HandleAnswer() {
  if (failures_ > 0) idle_work_ = true;
  said_denied_ = false;
  failures_ = 0;
  told_when_ = false;
  retry_at_ = {};
}

void BatchSender::HandleFailure(const SendResult& result) {
  if (abort_) return;  // We broke it off.
  if (result.verdict == Verdict::kDenied && !std::exchange(said_denied_, true)) {
    std::fprintf(stderr, "weft: %s refuses the key; runs wait: %s\n", options_.destination.c_str(),
                 loss_.last_answer().c_str());
  }
  ++failures_;
  told_when_ = result.retry_after.has_value();
  retry_at_ = Clock::now() + RetryPause(options_.pauses, result, failures_, random_);
}

void BatchSender::DoIdleWork() {
  const std::optional<SendResult> result = sink_->Idle(abort_);
  idle_work_ = result.has_value();
  if (!result) return;
  if (result->verdict == Verdict::kSent) {
    HandleAnswer();
  } else {
    HandleFailure(*result);
  }
}

void BatchSender::Forget(std::size_t runs, Outcome outcome, std::size_t rejected) {
  std::size_t charge = 0;
  for (std::size_t left = runs; left > 0; --left) {
    Chunk& chunk = backlog_.front();
    QueuedRun& run = chunk.runs[chunk.next++];
    charge += run.size;
    if (run.size > kMostKept) run.record = {};
    if (chunk.next == chunk.runs.size()) {
      spare_ = std::move(chunk.runs);
      backlog_.pop_front();
    }
  }
  backlog_runs_ -= runs;
  backlog_bytes_ -= charge;
  resolved_ += runs;
  queue_.Resolve(Outcome::kRejected, rejected, 0);
  queue_.Resolve(outcome, runs - rejected, charge);
}

void BatchSender::GiveUp(std::size_t runs) {
  pieces_.clear();
  shorten_ = false;
  while (runs > 0) {
    const std::vector<const RunRecord*> batch = MakeBatch(std::min(runs, options_.batch_runs));
    const bool kept = sink_->Keep(batch);
    if (kept) idle_work_ = true;
    Forget(batch.size(), kept ? Outcome::kSpilled : Outcome::kExpired);
    runs -= batch.size();
  }
}

void BatchSender::GiveUpExpired(Clock::time_point now) {
  while (!backlog_.empty() && backlog_.front().taken <= now - options_.retry_for) {
    GiveUp(backlog_.front().runs.size() - backlog_.front().next);
  }
}

BatchSender::Clock::time_point BatchSender::NextLook(Clock::time_point now) const {
  if (asleep_) return idle_work_ ? std::max(retry_at_, now) : now + kForever;
  auto next = now + std::max(options_.flush_interval, milliseconds(1));
  if (!backlog_.empty()) {
    const bool due = IsDue(now);
    next = std::min(next, due ? retry_at_ : backlog_.front().taken + options_.flush_interval);
  }
  return std::max(next, now);
}

void BatchSender::Finish() {
  GiveUp(backlog_runs_);
  queue_.Settle(resolved_);
  loss_.Say(queue_.Stats(), Clock::now());
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
