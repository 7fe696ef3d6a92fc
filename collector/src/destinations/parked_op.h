// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <absl/status/statusor.h>

#include "destinations/sink.h"
#include "parked_file.h"

namespace weft::collector {

/// The line under which an operation is parked. It has the same id each time the same operation of
/// the log is parked for the same destination.
ParkedLine MakeParkedOp(const OutgoingOp& op, std::uint64_t key_id, const std::string& destination,
                        const std::string& code, const std::string& reason);

/// An operation that was parked, as it can be sent again.
struct ParkedOp {
  RunOp op;
  std::string payload;  ///< The parts of `op` count in it.
  std::uint64_t key_id = 0;
  std::uint64_t received_us = 0;
  std::uint64_t seq = 0;
  std::uint32_t covers = 1;
  Receiver receiver = Receiver::kLangSmith;

  /// Lifetime: points into this.
  OutgoingOp Outgoing() const;
};

/// Reads what MakeParkedOp made. Errors: DataLoss says what is missing.
absl::StatusOr<ParkedOp> ReadParkedOp(std::string_view line);

}  // namespace weft::collector
