// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>

#include <weft/collector/record.h>

namespace weft::collector {

/// The newest records of the log, for readers that are close behind the writer: what was just
/// written is neither read back nor checked and decoded again.
///
/// Threads: any; one writer. Cost: the records' own memory, up to `max_bytes`.
class RecentRecords {
 public:
  explicit RecentRecords(std::uint64_t max_bytes) : max_bytes_(max_bytes) {}

  /// Of the record behind the one that was added before.
  void Add(std::shared_ptr<const Record> record);
  /// Null when it is not, or no longer, here.
  std::shared_ptr<const Record> Find(std::uint64_t seq) const;
  void ForgetBefore(std::uint64_t seq);

 private:
  void ForgetFirst();

  const std::uint64_t max_bytes_;
  mutable std::mutex mutex_;
  std::deque<std::shared_ptr<const Record>> records_;  ///< Without gaps.
  std::uint64_t bytes_ = 0;
};

}  // namespace weft::collector
