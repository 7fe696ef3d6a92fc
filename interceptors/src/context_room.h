// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <new>
#include <utility>

#include <weft/context/context.h>
#include <weft/interceptors/middleware.h>

#include "call_data.h"
#include "call_memory.h"

namespace weft {
inline namespace v0 {
namespace internal {

/// Room for a value that a middleware adds to the context of its calls: in the call's own memory,
/// where an allocation of its own would be most of what the middleware costs. `T` is destroyed when
/// the last context that has it goes; until then it keeps the memory of the whole call.
///
///     CallStateType call_state() const noexcept override { return ContextRoom<T>::State(); }
///     ...
///     ContextRoom<T>::Fill(call, kKey, value);
template <typename T>
class ContextRoom {
 public:
  static constexpr CallStateType State() noexcept { return {sizeof(Node), alignof(Node)}; }

  /// Where SetContext may be called, and at most once a call. `args`: of T's constructor.
  template <typename... Args>
  static void Fill(Call& call, const ContextKey<T>& name, Args&&... args) noexcept {
    Prepare(call, name, std::forward<Args>(args)...);
    Attach(call);
  }

  /// The same in two steps, the second of which is one of the two below.
  template <typename... Args>
  static T& Prepare(Call& call, const ContextKey<T>& name, Args&&... args) noexcept {
    return (new (call.state_)
                Node(name, CallMemory::Before(call.data_.states), std::forward<Args>(args)...))
        ->payload;
  }
  static void Attach(Call& call) noexcept {
    Node& node = call.state<Node>();
    node.memory.Share();
    Context& context = call.data_.context;
    AdoptOwned(&node, ContextReference::Take(std::move(context)));
    context = ContextReference::Give(&node);
  }
  static void Discard(Call& call) noexcept { call.state<Node>().~Node(); }

 private:
  struct Node final : ContextNode {
    template <typename... Args>
    Node(const ContextKey<T>& name, CallMemory& in, Args&&... args) noexcept
        : ContextNode(&Node::LetGo, kNoContextSlot, &name),
          memory(in),
          payload(std::forward<Args>(args)...) {
      value = &payload;
    }
    static void LetGo(ContextNode* node) noexcept {
      auto* const self = static_cast<Node*>(node);
      CallMemory& memory = self->memory;
      self->~Node();
      memory.Release();
    }

    CallMemory& memory;
    T payload;
  };
};

}  // namespace internal
}  // namespace v0
}  // namespace weft
