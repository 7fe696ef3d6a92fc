// SPDX-License-Identifier: Apache-2.0
#include "destinations/delivery.h"

#include <utility>

#include <simdjson.h>
#include <weft/collector/process_log.h>

#include "destinations/run_json.h"

namespace weft::collector {
namespace {

std::uint64_t NowMicroseconds() {
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(
                                        std::chrono::system_clock::now().time_since_epoch())
                                        .count());
}

}  // namespace

SendResult Delivery::Attempt(std::span<const OutgoingOp> ops, std::string_view api_key) {
  while (!abort_ && gate_.Enter()) {
    SendResult result = sink_.Send(ops, api_key, abort_);
    if (result.verdict != Verdict::kSent) CountError(result);
    if (result.verdict != Verdict::kRetry) {
      if (gate_.failures() > 0) {
        LogLine(LogLevel::kInfo, "destination answers again", {{"dest", spec_}});
      }
      gate_.Succeeded();
      return result;
    }
    if (gate_.failures() == 0) {
      LogLine(LogLevel::kWarning, "destination fails, its runs wait in the log",
              {{"dest", spec_}, {"code", result.code}, {"reason", result.reason}});
    }
    gate_.Failed(result);
  }
  return {Verdict::kRetry, "stopped", "", std::nullopt, false};
}

Delivery::Outcome Delivery::Deliver(std::span<const OutgoingOp> ops, std::string_view api_key,
                                    Counts* counts) {
  // The next one is at the back, so that the order is kept when a batch is halved.
  std::vector<std::span<const OutgoingOp>> waiting = {ops};
  while (!waiting.empty()) {
    const std::span<const OutgoingOp> batch = waiting.back();
    waiting.pop_back();
    const SendResult result = Attempt(batch, api_key);
    switch (result.verdict) {
      case Verdict::kSent:
        counts->sent += batch.size();
        ++counts->batches;
        break;
      case Verdict::kRetry:
        return Outcome::kAbandoned;
      case Verdict::kDenied:
        return Outcome::kDenied;
      case Verdict::kTooLarge:
      case Verdict::kRefused:
        if (batch.size() > 1) {
          waiting.push_back(batch.subspan(batch.size() / 2));
          waiting.push_back(batch.first(batch.size() / 2));
        } else if (Park(batch[0], result.code, result.reason, counts) == Outcome::kAbandoned) {
          return Outcome::kAbandoned;
        }
        break;
    }
  }
  return Outcome::kDone;
}

Delivery::Outcome Delivery::Park(const OutgoingOp& op, const std::string& code,
                                 const std::string& reason, Counts* counts) {
  const bool utf8 = simdjson::validate_utf8(reason.data(), reason.size());
  const JsonObject head = {{"time", IsoTime(NowMicroseconds())},
                           {"dest", spec_},
                           {"code", code},
                           {"reason", utf8 ? reason : "(not UTF-8)"}};
  std::string members = boost::json::serialize(head);
  members = members.substr(1, members.size() - 2) + ",";
  const absl::Status status = parked_.ParkLine(OperationLine(op, members));
  if (!status.ok() && !absl::IsResourceExhausted(status)) {
    LogLine(LogLevel::kError, "cannot park an operation",
            {{"dest", spec_}, {"reason", std::string(status.message())}});
    return Outcome::kAbandoned;
  }
  if (!status.ok()) ++counts->parked_unkept;
  ++counts->parked;
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
