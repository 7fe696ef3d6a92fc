// SPDX-License-Identifier: Apache-2.0
#include "otlp/span_check.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <optional>
#include <utility>

#include <simdjson.h>

#include <weft/collector/record.h>

#include "otlp/proto_reader.h"

namespace weft::collector {
namespace {

constexpr auto kVarint = ProtoReader::kVarint;
constexpr auto kFixed64 = ProtoReader::kFixed64;
constexpr auto kDelimited = ProtoReader::kDelimited;

constexpr std::uint64_t kStatusError = 2;

template <typename Word>
Word Load(const char* at) {
  Word word;
  std::memcpy(&word, at, sizeof word);
  return word;
}

// The last bytes are looked at together with some before them.
bool IsAscii(std::string_view text) {
  const char* at = text.data();
  const char* const end = at + text.size();
  std::uint64_t high = 0;
  if (text.size() >= sizeof high) {
    using Block = std::array<std::uint64_t, 4>;
    for (; end - at >= static_cast<std::ptrdiff_t>(sizeof(Block)); at += sizeof(Block)) {
      const auto block = Load<Block>(at);
      high |= block[0] | block[1] | block[2] | block[3];
    }
    for (; end - at > static_cast<std::ptrdiff_t>(sizeof high); at += sizeof high) {
      high |= Load<std::uint64_t>(at);
    }
    high |= Load<std::uint64_t>(end - sizeof high);
  } else if (text.size() >= sizeof(std::uint32_t)) {
    high = Load<std::uint32_t>(at) | Load<std::uint32_t>(end - sizeof(std::uint32_t));
  } else {
    for (; at != end; ++at) high |= static_cast<unsigned char>(*at);
  }
  return (high & 0x8080808080808080u) == 0;
}

bool IsZero(std::string_view bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](char c) { return c == 0; });
}

// A number of at most two bytes; nothing behind `end`, and for longer ones.
const char* ReadSize(const char* at, const char* end, std::size_t* size) {
  if (end - at < 2) return nullptr;
  const auto low = static_cast<unsigned char>(at[0]), high = static_cast<unsigned char>(at[1]);
  *size = low < 0x80 ? low : (low & 0x7fu) | std::size_t{high} << 7;
  return low < 0x80 ? at + 1 : high < 0x80 ? at + 2 : nullptr;
}

struct TextPair {
  std::string_view key, value, text;
};

// A KeyValue of a key and a text, written as everyone writes it. Most attributes are; others have
// to be read field by field.
std::optional<TextPair> ReadTextPair(std::string_view pair) {
  constexpr char kFirst = 1 << 3 | kDelimited, kSecond = 2 << 3 | kDelimited;
  const char* at = pair.data();
  const char* const end = at + pair.size();
  std::size_t size = 0;
  if (pair.empty() || *at != kFirst) return std::nullopt;
  at = ReadSize(at + 1, end, &size);
  if (at == nullptr || static_cast<std::size_t>(end - at) <= size) return std::nullopt;
  TextPair found;
  found.key = {at, size};
  at += size;
  if (*at != kSecond) return std::nullopt;
  at = ReadSize(at + 1, end, &size);
  if (at == nullptr || static_cast<std::size_t>(end - at) != size || size == 0) return std::nullopt;
  found.value = {at, size};
  if (*at != kFirst) return std::nullopt;
  at = ReadSize(at + 1, end, &size);
  if (at == nullptr || static_cast<std::size_t>(end - at) != size) return std::nullopt;
  found.text = {at, size};
  return found;
}

// The text of an AnyValue, if it is one.
std::string_view TextOf(std::string_view value) {
  std::string_view text;
  for (ProtoReader in(value); in.Next();) {
    if (in.Is(1, kDelimited)) text = in.bytes();
  }
  return text;
}

bool IsTrue(std::string_view value) {
  for (ProtoReader in(value); in.Next();) {
    if (in.Is(1, kDelimited)) return in.bytes() == "true";
    if (in.Is(2, kVarint)) return in.number() != 0;
  }
  return false;
}

