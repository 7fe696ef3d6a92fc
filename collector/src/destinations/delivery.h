// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "destinations/drain_limit.h"
#include "destinations/retry_gate.h"
#include "destinations/sink.h"
#include "parked_file.h"

namespace weft::collector {

struct Share;

/// Delivers batches and decides, answer by answer, what to do with them.
///
/// Threads: any.
class Delivery {
 public:
  enum class Outcome {
    kDone,       ///< Each operation was sent or parked.
    kDenied,     ///< The key is refused: none counts as delivered.
    kThrottled,  ///< The target takes no more of this key for a while (429).
    kAbandoned,  ///< Stopped, or the parked file cannot be written: again, later.
  };
  struct Counts {
    std::uint64_t sent = 0;
    std::uint64_t parked_unkept = 0;  ///< Given up, and in no parked file.
    std::uint64_t batches = 0;
    Counts& operator+=(const Counts& more) {
      sent += more.sent;
      parked_unkept += more.parked_unkept;
      batches += more.batches;
      return *this;
    }
    friend bool operator==(const Counts&, const Counts&) = default;
  };
  /// What to do with an operation that is refused for good; `place` is its place in what was to be
  /// delivered.
  using GiveUp =
      std::function<Outcome(std::size_t place, const OutgoingOp& op, const SendResult& why)>;

  Delivery(std::string spec, Sink& sink, RetryGate& gate, DrainLimit& drain, ParkedFile& parked)
      : spec_(std::move(spec)), sink_(sink), gate_(gate), drain_(drain), parked_(parked) {}

  /// Sends the operations of a share batch by batch, as far as it goes. What is refused, and all of
  /// them where there is no key, goes to `give_up`, else it is parked.
  void DeliverShare(Share& share, const std::optional<std::string>& api_key,
                    const GiveUp& give_up = {});

  /// The operations have one key and fit into one batch. `counts` grows by what was sent; `failure`
  /// says why the outcome is not kDone.
  Outcome Deliver(std::span<const OutgoingOp> ops, std::string_view api_key, const GiveUp& give_up,
                  Counts* counts, SendResult* failure);

  /// Puts one aside with the reason. kAbandoned when that is not possible now.
  Outcome Park(const OutgoingOp& op, std::uint64_t key_id, const std::string& code,
               const std::string& reason, Counts* counts);

  /// Breaks off what is under way.
  void Abort() { abort_ = true; }
  const std::atomic<bool>& abort() const { return abort_; }

  std::map<std::string, std::uint64_t> Errors() const;

 private:
  SendResult Attempt(std::size_t operations, const std::function<SendResult()>& send);
  Outcome DeliverWhole(std::span<const OutgoingOp> ops, std::string_view api_key,
                       const GiveUp& give_up, Counts* counts, SendResult* failure);
  static Outcome CountSent(std::size_t place, std::span<const OutgoingOp> ops,
                           const SendResult& result, const GiveUp& give_up, Counts* counts);
  void CountError(const SendResult& result);
  void NoteFailure(const SendResult& result);
  void NoteSuccess();

  const std::string spec_;
  Sink& sink_;
  RetryGate& gate_;
  DrainLimit& drain_;
  ParkedFile& parked_;
  std::atomic<bool> abort_{false};
  mutable std::mutex mutex_;
  std::map<std::string, std::uint64_t> errors_;
};

}  // namespace weft::collector
