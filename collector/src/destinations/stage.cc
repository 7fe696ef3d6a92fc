// SPDX-License-Identifier: Apache-2.0
#include "destinations/stage.h"

#include <algorithm>
#include <chrono>
#include <utility>

namespace weft::collector {

std::uint64_t SteadyMicroseconds() {
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(
                                        std::chrono::steady_clock::now().time_since_epoch())
                                        .count());
}

RecordCache::Entry RecordCache::Add(Round::Loaded record) {
  const std::uint64_t seq = record.record.position.seq;
  auto entry = std::make_shared<const Round::Loaded>(std::move(record));
  const auto [place, added] = entries_.try_emplace(seq, Cached{entry, 0});
  place->second.left = entry->record.header.ops.size();
  if (!added) return place->second.record;
  bytes_ += entry->payload.size();
  while (bytes_ > max_bytes_ && entries_.size() > 1) {
    auto oldest = entries_.begin();
    if (oldest->second.record == entry) ++oldest;
    Forget(oldest);
  }
  return entry;
}

void RecordCache::Forget(std::map<std::uint64_t, Cached>::iterator cached) {
  bytes_ -= cached->second.record->payload.size();
  entries_.erase(cached);
}

void RecordCache::Spend(Position position, std::size_t operations) {
  const auto known = operations == 0 ? entries_.end() : entries_.find(position.seq);
  if (known == entries_.end()) return;
  known->second.left -= std::min(known->second.left, operations);
  if (known->second.left == 0) Forget(known);
}

RecordCache::Entry RecordCache::Find(Position position) {
  const auto known = entries_.find(position.seq);
  if (known != entries_.end()) return known->second.record;
  absl::StatusOr<Record> record = log_->Read(position);
  if (!record.ok() || record->position != position) return nullptr;
  absl::StatusOr<std::string> payload = record->Decoded();
  if (!payload.ok()) return nullptr;
  Round::Loaded loaded;
  loaded.record = *std::move(record);
  loaded.record.payload = std::string();
  loaded.payload = *std::move(payload);
  return Add(std::move(loaded));
}

RoundWriter::RoundWriter(Round& round, const RecordHeader& header, Position position)
    : round_(round) {
  made_.record.position = position;
  made_.record.header.receiver = Receiver::kLangSmith;
  made_.record.header.received_us = header.received_us;
  made_.record.header.key_id = header.key_id;
}

void RoundWriter::Add(RunOp op, std::string_view payload, std::uint32_t covers) {
  made_.record.header.ops.push_back(std::move(op));
  added_.push_back({made_.payload.size(), covers, false});
  made_.payload += payload;
}

void RoundWriter::Reserve(std::size_t operations, std::size_t bytes) {
  made_.record.header.ops.reserve(operations);
  made_.payload.reserve(bytes);
  added_.reserve(operations);
}

void RoundWriter::AddWritten(std::uint32_t covers, bool is_placed) {
  while (added_.size() < ops().size()) {
    RunOp& op = ops()[added_.size()];
    const std::uint64_t start = op.parts.empty() ? text().size() : op.parts.front().offset;
    for (Part& part : op.parts) part.offset -= start;
    added_.push_back({start, std::exchange(covers, 0), is_placed});
  }
}

void RoundWriter::Finish() {
  if (made_.record.header.ops.empty()) return;
  const Round::Loaded& made = round_.records.emplace_back(std::exchange(made_, {}));
  const RecordHeader& header = made.record.header;
  for (std::size_t i = 0; i < header.ops.size(); ++i) {
    const Added& added = added_[i];
    const std::size_t end = i + 1 < added_.size() ? added_[i + 1].start : made.payload.size();
    OutgoingOp out;
    out.op = &header.ops[i];
    out.payload = std::string_view(made.payload).substr(added.start, end - added.start);
    out.received_us = header.received_us;
    out.seq = made.record.position.seq;
    out.covers = added.covers;
    out.is_placed = added.is_placed;
    round_.ops.push_back(out);
    round_.key_ids.push_back(header.key_id);
    round_.positions.push_back(made.record.position);
  }
  round_.bytes += made.payload.size();
  added_.clear();
}

}  // namespace weft::collector
