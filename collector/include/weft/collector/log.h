// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <absl/status/statusor.h>

#include <weft/collector/metrics.h>
#include <weft/collector/record.h>

namespace weft::collector {

class ReadAhead;

struct LogOptions {
  std::filesystem::path directory;
  std::uint64_t segment_bytes = 64ull << 20;
  /// Records that arrived while a group was being synced are the next one, up to this size.
  std::uint64_t max_group_bytes = 1ull << 20;
  /// Bytes appended but not yet on disk; over it Append answers ResourceExhausted at once.
  std::uint64_t max_pending_bytes = 256ull << 20;
  /// Free space below which Append answers Unavailable; absent: the smaller of 1 GiB and 5 % of
  /// the file system.
  std::optional<std::uint64_t> min_free_bytes;
  /// Oldest segments go when the log is larger or they are older, once no required reader needs
  /// them; 0 = no limit.
  std::uint64_t retention_bytes = 20ull << 30;
  std::chrono::hours retention_age{14 * 24};
};

struct LogStats {
  std::uint64_t bytes = 0;  ///< On disk, all segments.
  std::uint64_t segments = 0;
  std::uint64_t appended_records = 0;  ///< Since the log was opened.
  DurationCounts syncs;                ///< How long each took.
  std::uint64_t quarantined_bytes = 0;
  /// Records that a required reader had not read when the hard limit deleted them, summed over the
  /// readers.
  std::uint64_t expired_records = 0;
  std::uint64_t oldest_received_us = 0;
  bool writable = false;
};

/// A file of the log. All but the last are sealed: nothing is written to them any more.
struct SegmentInfo {
  Position begin;
  Position end;  ///< One past the last durable record.
  bool sealed = false;
};

/// The append-only segment log: the single copy of what was acknowledged.
///
/// Append hands a record to the writer thread; `done` is called once `fdatasync` has returned for
/// the group that holds it, so whoever answers a client from `done` never loses what it answered.
///
/// Lifetime: one process per directory (a lock file; Open says who holds it).
/// Threads: Append and the readers from any thread; `done` runs on the writer's thread and must be
///   short and must not throw.
/// Errors: a failed sync makes the log read-only until it is opened again: every later Append
///   answers Unavailable and no group is reported as written.
class Log {
 public:
  using Done = std::function<void(absl::StatusOr<Position>)>;

  /// Recovers and opens. A torn tail is cut; a bad range with valid records behind it is moved to a
  /// side file and counted. Errors name the path.
  static absl::StatusOr<std::unique_ptr<Log>> Open(LogOptions options);

  virtual ~Log() = default;

  virtual void Append(RecordHeader header, std::string payload, Done done) = 0;

  /// Why Append would refuse now (disk low, sync failed, stopping), or OK.
  virtual absl::Status Ready() const = 0;

  /// Reads the first intact record at or after `position`: a damaged one is stepped over, copied to
  /// the side files and counted, so look at the record's own `position`. A reader that follows the
  /// log goes on at `next`. NotFound: the segment was deleted (go on at Begin()); OutOfRange:
  /// nothing durable is there yet.
  virtual absl::StatusOr<Record> Read(Position position) const = 0;

  /// The same for a reader that goes through the log and seldom comes back: large pieces are read
  /// past the page cache and kept in `ahead`, which is the reader's own.
  virtual absl::StatusOr<Record> ReadNext(Position position, ReadAhead& /*ahead*/) const {
    return Read(position);
  }

  /// The same without the payload, which stays empty.
  virtual absl::StatusOr<Record> ReadHeader(Position position) const = 0;

  /// The record at `position` when it was written so lately that it is still in memory, else null:
  /// what follows the log asks here first. The same as Read gives, without its cost.
  virtual std::shared_ptr<const Record> Recent(Position /*position*/) const { return nullptr; }

  /// The oldest record that is kept, and where the next durable one will be. Equal when empty.
  virtual Position Begin() const = 0;
  virtual Position DurableEnd() const = 0;

  /// Oldest first; the last is the one that is written to.
  virtual std::vector<SegmentInfo> Segments() const = 0;

  virtual const std::filesystem::path& directory() const = 0;

  /// Waits until a record at or after `position` is durable. False: `timeout` passed or stopping.
  virtual bool WaitForRecord(Position position, std::chrono::milliseconds timeout) const = 0;

  /// A reader that retention must wait for (a destination) announces how far it is: the first
  /// record that it still needs. Only a log of twice `retention_bytes` deletes what a reader needs.
  virtual void SetRequired(const std::string& reader, Position position) = 0;

  /// Writes what was appended, answers it, and refuses everything later.
  virtual void Close() = 0;

  virtual LogStats Stats() const = 0;
};

/// A reader's place, kept in a small file that is replaced by rename and synced.
class Cursor {
 public:
  /// Loads `<directory>/cursors/<name>`; starts at `start` when there is none.
  static absl::StatusOr<Cursor> Load(const std::filesystem::path& directory,
                                     const std::string& name, Position start);
  Position position() const { return position_; }
  absl::Status Save(Position position);

 private:
  std::filesystem::path path_;
  Position position_;
};

}  // namespace weft::collector
