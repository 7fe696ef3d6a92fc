// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace weft {
inline namespace v0 {
namespace internal {

inline constexpr std::string_view kReplacementCharacter = "\xEF\xBF\xBD";  // U+FFFD

/// One step through UTF-8 text: the bytes to skip and whether they are a character.
struct Utf8Step {
  std::size_t length;
  bool valid;
};

/// Looks at the start of `text`, which is not empty. An invalid step is the longest prefix of a
/// character that is there ("maximal subpart"), so that one U+FFFD replaces as much as it does in
/// Python and in browsers.
Utf8Step NextUtf8(std::string_view text) noexcept;

bool IsValidUtf8(std::string_view text) noexcept;

/// `text` with what is no UTF-8 replaced by U+FFFD.
std::string ToValidUtf8(std::string_view text);

}  // namespace internal
}  // namespace v0
}  // namespace weft
