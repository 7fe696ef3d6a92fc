// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include <weft/collector/log.h>

#include "destinations/round.h"

namespace weft::collector {

/// A round that has this much has no room for more.
inline constexpr std::uint64_t kRoundBytes = 16ull << 20;

/// By which stages measure how long something waits: a clock that is set must neither end runs nor
/// keep them.
std::uint64_t SteadyMicroseconds();

/// An operation where it lies in the log.
struct OpPlace {
  Position position;        ///< Of its record.
  std::uint32_t index = 0;  ///< Among the record's operations.

  friend auto operator<=>(const OpPlace&, const OpPlace&) = default;
};

/// Stands between the log and a destination that takes some operations in another form, or not
/// before others: a span of a run once the run has ended, a run of a span once its ancestors are
/// known. What waits is remembered by its place; its bytes stay in the log.
///
///     Round round = reader.Read(from, limits, carries, stage);  // calls Release and Take
///     ... deliver ...
///     file.Save(stage->Waiting()), cursor.Save(round.next)      // in this order
///
/// Threads: one at a time.
class Stage {
 public:
  virtual ~Stage() = default;

  /// Whether records of this receiver have to pass; others go out as they are.
  virtual bool Takes(Receiver receiver) const = 0;

  /// Takes a record, in the order of the log, and adds to `round` what can go now.
  virtual void Take(Round::Loaded record, Round& round) = 0;

  /// Adds what has waited long enough, while the round has room. Called before each reading.
  virtual void Release(Round& round) = 0;

  /// What waits, in the order of the log: what a cursor behind it must not forget.
  virtual std::vector<OpPlace> Waiting() const = 0;
  virtual std::size_t waiting() const = 0;
  /// Of these, those that wait for the end of their run.
  virtual std::size_t open() const { return 0; }
  /// Traces of which something waits for a run or an end that has not come.
  virtual std::size_t open_traces() const = 0;

  /// Forgets everything and waits for these instead, as after a start.
  virtual void Resume(const std::vector<OpPlace>& places) = 0;
};

/// Records that were read lately, by sequence number.
class RecordCache {
 public:
  using Entry = std::shared_ptr<const Round::Loaded>;

  explicit RecordCache(std::shared_ptr<Log> log, std::uint64_t max_bytes = 16ull << 20)
      : log_(std::move(log)), max_bytes_(max_bytes) {}

  Entry Add(Round::Loaded record);
  /// From memory or from the log; null when the log no longer has it.
  Entry Find(Position position);
  /// So many more operations of the record will not be asked for. Once that is all of them it is
  /// forgotten, so that the next one finds its memory still in the processor's caches.
  void Spend(Position position, std::size_t operations);

 private:
  struct Cached {
    Entry record;
    std::size_t left;  ///< Operations that may be asked for.
  };

  void Forget(std::map<std::uint64_t, Cached>::iterator cached);

  const std::shared_ptr<Log> log_;
  const std::uint64_t max_bytes_;
  std::map<std::uint64_t, Cached> entries_;  ///< The first one goes first.
  std::uint64_t bytes_ = 0;
};

/// Adds to a round operations that are in no record of the log as they are.
class RoundWriter {
 public:
  RoundWriter(Round& round, const RecordHeader& header, Position position);
  ~RoundWriter() { Finish(); }
  RoundWriter(const RoundWriter&) = delete;
  RoundWriter& operator=(const RoundWriter&) = delete;

  /// Parts of `op` count in `payload`. The operation stands for so many of the log.
  void Add(RunOp op, std::string_view payload, std::uint32_t covers);
  /// Where to write operations and their texts for AddWritten. Parts count in the text, and stand
  /// there behind each other.
  std::vector<RunOp>& ops() { return made_.record.header.ops; }
  std::string& text() { return made_.payload; }
  /// Room for what will be added.
  void Reserve(std::size_t operations, std::size_t bytes);
  /// Adds what was written since the last one was added: a run, which stands for so many operations
  /// of the log, and what belongs to it. `is_placed` as of OutgoingOp.
  void AddWritten(std::uint32_t covers, bool is_placed);
  void Finish();

 private:
  Round& round_;
  Round::Loaded made_;
  // Of the operations.
  struct Added {
    std::uint64_t start;  ///< Of its payload.
    std::uint32_t covers;
    bool is_placed;
  };
  std::vector<Added> added_;
};

}  // namespace weft::collector
