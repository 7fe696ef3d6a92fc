// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <weft/collector/log.h>

#include "destinations/sink.h"

namespace weft::collector {

/// What is delivered before a cursor moves: all operations of some records in a row.
struct Round {
  struct Loaded {
    Record record;
    std::string payload;  ///< Decoded.
  };

  std::deque<Loaded> records;  ///< Operations point into them.
  std::vector<OutgoingOp> ops;
  std::vector<std::uint64_t> key_ids;  ///< Of the operations.
  std::vector<Position> positions;     ///< Of the operations.
  std::uint64_t bytes = 0;
  Position next;         ///< Where to go on afterwards.
  bool trouble = false;  ///< The log could not be read; a pause is due.
};

struct RoundLimits {
  std::size_t batch = 100;                ///< Enough not to wait for more.
  std::size_t operations = 400;           ///< Enough to begin.
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

  /// `carries` empty = every key.
  Round Read(Position from, const RoundLimits& limits, const Carries& carries);

  /// Counts the operations between two places; reads only headers.
  std::uint64_t Count(Position from, Position end, const Carries& carries) const;

  /// Records that were gone, or unreadable, before they were read.
  std::uint64_t expired_records() const { return expired_records_; }

 private:
  bool Add(const Carries& carries, Round& round);

  const std::shared_ptr<Log> log_;
  const std::string spec_;
  const std::atomic<bool>& stopping_;
  std::atomic<std::uint64_t> expired_records_{0};
};

}  // namespace weft::collector
