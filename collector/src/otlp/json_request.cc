// SPDX-License-Identifier: Apache-2.0
#include "otlp/json_request.h"

#include <charconv>
#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

#include <absl/status/status.h>
#include <absl/strings/escaping.h>
#include <simdjson.h>

#include <weft/tracing/internal/proto_writer.h>

#include "langsmith/json_scanner.h"

namespace weft::collector {
namespace {

using internal::ProtoWriter;
namespace ondemand = simdjson::ondemand;

enum class Kind : std::uint8_t {
  kText,
  kBytes,
  kId,
  kBool,
  kInt64,
  kUint32,
  kFixed32,
  kFixed64,
  kDouble,
  kEnum,
  kMessage
};

struct Message;
struct EnumName {
  std::string_view name;
  std::uint64_t number;
};

struct Field {
  std::string_view name;        // lowerCamelCase
  std::string_view proto_name;  // as in the .proto file
  int number;
  Kind kind;
  bool repeated = false;
  const Message* type = nullptr;
  std::span<const EnumName> names{};
};

struct Message {
  std::span<const Field> fields;
};

extern const Message kAnyValue, kKeyValue;

constexpr Field kArrayFields[] = {{"values", "values", 1, Kind::kMessage, true, &kAnyValue}};
constexpr Message kArray{kArrayFields};
constexpr Field kMapFields[] = {{"values", "values", 1, Kind::kMessage, true, &kKeyValue}};
constexpr Message kMap{kMapFields};
constexpr Field kAnyValueFields[] = {
    {"stringValue", "string_value", 1, Kind::kText},
    {"boolValue", "bool_value", 2, Kind::kBool},
    {"intValue", "int_value", 3, Kind::kInt64},
    {"doubleValue", "double_value", 4, Kind::kDouble},
    {"arrayValue", "array_value", 5, Kind::kMessage, false, &kArray},
    {"kvlistValue", "kvlist_value", 6, Kind::kMessage, false, &kMap},
    {"bytesValue", "bytes_value", 7, Kind::kBytes},
};
constexpr Message kAnyValue{kAnyValueFields};
constexpr Field kKeyValueFields[] = {
    {"key", "key", 1, Kind::kText},
    {"value", "value", 2, Kind::kMessage, false, &kAnyValue},
};
constexpr Message kKeyValue{kKeyValueFields};

constexpr Field kEventFields[] = {
    {"timeUnixNano", "time_unix_nano", 1, Kind::kFixed64},
    {"name", "name", 2, Kind::kText},
    {"attributes", "attributes", 3, Kind::kMessage, true, &kKeyValue},
    {"droppedAttributesCount", "dropped_attributes_count", 4, Kind::kUint32},
};
constexpr Message kEvent{kEventFields};
constexpr Field kLinkFields[] = {
    {"traceId", "trace_id", 1, Kind::kId},
    {"spanId", "span_id", 2, Kind::kId},
    {"traceState", "trace_state", 3, Kind::kText},
    {"attributes", "attributes", 4, Kind::kMessage, true, &kKeyValue},
    {"droppedAttributesCount", "dropped_attributes_count", 5, Kind::kUint32},
    {"flags", "flags", 6, Kind::kFixed32},
};
constexpr Message kLink{kLinkFields};
constexpr EnumName kStatusCodes[] = {
    {"STATUS_CODE_UNSET", 0}, {"STATUS_CODE_OK", 1}, {"STATUS_CODE_ERROR", 2}};
constexpr Field kStatusFields[] = {
    {"message", "message", 2, Kind::kText},
    {"code", "code", 3, Kind::kEnum, false, nullptr, kStatusCodes},
};
constexpr Message kStatus{kStatusFields};
constexpr EnumName kSpanKinds[] = {{"SPAN_KIND_UNSPECIFIED", 0}, {"SPAN_KIND_INTERNAL", 1},
                                   {"SPAN_KIND_SERVER", 2},      {"SPAN_KIND_CLIENT", 3},
                                   {"SPAN_KIND_PRODUCER", 4},    {"SPAN_KIND_CONSUMER", 5}};
constexpr Field kSpanFields[] = {
    {"traceId", "trace_id", 1, Kind::kId},
    {"spanId", "span_id", 2, Kind::kId},
    {"traceState", "trace_state", 3, Kind::kText},
    {"parentSpanId", "parent_span_id", 4, Kind::kId},
    {"name", "name", 5, Kind::kText},
    {"kind", "kind", 6, Kind::kEnum, false, nullptr, kSpanKinds},
    {"startTimeUnixNano", "start_time_unix_nano", 7, Kind::kFixed64},
    {"endTimeUnixNano", "end_time_unix_nano", 8, Kind::kFixed64},
    {"attributes", "attributes", 9, Kind::kMessage, true, &kKeyValue},
    {"droppedAttributesCount", "dropped_attributes_count", 10, Kind::kUint32},
    {"events", "events", 11, Kind::kMessage, true, &kEvent},
    {"droppedEventsCount", "dropped_events_count", 12, Kind::kUint32},
    {"links", "links", 13, Kind::kMessage, true, &kLink},
    {"droppedLinksCount", "dropped_links_count", 14, Kind::kUint32},
    {"status", "status", 15, Kind::kMessage, false, &kStatus},
    {"flags", "flags", 16, Kind::kFixed32},
};
constexpr Message kSpan{kSpanFields};
constexpr Field kScopeFields[] = {
    {"name", "name", 1, Kind::kText},
    {"version", "version", 2, Kind::kText},
    {"attributes", "attributes", 3, Kind::kMessage, true, &kKeyValue},
    {"droppedAttributesCount", "dropped_attributes_count", 4, Kind::kUint32},
};
constexpr Message kScope{kScopeFields};
constexpr Field kScopeSpansFields[] = {
    {"scope", "scope", 1, Kind::kMessage, false, &kScope},
    {"spans", "spans", 2, Kind::kMessage, true, &kSpan},
    {"schemaUrl", "schema_url", 3, Kind::kText},
};
constexpr Message kScopeSpans{kScopeSpansFields};
constexpr Field kResourceFields[] = {
    {"attributes", "attributes", 1, Kind::kMessage, true, &kKeyValue},
    {"droppedAttributesCount", "dropped_attributes_count", 2, Kind::kUint32},
};
constexpr Message kResource{kResourceFields};
constexpr Field kResourceSpansFields[] = {
    {"resource", "resource", 1, Kind::kMessage, false, &kResource},
    {"scopeSpans", "scope_spans", 2, Kind::kMessage, true, &kScopeSpans},
    {"schemaUrl", "schema_url", 3, Kind::kText},
};
constexpr Message kResourceSpans{kResourceSpansFields};
constexpr Field kRequestFields[] = {
    {"resourceSpans", "resource_spans", 1, Kind::kMessage, true, &kResourceSpans},
};
constexpr Message kRequest{kRequestFields};

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const char lower = static_cast<char>(c | 0x20);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

// Empty when it is not hexadecimal.
std::string FromHex(std::string_view text) {
  std::string bytes;
  for (std::size_t i = 0; i + 1 < text.size(); i += 2) {
    const int high = HexDigit(text[i]), low = HexDigit(text[i + 1]);
    if (high < 0 || low < 0) return "";
    bytes += static_cast<char>(high * 16 + low);
  }
  return text.size() % 2 == 0 ? bytes : "";
}

// A number of any kind, written as a number or as a text.
template <typename Number>
std::optional<Number> Parse(std::string_view text) {
  Number number{};
  const char* const end = text.data() + text.size();
  if (const auto [at, error] = std::from_chars(text.data(), end, number);
      error == std::errc() && at == end) {
    return number;
  }
  if constexpr (std::is_integral_v<Number>) {
    const std::optional<double> real = Parse<double>(text);
    // The largest number itself is no double: its neighbour above is out of range.
    if (!real || *real != std::floor(*real) ||
        *real < static_cast<double>(std::numeric_limits<Number>::min()) ||
        *real >= static_cast<double>(std::numeric_limits<Number>::max())) {
      return std::nullopt;
    }
    return static_cast<Number>(*real);
  } else {
    if (text == "NaN") return std::numeric_limits<Number>::quiet_NaN();
    if (text == "Infinity") return std::numeric_limits<Number>::infinity();
    if (text == "-Infinity") return -std::numeric_limits<Number>::infinity();
  }
  return std::nullopt;
}

std::string_view Trimmed(std::string_view token) {
  while (!token.empty() && (token.back() == ' ' || token.back() == '\n' || token.back() == '\r' ||
                            token.back() == '\t')) {
    token.remove_suffix(1);
  }
  return token;
}

class Converter {
 public:
  explicit Converter(std::string& out) : out_(out) {}

