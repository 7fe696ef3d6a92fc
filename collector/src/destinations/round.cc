// SPDX-License-Identifier: Apache-2.0
#include "destinations/round.h"

#include <optional>
#include <utility>

#include <weft/collector/process_log.h>

namespace weft::collector {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::uint64_t kReadAheadBytes = 16ull << 20;
// What an operation takes besides its texts.
constexpr std::size_t kOpOverheadBytes = 512;

}  // namespace

Round RoundReader::Read(Position from, const RoundLimits& limits, const Carries& carries) {
  Round round;
  round.next = from;
  std::optional<Clock::time_point> deadline;
  while (!stopping_ && round.ops.size() < limits.operations && round.bytes < kReadAheadBytes &&
         round.next < limits.end) {
    if (Add(carries, round)) continue;
    // What is there goes out soon, but not one by one.
    if (round.trouble || round.ops.empty() || round.ops.size() >= limits.batch) break;
    if (!deadline) deadline = Clock::now() + limits.linger;
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(*deadline - Clock::now());
    if (left.count() <= 0 || !log_->WaitForRecord(round.next, left)) break;
  }
  return round;
}

// False at the end of the log.
bool RoundReader::Add(const Carries& carries, Round& round) {
  const Position at = round.next;
  // Payloads of other keys need not be read.
  absl::StatusOr<Record> record = carries ? log_->ReadHeader(at) : log_->Read(at);
  if (carries && record.ok() && carries(record->header.key_id)) {
    record = log_->Read(record->position);
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
  if (carries && !carries(record->header.key_id)) return true;
  const bool plain = record->header.coding == PayloadCoding::kIdentity;
  absl::StatusOr<std::string> payload = plain ? std::move(record->payload) : record->Decoded();
  if (!payload.ok()) {
    LogLine(LogLevel::kError, "a record cannot be decoded and is left out",
            {{"dest", spec_}, {"seq", std::to_string(record->position.seq)}});
    ++expired_records_;
    return true;
  }
  Round::Loaded& loaded = round.records.emplace_back();
  loaded.record = *std::move(record);
  loaded.payload = *std::move(payload);
  loaded.record.payload = std::string();
  const RecordHeader& header = loaded.record.header;
  for (const RunOp& op : header.ops) {
    round.ops.push_back({&op, loaded.payload, header.received_us, loaded.record.position.seq});
    round.key_ids.push_back(header.key_id);
    round.positions.push_back(loaded.record.position);
  }
  round.bytes += loaded.payload.size() + header.ops.size() * kOpOverheadBytes;
  return true;
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
