// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace weft {
inline namespace v0 {
namespace internal {

/// Appends `text` percent-encoded, with upper-case hexadecimal digits. Left as they are: letters,
/// digits and `-_.~`, which both of LangSmith's SDKs leave alone. What is no UTF-8 becomes U+FFFD,
/// so that every reader can decode the result.
void AppendPercentEncoded(std::string& out, std::string_view text);

struct PercentDecoded {
  std::string text;           ///< Valid UTF-8.
  bool bad_escape = false;    ///< A `%` without two hexadecimal digits was kept.
  bool invalid_utf8 = false;  ///< Something was replaced by U+FFFD.
};

/// Decodes as Python's `unquote` does: `+` stays, a bad escape is kept, invalid UTF-8 is replaced.
PercentDecoded PercentDecode(std::string_view text);

}  // namespace internal
}  // namespace v0
}  // namespace weft
