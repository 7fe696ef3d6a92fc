// SPDX-License-Identifier: Apache-2.0
#include "log_recent.h"

#include <utility>

namespace weft::collector {
namespace {

std::uint64_t BytesOf(const Record& record) {
  return sizeof(Record) + record.payload.size() + sizeof(RunOp) * record.header.ops.size();
}

}  // namespace

void RecentRecords::Add(std::shared_ptr<const Record> record) {
  std::lock_guard lock(mutex_);
  bytes_ += BytesOf(*record);
  records_.push_back(std::move(record));
  while (bytes_ > max_bytes_) ForgetFirst();
}

std::shared_ptr<const Record> RecentRecords::Find(std::uint64_t seq) const {
  std::lock_guard lock(mutex_);
  if (records_.empty() || seq < records_.front()->position.seq) return nullptr;
  const std::uint64_t place = seq - records_.front()->position.seq;
  return place < records_.size() ? records_[place] : nullptr;
}

void RecentRecords::ForgetBefore(std::uint64_t seq) {
  std::lock_guard lock(mutex_);
  while (!records_.empty() && records_.front()->position.seq < seq) ForgetFirst();
}

void RecentRecords::ForgetFirst() {
  bytes_ -= BytesOf(*records_.front());
  records_.pop_front();
}

}  // namespace weft::collector
