// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include <absl/status/statusor.h>

#include <weft/collector/config.h>
#include <weft/collector/record.h>
#include <weft/tracing/internal/delivery.h>

namespace weft::collector {

/// An operation on its way out. The payload is decoded; the parts of `op` count in it.
struct OutgoingOp {
  const RunOp* op = nullptr;
  std::string_view payload;
  std::uint64_t received_us = 0;
  std::uint64_t seq = 0;  ///< Of the record that holds it.
  Receiver receiver = Receiver::kLangSmith;
  /// Operations of that record; 0: `payload` is no record's, but has just the operation's parts.
  std::uint32_t record_ops = 1;
  std::uint32_t covers = 1;  ///< Operations of the log that are delivered with it.
  bool is_placed = false;    ///< Its text is known to name its trace and its dotted order.
  /// The record, when all of it can be sent as it lies in the log (Sink::SendWhole). `payload` is
  /// empty then, and the operations of the record stay together.
  const Record* whole = nullptr;

  std::string_view Text(const Part& part) const { return payload.substr(part.offset, part.length); }
};

using internal::SendResult;
using internal::Verdict;

struct BatchLimits {
  std::size_t operations = 100;
  std::uint64_t bytes = 20ull << 20;
};

/// Where a destination delivers to.
class Sink {
 public:
  virtual ~Sink() = default;

  /// Delivers the operations, all of the same key, in order. `abort` breaks a wait off.
  /// Threads: several at a time, unless `concurrency` says 1.
  virtual SendResult Send(std::span<const OutgoingOp> ops, std::string_view api_key,
                          const std::atomic<bool>& abort) = 0;

  /// Records up to these sizes, whose payload is a form, can be sent whole. Zero: none.
  virtual BatchLimits WholeLimits() { return {0, 0}; }

  /// Delivers all operations of a record by sending its payload as it is. Nothing: not now, so they
  /// have to go through Send.
  virtual std::optional<SendResult> SendWhole(const Record& /*record*/,
                                              std::string_view /*api_key*/,
                                              const std::atomic<bool>& /*abort*/) {
    return std::nullopt;
  }

  /// Makes what was sent last; the cursor moves after it.
  virtual absl::Status Flush() { return absl::OkStatus(); }

  /// Whether the target looks alive; asked during long pauses.
  virtual bool Probe(const std::atomic<bool>& /*abort*/) { return true; }

  virtual BatchLimits Limits() { return {}; }
  virtual std::size_t concurrency() const = 0;  ///< 0 = as many as the destination likes.
  virtual bool uses_keys() const = 0;

  /// Whether operations of one trace must arrive in their order.
  virtual bool keeps_traces_in_order() const { return true; }

  /// Whether the operation cannot be in a batch with others.
  virtual bool MustTravelAlone(const OutgoingOp& /*op*/) const { return false; }

  /// See Destination::PrepareReload.
  virtual absl::StatusOr<std::function<void()>> PrepareReload(const DestinationConfig& config) = 0;
};

}  // namespace weft::collector
