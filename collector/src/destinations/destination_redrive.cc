// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <deque>
#include <utility>

#include <weft/collector/process_log.h>

#include "destinations/destination_impl.h"
#include "destinations/parked_op.h"

namespace weft::collector {

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
  counts_ += {.sent = settled.value_or(0), .batches = share.counts.batches};
  return true;
}

}  // namespace weft::collector
