// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <shared_mutex>

#include <absl/status/statusor.h>

#include <weft/collector/record.h>

#include "log_files.h"
#include "log_read_ahead.h"
#include "segment.h"

namespace weft::collector {

/// A segment as the writer and the readers share it.
struct Segment {
  Segment(std::filesystem::path where, std::uint64_t first)
      : path(std::move(where)), first_seq(first), end_seq(first) {}

  const std::filesystem::path path;
  const std::uint64_t first_seq;
  std::atomic<std::uint64_t> end_seq;  ///< One past the last durable record.
  std::atomic<std::uint64_t> end_offset{kSegmentHeaderBytes};
  std::atomic<std::uint64_t> file_bytes{0};
  std::atomic<bool> sealed{false};
  std::chrono::system_clock::time_point last_write;  ///< Valid once sealed.

  Position begin() const { return {first_seq, kSegmentHeaderBytes, first_seq}; }
  Position end() const { return {first_seq, end_offset, end_seq}; }
};

/// The segments of a directory, and reading from them.
///
/// Threads: any; only the log's writer adds segments, only its keeper removes them.
class SegmentSet {
 public:
  SegmentSet(std::filesystem::path directory, FileSystem& files)
      : root_(std::move(directory)), files_(files) {}

  /// Finds the segments and recovers the last: a torn tail is left behind its `end_offset`; damaged
  /// ranges before are quarantined.
  absl::Status Load();

  /// Makes the file of a new last segment with room for `bytes`.
  absl::StatusOr<std::shared_ptr<Segment>> Create(std::uint64_t first_seq, std::uint64_t bytes);
  absl::Status RemoveFirst();

  std::shared_ptr<Segment> First() const;
  std::shared_ptr<Segment> Last() const;
  std::map<std::uint64_t, std::shared_ptr<Segment>> All() const;

  /// From `ahead`, where it is not null and has it.
  absl::StatusOr<Record> Read(Position position, bool with_payload, ReadAhead* ahead = nullptr);

  std::uint32_t salt() const { return salt_; }
  std::uint64_t quarantined_bytes() const { return quarantined_bytes_; }

 private:
  absl::Status FindFiles();
  absl::Status LearnSalt();
  absl::Status Recover(Segment& segment);
  absl::Status WriteFresh(const std::filesystem::path& path, std::uint64_t first_seq,
                          std::uint64_t bytes);
  std::shared_ptr<Segment> Find(std::uint64_t first_seq) const;
  std::shared_ptr<Segment> Next(std::uint64_t first_seq) const;
  absl::StatusOr<std::shared_ptr<File>> FileOf(const Segment& segment);
  RecordBytes TakeRecord(const Segment& segment, std::uint64_t offset, std::uint64_t limit,
                         ReadAhead& ahead) const;
  std::uint64_t StepOverDamage(const Segment& segment, std::uint64_t offset) const;
  void Quarantine(const Segment& segment, int fd, std::uint64_t begin, std::uint64_t end);

  const std::filesystem::path root_;
  FileSystem& files_;
  std::uint32_t salt_ = 0;
  std::atomic<std::uint64_t> quarantined_bytes_{0};

  mutable std::shared_mutex mutex_;
  std::map<std::uint64_t, std::shared_ptr<Segment>> segments_;
  // Ranges that are known to be damaged: (segment, begin) -> end.
  std::map<std::pair<std::uint64_t, std::uint64_t>, std::uint64_t> damaged_;

  std::mutex open_mutex_;
  std::deque<std::pair<std::uint64_t, std::shared_ptr<File>>> open_;  // most recent last
};

}  // namespace weft::collector
