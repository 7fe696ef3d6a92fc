// SPDX-License-Identifier: Apache-2.0
#include "loss_report.h"

#include <algorithm>
#include <cstdio>

namespace weft {
inline namespace v0 {
namespace internal {
namespace {

constexpr std::chrono::minutes kInterval{1};
constexpr std::size_t kMaxReason = 200;

}  // namespace

std::string OneLine(std::string_view code, std::string_view reason) {
  std::string text(code);
  if (!reason.empty()) text.append(": ").append(reason.substr(0, kMaxReason));
  std::replace_if(
      text.begin(), text.end(), [](char c) { return c < 0x20 || c == 0x7f; }, '?');
  return text;
}

void LossReport::Say(const ExporterStats& stats, Clock::time_point now) {
  if (stats.dropped() == reported_) return;
  reported_ = stats.dropped();
  next_ = now + kInterval;
  std::fprintf(stderr,
               "weft: runs lost on the way to %s so far: %llu (queue full %llu, rejected %llu, "
               "expired %llu)%s%s\n",
               destination_.c_str(), static_cast<unsigned long long>(stats.dropped()),
               static_cast<unsigned long long>(stats.dropped_queue_full),
               static_cast<unsigned long long>(stats.dropped_rejected),
               static_cast<unsigned long long>(stats.dropped_expired),
               last_answer_.empty() ? "" : "; last answer: ", last_answer_.c_str());
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
