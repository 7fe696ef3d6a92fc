// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

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

  /// The bytes that it occupies, about; without what it shares with other runs.
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

/// The same for what runs share.
std::size_t HeldBytes(const TraceBaggage& baggage) noexcept;

}  // namespace internal
}  // namespace v0
}  // namespace weft