void TakeAttribute(std::string_view key, std::string_view value, SpanFacts* facts) {
  constexpr std::string_view kPrefix = "langsmith.";
  if (!key.starts_with(kPrefix)) {
    // The JavaScript AI SDK's name for the same.
    if (key == "ai.telemetry.metadata.ls_project_name" && facts->project.empty()) {
      facts->project = TextOf(value);
    }
    return;
  }
  key.remove_prefix(kPrefix.size());
  const std::pair<std::string_view, std::string_view SpanFacts::*> texts[] = {
      {"trace.id", &SpanFacts::langsmith_trace_id},
      {"span.id", &SpanFacts::langsmith_span_id},
      {"span.parent_id", &SpanFacts::langsmith_parent_id},
      {"span.dotted_order", &SpanFacts::dotted_order},
      {"traceable_parent_otel_span_id", &SpanFacts::traceable_parent},
  };
  for (const auto& [name, slot] : texts) {
    if (key == name) facts->*slot = TextOf(value);
  }
  if (key == "is_root") facts->says_root = IsTrue(value);
  if (key == "trace.session_name") {
    if (const std::string_view project = TextOf(value); !project.empty()) facts->project = project;
  }
}

}  // namespace

const char* SpanFacts::Defect() const {
  if (trace_id.size() != 16) return "trace_id: not 16 bytes";
  if (IsZero(trace_id)) return "trace_id: all zero";
  if (span_id.size() != 8) return "span_id: not 8 bytes";
  if (IsZero(span_id)) return "span_id: all zero";
  if (!parent_span_id.empty() && parent_span_id.size() != 8) return "parent_span_id: not 8 bytes";
  if (attributes > kMaxSpanAttributes) return "attributes: more than 2000";
  if (project.size() > kMaxProjectBytes) {
    return "langsmith.trace.session_name: longer than 1024 bytes";
  }
  if (items > kMaxSpanItems) return "events and links: more than 20000 with their attributes";
  return nullptr;
}

bool SpanChecker::Fail(const char* error) {
  error_ = error;
  return false;
}

bool SpanChecker::CheckText(std::string_view text) {
  if (invalid_text_ == nullptr || IsAscii(text)) return true;
  if (!simdjson::validate_utf8(text.data(), text.size())) invalid_text_->push_back(text);
  return true;
}

bool SpanChecker::CheckSpan(std::string_view span, SpanFacts* facts) {
  ProtoReader in(span);
  while (in.Next()) {
    if (in.type() == kDelimited) {
      bool good = true;
      switch (in.field()) {
        case 1:
          facts->trace_id = in.bytes();
          break;
        case 2:
          facts->span_id = in.bytes();
          break;
        case 3:  // trace_state
        case 5:  // name
          good = CheckText(in.bytes());
          break;
        case 4:
          facts->parent_span_id = in.bytes();
          break;
        case 9: {
          std::string_view key, value;
          good = CheckKeyValue(in.bytes(), 0, &key, &value);
          ++facts->attributes;
          if (good && !key.empty() && (key[0] == 'l' || key[0] == 'a')) {
            TakeAttribute(key, value, facts);
          }
          break;
        }
        case 11:
          good = CheckEvent(in.bytes(), facts);
          break;
        case 13:
          good = CheckLink(in.bytes(), facts);
          break;
        case 15:
          good = CheckStatus(in.bytes(), facts);
          break;
        default:
          break;
      }
      if (!good) return false;
    } else if (in.Is(7, kFixed64)) {
      facts->start_unix_ns = in.number();
    } else if (in.Is(8, kFixed64)) {
      facts->end_unix_ns = in.number();
    }
  }
  return in.ok() || Fail("a span is cut off or damaged");
}

