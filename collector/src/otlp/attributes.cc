// SPDX-License-Identifier: Apache-2.0
#include "otlp/attributes.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <functional>
#include <utility>

#include <absl/strings/escaping.h>

#include "otlp/json_text.h"
#include "otlp/proto_reader.h"
#include "otlp/span_check.h"

namespace weft::collector {
namespace {

constexpr auto kDelimited = ProtoReader::kDelimited;

struct KeyValue {
  std::string_view key, value;
};

KeyValue ReadKeyValue(std::string_view bytes) {
  KeyValue pair;
  for (ProtoReader in(bytes); in.Next();) {
    if (in.Is(1, kDelimited)) pair.key = in.bytes();
    if (in.Is(2, kDelimited)) pair.value = in.bytes();
  }
  return pair;
}

void AppendDouble(std::string& out, double real) {
  if (!std::isfinite(real)) {
    out += "null";
    return;
  }
  char text[40];
  const auto end = std::to_chars(text, text + sizeof text, real).ptr;
  const std::string_view digits(text, static_cast<std::size_t>(end - text));
  out += digits;
  if (digits.find_first_of(".e") == std::string_view::npos) out += ".0";
}

void Append(std::string& out, std::string_view any_value, int depth);

void AppendItems(std::string& out, std::string_view bytes, bool is_map, int depth) {
  bool first = true;
  out += is_map ? '{' : '[';
  for (ProtoReader in(bytes); in.Next();) {
    if (!in.Is(1, kDelimited)) continue;
    if (!std::exchange(first, false)) out += ',';
    if (!is_map) {
      Append(out, in.bytes(), depth + 1);
      continue;
    }
    const KeyValue pair = ReadKeyValue(in.bytes());
    AppendJsonString(out, pair.key);
    out += ':';
    Append(out, pair.value, depth + 1);
  }
  out += is_map ? '}' : ']';
}

void Append(std::string& out, const AttributeValue& value, int depth) {
  using Type = AttributeValue::Type;
  switch (value.type) {
    case Type::kNone:
      out += "null";
      break;
    case Type::kText:
      AppendJsonString(out, value.bytes);
      break;
    case Type::kBool:
      out += value.number != 0 ? "true" : "false";
      break;
    case Type::kInt:
      out += std::to_string(value.number);
      break;
    case Type::kDouble:
      AppendDouble(out, value.real);
      break;
    case Type::kBytes:
      out += '"';
      out += absl::Base64Escape(absl::string_view(value.bytes.data(), value.bytes.size()));
      out += '"';
      break;
    case Type::kList:
    case Type::kMap:
      if (depth > kMaxValueDepth) {
        out += "null";
      } else {
        AppendItems(out, value.bytes, value.type == Type::kMap, depth);
      }
      break;
  }
}

void Append(std::string& out, std::string_view any_value, int depth) {
  Append(out, AttributeValue::Read(any_value), depth);
}

bool KeyLess(const Attributes::Entry& entry, std::string_view key) { return entry.key < key; }

}  // namespace

AttributeValue AttributeValue::Read(std::string_view any_value) {
  AttributeValue value;
  for (ProtoReader in(any_value); in.Next();) {
    if (in.Is(1, kDelimited) || in.Is(5, kDelimited) || in.Is(6, kDelimited) ||
        in.Is(7, kDelimited)) {
      value.type = in.field() == 1   ? Type::kText
                   : in.field() == 5 ? Type::kList
                   : in.field() == 6 ? Type::kMap
                                     : Type::kBytes;
      value.bytes = in.bytes();
    } else if (in.Is(2, ProtoReader::kVarint)) {
      value.type = Type::kBool;
      value.number = in.number() != 0;
    } else if (in.Is(3, ProtoReader::kVarint)) {
      value.type = Type::kInt;
      value.number = static_cast<std::int64_t>(in.number());
    } else if (in.Is(4, ProtoReader::kFixed64)) {
      value.type = Type::kDouble;
      value.real = std::bit_cast<double>(in.number());
    }
  }
  return value;
}

void AttributeValue::AppendJson(std::string& out) const { Append(out, *this, 0); }

std::string AttributeValue::Json() const {
  std::string json;
  AppendJson(json);
  return json;
}

std::string AttributeValue::Text() const {
  if (type == Type::kNone) return "";
  return is_text() ? std::string(bytes) : Json();
}

std::optional<std::int64_t> AttributeValue::Integer() const {
  if (type == Type::kInt) return number;
  double found = real;
  if (type == Type::kText) {
    std::int64_t whole = 0;
    const char* const end = bytes.data() + bytes.size();
    const auto [at, error] = std::from_chars(bytes.data(), end, whole);
    if (error == std::errc() && at == end) return whole;
    const auto [real_at, real_error] = std::from_chars(bytes.data(), end, found);
    if (real_error != std::errc() || real_at != end) return std::nullopt;
  } else if (type != Type::kDouble) {
    return std::nullopt;
  }
  if (!(std::fabs(found) < 9e15)) return std::nullopt;
  return std::llround(found);
}

void Attributes::Add(std::string_view key_value) {
  const KeyValue pair = ReadKeyValue(key_value);
  entries_.push_back({pair.key, pair.value});
}

void Attributes::Sort() {
  bits_ = heads_ = 0;
  for (const Entry& entry : entries_) {
    bits_ |= BitOf(entry.key);
    if (entry.key.size() >= kHead) heads_ |= HeadBitOf(entry.key);
  }
  // Equal keys keep their order: it is that of their places in the message.
  std::sort(entries_.begin(), entries_.end(), [](const Entry& a, const Entry& b) {
    const int order = a.key.compare(b.key);
    return order != 0 ? order < 0 : std::less<>()(a.key.data(), b.key.data());
  });
  // Of equal keys the last stays.
  const auto kept = std::unique(entries_.rbegin(), entries_.rend(),
                                [](const Entry& a, const Entry& b) { return a.key == b.key; });
  entries_.erase(entries_.begin(), kept.base());
}

Attributes::Entry* Attributes::Search(std::string_view key) {
  // Looking through a few is faster: the lengths tell most of them apart.
  constexpr std::size_t kFew = 16;
  if (entries_.size() <= kFew) {
    for (Entry& entry : entries_) {
      if (entry.key == key) return &entry;
    }
    return nullptr;
  }
  const auto found = std::lower_bound(entries_.begin(), entries_.end(), key, KeyLess);
  return found != entries_.end() && found->key == key ? &*found : nullptr;
}

std::string_view Attributes::Text(std::string_view key) {
  const AttributeValue value = Value(key);
  return value.is_text() ? value.bytes : std::string_view();
}

AttributeValue Attributes::Take(std::string_view key) {
  Entry* const entry = Find(key);
  if (entry == nullptr) return {};
  entry->used = true;
  return AttributeValue::Read(entry->value);
}

std::string_view Attributes::TakeText(std::string_view key) {
  const std::string_view text = Text(key);
  if (!text.empty()) MarkUsed(key);
  return text;
}

void Attributes::MarkUsed(std::string_view key) {
  if (Entry* const entry = Find(key); entry != nullptr) entry->used = true;
}

std::vector<Attributes::Entry*> Attributes::SearchUnder(std::string_view prefix) {
  std::vector<Entry*> found;
  for (auto at = std::lower_bound(entries_.begin(), entries_.end(), prefix, KeyLess);
       at != entries_.end() && at->key.starts_with(prefix); ++at) {
    found.push_back(&*at);
  }
  return found;
}

}  // namespace weft::collector
