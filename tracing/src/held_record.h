// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <weft/tracing/run_record.h>
#include <weft/tracing/trace_baggage.h>

#include "dotted_order.h"

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
  std::size_t bytes() const noexcept;
  const TraceBaggage& baggage() const noexcept { return context_.baggage(); }

 private:
  friend class HeldTraceRuns;

  /// All but who it is.
  struct Rest {
    std::shared_ptr<const RunTemplate> kind;
    std::string name;
    std::chrono::system_clock::time_point start;
    std::chrono::system_clock::time_point end;
    std::unique_ptr<RunRecord> more;  ///< Most runs have none.
    std::uint32_t bytes;
    RunType type;
  };

  HeldRun(RunContext context, Rest rest) noexcept
      : context_(std::move(context)), rest_(std::move(rest)) {}

  RunContext context_;
  Rest rest_;
};

/// The runs of a trace that are held, the oldest first. One lies in here, since most traces that
/// are held have no more.
///
/// Others lie in blocks. Of who they are only their own segments of the dotted order are kept: what
/// stands above is the same for all runs of one parent. So a block is nearly all that they occupy,
/// and they are destroyed quickly.
class HeldTraceRuns {
 public:
  struct Entry;
  using Block = std::vector<Entry>;

  HeldTraceRuns() noexcept = default;
  ~HeldTraceRuns() = default;
  HeldTraceRuns(const HeldTraceRuns&) = delete;
  HeldTraceRuns& operator=(const HeldTraceRuns&) = delete;
  HeldTraceRuns(HeldTraceRuns&& other) noexcept { *this = std::move(other); }
  HeldTraceRuns& operator=(HeldTraceRuns&& other) noexcept {
    first_ = std::exchange(other.first_, std::nullopt);
    above_ = std::exchange(other.above_, {});
    blocks_ = std::exchange(other.blocks_, {});
    return *this;
  }

  /// What `run` is left with is the caller's to destroy. Returns the bytes that it occupies here.
  std::size_t Add(HeldRun&& run);

  std::size_t size() const noexcept;

  /// Whether to destroy them at once would take long.
  bool are_many() const noexcept { return blocks_.size() > kFewBlocks; }
  /// Some of those of many, with the bytes that they occupy.
  std::pair<Block, std::size_t> TakeSome();

  /// Calls `take(HeldRun&&)` with each.
  template <typename Take>
  void TakeAll(const Take& take) && {
    if (first_) take(*std::move(first_));
    for (Block& block : blocks_) {
      for (Entry& entry : block) take(Unpack(entry));
    }
  }

  struct Entry {
    HeldRun::Rest rest;
    std::uint32_t above;  ///< Index in above_.
    std::array<char, kSegmentSize> segment;
  };

 private:
  /// What runs of one parent have in common.
  struct Above {
    std::string dotted_order;  ///< With the dot at its end.
    std::shared_ptr<const TraceBaggage> baggage;
  };

  static constexpr std::size_t kFewBlocks = 4;

  std::uint32_t FindAbove(std::string_view dotted_order,
                          const std::shared_ptr<const TraceBaggage>& baggage, std::size_t& bytes);
  HeldRun Unpack(Entry& entry) const;

  std::optional<HeldRun> first_;
  std::vector<Above> above_;
  std::vector<Block> blocks_;  // None is ever moved to make it larger.
};

/// The bytes of what runs share, about.
std::size_t HeldBytes(const TraceBaggage& baggage) noexcept;

}  // namespace internal
}  // namespace v0
}  // namespace weft
