// SPDX-License-Identifier: Apache-2.0
#include "otlp_held_runs.h"

#include <iterator>
#include <utility>

#include "export_queue.h"

namespace weft {
inline namespace v0 {
namespace internal {

RunRecord HeldRuns::Take(Place place) {
  places_.erase(place->record.context.id());
  bytes_ -= place->size;
  RunRecord record = std::move(place->record);
  held_.erase(place);
  return record;
}

std::vector<RunRecord> HeldRuns::Hold(RunRecord&& open, Clock::time_point now) {
  const std::size_t size = EstimateSize(open);
  const RunId id = open.context.id();
  std::vector<RunRecord> released;
  const std::lock_guard lock(mutex_);
  if (const auto found = places_.find(id); found != places_.end()) Take(found->second);
  held_.push_back({std::move(open), size, now});
  places_[id] = std::prev(held_.end());
  bytes_ += size;
  while (!held_.empty() && (bytes_ > max_bytes_ || held_.front().since + max_age_ <= now)) {
    released.push_back(Take(held_.begin()));
  }
  return released;
}

void HeldRuns::Complete(RunRecord& end) {
  // Of an open run no payload has been rendered: its attachments are all in the end then.
  end.operation = RunRecord::Operation::kPost;
  const std::lock_guard lock(mutex_);
  const auto found = places_.find(end.context.id());
  if (found == places_.end()) return;
  RunRecord open = Take(found->second);
  if (end.inputs.empty()) end.inputs = std::move(open.inputs);
  end.attachments.insert(end.attachments.begin(), std::make_move_iterator(open.attachments.begin()),
                         std::make_move_iterator(open.attachments.end()));
}

std::vector<RunRecord> HeldRuns::TakeAll() {
  std::vector<RunRecord> all;
  const std::lock_guard lock(mutex_);
  while (!held_.empty()) all.push_back(Take(held_.begin()));
  return all;
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
