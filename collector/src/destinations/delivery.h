// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "destinations/retry_gate.h"
#include "destinations/sink.h"
#include "parked_file.h"

namespace weft::collector {

/// Delivers batches and decides, answer by answer, what to do with them.
///
/// Threads: any.
class Delivery {
 public:
  enum class Outcome {
    kDone,       ///< Each operation was sent or parked.
    kDenied,     ///< The key is refused: none counts as delivered.
    kAbandoned,  ///< Stopped, or the parked file cannot be written: again, later.
  };
  struct Counts {
    std::uint64_t sent = 0;
    std::uint64_t parked = 0;
    std::uint64_t parked_unkept = 0;
    std::uint64_t batches = 0;
    friend bool operator==(const Counts&, const Counts&) = default;
  };

  Delivery(std::string spec, Sink& sink, RetryGate& gate, ParkedFile& parked)
      : spec_(std::move(spec)), sink_(sink), gate_(gate), parked_(parked) {}

  /// The operations have one key and fit into one batch. `counts` grows by what was done.
  Outcome Deliver(std::span<const OutgoingOp> ops, std::string_view api_key, Counts* counts);

  /// Puts one aside with the reason. kAbandoned when that is not possible now.
  Outcome Park(const OutgoingOp& op, const std::string& code, const std::string& reason,
               Counts* counts);

  /// Breaks off what is under way.
  void Abort() { abort_ = true; }
  const std::atomic<bool>& abort() const { return abort_; }

  std::map<std::string, std::uint64_t> Errors() const;

 private:
  SendResult Attempt(std::span<const OutgoingOp> ops, std::string_view api_key);
  void CountError(const SendResult& result);

  const std::string spec_;
  Sink& sink_;
  RetryGate& gate_;
  ParkedFile& parked_;
  std::atomic<bool> abort_{false};
  mutable std::mutex mutex_;
  std::map<std::string, std::uint64_t> errors_;
};

}  // namespace weft::collector
