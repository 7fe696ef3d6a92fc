// SPDX-License-Identifier: Apache-2.0
#include <weft/tracing/run_context.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <new>
#include <utility>

#include "dotted_order.h"

namespace weft {
inline namespace v0 {
namespace {

// Allocates room for text behind what std::allocate_shared puts into one block (the reference
// counts and the state), and says where it is.
template <typename T>
struct TailAllocator {
  using value_type = T;

  TailAllocator(std::size_t size, char** where) noexcept : tail_size(size), tail(where) {}
  template <typename U>
  TailAllocator(const TailAllocator<U>& other) noexcept  // NOLINT(google-explicit-constructor)
      : tail_size(other.tail_size), tail(other.tail) {}

  T* allocate(std::size_t count) {
    static_assert(alignof(T) <= __STDCPP_DEFAULT_NEW_ALIGNMENT__);
    char* const block = static_cast<char*>(::operator new(count * sizeof(T) + tail_size));
    *tail = block + count * sizeof(T);
    return reinterpret_cast<T*>(block);
  }
  void deallocate(T* block, std::size_t) noexcept { ::operator delete(block); }

  template <typename U>
  bool operator==(const TailAllocator<U>&) const noexcept {
    return true;
  }

  std::size_t tail_size;
  char** tail;  // Used while allocating only.
};

const std::shared_ptr<const TraceBaggage>& NoBaggage() {
  static const auto* const kNone =
      new std::shared_ptr<const TraceBaggage>(std::make_shared<TraceBaggage>());
  return *kNone;
}

std::shared_ptr<const TraceBaggage> OrNone(std::shared_ptr<const TraceBaggage> baggage) {
  if (!baggage) baggage = NoBaggage();
  return baggage;
}

std::int64_t MicrosOf(std::chrono::system_clock::time_point time) noexcept {
  return std::chrono::floor<std::chrono::microseconds>(time).time_since_epoch().count();
}

}  // namespace

struct RunContext::State {
  RunId id;
  RunId trace_id;
  RunId parent_id;
  bool has_parent = false;  // And it is not nil.
  bool remote = false;
  std::int64_t micros = 0;  // Of the last segment.
  std::shared_ptr<const TraceBaggage> baggage;
  std::string_view dotted_order;  // In the same allocation.
  // Time of the last child's segment.
  mutable std::atomic<std::int64_t> last_child{0};
  // Whose `last_child` counts, if this is the same run with another baggage.
  std::shared_ptr<const State> original;

  static std::shared_ptr<State> Make(std::size_t text_size, char** text) {
    auto state = std::allocate_shared<State>(TailAllocator<State>(text_size, text));
    state->dotted_order = std::string_view(*text, text_size);
    return state;
  }

  std::int64_t NextChildTime(std::int64_t wanted) const noexcept {
    if (original) return original->NextChildTime(wanted);
    std::int64_t last = last_child.load(std::memory_order_relaxed);
    std::int64_t next = 0;
    do {
      next = std::max(wanted, last + 1);
    } while (!last_child.compare_exchange_weak(last, next, std::memory_order_relaxed));
    return next;
  }

  void SetTime(std::int64_t time) noexcept {
    micros = std::clamp(time, internal::kMinSegmentMicros, internal::kMaxSegmentMicros);
    last_child.store(micros - 1, std::memory_order_relaxed);
  }
};

RunContext::RunContext(std::shared_ptr<const State> state, bool sampled) noexcept
    : state_(std::move(state)), sampled_(sampled) {}

RunContext RunContext::Root(RunId id, std::chrono::system_clock::time_point start,
                            std::shared_ptr<const TraceBaggage> baggage) {
  char* text = nullptr;
  std::shared_ptr<State> state = State::Make(internal::kSegmentSize, &text);
  state->id = id;
  state->trace_id = id;
  state->baggage = OrNone(std::move(baggage));
  state->SetTime(MicrosOf(start));
  internal::WriteSegment(state->micros, id, text);
  return RunContext(std::move(state), true);
}

RunContext RunContext::Remote(std::string_view dotted_order,
                              std::shared_ptr<const TraceBaggage> baggage) {
  const std::optional<internal::DottedOrder> parsed = internal::ParseDottedOrder(dotted_order);
  if (!parsed) return {};
  char* text = nullptr;
  std::shared_ptr<State> state = State::Make(dotted_order.size(), &text);
  std::memcpy(text, dotted_order.data(), dotted_order.size());
  state->id = parsed->id;
  state->trace_id = parsed->trace_id;
  state->parent_id = parsed->parent_id.value_or(RunId{});
  state->has_parent = !state->parent_id.IsNil();
  state->remote = true;
  state->baggage = OrNone(std::move(baggage));
  state->SetTime(parsed->micros);
  return RunContext(std::move(state), true);
}

RunContext RunContext::Child(RunId id, std::chrono::system_clock::time_point start,
                             std::shared_ptr<const TraceBaggage> baggage) const {
  if (!state_) return Root(id, start, std::move(baggage)).WithSampled(sampled_);
  const std::string_view above = state_->dotted_order;
  char* text = nullptr;
  std::shared_ptr<State> state = State::Make(above.size() + 1 + internal::kSegmentSize, &text);
  state->id = id;
  state->trace_id = state_->trace_id;
  state->parent_id = state_->id;
  state->has_parent = !state_->id.IsNil();
  if (!baggage) baggage = state_->baggage;
  state->baggage = std::move(baggage);
  state->SetTime(state_->NextChildTime(MicrosOf(start)));
  std::memcpy(text, above.data(), above.size());
  text[above.size()] = '.';
  internal::WriteSegment(state->micros, id, text + above.size() + 1);
  return RunContext(std::move(state), sampled_);
}

RunContext RunContext::WithBaggage(std::shared_ptr<const TraceBaggage> baggage) const {
  if (!state_) return {};
  char* text = nullptr;
  std::shared_ptr<State> state = State::Make(state_->dotted_order.size(), &text);
  std::memcpy(text, state_->dotted_order.data(), state_->dotted_order.size());
  state->id = state_->id;
  state->trace_id = state_->trace_id;
  state->parent_id = state_->parent_id;
  state->has_parent = state_->has_parent;
  state->remote = state_->remote;
  state->micros = state_->micros;
  state->baggage = OrNone(std::move(baggage));
  state->original = state_->original ? state_->original : state_;
  return RunContext(std::move(state), sampled_);
}

RunId RunContext::id() const noexcept { return state_ ? state_->id : RunId{}; }

RunId RunContext::trace_id() const noexcept { return state_ ? state_->trace_id : RunId{}; }

std::optional<RunId> RunContext::parent_id() const noexcept {
  if (!state_ || !state_->has_parent) return std::nullopt;
  return state_->parent_id;
}

std::string_view RunContext::dotted_order() const noexcept {
  return state_ ? state_->dotted_order : std::string_view();
}

const TraceBaggage& RunContext::baggage() const noexcept {
  return state_ ? *state_->baggage : *NoBaggage();
}

const std::shared_ptr<const TraceBaggage>& RunContext::shared_baggage() const noexcept {
  return state_ ? state_->baggage : NoBaggage();
}

std::string_view RunContext::baggage_header() const {
  return state_ ? state_->baggage->rendered.Get(*state_->baggage) : std::string_view();
}

bool RunContext::is_remote() const noexcept { return state_ && state_->remote; }

RunContext RunContext::WithSampled(bool sampled) const& noexcept {
  return RunContext(state_, sampled);
}

RunContext RunContext::WithSampled(bool sampled) && noexcept {
  return RunContext(std::move(state_), sampled);
}

}  // namespace v0
}  // namespace weft
