// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <weft/tracing/run_record.h>
#include <weft/tracing/trace_baggage.h>

namespace weft {
inline namespace v0 {
namespace internal {

/// What is kept of a run that has ended, in case that its trace fails: identity, times, status,
/// tags, and the beginnings of its inputs and metadata. What is cut says so.
class HeldRun {
 public:
  /// `redacted`: what its tracer sends is.
  HeldRun(RunRecord&& record, bool redacted);

  /// The record, as far as it was kept. Without its environment.
  RunRecord Restore() &&;

  /// The bytes that it occupies besides its own, about; without what it shares with other runs.
  std::size_t bytes() const noexcept { return bytes_; }
  const TraceBaggage& baggage() const noexcept { return context_.baggage(); }

 private:
  // Most runs have no more than this, and a small one stays longer in the processor's cache.
  RunContext context_;
  std::shared_ptr<const RunTemplate> kind_;
  std::string name_;
  std::chrono::system_clock::time_point start_;
  std::chrono::system_clock::time_point end_;
  std::unique_ptr<RunRecord> rest_;
  std::uint32_t bytes_;
  RunType type_;
};

/// The runs of a trace that are held, the oldest first. One lies in here, since most traces that
/// are held have no more; others in blocks.
class HeldTraceRuns {
 public:
  HeldTraceRuns() noexcept = default;
  ~HeldTraceRuns() = default;
  HeldTraceRuns(const HeldTraceRuns&) = delete;
  HeldTraceRuns& operator=(const HeldTraceRuns&) = delete;
  HeldTraceRuns(HeldTraceRuns&& other) noexcept { *this = std::move(other); }
  HeldTraceRuns& operator=(HeldTraceRuns&& other) noexcept {
    first_ = std::exchange(other.first_, std::nullopt);
    blocks_ = std::exchange(other.blocks_, {});
    return *this;
  }

  /// Returns the bytes that were allocated for it.
  std::size_t Add(HeldRun&& run);

  std::size_t size() const noexcept;

  /// Calls `take(HeldRun&&)` with each.
  template <typename Take>
  void TakeAll(const Take& take) && {
    if (first_) take(*std::move(first_));
    for (std::vector<HeldRun>& block : blocks_) {
      for (HeldRun& run : block) take(std::move(run));
    }
  }

 private:
  std::optional<HeldRun> first_;
  std::vector<std::vector<HeldRun>> blocks_;  // None is ever moved to make it larger.
};

/// The bytes of what runs share, about.
std::size_t HeldBytes(const TraceBaggage& baggage) noexcept;

}  // namespace internal
}  // namespace v0
}  // namespace weft
