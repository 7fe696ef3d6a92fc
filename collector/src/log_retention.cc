// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <chrono>

#include "log_impl.h"

namespace weft::collector {
namespace {

constexpr std::chrono::minutes kKeepEvery{1};

}  // namespace

void LogImpl::KeepLoop() {
  std::unique_lock lock(mutex_);
  while (!closing_) {
    keep_.wait_for(lock, kKeepEvery, [&] { return closing_ || rolled_; });
    if (closing_) return;
    rolled_ = false;
    lock.unlock();
    Retain();
    lock.lock();
  }
}

void LogImpl::Retain() {
  for (;;) {
    std::uint64_t total = 0;
    for (const auto& [first, segment] : segments_.All()) total += segment->file_bytes;
    std::shared_ptr<Segment> oldest = segments_.First();
    std::uint64_t expired = 0;
    if (!MayDelete(*oldest, total, expired)) return;
    // A file that cannot be deleted is out of the set and is found again at the next start.
    recent_.ForgetBefore(oldest->end_seq);
    if (!segments_.RemoveFirst().ok()) return;
    std::lock_guard lock(mutex_);
    expired_records_ += expired;
  }
}

bool LogImpl::MayDelete(const Segment& segment, std::uint64_t total, std::uint64_t& expired) const {
  if (!segment.sealed.load(std::memory_order_acquire)) return false;
  auto age = std::chrono::system_clock::now() - segment.last_write;
  bool old = options_.retention_age.count() != 0 && age > options_.retention_age;
  bool large = options_.retention_bytes != 0 && total > options_.retention_bytes;
  if (!old && !large) return false;
  std::lock_guard lock(mutex_);
  for (const auto& [reader, position] : required_) {
    if (position.seq >= segment.end_seq) continue;
    expired += segment.end_seq - std::max(position.seq, segment.first_seq);
  }
  return expired == 0 || (large && total / 2 > options_.retention_bytes);
}

}  // namespace weft::collector
