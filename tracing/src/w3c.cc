// SPDX-License-Identifier: Apache-2.0
#include "w3c.h"

#include <algorithm>
#include <cstdint>
#include <span>

#include "hex.h"
#include "text.h"

namespace weft {
inline namespace v0 {
namespace internal {
namespace {

constexpr std::size_t kTraceparentSize = 55;  // 00-<32>-<16>-<2>
constexpr std::size_t kMaxTracestateMembers = 32;

bool AllZero(std::span<const std::uint8_t> bytes) noexcept {
  return std::all_of(bytes.begin(), bytes.end(), [](std::uint8_t byte) { return byte == 0; });
}

bool IsKeyStart(char c) noexcept { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

bool IsKeyPart(std::string_view text, std::size_t longest) noexcept {
  return !text.empty() && text.size() <= longest && IsKeyStart(text[0]) &&
         std::all_of(text.begin(), text.end(), [](char c) {
           return IsKeyStart(c) || c == '_' || c == '-' || c == '*' || c == '/';
         });
}

// `simple-key`, or `tenant@system`. A digit may come first, as level 2 of the recommendation has
// it.
bool IsTracestateKey(std::string_view key) noexcept {
  const std::size_t at = key.find('@');
  if (at == key.npos) return IsKeyPart(key, 256);
  return IsKeyPart(key.substr(0, at), 241) && IsKeyPart(key.substr(at + 1), 14);
}

bool IsTracestateValue(std::string_view value) noexcept {
  return !value.empty() && value.size() <= 256 &&
         std::all_of(value.begin(), value.end(),
                     [](char c) { return c >= 0x20 && c <= 0x7E && c != ',' && c != '='; });
}

}  // namespace

std::optional<Traceparent> ParseTraceparent(std::string_view text) noexcept {
  text = TrimBlanks(text);
  if (text.size() < kTraceparentSize) return std::nullopt;
  const std::string_view known = text.substr(0, kTraceparentSize);
  if (known[2] != '-' || known[35] != '-' || known[52] != '-') return std::nullopt;
  if (std::any_of(known.begin(), known.end(), [](char c) { return c >= 'A' && c <= 'F'; })) {
    return std::nullopt;
  }
  Traceparent parsed;
  std::uint8_t version = 0;
  std::uint8_t flags = 0;
  const bool hex = ReadHex(known.substr(0, 2), std::span(&version, 1)) &&
                   ReadHex(known.substr(3, 32), parsed.trace_id) &&
                   ReadHex(known.substr(36, 16), parsed.span_id) &&
                   ReadHex(known.substr(53, 2), std::span(&flags, 1));
  if (!hex || version == 0xFF || AllZero(parsed.trace_id) || AllZero(parsed.span_id)) {
    return std::nullopt;
  }
  if (text.size() > kTraceparentSize && (version == 0 || text[kTraceparentSize] != '-')) {
    return std::nullopt;
  }
  parsed.sampled = (flags & 1) != 0;
  return parsed;
}

std::optional<std::string> NormalizeTracestate(std::string_view text) {
  std::string out;
  std::size_t count = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t comma = std::min(text.find(',', at), text.size());
    const std::string_view member = TrimBlanks(text.substr(at, comma - at));
    at = comma + 1;
    if (member.empty()) continue;
    const std::size_t equals = member.find('=');
    if (equals == member.npos || !IsTracestateKey(member.substr(0, equals)) ||
        !IsTracestateValue(member.substr(equals + 1)) || ++count > kMaxTracestateMembers) {
      return std::nullopt;
    }
    if (!out.empty()) out += ',';
    out += member;
  }
  return out;
}

std::string RenderTraceparent(const RunId& trace_id, const RunId& id, bool sampled) {
  const std::span<const std::uint8_t> span_id = std::span(id.bytes).subspan(8);
  if (trace_id.IsNil() || AllZero(span_id)) return {};
  std::string out(kTraceparentSize, '-');
  out[0] = '0';
  out[1] = '0';
  WriteHex(trace_id.bytes, out.data() + 3);
  WriteHex(span_id, out.data() + 36);
  out[53] = '0';
  out[54] = sampled ? '1' : '0';
  return out;
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
