// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <weft/collector/log.h>

#include "destinations/sink.h"
#include "log_read_ahead.h"

namespace weft::collector {

/// Gives the operations of a record that cannot be sent whole their texts. False: it is damaged.
bool Unpack(const Record& record, std::span<OutgoingOp> ops, std::string* payload);

class Stage;

/// What is delivered before a cursor moves: all operations of some records in a row.
struct Round {
  struct Loaded {
    Record record;
    std::string payload;  ///< Decoded.
  };

  std::deque<Loaded> records;  ///< Operations point into them.
  /// As records, of those that need not be read: the log's own.
  std::vector<std::shared_ptr<const Record>> recent;
  std::deque<std::string> unpacked;  ///< Payloads of records that were to go whole and cannot.
  std::vector<OutgoingOp> ops;
  std::vector<std::uint64_t> key_ids;  ///< Of the operations.
  std::vector<Position> positions;     ///< Of the operations.
  std::uint64_t filtered = 0;          ///< Operations that the destination has no use for.
  std::uint64_t expired = 0;           ///< Operations that retention deleted while they waited.
  std::uint64_t orphans = 0;           ///< Spans whose parents never came.
  std::uint64_t bytes = 0;
  Position next;         ///< Where to go on afterwards.
  bool trouble = false;  ///< The log could not be read; a pause is due.
};

struct RoundLimits {
  std::size_t batch = 100;                ///< Enough not to wait for more.
  std::size_t operations = 400;           ///< Enough to begin.
  BatchLimits whole{0, 0};                ///< Sink::WholeLimits.
  std::chrono::milliseconds linger{0};    ///< At the log's end, for a batch to fill.
  Position end{0, 0, ~std::uint64_t{0}};  ///< Not beyond it.
};

/// Puts rounds together from the log, of the keys that a reader carries. Memory is bounded whatever
/// the backlog; only a single record may be larger.
///
/// Threads: one at a time; `expired_records` from any.
class RoundReader {
 public:
  using Carries = std::function<bool(std::uint64_t key_id)>;

  RoundReader(std::shared_ptr<Log> log, std::string spec, const std::atomic<bool>& stopping)
      : log_(std::move(log)), spec_(std::move(spec)), stopping_(stopping) {}

  /// `carries` empty = every key. Operations pass `stage`, where there is one.
  Round Read(Position from, const RoundLimits& limits, const Carries& carries,
             Stage* stage = nullptr);

  /// Counts the operations between two places; reads only headers.
  std::uint64_t Count(Position from, Position end, const Carries& carries) const;

  /// Records that were gone, or unreadable, before they were read.
  std::uint64_t expired_records() const { return expired_records_; }

 private:
  bool Add(const Carries& carries, const BatchLimits& whole, Stage* stage, Round& round);
  void Take(Record record, const BatchLimits& whole, Stage* stage, Round& round);
  static void AddOps(const Record& record, std::string_view payload, const Record* whole,
                     Round& round);

  const std::shared_ptr<Log> log_;
  const std::string spec_;
  const std::atomic<bool>& stopping_;
  ReadAhead ahead_;
  std::atomic<std::uint64_t> expired_records_{0};
};

}  // namespace weft::collector
