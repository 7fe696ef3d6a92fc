// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <string>
#include <string_view>

namespace weft {
inline namespace v0 {
namespace internal {

/// Whether `text` can be a header's value: printable ASCII without blanks.
inline bool IsHeaderToken(std::string_view text) noexcept {
  return std::all_of(text.begin(), text.end(), [](char c) { return c > 0x20 && c < 0x7f; });
}

/// The address of an API as people write it, without quotes and slashes around it.
inline std::string_view TrimBaseUrl(std::string_view text) noexcept {
  const auto is_quote = [](char c) { return c == '"' || c == '\''; };
  while (!text.empty() && is_quote(text.front())) text.remove_prefix(1);
  while (!text.empty() && (is_quote(text.back()) || text.back() == '/')) text.remove_suffix(1);
  return text;
}

/// Whether it is `http(s)://HOST[:PORT][/PATH]`. A name and password in it are not taken: they
/// would be shown wherever the address is.
inline bool IsBaseUrl(std::string_view url) noexcept {
  const std::string_view scheme = url.starts_with("https://") ? "https://" : "http://";
  if (!url.starts_with(scheme)) return false;
  const std::string_view rest = url.substr(scheme.size());
  return !rest.empty() && rest.front() != '/' && rest.front() != ':' && IsHeaderToken(rest) &&
         rest.find_first_of("@?#\"\\<>") == std::string_view::npos;
}

/// An address as messages may show it: without the name and password that somebody put into it.
inline std::string ShownUrl(std::string_view url) {
  const std::size_t at = url.rfind('@');
  if (at == std::string_view::npos) return std::string(url);
  const std::size_t scheme = url.substr(0, at).find("//");
  const std::size_t begin = scheme == std::string_view::npos ? 0 : scheme + 2;
  return std::string(url.substr(0, begin)) + "***" + std::string(url.substr(at));
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
