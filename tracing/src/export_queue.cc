// SPDX-License-Identifier: Apache-2.0
#include "export_queue.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "json_writer.h"

namespace weft {
inline namespace v0 {
namespace internal {
namespace {

std::size_t SizeOf(const JsonObject& object, int depth) noexcept;

std::size_t SizeOf(const Json& value, int depth) noexcept {
  std::size_t size = sizeof(Json);
  // Deeper values are not sent.
  if (depth > kMaxJsonDepth) return size;
  if (const auto* text = value.if_string()) return size + text->size();
  if (const auto* object = value.if_object()) return size + SizeOf(*object, depth + 1);
  if (const auto* array = value.if_array()) {
    for (const Json& element : *array) size += SizeOf(element, depth + 1);
  }
  return size;
}

std::size_t SizeOf(const JsonObject& object, int depth) noexcept {
  std::size_t size = 0;
  for (const auto& [key, value] : object) size += 16 + key.size() + SizeOf(value, depth);
  return size;
}

}  // namespace

std::size_t EstimateSize(const RunRecord& record) noexcept {
  std::size_t size = sizeof(QueuedRun) + record.name.size() + record.context.dotted_order().size();
  size += SizeOf(record.inputs, 0) + SizeOf(record.metadata, 0);
  if (record.outputs) size += SizeOf(*record.outputs, 0);
  if (record.error) size += record.error->size();
  for (const std::string& tag : record.tags) size += sizeof(tag) + tag.size();
  for (const RunAttribute& attribute : record.attributes) {
    size += sizeof(attribute);
    if (const auto* text = std::get_if<std::string>(&attribute.value)) size += text->size();
  }
  for (const RunEvent& event : record.events) {
    size += sizeof(event) + event.name.size() + SizeOf(event.kwargs, 0);
  }
  if (record.payload) size += record.payload->size();
  for (const RunAttachment& attachment : record.attachments) {
    size += sizeof(attachment) + attachment.name.size() + attachment.content.size();
  }
  return size;
}

ExportQueue::ExportQueue(Limits limits, std::function<void()> wake)
    : limits_(limits),
      wake_(std::move(wake)),
      missing_runs_(limits.batch_runs),
      missing_bytes_(limits.batch_bytes) {
  incoming_.reserve(limits_.batch_runs);
}

void ExportQueue::WakeUnlocked(std::unique_lock<std::mutex>& lock) {
  if (std::exchange(woken_, true)) return;
  lock.unlock();
  wake_();
}

void ExportQueue::Push(RunRecord&& record) noexcept {
  if (TryPush(record)) return;
  const std::lock_guard lock(mutex_);
  ++stats_.queued;
  ++stats_.dropped_queue_full;
}

bool ExportQueue::TryPush(RunRecord& record) noexcept {
  const std::size_t size = EstimateSize(record);
  std::optional<RunRecord> spent;  // Destroyed without the lock.
  std::unique_lock lock(mutex_);
  if (stop_) {
    ++stats_.queued;
    ++stats_.dropped_expired;
    return true;
  }
  if (held_bytes_ + size > limits_.bytes) return false;
  ++stats_.queued;
  held_bytes_ += size;
  incoming_bytes_ += size;
  ++accepted_;
  if (filled_ < incoming_.size()) {
    QueuedRun& room = incoming_[filled_];
    spent.emplace(std::move(room.record));
    room.record = std::move(record);
    room.size = size;
  } else {
    incoming_.emplace_back(std::move(record), size);
  }
  ++filled_;
  if (asleep_ || filled_ >= missing_runs_ || incoming_bytes_ >= missing_bytes_) {
    WakeUnlocked(lock);
  }
  return true;
}

ExportQueue::Orders ExportQueue::Take(std::vector<QueuedRun> spare, Waiting waiting) {
  const std::lock_guard lock(mutex_);
  if (spare.capacity() > spare_.capacity()) spare_.swap(spare);
  Orders orders;
  if (!waiting.only_full || filled_ >= missing_runs_ || incoming_bytes_ >= missing_bytes_) {
    orders.runs = std::exchange(incoming_, std::exchange(spare_, {}));
    orders.runs.resize(std::exchange(filled_, 0));
    orders.bytes = std::exchange(incoming_bytes_, 0);
    missing_runs_ = limits_.batch_runs - (waiting.runs + orders.runs.size()) % limits_.batch_runs;
    missing_bytes_ = limits_.batch_bytes - (waiting.bytes + orders.bytes) % limits_.batch_bytes;
  }
  orders.flush_below = flush_below_;
  orders.stop = stop_;
  orders.stop_until = stop_until_;
  if (waiting.wake_seen) woken_ = false;
  orders.wake_pending = woken_;
  asleep_ = waiting.may_sleep && filled_ == 0 && orders.runs.empty();
  return orders;
}

void ExportQueue::Sent(std::size_t runs) {
  const std::lock_guard lock(mutex_);
  stats_.sent += runs;
}

void ExportQueue::Resolve(Outcome outcome, std::size_t runs, std::size_t bytes) {
  const std::lock_guard lock(mutex_);
  held_bytes_ -= bytes;
  switch (outcome) {
    case Outcome::kAcknowledged:
      stats_.acknowledged += runs;
      break;
    case Outcome::kSpilled:
      stats_.spilled += runs;
      break;
    case Outcome::kRejected:
      stats_.dropped_rejected += runs;
      break;
    case Outcome::kExpired:
      stats_.dropped_expired += runs;
      break;
  }
}

void ExportQueue::Settle(std::uint64_t number) {
  const std::lock_guard lock(mutex_);
  if (number <= settled_) return;
  settled_ = number;
  if (settled_ < awaited_) return;
  awaited_ = kNobody;
  settled_enough_.notify_all();
}

bool ExportQueue::Flush(Clock::time_point deadline) {
  std::unique_lock lock(mutex_);
  const std::uint64_t below = accepted_;
  if (settled_ >= below) return true;
  flush_below_ = std::max(flush_below_, below);
  if (!stop_) {
    WakeUnlocked(lock);
    if (!lock.owns_lock()) lock.lock();
  }
  while (settled_ < below) {
    awaited_ = std::min(awaited_, below);
    if (settled_enough_.wait_until(lock, deadline) == std::cv_status::timeout) break;
  }
  return settled_ >= below;
}

void ExportQueue::Stop(Clock::time_point until) {
  std::unique_lock lock(mutex_);
  if (std::exchange(stop_, true)) return;
  stop_until_ = until;
  WakeUnlocked(lock);
}

ExporterStats ExportQueue::Stats() const {
  const std::lock_guard lock(mutex_);
  ExporterStats stats = stats_;
  stats.pending = stats.queued - stats.acknowledged - stats.spilled - stats.dropped();
  return stats;
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
