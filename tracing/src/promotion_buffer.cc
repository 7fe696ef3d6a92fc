// SPDX-License-Identifier: Apache-2.0
#include "promotion_buffer.h"

#include <algorithm>
#include <array>
#include <bit>
#include <tuple>
#include <utility>

#include "run_state.h"

namespace weft {
inline namespace v0 {
namespace internal {
namespace {

// What a trace takes besides its runs.
constexpr std::size_t kTraceBytes = sizeof(HeldTrace) + 64;
// A trace with one short run takes about this much.
constexpr std::size_t kBytesPerBucket = 256;

std::size_t BucketsFor(std::size_t limit) noexcept {
  return std::bit_ceil(std::clamp<std::size_t>(limit / kBytesPerBucket, 64, 1 << 16));
}

std::uint64_t BigEndian(std::uint64_t value) noexcept {
  return std::endian::native == std::endian::little ? __builtin_bswap64(value) : value;
}

using Halves = std::array<std::uint64_t, 2>;

Halves HalvesOf(const RunId& id) noexcept { return std::bit_cast<Halves>(id.bytes); }

std::uint64_t RandomOdd() noexcept { return HalvesOf(RunId::New({}))[1] | 1; }

}  // namespace

// In a fork the lock may be held by a thread that is not there.
HeldTrace::~HeldTrace() {
  if (can_be_found_ && !buffer_.fork_mark_.IsInChild()) buffer_.Forget(*this);
}

PromotionBuffer::PromotionBuffer(std::size_t limit)
    : limit_(limit), key_{RandomOdd(), RandomOdd()}, buckets_(BucketsFor(limit), nullptr) {}

PromotionBuffer::~PromotionBuffer() {
  while (oldest_ != nullptr) {
    std::shared_ptr<HeldTrace> trace;
    const std::lock_guard lock(mutex_);
    trace = UnlistOldest();
  }
}

HeldTrace*& PromotionBuffer::BucketByOrder(const RunId& id) noexcept {
  const std::uint64_t begin = BigEndian(HalvesOf(id)[0]);
  // Milliseconds and the number within, without the version between them.
  return buckets_[(begin >> 16 << 12 | (begin & 0xFFF)) & (buckets_.size() - 1)];
}

HeldTrace*& PromotionBuffer::BucketByChance(const RunId& id) noexcept {
  const auto [head, tail] = HalvesOf(id);
  return buckets_[(head * key_[0] + tail * key_[1]) >> 32 & (buckets_.size() - 1)];
}

void PromotionBuffer::AddToBucket(HeldTrace& trace) noexcept {
  HeldTrace*& first = trace.begins_here_ ? BucketByOrder(trace.id_) : BucketByChance(trace.id_);
  trace.next_in_bucket_ = std::exchange(first, &trace);
  trace.in_bucket_ = &first;
  trace.can_be_found_ = true;
  if (trace.next_in_bucket_ != nullptr) {
    trace.next_in_bucket_->in_bucket_ = &trace.next_in_bucket_;
  }
}

void PromotionBuffer::TakeFromBucket(HeldTrace& trace) noexcept {
  trace.can_be_found_ = false;
  *trace.in_bucket_ = trace.next_in_bucket_;
  if (trace.next_in_bucket_ != nullptr) trace.next_in_bucket_->in_bucket_ = trace.in_bucket_;
}

void PromotionBuffer::Forget(HeldTrace& trace) noexcept {
  const std::lock_guard lock(mutex_);
  TakeFromBucket(trace);
}

std::shared_ptr<HeldTrace> PromotionBuffer::Of(const RunId& trace_id, bool begins_here) {
  if (begins_here) return std::make_shared<HeldTrace>(*this, trace_id, begins_here);
  const std::lock_guard lock(mutex_);
  for (HeldTrace* first : {BucketByChance(trace_id), BucketByOrder(trace_id)}) {
    for (HeldTrace* found = first; found != nullptr; found = found->next_in_bucket_) {
      if (found->id_ != trace_id) continue;
      // Null: its last owner waits for this lock to take it out.
      if (std::shared_ptr<HeldTrace> trace = found->weak_from_this().lock()) return trace;
    }
  }
  auto trace = std::make_shared<HeldTrace>(*this, trace_id, begins_here);
  AddToBucket(*trace);
  return trace;
}

bool PromotionBuffer::Join(HeldTrace& trace, RunState& run) noexcept {
  const std::lock_guard lock(mutex_);
  if (trace.open_taken_) return false;
  if (!trace.can_be_found_) AddToBucket(trace);
  ++joined_;
  run.next_ = std::exchange(trace.open_, &run);
  if (run.next_ != nullptr) run.next_->previous_ = &run;
  return true;
}

bool PromotionBuffer::Leave(HeldTrace& trace, RunState& run) noexcept {
  const std::lock_guard lock(mutex_);
  if (!trace.open_taken_) {
    Unlink(trace, run);
    return true;
  }
  ++left_;
  return false;
}

void PromotionBuffer::Unlink(HeldTrace& trace, RunState& run) noexcept {
  ++left_;
  (run.previous_ != nullptr ? run.previous_->next_ : trace.open_) = run.next_;
  if (run.next_ != nullptr) run.next_->previous_ = run.previous_;
  run.previous_ = nullptr;
  run.next_ = nullptr;
}

std::vector<std::shared_ptr<RunState>> PromotionBuffer::TakeOpen(HeldTrace& trace) {
  std::vector<std::shared_ptr<RunState>> runs;
  const std::lock_guard lock(mutex_);
  trace.open_taken_ = true;
  while (trace.open_ != nullptr) {
    RunState& run = *trace.open_;
    trace.open_ = std::exchange(run.next_, nullptr);
    run.previous_ = nullptr;
    runs.push_back(run.shared_from_this());
  }
  // The newest is the first of the list; who reads wants parents before their children.
  std::reverse(runs.begin(), runs.end());
  return runs;
}

void PromotionBuffer::ListAsNewest(HeldTrace& trace) noexcept {
  if (!trace.can_be_found_) AddToBucket(trace);
  trace.listed_ = trace.shared_from_this();
  (newest_ != nullptr ? newest_->newer_ : oldest_) = &trace;
  newest_ = &trace;
  trace.bytes_ += kTraceBytes;
  bytes_ += kTraceBytes;
}

std::shared_ptr<HeldTrace> PromotionBuffer::UnlistOldest() noexcept {
  HeldTrace& trace = *oldest_;
  oldest_ = std::exchange(trace.newer_, nullptr);
  if (oldest_ == nullptr) newest_ = nullptr;
  bytes_ -= std::exchange(trace.bytes_, 0);
  trace.charged_ = nullptr;
  return std::move(trace.listed_);
}

bool PromotionBuffer::Hold(HeldTrace& trace, HeldRun& ended, RunState* joined) noexcept {
  const TraceBaggage& baggage = ended.baggage();
  std::size_t bytes = 0;
  Evicted oldest;
  {
    const std::lock_guard lock(mutex_);
    if (trace.kept()) return false;
    if (joined != nullptr) Unlink(trace, *joined);
    if (trace.listed_ == nullptr) ListAsNewest(trace);
    if (std::exchange(trace.charged_, &baggage) != &baggage) bytes += HeldBytes(baggage);
    bytes += trace.runs_.Add(std::move(ended));
    trace.bytes_ += bytes;
    bytes_ += bytes;
    // With the buffer full, one that is as large as this has to go: mostly that is all.
    if (bytes_ > limit_) oldest = TakeSomething();
    if (bytes_ <= limit_) return true;
  }
  Evict();
  return true;
}

HeldTraceRuns PromotionBuffer::Promote(HeldTrace& trace) {
  std::unique_lock lock(mutex_);
  if (!trace.Set()) return {};
  ++promoted_;
  HeldTraceRuns runs = std::move(trace.runs_);
  // Remembered, so that runs which come later are known to be kept, too.
  if (trace.listed_ == nullptr) ListAsNewest(trace);
  bytes_ -= trace.bytes_ - kTraceBytes;
  trace.bytes_ = kTraceBytes;
  const bool full = bytes_ > limit_;
  lock.unlock();
  if (full) Evict();
  return runs;
}

PromotionBuffer::Evicted PromotionBuffer::TakeOldest() noexcept {
  Evicted oldest;
  const std::size_t bytes = oldest_->bytes_;
  oldest.trace = UnlistOldest();
  HeldTrace& trace = *oldest.trace;
  evicted_ += trace.runs_.size();
  const bool many = trace.runs_.are_many();
  if (many) {
    spent_ = std::move(trace.runs_);
    spent_bytes_ = bytes - kTraceBytes;
    bytes_ += spent_bytes_;
  }
  if (oldest.trace.use_count() == 1) {
    // Nobody else has it, and nobody can find it before the lock is free: no need to come back.
    TakeFromBucket(trace);
  } else if (!many) {
    oldest.runs.emplace(std::move(trace.runs_));
  }
  return oldest;
}

PromotionBuffer::Evicted PromotionBuffer::TakeSpent() noexcept {
  Evicted spent;
  std::size_t bytes = spent_bytes_;
  if (spent_.are_many()) {
    std::size_t some = 0;
    std::tie(spent.some, some) = spent_.TakeSome();
    bytes = std::min(bytes, some);
  } else {
    spent.runs.emplace(std::move(spent_));
  }
  spent_bytes_ -= bytes;
  bytes_ -= bytes;
  return spent;
}

PromotionBuffer::Evicted PromotionBuffer::TakeSomething() noexcept {
  return spent_bytes_ > 0 ? TakeSpent() : TakeOldest();
}

void PromotionBuffer::Evict() noexcept {
  for (;;) {
    Evicted oldest;  // Destroyed without the lock.
    const std::lock_guard lock(mutex_);
    if (bytes_ <= limit_ || (oldest_ == nullptr && spent_bytes_ == 0)) return;
    oldest = TakeSomething();
  }
}

PromotionBuffer::Counts PromotionBuffer::counts() const noexcept {
  const std::lock_guard lock(mutex_);
  return {.joined = joined_,
          .left = left_,
          .promoted = promoted_,
          .evicted = evicted_,
          .bytes = bytes_};
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