  bool WriteMessage(ondemand::value value, const Message& type) {
    ondemand::object object;
    if (value.get_object().get(object) != simdjson::SUCCESS) return Fail("an object");
    for (auto member : object) {
      std::string_view key;
      ondemand::value inner;
      if (member.unescaped_key().get(key) != simdjson::SUCCESS ||
          member.value().get(inner) != simdjson::SUCCESS) {
        return Fail("a member");
      }
      for (const Field& field : type.fields) {
        if (key != field.name && key != field.proto_name) continue;
        if (!WriteMember(inner, field)) return false;
        break;
      }
    }
    return true;
  }

  const std::string& error() const { return error_; }

 private:
  bool Fail(std::string_view expected) {
    if (error_.empty()) error_ = "expected " + std::string(expected);
    return false;
  }

  bool FailAt(const Field& field) {
    error_ = std::string(field.name) + (error_.starts_with("expected") ? ": " : ".") + error_;
    return false;
  }

  bool WriteMember(ondemand::value value, const Field& field) {
    if (value.is_null()) return true;
    if (!field.repeated) return WriteOne(value, field) || FailAt(field);
    ondemand::array array;
    if (value.get_array().get(array) != simdjson::SUCCESS) {
      Fail("an array");
      return FailAt(field);
    }
    for (auto element : array) {
      ondemand::value inner;
      if (element.get(inner) != simdjson::SUCCESS || !WriteOne(inner, field)) {
        Fail("an element");
        return FailAt(field);
      }
    }
    return true;
  }

