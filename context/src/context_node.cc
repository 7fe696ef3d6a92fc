// SPDX-License-Identifier: Apache-2.0
#include <weft/context/internal/context_node.h>

#include <cstddef>
#include <memory>
#include <new>
#include <utility>

#include "context_counters.h"

namespace weft {
inline namespace v0 {
namespace internal {

struct FlatContext {
  // The nearest provider of each key, each pinned once.
  std::unique_ptr<ContextNode*[]> providers;
  std::size_t size = 0;
};

namespace {

void Unpin(ContextNode* node) noexcept {
  // Most values are never pinned twice, and who holds the only pin cannot gain company.
  if (node->pins.load(std::memory_order_acquire) == 1 ||
      node->pins.fetch_sub(1, std::memory_order_acq_rel) == 1) {
    node->destroy(node);
  }
}

void DestroyFlat(FlatContext* flat) noexcept {
  if (flat == nullptr) return;
  for (std::size_t i = 0; i < flat->size; ++i) Unpin(flat->providers[i]);
  delete flat;
}

// Two nodes with this in common provide the same key.
const void* Identity(const ContextNode* node) noexcept {
  static constexpr std::array<char, kContextSlotCount> kSlotIdentities{};
  return node->slot == kNoContextSlot ? node->key : &kSlotIdentities[node->slot];
}

// The nearest providers that a chain shows to a node below it.
class ProviderList {
 public:
  ProviderList(std::size_t capacity, const ContextNode* below) noexcept
      : below_(below), providers_(new (std::nothrow) ContextNode*[capacity]) {}

  explicit operator bool() const noexcept { return providers_ != nullptr; }

  void Add(ContextNode* node) noexcept {
    if (Identity(node) == Identity(below_)) return;
    for (std::size_t i = 0; i < size_; ++i) {
      if (Identity(providers_[i]) == Identity(node)) return;
    }
    providers_[size_++] = node;
  }

  FlatContext* Pin() && noexcept {
    auto* flat = new (std::nothrow) FlatContext{std::move(providers_), size_};
    if (flat == nullptr) return nullptr;
    for (std::size_t i = 0; i < size_; ++i) {
      flat->providers[i]->pins.fetch_add(1, std::memory_order_relaxed);
    }
    return flat;
  }

 private:
  const ContextNode* below_;
  std::unique_ptr<ContextNode*[]> providers_;
  std::size_t size_ = 0;
};

FlatContext* Flatten(ContextNode* parent, const ContextNode* below) noexcept {
  std::size_t capacity = 0;
  for (const ContextNode* at = parent; at != nullptr; at = at->parent) {
    capacity += 1 + (at->flat != nullptr ? at->flat->size : 0);
  }
  ProviderList list(capacity, below);
  if (!list) return nullptr;
  for (ContextNode* at = parent; at != nullptr; at = at->parent) {
    list.Add(at);
    if (at->flat == nullptr) continue;
    for (std::size_t i = 0; i < at->flat->size; ++i) list.Add(at->flat->providers[i]);
  }
  return std::move(list).Pin();
}

}  // namespace

// A loop, since a recursion over a long chain would overflow the stack of a fiber.
void DestroyChain(ContextNode* node) noexcept {
  while (node != nullptr) {
    ContextNode* const parent = node->parent;
    FlatContext* const flat = node->flat;
    Unpin(node);
    DestroyFlat(flat);
    if (parent == nullptr || parent->references.fetch_sub(1, std::memory_order_acq_rel) != 1)
      return;
    node = parent;
  }
}

void Adopt(ContextNode* node, ContextNode* parent) noexcept {
  if (parent != nullptr) {
    node->nearest = parent->nearest;
    if (parent->depth >= kMaxContextDepth) node->flat = Flatten(parent, node);
    if (node->flat == nullptr) {
      Reference(parent);
      node->parent = parent;
      // Stays at the limit when there was no memory to flatten; the next derivation tries again.
      node->depth = parent->depth < kMaxContextDepth ? parent->depth + 1 : kMaxContextDepth;
    }
  }
  if (node->slot != kNoContextSlot) node->nearest[node->slot] = node->value;
}

const void* FindInChain(const ContextNode* node, const void* key) noexcept {
  for (; node != nullptr; node = node->parent) {
    if (node->key == key) return node->value;
    if (node->flat == nullptr) continue;
    for (std::size_t i = 0; i < node->flat->size; ++i) {
      if (node->flat->providers[i]->key == key) return node->flat->providers[i]->value;
    }
  }
  return nullptr;
}

void CountFailedAllocation() noexcept { counters.failed_allocations.fetch_add(1); }

}  // namespace internal
}  // namespace v0
}  // namespace weft
