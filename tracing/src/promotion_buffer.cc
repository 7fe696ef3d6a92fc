// SPDX-License-Identifier: Apache-2.0
#include "promotion_buffer.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "run_state.h"

namespace weft {
inline namespace v0 {
namespace internal {
namespace {

// What a trace takes besides its runs.
constexpr std::size_t kTraceBytes = sizeof(HeldTrace) + 64;
// A trace with one short run takes about this much.
constexpr std::size_t kBytesPerBucket = 512;

std::size_t BucketsFor(std::size_t limit) noexcept {
  return std::bit_ceil(std::clamp<std::size_t>(limit / kBytesPerBucket, 64, 1 << 16));
}

}  // namespace

// In a fork the lock may be held by a thread that is not there.
HeldTrace::~HeldTrace() {
  if (!buffer_.fork_mark_.IsInChild()) buffer_.Forget(*this);
}

bool HeldTrace::Join(RunState& run) noexcept {
  const std::lock_guard lock(open_mutex_);
  if (open_taken_) return false;
  run.next_ = std::exchange(open_, &run);
  if (run.next_ != nullptr) run.next_->previous_ = &run;
  return true;
}

bool HeldTrace::Leave(RunState& run) noexcept {
  const std::lock_guard lock(open_mutex_);
  if (open_taken_) return false;
  (run.previous_ != nullptr ? run.previous_->next_ : open_) = run.next_;
  if (run.next_ != nullptr) run.next_->previous_ = run.previous_;
  run.previous_ = nullptr;
  run.next_ = nullptr;
  return true;
}

std::vector<std::shared_ptr<RunState>> HeldTrace::TakeOpen() {
  std::vector<std::shared_ptr<RunState>> runs;
  const std::lock_guard lock(open_mutex_);
  open_taken_ = true;
  while (open_ != nullptr) {
    RunState& run = *open_;
    open_ = std::exchange(run.next_, nullptr);
    run.previous_ = nullptr;
    runs.push_back(run.shared_from_this());
  }
  // The newest is the first of the list; who reads wants parents before their children.
  std::reverse(runs.begin(), runs.end());
  return runs;
}

PromotionBuffer::PromotionBuffer(std::size_t limit)
    : limit_(limit), buckets_(BucketsFor(limit), nullptr) {}

PromotionBuffer::~PromotionBuffer() {
  while (oldest_ != nullptr) {
    const std::shared_ptr<HeldTrace> trace = oldest_->listed_;
    const std::lock_guard lock(mutex_);
    Unlist(*trace);
  }
}

HeldTrace*& PromotionBuffer::BucketOf(const RunId& id) noexcept {
  // The end of an id is random.
  std::uint64_t tail = 0;
  std::memcpy(&tail, id.bytes.data() + id.bytes.size() - sizeof(tail), sizeof(tail));
  return buckets_[tail & (buckets_.size() - 1)];
}

void PromotionBuffer::AddToBucket(HeldTrace& trace) noexcept {
  trace.next_in_bucket_ = std::exchange(BucketOf(trace.id_), &trace);
}

void PromotionBuffer::Forget(HeldTrace& trace) noexcept {
  const std::lock_guard lock(mutex_);
  HeldTrace** at = &BucketOf(trace.id_);
  while (*at != &trace) at = &(*at)->next_in_bucket_;
  *at = trace.next_in_bucket_;
}

std::shared_ptr<HeldTrace> PromotionBuffer::Of(const RunId& trace_id, bool begins_here) {
  if (begins_here) {
    auto trace = std::make_shared<HeldTrace>(*this, trace_id);
    const std::lock_guard lock(mutex_);
    AddToBucket(*trace);
    return trace;
  }
  const std::lock_guard lock(mutex_);
  for (HeldTrace* found = BucketOf(trace_id); found != nullptr; found = found->next_in_bucket_) {
    if (found->id_ != trace_id) continue;
    // Null: its last owner waits for this lock to take it out.
    if (std::shared_ptr<HeldTrace> trace = found->weak_from_this().lock()) return trace;
  }
  auto trace = std::make_shared<HeldTrace>(*this, trace_id);
  AddToBucket(*trace);
  return trace;
}

void PromotionBuffer::ListAsNewest(HeldTrace& trace) noexcept {
  trace.listed_ = trace.shared_from_this();
  trace.older_ = newest_;
  (newest_ != nullptr ? newest_->newer_ : oldest_) = &trace;
  newest_ = &trace;
  trace.bytes_ += kTraceBytes;
  bytes_ += kTraceBytes;
}

// The caller holds another reference.
void PromotionBuffer::Unlist(HeldTrace& trace) noexcept {
  (trace.older_ != nullptr ? trace.older_->newer_ : oldest_) = trace.newer_;
  (trace.newer_ != nullptr ? trace.newer_->older_ : newest_) = trace.older_;
  trace.older_ = nullptr;
  trace.newer_ = nullptr;
  bytes_ -= std::exchange(trace.bytes_, 0);
  trace.charged_ = nullptr;
  trace.listed_ = nullptr;
}

std::optional<HeldRun> PromotionBuffer::Hold(HeldTrace& trace, HeldRun run) {
  const TraceBaggage& baggage = run.baggage();
  std::size_t bytes = run.bytes();
  std::list<HeldRun> node;
  node.push_back(std::move(run));
  Evicted oldest;
  {
    const std::lock_guard lock(mutex_);
    if (trace.kept()) return std::move(node.front());
    if (trace.listed_ == nullptr) ListAsNewest(trace);
    if (std::exchange(trace.charged_, &baggage) != &baggage) bytes += HeldBytes(baggage);
    trace.runs_.splice(trace.runs_.end(), node);
    trace.bytes_ += bytes;
    bytes_ += bytes;
    // With the buffer full, one that is as large as this has to go: mostly that is all.
    if (bytes_ > limit_) oldest = TakeOldest();
    if (bytes_ <= limit_) return std::nullopt;
  }
  Evict();
  return std::nullopt;
}

std::list<HeldRun> PromotionBuffer::Promote(HeldTrace& trace) {
  std::list<HeldRun> runs;
  {
    const std::lock_guard lock(mutex_);
    if (!trace.Set()) return runs;
    ++promoted_;
    runs.swap(trace.runs_);
    // Remembered, so that runs which come later are known to be kept, too.
    if (trace.listed_ == nullptr) ListAsNewest(trace);
    bytes_ -= trace.bytes_ - kTraceBytes;
    trace.bytes_ = kTraceBytes;
    if (bytes_ <= limit_) return runs;
  }
  Evict();
  return runs;
}

PromotionBuffer::Evicted PromotionBuffer::TakeOldest() noexcept {
  Evicted oldest{.trace = oldest_->listed_, .runs = {}};
  oldest.runs.swap(oldest.trace->runs_);
  evicted_ += oldest.runs.size();
  Unlist(*oldest.trace);
  return oldest;
}

void PromotionBuffer::Evict() noexcept {
  for (;;) {
    Evicted oldest;
    const std::lock_guard lock(mutex_);
    if (bytes_ <= limit_ || oldest_ == nullptr) return;
    oldest = TakeOldest();
  }
}

PromotionBuffer::Counts PromotionBuffer::counts() const noexcept {
  const std::lock_guard lock(mutex_);
  return {.promoted = promoted_, .evicted = evicted_, .bytes = bytes_};
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
