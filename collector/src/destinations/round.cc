// SPDX-License-Identifier: Apache-2.0
#include "destinations/round.h"

#include <algorithm>
#include <optional>
#include <utility>

#include <weft/collector/process_log.h>

#include "destinations/stage.h"

namespace weft::collector {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::uint64_t kReadAheadBytes = 16ull << 20;
// What an operation takes besides its texts.
constexpr std::size_t kOpOverheadBytes = 512;

// A request that is nearly empty is better filled up with others.
bool GoesWhole(const RecordHeader& header, const BatchLimits& limits) {
  const std::size_t count = header.ops.size();
  const bool full = 2 * count >= limits.operations || 8 * header.decoded_size >= limits.bytes;
  return !header.form_boundary.empty() && header.coding == PayloadCoding::kZstd && full &&
         count <= limits.operations && header.decoded_size <= limits.bytes;
}

}  // namespace

bool Unpack(const Record& record, std::span<OutgoingOp> ops, std::string* payload) {
  absl::StatusOr<std::string> decoded = record.Decoded();
  if (!decoded.ok()) return false;
  *payload = *std::move(decoded);
  for (OutgoingOp& op : ops) {
    op.payload = *payload;
    op.whole = nullptr;
  }
  return true;
}

Round RoundReader::Read(Position from, const RoundLimits& limits, const Carries& carries,
                        Stage* stage) {
  Round round;
  round.next = from;
  if (stage != nullptr) stage->Release(round);
  std::optional<Clock::time_point> deadline;
  bool waited = false;
  while (!stopping_ && round.ops.size() < limits.operations && round.bytes < kReadAheadBytes &&
         round.next < limits.end) {
    if (Add(carries, limits.whole, stage, round)) continue;
    // What is there goes out soon, but not one by one.
    if (waited || round.trouble || round.ops.empty() || round.ops.size() >= limits.batch) break;
    if (!deadline) deadline = Clock::now() + limits.linger;
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(*deadline - Clock::now());
    // Not for each record: for as many as fill the batch, if they are like those that are here.
    const std::uint64_t records = std::max<std::uint64_t>(round.next.seq - from.seq, 1);
    Position enough = round.next;
    enough.seq += (limits.batch - round.ops.size()) * records / round.ops.size();
    waited = !log_->WaitForRecord(enough, left);
  }
  return round;
}

void RoundReader::AddOps(const Record& record, std::string_view payload, const Record* whole,
                         Round& round) {
  const RecordHeader& header = record.header;
  for (const RunOp& op : header.ops) {
    OutgoingOp outgoing;
    outgoing.op = &op;
    outgoing.payload = payload;
    outgoing.received_us = header.received_us;
    outgoing.seq = record.position.seq;
    outgoing.receiver = header.receiver;
    outgoing.record_ops = static_cast<std::uint32_t>(header.ops.size());
    outgoing.whole = whole;
    round.ops.push_back(outgoing);
    round.key_ids.push_back(header.key_id);
    round.positions.push_back(record.position);
  }
  round.bytes += whole != nullptr ? record.payload.size() : payload.size();
  round.bytes += header.ops.size() * kOpOverheadBytes;
}

// False at the end of the log.
bool RoundReader::Add(const Carries& carries, const BatchLimits& whole, Stage* stage,
                      Round& round) {
  const Position at = round.next;
  if (const std::shared_ptr<const Record> recent = log_->Recent(at)) {
    const RecordHeader& header = recent->header;
    round.next = recent->next;
    if (carries && !carries(header.key_id)) return true;
    const bool goes_whole = GoesWhole(header, whole);
    const bool staged = stage != nullptr && stage->Takes(header.receiver);
    if (staged || (!goes_whole && header.coding != PayloadCoding::kIdentity)) {
      Take(*recent, whole, stage, round);
    } else {
      round.recent.push_back(recent);
      AddOps(*recent, goes_whole ? std::string_view() : recent->payload,
             goes_whole ? recent.get() : nullptr, round);
    }
    return true;
  }
  // Payloads of other keys need not be read.
  absl::StatusOr<Record> record = carries ? log_->ReadHeader(at) : log_->ReadNext(at, ahead_);
  if (carries && record.ok() && carries(record->header.key_id)) {
    record = log_->ReadNext(record->position, ahead_);
  }
  const Position begin = log_->Begin();
  if (absl::IsNotFound(record.status()) && at < begin) {
    expired_records_ += begin.seq - at.seq;
    round.next = begin;
    return true;
  }
  if (!record.ok()) {
    round.trouble = !absl::IsOutOfRange(record.status());
    if (round.trouble) {
      LogLine(LogLevel::kError, "the log cannot be read",
              {{"dest", spec_}, {"reason", std::string(record.status().message())}});
    }
    return false;
  }
  round.next = record->next;
  if (!carries || carries(record->header.key_id)) Take(*std::move(record), whole, stage, round);
  return true;
}

void RoundReader::Take(Record record, const BatchLimits& whole, Stage* stage, Round& round) {
  const bool staged = stage != nullptr && stage->Takes(record.header.receiver);
  if (!staged && GoesWhole(record.header, whole)) {
    Round::Loaded& loaded = round.records.emplace_back();
    loaded.record = std::move(record);
    AddOps(loaded.record, {}, &loaded.record, round);
    return;
  }
  const bool plain = record.header.coding == PayloadCoding::kIdentity;
  absl::StatusOr<std::string> payload = plain ? std::move(record.payload) : record.Decoded();
  if (!payload.ok()) {
    LogLine(LogLevel::kError, "a record cannot be decoded and is left out",
            {{"dest", spec_}, {"seq", std::to_string(record.position.seq)}});
    ++expired_records_;
    return;
  }
  Round::Loaded loaded;
  loaded.record = std::move(record);
  loaded.payload = *std::move(payload);
  loaded.record.payload = std::string();
  if (staged) return stage->Take(std::move(loaded), round);
  const Round::Loaded& kept = round.records.emplace_back(std::move(loaded));
  AddOps(kept.record, kept.payload, nullptr, round);
}

std::uint64_t RoundReader::Count(Position from, Position end, const Carries& carries) const {
  std::uint64_t operations = 0;
  while (!stopping_ && from < end) {
    const absl::StatusOr<Record> record = log_->ReadHeader(from);
    if (absl::IsNotFound(record.status()) && from < log_->Begin()) {
      from = log_->Begin();
      continue;
    }
    if (!record.ok() || record->position >= end) break;
    if (!carries || carries(record->header.key_id)) operations += record->header.ops.size();
    from = record->next;
  }
  return operations;
}

}  // namespace weft::collector
