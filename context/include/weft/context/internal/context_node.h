// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <utility>

#if defined(BOOST_USE_SEGMENTED_STACKS)
#error "weft finds the current context by the range of the stack; a split stack is not one range"
#endif

namespace weft {
inline namespace v0 {
namespace internal {

inline constexpr std::size_t kContextSlotCount = 2;
/// A key that has no slot of its own: found by its address, along the chain of parents.
inline constexpr std::uint8_t kNoContextSlot = 0xff;

struct ContextNode;

/// What a node keeps of its ancestors after it let go of them.
struct FlatContext;

/// One derivation of a context. Immutable once a Context holds it.
///
/// Two counts: `references` keeps the node with all its ancestors, `pins` keeps its value alone.
/// All references together hold one pin.
struct ContextNode {
  using Destroy = void (*)(ContextNode*) noexcept;

  ContextNode(Destroy destroy_node, std::uint8_t value_slot, const void* value_key) noexcept
      : key(value_key), destroy(destroy_node), slot(value_slot) {}

  std::atomic<std::uint32_t> references{1};
  std::atomic<std::uint32_t> pins{1};
  /// The nearest value of each slot. Borrowed: this node, its parent or `flat` keeps it alive.
  std::array<const void*, kContextSlotCount> nearest{};
  ContextNode* parent = nullptr;  // owned
  FlatContext* flat = nullptr;    // owned; with it `parent` is null
  const void* const key;
  const void* value = nullptr;  // null: hides the key
  const Destroy destroy;
  std::uint16_t depth = 1;
  const std::uint8_t slot;
};

template <typename T>
struct ValueNode final : ContextNode {
  ValueNode(std::uint8_t value_slot, const void* value_key, T&& initial) noexcept
      : ContextNode(&ValueNode::Delete, value_slot, value_key), payload(std::move(initial)) {
    value = &payload;
  }
  static void Delete(ContextNode* node) noexcept { delete static_cast<ValueNode*>(node); }

  T payload;
};

/// A node in memory that its own value keeps alive: once destroyed, it has let go of the value.
template <typename T>
struct EmbeddedNode final : ContextNode {
  EmbeddedNode(std::uint8_t value_slot, const void* value_key, T&& initial) noexcept
      : ContextNode(&EmbeddedNode::LetGo, value_slot, value_key), payload(std::move(initial)) {
    value = &payload;
  }
  // The memory may go with the value, so that is taken out first.
  static void LetGo(ContextNode* node) noexcept {
    const T last = std::move(static_cast<EmbeddedNode*>(node)->payload);
  }

  T payload;
};

/// Hides what its ancestors have for a key.
struct HidingNode final : ContextNode {
  HidingNode(std::uint8_t hidden_slot, const void* hidden_key) noexcept
      : ContextNode(&HidingNode::Delete, hidden_slot, hidden_key) {}
  static void Delete(ContextNode* node) noexcept { delete static_cast<HidingNode*>(node); }
};

inline void Reference(ContextNode* node) noexcept {
  if (node != nullptr) node->references.fetch_add(1, std::memory_order_relaxed);
}

/// Destroys `node`, whose last reference is gone, and every ancestor that only it kept.
void DestroyChain(ContextNode* node) noexcept;

inline void Release(ContextNode* node) noexcept {
  if (node == nullptr) return;
  // A sole owner cannot gain company while it lets go, so it needs no atomic decrement.
  if (node->references.load(std::memory_order_acquire) == 1 ||
      node->references.fetch_sub(1, std::memory_order_acq_rel) == 1) {
    DestroyChain(node);
  }
}

/// Puts the new `node` below `parent` (null: the root), and lets go of far ancestors when the chain
/// grows long.
void Adopt(ContextNode* node, ContextNode* parent) noexcept;

/// Past this depth a node keeps the values it can still see instead of its ancestors.
inline constexpr std::uint16_t kMaxContextDepth = 64;

/// The same with the caller's own reference to `parent`, which `node` takes over.
inline void AdoptOwned(ContextNode* node, ContextNode* parent) noexcept {
  if (parent == nullptr || parent->depth >= kMaxContextDepth || node->slot != kNoContextSlot) {
    Adopt(node, parent);
    return Release(parent);
  }
  node->nearest = parent->nearest;
  node->parent = parent;
  node->depth = static_cast<std::uint16_t>(parent->depth + 1);
}

/// The value of a key without a slot, or null.
const void* FindInChain(const ContextNode* node, const void* key) noexcept;

void CountFailedAllocation() noexcept;

/// The node that is current on this stack; borrowed, null for the root. Never inlined: a fiber may
/// run on another thread after each suspension, and compilers keep addresses of thread-locals.
ContextNode* CurrentNode() noexcept;

}  // namespace internal
}  // namespace v0
}  // namespace weft
