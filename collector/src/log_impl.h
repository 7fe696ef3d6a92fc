// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <weft/collector/log.h>

#include "log_block_writer.h"
#include "log_files.h"
#include "log_recent.h"
#include "log_segments.h"

namespace weft::collector {

/// The log over a file system that tests may replace.
///
/// Two threads: the writer, which owns the active segment, and the keeper, which deletes old ones.
class LogImpl final : public Log {
 public:
  static absl::StatusOr<std::unique_ptr<Log>> Open(LogOptions options, FileSystem& files);
  ~LogImpl() override;

  void Append(RecordHeader header, std::string payload, Done done) override;
  absl::Status Ready() const override;
  absl::StatusOr<Record> Read(Position position) const override;
  absl::StatusOr<Record> ReadNext(Position position, ReadAhead& ahead) const override;
  absl::StatusOr<Record> ReadHeader(Position position) const override;
  std::shared_ptr<const Record> Recent(Position position) const override;
  Position Begin() const override;
  Position DurableEnd() const override;
  std::vector<SegmentInfo> Segments() const override;
  const std::filesystem::path& directory() const override { return options_.directory; }
  bool WaitForRecord(Position position, std::chrono::milliseconds timeout) const override;
  void SetRequired(const std::string& reader, Position position) override;
  void Close() override;
  LogStats Stats() const override;

 private:
  struct Pending {
    Frame frame;
    std::string header;  ///< Encoded.
    std::shared_ptr<Record> record;
    Done done;
    std::uint64_t bytes() const { return frame.padded_length(); }
  };
  using Group = std::vector<Pending>;
  using Clock = std::chrono::steady_clock;

  LogImpl(LogOptions options, FileSystem& files, File lock);
  absl::Status Start();

  // The writer's thread.
  void WriteLoop();
  Group TakeGroup();
  absl::Status WriteGroup(Group& group);
  absl::Status MakeRoom(std::uint64_t bytes);
  absl::Status Seal();
  absl::Status WriteBytes(std::span<const std::string_view> parts, std::uint64_t bytes);
  void Publish(Group& group);
  void Answer(Group& group, const absl::Status& status);

  absl::Status CheckSpace() const;

  // The keeper's thread.
  void KeepLoop();
  void Retain();
  bool MayDelete(const Segment& segment, std::uint64_t total, std::uint64_t& expired) const;

  const LogOptions options_;
  FileSystem& files_;
  const File lock_;
  mutable SegmentSet segments_;
  RecentRecords recent_;
  std::uint64_t min_free_bytes_ = 0;

  // The writer's own.
  std::shared_ptr<Segment> active_;
  BlockWriter active_file_;
  std::uint64_t write_offset_ = 0;
  std::uint64_t next_seq_ = 1;

  mutable std::mutex mutex_;
  std::condition_variable work_;
  mutable std::condition_variable durable_;
  std::condition_variable keep_;
  std::deque<Pending> queue_;
  std::uint64_t pending_bytes_ = 0;
  std::size_t wanted_ = 1;      // records for which the writer wakes up
  std::size_t last_group_ = 0;  // records of it
  bool closing_ = false;
  bool rolled_ = false;
  absl::Status failed_;    // sticky: a write or sync failed
  absl::Status no_space_;  // until retry_at_: no room for a segment
  Clock::time_point retry_at_;
  Position durable_end_;
  static constexpr std::uint64_t kNobody = ~std::uint64_t{0};
  mutable std::uint64_t awaited_ = kNobody;  // the first that WaitForRecord waits for
  std::map<std::string, Position> required_;
  std::uint64_t expired_records_ = 0;
  std::uint64_t appended_records_ = 0;
  mutable std::pair<std::uint64_t, std::uint64_t> oldest_received_{};  // first seq, its time

  DurationHistogram syncs_;
  mutable std::atomic<Clock::rep> space_checked_at_{0};
  mutable std::atomic<std::uint64_t> free_bytes_{0};

  std::mutex close_mutex_;
  std::thread writer_;
  std::thread keeper_;
};

}  // namespace weft::collector
