// SPDX-License-Identifier: Apache-2.0
#pragma once

// As much of the API of opentelemetry-cpp as the bridge uses, for machines without it. The tests
// also compile with the real one.

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace opentelemetry {

namespace nostd {
template <typename T>
using shared_ptr = std::shared_ptr<T>;
template <typename T, std::size_t kSize>
using span = std::span<T, kSize>;
}  // namespace nostd

namespace trace {

template <std::size_t kSize>
class Id {
 public:
  Id() noexcept = default;
  explicit Id(nostd::span<const std::uint8_t, kSize> id) noexcept {
    std::copy(id.begin(), id.end(), bytes_.begin());
  }
  void ToLowerBase16(nostd::span<char, 2 * kSize> out) const noexcept {
    for (std::size_t i = 0; i < kSize; ++i) {
      out[2 * i] = "0123456789abcdef"[bytes_[i] >> 4];
      out[2 * i + 1] = "0123456789abcdef"[bytes_[i] & 15];
    }
  }
  bool IsValid() const noexcept { return bytes_ != std::array<std::uint8_t, kSize>{}; }

 private:
  std::array<std::uint8_t, kSize> bytes_{};
};
using TraceId = Id<16>;
using SpanId = Id<8>;

class TraceFlags {
 public:
  static constexpr std::uint8_t kIsSampled = 1;
  explicit TraceFlags(std::uint8_t flags = 0) noexcept : flags_(flags) {}
  bool IsSampled() const noexcept { return (flags_ & kIsSampled) != 0; }

 private:
  std::uint8_t flags_;
};

class TraceState {
 public:
  static nostd::shared_ptr<TraceState> FromHeader(std::string_view header) {
    auto state = std::make_shared<TraceState>();
    state->header_ = header;
    return state;
  }
  std::string ToHeader() const { return header_; }

 private:
  std::string header_;
};

class SpanContext {
 public:
  SpanContext(TraceId trace_id, SpanId span_id, TraceFlags flags, bool is_remote,
              nostd::shared_ptr<TraceState> state = TraceState::FromHeader("")) noexcept
      : trace_id_(trace_id),
        span_id_(span_id),
        flags_(flags),
        is_remote_(is_remote),
        state_(std::move(state)) {}

  bool IsValid() const noexcept { return trace_id_.IsValid() && span_id_.IsValid(); }
  const TraceId& trace_id() const noexcept { return trace_id_; }
  const SpanId& span_id() const noexcept { return span_id_; }
  bool IsSampled() const noexcept { return flags_.IsSampled(); }
  bool IsRemote() const noexcept { return is_remote_; }
  nostd::shared_ptr<TraceState> trace_state() const noexcept { return state_; }

 private:
  TraceId trace_id_;
  SpanId span_id_;
  TraceFlags flags_;
  bool is_remote_;
  nostd::shared_ptr<TraceState> state_;
};

}  // namespace trace
}  // namespace opentelemetry