bool SpanChecker::CheckEvent(std::string_view event, SpanFacts* facts) {
  ++facts->items;
  ProtoReader in(event);
  while (in.Next()) {
    if (in.Is(2, kDelimited)) {
      CheckText(in.bytes());
      facts->has_error |= in.bytes() == "exception";
    } else if (in.Is(3, kDelimited)) {
      ++facts->items;
      if (!CheckAttribute(in.bytes())) return false;
    }
  }
  return in.ok() || Fail("an event is cut off or damaged");
}

bool SpanChecker::CheckLink(std::string_view link, SpanFacts* facts) {
  ++facts->items;
  ProtoReader in(link);
  while (in.Next()) {
    if (in.Is(3, kDelimited)) CheckText(in.bytes());
    if (!in.Is(4, kDelimited)) continue;
    ++facts->items;
    if (!CheckAttribute(in.bytes())) return false;
  }
  return in.ok() || Fail("a link is cut off or damaged");
}

bool SpanChecker::CheckStatus(std::string_view status, SpanFacts* facts) {
  ProtoReader in(status);
  while (in.Next()) {
    if (in.Is(2, kDelimited)) CheckText(in.bytes());
    if (in.Is(3, kVarint)) facts->has_error |= in.number() == kStatusError;
  }
  return in.ok() || Fail("a status is cut off or damaged");
}

bool SpanChecker::CheckResource(std::string_view resource) {
  std::size_t attributes = 0;
  ProtoReader in(resource);
  while (in.Next()) {
    if (!in.Is(1, kDelimited)) continue;
    if (++attributes > kMaxSpanAttributes) return Fail("a resource has more than 2000 attributes");
    if (!CheckAttribute(in.bytes())) return false;
  }
  return in.ok() || Fail("a resource is cut off or damaged");
}

bool SpanChecker::CheckScope(std::string_view scope) {
  ProtoReader in(scope);
  while (in.Next()) {
    if (in.Is(1, kDelimited) || in.Is(2, kDelimited)) CheckText(in.bytes());
    if (in.Is(3, kDelimited) && !CheckAttribute(in.bytes())) return false;
  }
  return in.ok() || Fail("a scope is cut off or damaged");
}

bool SpanChecker::CheckAttribute(std::string_view pair) {
  std::string_view key, value;
  return CheckKeyValue(pair, 0, &key, &value);
}

bool SpanChecker::CheckKeyValue(std::string_view pair, int depth, std::string_view* key,
                                std::string_view* value) {
  const std::optional<TextPair> simple =
      depth <= kMaxValueDepth ? ReadTextPair(pair) : std::nullopt;
  if (simple) {
    *key = simple->key;
    *value = simple->value;
    return CheckText(simple->key) && CheckText(simple->text);
  }
  ProtoReader in(pair);
  while (in.Next()) {
    if (in.Is(1, kDelimited)) {
      *key = in.bytes();
      CheckText(*key);
    } else if (in.Is(2, kDelimited)) {
      *value = in.bytes();
      if (!CheckValue(*value, depth)) return false;
    }
  }
  return in.ok() || Fail("an attribute is cut off or damaged");
}

bool SpanChecker::CheckValue(std::string_view value, int depth) {
  if (depth > kMaxValueDepth) return Fail("an attribute is nested too deeply");
  ProtoReader in(value);
  while (in.Next()) {
    if (in.Is(1, kDelimited)) {
      CheckText(in.bytes());
    } else if (in.Is(5, kDelimited) || in.Is(6, kDelimited)) {
      const bool is_map = in.field() == 6;
      ProtoReader items(in.bytes());
      while (items.Next()) {
        if (!items.Is(1, kDelimited)) continue;
        std::string_view key, inner;
        const bool good = is_map ? CheckKeyValue(items.bytes(), depth + 1, &key, &inner)
                                 : CheckValue(items.bytes(), depth + 1);
        if (!good) return false;
      }
      if (!items.ok()) return Fail("a list or map is cut off or damaged");
    }
  }
  return in.ok() || Fail("a value is cut off or damaged");
}

}  // namespace weft::collector
