// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include <weft/tracing/exporter.h>

namespace weft {
inline namespace v0 {
namespace internal {

/// One line for a log out of what a target said.
std::string OneLine(std::string_view code, std::string_view reason);

/// Says on stderr how many runs an exporter lost, once a minute at most.
///
/// Threads: one.
class LossReport {
 public:
  using Clock = std::chrono::steady_clock;

  /// `destination`: `the collector HOST:PORT`.
  explicit LossReport(std::string destination) : destination_(std::move(destination)) {}

  void set_last_answer(std::string answer) { last_answer_ = std::move(answer); }
  const std::string& last_answer() const { return last_answer_; }

  /// Whether it is time for a report, if there is something to say.
  bool IsDue(Clock::time_point now) const { return now >= next_; }
  /// Nothing when nothing was lost since the last report.
  void Say(const ExporterStats& stats, Clock::time_point now);

 private:
  const std::string destination_;
  std::string last_answer_;
  std::uint64_t reported_ = 0;
  Clock::time_point next_;
};

}  // namespace internal
}  // namespace v0
}  // namespace weft
