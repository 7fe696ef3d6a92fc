// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <new>
#include <optional>
#include <type_traits>
#include <utility>

#include <weft/context/internal/context_node.h>

namespace weft {
inline namespace v0 {
namespace internal {
class BorrowingScope;
struct ContextReference;
}  // namespace internal

/// Places for values that are read so often that finding them must cost one load however deep the
/// context is. Each belongs to one key of weft's own packages.
enum class ContextSlot : std::uint8_t { kRun, kTracer };

/// Names a value of type T in a context.
///
///     inline constexpr weft::ContextKey<UserId> kUserKey;
///
/// A key is recognised by its address, never by a name, so two libraries cannot collide.
///
/// Lifetime: static storage. A key in a header is `inline`, so that the program has it once.
template <typename T>
class ContextKey {
 public:
  static_assert(std::is_nothrow_move_constructible_v<T> && std::is_nothrow_destructible_v<T>,
                "a value that may throw cannot live in a context; hold it by std::shared_ptr");

  constexpr ContextKey() noexcept = default;
  explicit constexpr ContextKey(ContextSlot slot) noexcept
      : slot_(static_cast<std::uint8_t>(slot)) {}
  ContextKey(const ContextKey&) = delete;
  ContextKey& operator=(const ContextKey&) = delete;

 private:
  friend class Context;
  friend class ContextView;

  const T* FindIn(const internal::ContextNode* node) const noexcept {
    if (node == nullptr) return nullptr;
    return static_cast<const T*>(slot_ == internal::kNoContextSlot
                                     ? internal::FindInChain(node, this)
                                     : node->nearest[slot_]);
  }

  std::uint8_t slot_ = internal::kNoContextSlot;
};

/// A context that somebody else keeps alive: what `Context::View()` returns.
///
/// Lifetime: a view of the current context is valid until the calling fiber leaves the scope that
///   made it current, however often the fiber waits in between.
/// Cost: no reference is counted.
class ContextView {
 public:
  constexpr ContextView() noexcept = default;

  /// The value that was set last for `key`, or null.
  template <typename T>
  const T* Find(const ContextKey<T>& key) const noexcept {
    return key.FindIn(node_);
  }

  /// False for the root, which holds nothing.
  explicit operator bool() const noexcept { return node_ != nullptr; }
  friend bool operator==(ContextView, ContextView) noexcept = default;

 private:
  friend class Context;
  friend class internal::BorrowingScope;
  explicit ContextView(internal::ContextNode* node) noexcept : node_(node) {}

  internal::ContextNode* node_ = nullptr;
};

/// An immutable set of values that travels with a piece of work, such as the run it belongs to.
///
///     weft::Context context = weft::Context::Current().With(kUserKey, user);
///     weft::ContextScope scope(context);
///     if (const UserId* id = weft::Context::View().Find(kUserKey)) Log(*id);
///
/// The default value is the root: it holds nothing. Deriving never changes the original.
///
/// Ownership: a context keeps its values and those it was derived from. Deriving in a loop from the
///   result of the round before does not grow without bound: past 64 levels the ancestors that no
///   longer provide a value are let go.
/// Threads: as safe as `std::shared_ptr<const T>`.
/// Errors: none are thrown. When memory is out `With` and `Without` count it and return the context
///   unchanged.
/// Cost: 8 bytes; a copy is one atomic increment, `With` one allocation.
class Context {
 public:
  constexpr Context() noexcept = default;
  explicit Context(ContextView view) noexcept : node_(view.node_) { internal::Reference(node_); }
  Context(const Context& other) noexcept : node_(other.node_) { internal::Reference(node_); }
  Context(Context&& other) noexcept : node_(std::exchange(other.node_, nullptr)) {}
  Context& operator=(Context other) noexcept {
    std::swap(node_, other.node_);
    return *this;
  }
  ~Context() { internal::Release(node_); }

  /// The context of the calling fiber, or of the thread when it runs no fiber.
  static Context Current() noexcept { return Context(View()); }
  /// The same, borrowed; see ContextView for how long it is valid.
  static ContextView View() noexcept { return ContextView(internal::CurrentNode()); }

  /// This context with `value` for `key`.
  template <typename T>
  [[nodiscard]] Context With(const ContextKey<T>& key,
                             std::type_identity_t<T> value) const noexcept {
    auto* node = new (std::nothrow) internal::ValueNode<T>(key.slot_, &key, std::move(value));
    if (node == nullptr) {
      internal::CountFailedAllocation();
      return *this;
    }
    internal::Adopt(node, node_);
    return Context(node);
  }

  /// `base` with `value` for `key`, without an allocation: `memory` is a part of what `value` owns,
  /// and was not used before.
  template <typename T>
  [[nodiscard]] static Context Embed(ContextView base, const ContextKey<T>& key,
                                     std::type_identity_t<T> value,
                                     std::optional<internal::EmbeddedNode<T>>& memory) noexcept {
    internal::ContextNode* const node = &memory.emplace(key.slot_, &key, std::move(value));
    internal::Adopt(node, base.node_);
    return Context(node);
  }

  /// This context with no value for `key`, whatever it was derived from has.
  template <typename T>
  [[nodiscard]] Context Without(const ContextKey<T>& key) const noexcept {
    if (Find(key) == nullptr) return *this;
    auto* node = new (std::nothrow) internal::HidingNode(key.slot_, &key);
    if (node == nullptr) {
      internal::CountFailedAllocation();
      return *this;
    }
    internal::Adopt(node, node_);
    return Context(node);
  }

  /// The value that was set last for `key`, or null. Valid as long as this context or a copy is.
  template <typename T>
  const T* Find(const ContextKey<T>& key) const noexcept {
    return key.FindIn(node_);
  }

  // NOLINTNEXTLINE(google-explicit-constructor): a view of a context is a context to read from.
  operator ContextView() const noexcept { return ContextView(node_); }
  /// False for the root, which holds nothing.
  explicit operator bool() const noexcept { return node_ != nullptr; }
  /// Whether both are the same derivation; two that hold equal values may differ.
  friend bool operator==(const Context& a, const Context& b) noexcept { return a.node_ == b.node_; }

 private:
  friend struct internal::ContextReference;
  explicit Context(internal::ContextNode* node) noexcept : node_(node) {}

  internal::ContextNode* node_ = nullptr;
};

namespace internal {
/// The reference of a Context, in memory that has no constructors and destructors.
struct ContextReference {
  static ContextNode* Take(Context context) noexcept {
    return std::exchange(context.node_, nullptr);
  }
  static Context Give(ContextNode* node) noexcept { return Context(node); }
};
}  // namespace internal

}  // namespace v0
}  // namespace weft