  bool WriteOne(ondemand::value value, const Field& field) {
    switch (field.kind) {
      case Kind::kMessage: {
        const auto begin = out_.Begin(field.number);
        if (!WriteMessage(value, *field.type)) return false;
        out_.End(begin);
        return true;
      }
      case Kind::kText:
      case Kind::kBytes:
      case Kind::kId:
        return WriteText(value, field);
      case Kind::kBool: {
        bool flag = false;
        if (value.get_bool().get(flag) != simdjson::SUCCESS) return Fail("true or false");
        out_.Number(field.number, flag ? 1 : 0);
        return true;
      }
      case Kind::kEnum:
        return WriteEnum(value, field);
      default:
        return WriteNumber(value, field);
    }
  }

  bool WriteText(ondemand::value value, const Field& field) {
    std::string_view text;
    if (value.get_string().get(text) != simdjson::SUCCESS) return Fail("a string");
    if (field.kind == Kind::kText) {
      out_.Text(field.number, text);
    } else if (field.kind == Kind::kId) {
      out_.Text(field.number, FromHex(text));
    } else {
      std::string bytes;
      const absl::string_view given(text.data(), text.size());
      if (!absl::Base64Unescape(given, &bytes) && !absl::WebSafeBase64Unescape(given, &bytes)) {
        return Fail("base64");
      }
      out_.Text(field.number, bytes);
    }
    return true;
  }

  // The digits, without quotes where they are a text.
  std::optional<std::string> Digits(ondemand::value value) {
    ondemand::json_type type;
    if (value.type().get(type) != simdjson::SUCCESS) return std::nullopt;
    std::string_view text;
    if (type == ondemand::json_type::string) {
      if (value.get_string().get(text) != simdjson::SUCCESS) return std::nullopt;
      return std::string(text);
    }
    if (type != ondemand::json_type::number) return std::nullopt;
    const std::string token(Trimmed(value.raw_json_token()));
    double ignored;  // moves on
    if (value.get_double().get(ignored) != simdjson::SUCCESS) return std::nullopt;
    return token;
  }

  bool WriteNumber(ondemand::value value, const Field& field) {
    const std::optional<std::string> digits = Digits(value);
    if (!digits) return Fail("a number");
    const auto write = [&](const auto& number, const auto& writer) {
      if (!number) return Fail("a number in range");
      writer(*number);
      return true;
    };
    const int n = field.number;
    switch (field.kind) {
      case Kind::kInt64:
        return write(Parse<std::int64_t>(*digits),
                     [&](auto v) { out_.Number(n, static_cast<std::uint64_t>(v)); });
      case Kind::kUint32:
        return write(Parse<std::uint32_t>(*digits), [&](auto v) { out_.Number(n, v); });
      case Kind::kFixed32:
        return write(Parse<std::uint32_t>(*digits), [&](auto v) { out_.Fixed32(n, v); });
      case Kind::kFixed64:
        return write(Parse<std::uint64_t>(*digits), [&](auto v) { out_.Fixed64(n, v); });
      default:
        return write(Parse<double>(*digits), [&](auto v) { out_.Double(n, v); });
    }
  }

  bool WriteEnum(ondemand::value value, const Field& field) {
    const std::optional<std::string> text = Digits(value);
    if (!text) return Fail("a number or a name");
    for (const EnumName& known : field.names) {
      if (*text == known.name) {
        out_.Number(field.number, known.number);
        return true;
      }
    }
    const std::optional<std::int32_t> number = Parse<std::int32_t>(*text);
    if (!number) return Fail("a number or a known name");
    out_.Number(field.number, static_cast<std::uint64_t>(std::int64_t{*number}));
    return true;
  }

  ProtoWriter out_;
  std::string error_;
};

}  // namespace

absl::StatusOr<std::string> TraceRequestFromJson(std::string json) {
  std::size_t size = json.size();
  json.append(simdjson::SIMDJSON_PADDING, ' ');
  std::string error;
  const JsonState state =
      CheckJson(std::string_view(json).substr(0, size), simdjson::SIMDJSON_PADDING, &error);
  if (state == JsonState::kInvalid) return absl::InvalidArgumentError("body: " + error);
  if (state == JsonState::kRepairable) {
    json = RepairJson(std::string_view(json).substr(0, size));
    size = json.size();
    json.append(simdjson::SIMDJSON_PADDING, ' ');
  }
  ondemand::parser parser;
  ondemand::document document;
  ondemand::value root;
  std::string message;
  message.reserve(size / 2);
  Converter converter(message);
  const simdjson::padded_string_view text(json.data(), size, json.size());
  if (parser.iterate(text).get(document) != simdjson::SUCCESS ||
      document.get_value().get(root) != simdjson::SUCCESS ||
      !converter.WriteMessage(root, kRequest)) {
    return absl::InvalidArgumentError(
        "body: " + (converter.error().empty() ? "expected an object" : converter.error()));
  }
  return message;
}

}  // namespace weft::collector
