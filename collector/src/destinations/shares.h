// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "destinations/delivery.h"
#include "destinations/round.h"
#include "destinations/sink.h"

namespace weft::collector {

/// Operations of one key that must be sent one after another: a part of a round.
struct Share {
  std::uint64_t key_id = 0;
  std::vector<OutgoingOp> ops;
  std::vector<Position> positions;  ///< Of the operations.
  std::size_t done = 0;             ///< So many are sent or parked, from the first on.
  std::vector<std::size_t> parked;  ///< Places of those that were parked.
  Delivery::Outcome outcome = Delivery::Outcome::kDone;
  SendResult failure;  ///< Why the outcome is not kDone, where a target said so.
  Delivery::Counts counts;

  /// What was done to operations before a place in the log.
  Delivery::Counts CountsBefore(const Position& end) const;
};

/// Divides a round so that `workers` can send at a time: by key, and within a key by trace, so that
/// operations of a run stay in order. A record that goes out whole stays whole, unless its traces
/// are in several shares already: then it is unpacked. Keys take turns in the answer.
std::vector<Share> Divide(Round& round, Sink& sink, std::size_t workers);

}  // namespace weft::collector
