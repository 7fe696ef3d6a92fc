// SPDX-License-Identifier: Apache-2.0
#include "span_attributes.h"

#include <limits>

#include "json_writer.h"
#include "utf8.h"

namespace weft {
inline namespace v0 {
namespace internal {
namespace {

// Field numbers of opentelemetry.proto.common.v1.
constexpr int kKey = 1;
constexpr int kValue = 2;
constexpr int kString = 1;
constexpr int kBool = 2;
constexpr int kInt = 3;
constexpr int kDouble = 4;
constexpr int kArray = 5;
constexpr int kMap = 6;
constexpr int kValues = 1;

// Receivers refuse what is nested deeper than protobuf's parsers read; see the collector's
// kMaxValueDepth.
constexpr int kMaxDepth = 30;

constexpr std::size_t kUnlimited = std::numeric_limits<std::size_t>::max();

}  // namespace

std::string_view ProtoText(std::string_view text, std::size_t longest, std::string& buffer) {
  if (text.size() > longest) {
    // Not within a character.
    while (longest > 0 && (static_cast<unsigned char>(text[longest]) & 0xC0) == 0x80) --longest;
    text = text.substr(0, longest);
  }
  if (IsValidUtf8(text)) return text;
  buffer = ToValidUtf8(text);
  return buffer;
}

template <typename Write>
void SpanAttributes::Put(std::string_view key, const Write& write) {
  std::string buffer;
  const auto attribute = out_.Begin(field_);
  out_.Text(kKey, ProtoText(key, kUnlimited, buffer));
  const auto value = out_.Begin(kValue);
  write();
  out_.End(value);
  out_.End(attribute);
}

void SpanAttributes::Text(std::string_view key, std::string_view value) {
  std::string buffer;
  Put(key, [&] { out_.Text(kString, ProtoText(value, longest_, buffer)); });
}

void SpanAttributes::Bool(std::string_view key, bool value) {
  Put(key, [&] { out_.Number(kBool, value ? 1 : 0); });
}

void SpanAttributes::Int(std::string_view key, std::int64_t value) {
  Put(key, [&] { out_.Number(kInt, static_cast<std::uint64_t>(value)); });
}

void SpanAttributes::Texts(std::string_view key, const std::vector<std::string>& values) {
  Put(key, [&] {
    std::string buffer;
    const auto array = out_.Begin(kArray);
    for (const std::string& value : values) {
      const auto element = out_.Begin(kValues);
      out_.Text(kString, ProtoText(value, longest_, buffer));
      out_.End(element);
    }
    out_.End(array);
  });
}

void SpanAttributes::JsonText(std::string_view key, std::string_view text) {
  constexpr std::size_t kShown = 1024;
  if (text.size() <= longest_) return Put(key, [&] { out_.Text(kString, text); });
  std::string marker = "{\"weft_truncated\":{\"bytes\":";
  AppendJsonNumber(marker, static_cast<std::uint64_t>(text.size()));
  marker += ",\"start\":";
  AppendJsonString(marker, text.substr(0, std::min(kShown, longest_)));
  marker += "}}";
  Put(key, [&] { out_.Text(kString, marker); });
}

void SpanAttributes::JsonText(std::string_view key, const JsonObject& value) {
  std::string text;
  AppendJson(text, value);
  JsonText(key, std::string_view(text));
}

void SpanAttributes::Value(std::string_view key, const Json& value) {
  switch (value.kind()) {
    case boost::json::kind::null:
      return;
    case boost::json::kind::bool_:
      return Bool(key, value.get_bool());
    case boost::json::kind::int64:
      return Int(key, value.get_int64());
    case boost::json::kind::double_:
      return Put(key, [&] { out_.Double(kDouble, value.get_double()); });
    case boost::json::kind::string:
      return Text(key, std::string_view(value.get_string().data(), value.get_string().size()));
    case boost::json::kind::uint64:  // Beyond what OTLP's integers hold: as text it stays exact.
    case boost::json::kind::array:
    case boost::json::kind::object:
      break;
  }
  if (value.is_uint64() && value.get_uint64() <= std::numeric_limits<std::int64_t>::max()) {
    return Int(key, static_cast<std::int64_t>(value.get_uint64()));
  }
  std::string text;
  AppendJson(text, value);
  JsonText(key, std::string_view(text));
}

void SpanAttributes::Tree(std::string_view key, const Json& value) {
  if (!value.is_array() && !value.is_object()) return Value(key, value);
  Put(key, [&] { Tree(value, 0); });
}

// What is in an AnyValue. One without a value is OTLP's null.
void SpanAttributes::Tree(const Json& value, int depth) {
  std::string buffer;
  if (const auto* const text = value.if_string()) {
    return out_.Text(kString, ProtoText({text->data(), text->size()}, longest_, buffer));
  }
  if (value.is_bool()) return out_.Number(kBool, value.get_bool() ? 1 : 0);
  if (value.is_int64()) return out_.Number(kInt, static_cast<std::uint64_t>(value.get_int64()));
  if (value.is_double()) return out_.Double(kDouble, value.get_double());
  if (value.is_uint64()) return out_.Text(kString, std::to_string(value.get_uint64()));
  if (value.is_null()) return;
  if (depth == kMaxDepth) {
    std::string text;
    AppendJson(text, value);
    return out_.Text(kString, ProtoText(text, longest_, buffer));
  }
  const auto all = out_.Begin(value.is_array() ? kArray : kMap);
  if (const auto* const list = value.if_array()) {
    for (const Json& element : *list) {
      const auto item = out_.Begin(kValues);
      Tree(element, depth + 1);
      out_.End(item);
    }
  } else {
    for (const auto& [key, element] : value.get_object()) {
      const auto pair = out_.Begin(kValues);
      out_.Text(kKey, ProtoText({key.data(), key.size()}, kUnlimited, buffer));
      const auto item = out_.Begin(kValue);
      Tree(element, depth + 1);
      out_.End(item);
      out_.End(pair);
    }
  }
  out_.End(all);
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
