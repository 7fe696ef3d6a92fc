// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace weft {
inline namespace v0 {
namespace internal {

/// 64 random bits of the generator that makes this thread's ids; not for secrets.
std::uint64_t RandomBits() noexcept;

}  // namespace internal
}  // namespace v0
}  // namespace weft
