// SPDX-License-Identifier: Apache-2.0
#include "destinations/delivery.h"

#include <algorithm>
#include <utility>

#include <weft/collector/process_log.h>

#include "destinations/parked_op.h"
#include "destinations/shares.h"

namespace weft::collector {
namespace {

std::size_t OperationsIn(std::span<const OutgoingOp> ops) {
  std::size_t operations = 0;
  for (const OutgoingOp& op : ops) operations += op.covers;
  return operations;
}

// The end of the batch that begins at `start`.
std::size_t EndOfBatch(Sink& sink, std::span<const OutgoingOp> ops, std::size_t start) {
  if (ops[start].whole != nullptr) return start + ops[start].whole->header.ops.size();
  const BatchLimits limits = sink.Limits();
  std::size_t end = start;
  std::uint64_t bytes = 0;
  while (end < ops.size() && end - start < limits.operations && ops[end].whole == nullptr) {
    const bool alone = sink.MustTravelAlone(ops[end]);
    for (const Part& part : ops[end].op->parts) bytes += part.length;
    if (end > start && (alone || bytes > limits.bytes)) break;
    ++end;
    if (alone) break;
  }
  return end;
}

}  // namespace

SendResult Delivery::Attempt(std::size_t operations, const std::function<SendResult()>& send) {
  RetryGate::Attempt attempt;
  while (!abort_ && gate_.Enter(attempt)) {
    SendResult result = send();
    if (result.verdict != Verdict::kSent || result.rejected > 0) CountError(result);
    // What one key may send says nothing about the others.
    const bool throttled = result.code == "429" && sink_.uses_keys();
    if (result.verdict != Verdict::kRetry || throttled) {
      NoteSuccess();
      if (const auto wait = drain_.Take(operations, DrainLimit::Clock::now()); wait.count() > 0) {
        gate_.Rest(wait);
      }
      return result;
    }
    NoteFailure(result);
    gate_.Failed(result, &attempt);
  }
  return {Verdict::kRetry, "stopped", "", std::nullopt, false};
}

void Delivery::NoteFailure(const SendResult& result) {
  if (gate_.failures() > 0) return;
  LogLine(LogLevel::kWarning, "destination fails, its runs wait in the log",
          {{"dest", spec_}, {"code", result.code}, {"reason", result.reason}});
}

void Delivery::NoteSuccess() {
  if (gate_.failures() == 0) return;
  if (gate_.Succeeded()) drain_.Begin(DrainLimit::Clock::now());
  LogLine(LogLevel::kInfo, "destination answers again", {{"dest", spec_}});
}

void Delivery::DeliverShare(Share& share, const std::optional<std::string>& api_key,
                            const GiveUp& give_up) {
  GiveUp park = [&](std::size_t place, const OutgoingOp& op, const SendResult& why) {
    const Outcome outcome = Park(op, share.key_id, why.code, why.reason, &share.counts);
    if (outcome == Outcome::kDone) share.parked.push_back(share.done + place);
    return outcome;
  };
  if (give_up) park = give_up;
  const SendResult no_key{Verdict::kRefused, "key", "the caller's key can no longer be read",
                          std::nullopt, false};
  while (share.done < share.ops.size() && share.outcome == Outcome::kDone) {
    const std::size_t end = EndOfBatch(sink_, share.ops, share.done);
    const std::span<OutgoingOp> batch = std::span(share.ops).subspan(share.done, end - share.done);
    if (api_key) {
      share.outcome = Deliver(batch, *api_key, park, &share.counts, &share.failure);
    } else {
      std::string payload;
      if (batch[0].whole != nullptr) Unpack(*batch[0].whole, batch, &payload);
      for (std::size_t i = 0; i < batch.size() && share.outcome == Outcome::kDone; ++i) {
        share.outcome = park(i, batch[i], no_key);
      }
    }
    if (share.outcome == Outcome::kDone) share.done = end;
  }
}

Delivery::Outcome Delivery::Deliver(std::span<const OutgoingOp> ops, std::string_view api_key,
                                    const GiveUp& give_up, Counts* counts, SendResult* failure) {
  if (ops[0].whole != nullptr) return DeliverWhole(ops, api_key, give_up, counts, failure);
  // The next one is at the back, so that the order is kept when a batch is halved.
  std::vector<std::span<const OutgoingOp>> waiting = {ops};
  while (!waiting.empty()) {
    const std::span<const OutgoingOp> batch = waiting.back();
    waiting.pop_back();
    SendResult result =
        Attempt(OperationsIn(batch), [&] { return sink_.Send(batch, api_key, abort_); });
    const auto place = static_cast<std::size_t>(batch.data() - ops.data());
    Outcome outcome = Outcome::kDone;
    switch (result.verdict) {
      case Verdict::kSent:
        ++counts->batches;
        outcome = CountSent(place, batch, result, give_up, counts);
        break;
      case Verdict::kRetry:
        outcome = result.code == "429" ? Outcome::kThrottled : Outcome::kAbandoned;
        break;
      case Verdict::kDenied:
        outcome = Outcome::kDenied;
        break;
      case Verdict::kTooLarge:
      case Verdict::kRefused:
        if (batch.size() > 1) {
          waiting.push_back(batch.subspan(batch.size() / 2));
          waiting.push_back(batch.first(batch.size() / 2));
        } else {
          outcome = give_up(place, batch[0], result);
        }
        break;
    }
    if (outcome != Outcome::kDone) {
      *failure = std::move(result);
      return outcome;
    }
  }
  return Outcome::kDone;
}

// What cannot go out as it came goes through Send, in halves if need be.
Delivery::Outcome Delivery::DeliverWhole(std::span<const OutgoingOp> ops, std::string_view api_key,
                                         const GiveUp& give_up, Counts* counts,
                                         SendResult* failure) {
  const Record& record = *ops[0].whole;
  bool in_parts = false;
  SendResult result = Attempt(ops.size(), [&]() -> SendResult {
    std::optional<SendResult> sent = sink_.SendWhole(record, api_key, abort_);
    in_parts = !sent;
    return in_parts ? SendResult{} : *std::move(sent);
  });
  if (!in_parts && result.verdict == Verdict::kSent) {
    ++counts->batches;
    return CountSent(0, ops, result, give_up, counts);
  }
  if (!in_parts && (result.verdict == Verdict::kRetry || result.verdict == Verdict::kDenied)) {
    const Outcome outcome = result.verdict == Verdict::kDenied ? Outcome::kDenied
                            : result.code == "429"             ? Outcome::kThrottled
                                                               : Outcome::kAbandoned;
    *failure = std::move(result);
    return outcome;
  }
  std::vector<OutgoingOp> parts(ops.begin(), ops.end());
  std::string payload;
  if (!Unpack(record, parts, &payload)) return Outcome::kAbandoned;
  return Deliver(parts, api_key, give_up, counts, failure);
}

// The target took the request, but perhaps not all that is in it. Which ones it does not say; only
// when it is all of them they can be parked.
Delivery::Outcome Delivery::CountSent(std::size_t place, std::span<const OutgoingOp> ops,
                                      const SendResult& result, const GiveUp& give_up,
                                      Counts* counts) {
  if (result.rejected > 0 && result.rejected >= ops.size()) {
    for (std::size_t i = 0; i < ops.size(); ++i) {
      const Outcome outcome = give_up(place + i, ops[i], result);
      if (outcome != Outcome::kDone) return outcome;
    }
    return Outcome::kDone;
  }
  counts->sent += OperationsIn(ops) - result.rejected;
  counts->parked_unkept += result.rejected;
  return Outcome::kDone;
}

Delivery::Outcome Delivery::Park(const OutgoingOp& op, std::uint64_t key_id,
                                 const std::string& code, const std::string& reason,
                                 Counts* counts) {
  const absl::Status status = parked_.Park(MakeParkedOp(op, key_id, spec_, code, reason));
  if (!status.ok() && !absl::IsResourceExhausted(status)) {
    LogLine(LogLevel::kError, "cannot park an operation",
            {{"dest", spec_}, {"reason", std::string(status.message())}});
    return Outcome::kAbandoned;
  }
  if (!status.ok()) counts->parked_unkept += op.covers;
  return Outcome::kDone;
}

void Delivery::CountError(const SendResult& result) {
  std::lock_guard lock(mutex_);
  ++errors_[result.code];
}

std::map<std::string, std::uint64_t> Delivery::Errors() const {
  std::lock_guard lock(mutex_);
  return errors_;
}

}  // namespace weft::collector
