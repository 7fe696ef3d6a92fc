// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include <weft/tracing/json.h>

namespace weft {
inline namespace v0 {
namespace internal {

/// Deeper values are written as null: the reader's parser has a limit too.
inline constexpr int kMaxJsonDepth = 200;

// Each appends one JSON text to `out`. Whatever bytes and values come in, what goes out is valid
// JSON in valid UTF-8: other bytes become U+FFFD, NaN and infinities null. Integers stay exact.

void AppendJsonString(std::string& out, std::string_view text);
void AppendJsonNumber(std::string& out, std::int64_t number);
void AppendJsonNumber(std::string& out, std::uint64_t number);
void AppendJsonNumber(std::string& out, double number);
void AppendJson(std::string& out, const Json& value);
void AppendJson(std::string& out, const JsonObject& object);

/// The members without the braces, each followed by `,`.
void AppendJsonMembers(std::string& out, const JsonObject& object, int depth = 0);

/// `2026-11-21T13:05:00.123456Z` without quotes.
void AppendIsoTime(std::string& out, std::chrono::system_clock::time_point time);
/// The same to a place that has room for kIsoTimeSize characters.
void WriteIsoTime(std::chrono::system_clock::time_point time, char* out) noexcept;
inline constexpr std::size_t kIsoTimeSize = 27;

}  // namespace internal
}  // namespace v0
}  // namespace weft
