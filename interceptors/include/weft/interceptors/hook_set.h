// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <type_traits>

namespace weft {
inline namespace v0 {

class Middleware;

/// Some of the hooks of a Middleware.
class HookSet {
 public:
  enum Hook : std::uint16_t {
    kOnStart = 1U << 0,
    kAdmit = 1U << 1,
    kOnVerdict = 1U << 2,
    kAdmitSending = 1U << 3,
    kOnSendMetadata = 1U << 4,
    kOnSendTrailers = 1U << 5,
    kOnReceiveMetadata = 1U << 6,
    kOnReceiveTrailers = 1U << 7,
    kOnMessage = 1U << 8,
    kOnStatus = 1U << 9,
    kOnEnd = 1U << 10,
  };

  /// All.
  constexpr HookSet() noexcept = default;

  constexpr bool Has(Hook hook) const noexcept { return (hooks_ & hook) != 0; }
  constexpr void Remove(Hook hook) noexcept { hooks_ &= static_cast<std::uint16_t>(~hook); }

 private:
  std::uint16_t hooks_ = 0xffff;
};

namespace internal {
/// Of the type of `&M::OnHook`: a class that does not override a hook has Middleware's.
template <typename Hook>
inline constexpr bool kInherited = false;
template <typename Result, typename... Args>
inline constexpr bool kInherited<Result (Middleware::*)(Args...) noexcept> = true;
}  // namespace internal

/// The hooks that `M` overrides. They are public in it.
template <typename M>
constexpr HookSet HooksOf() noexcept {
  static_assert(std::is_final_v<M>, "a class derived from M may override more");
  using internal::kInherited;
  HookSet set;
  if (kInherited<decltype(&M::OnStart)>) set.Remove(HookSet::kOnStart);
  if (kInherited<decltype(&M::Admit)>) set.Remove(HookSet::kAdmit);
  if (kInherited<decltype(&M::OnVerdict)>) set.Remove(HookSet::kOnVerdict);
  if (kInherited<decltype(&M::AdmitSending)>) set.Remove(HookSet::kAdmitSending);
  if (kInherited<decltype(&M::OnSendMetadata)>) set.Remove(HookSet::kOnSendMetadata);
  if (kInherited<decltype(&M::OnSendTrailers)>) set.Remove(HookSet::kOnSendTrailers);
  if (kInherited<decltype(&M::OnReceiveMetadata)>) set.Remove(HookSet::kOnReceiveMetadata);
  if (kInherited<decltype(&M::OnReceiveTrailers)>) set.Remove(HookSet::kOnReceiveTrailers);
  if (kInherited<decltype(&M::OnMessage)>) set.Remove(HookSet::kOnMessage);
  if (kInherited<decltype(&M::OnStatus)>) set.Remove(HookSet::kOnStatus);
  if (kInherited<decltype(&M::OnEnd)>) set.Remove(HookSet::kOnEnd);
  return set;
}

}  // namespace v0
}  // namespace weft
