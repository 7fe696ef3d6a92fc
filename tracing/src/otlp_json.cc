// SPDX-License-Identifier: Apache-2.0
#include "otlp_json.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include <absl/strings/escaping.h>

#include "json_writer.h"
#include "proto_reader.h"

namespace weft {
inline namespace v0 {
namespace internal {
namespace {

using google::protobuf::internal::WireFormatLite;
using google::protobuf::io::CodedInputStream;

// Values of attributes may hold others, and what was kept on disk may come from anybody.
constexpr int kMostLevels = 12;

enum class Kind {
  kText,
  kHex,
  kBase64,
  kBool,
  kNumber,
  kInt64,
  kFixed32,
  kFixed64,
  kDouble,
  kMessage
};

struct Field;
using Fields = std::span<const Field>;

struct Field {
  int number;
  const char* name;
  Kind kind;
  bool repeated = false;
  Fields (*message)() = nullptr;
};

// opentelemetry.proto.common.v1

Fields KeyValueFields();
Fields AnyValueFields();

Fields ArrayFields() {
  static constexpr Field kFields[] = {{1, "values", Kind::kMessage, true, AnyValueFields}};
  return kFields;
}

Fields KeyValueListFields() {
  static constexpr Field kFields[] = {{1, "values", Kind::kMessage, true, KeyValueFields}};
  return kFields;
}

Fields AnyValueFields() {
  static constexpr Field kFields[] = {{1, "stringValue", Kind::kText},
                                      {2, "boolValue", Kind::kBool},
                                      {3, "intValue", Kind::kInt64},
                                      {4, "doubleValue", Kind::kDouble},
                                      {5, "arrayValue", Kind::kMessage, false, ArrayFields},
                                      {6, "kvlistValue", Kind::kMessage, false, KeyValueListFields},
                                      {7, "bytesValue", Kind::kBase64}};
  return kFields;
}

Fields KeyValueFields() {
  static constexpr Field kFields[] = {{1, "key", Kind::kText},
                                      {2, "value", Kind::kMessage, false, AnyValueFields}};
  return kFields;
}

Fields ScopeFields() {
  static constexpr Field kFields[] = {{1, "name", Kind::kText},
                                      {2, "version", Kind::kText},
                                      {3, "attributes", Kind::kMessage, true, KeyValueFields},
                                      {4, "droppedAttributesCount", Kind::kNumber}};
  return kFields;
}

Fields ResourceFields() {
  static constexpr Field kFields[] = {{1, "attributes", Kind::kMessage, true, KeyValueFields},
                                      {2, "droppedAttributesCount", Kind::kNumber}};
  return kFields;
}

// opentelemetry.proto.trace.v1

Fields EventFields() {
  static constexpr Field kFields[] = {{1, "timeUnixNano", Kind::kFixed64},
                                      {2, "name", Kind::kText},
                                      {3, "attributes", Kind::kMessage, true, KeyValueFields},
                                      {4, "droppedAttributesCount", Kind::kNumber}};
  return kFields;
}

Fields LinkFields() {
  static constexpr Field kFields[] = {{1, "traceId", Kind::kHex},
                                      {2, "spanId", Kind::kHex},
                                      {3, "traceState", Kind::kText},
                                      {4, "attributes", Kind::kMessage, true, KeyValueFields},
                                      {5, "droppedAttributesCount", Kind::kNumber},
                                      {6, "flags", Kind::kFixed32}};
  return kFields;
}

Fields StatusFields() {
  static constexpr Field kFields[] = {{2, "message", Kind::kText}, {3, "code", Kind::kNumber}};
  return kFields;
}

Fields SpanFields() {
  static constexpr Field kFields[] = {{1, "traceId", Kind::kHex},
                                      {2, "spanId", Kind::kHex},
                                      {3, "traceState", Kind::kText},
                                      {4, "parentSpanId", Kind::kHex},
                                      {5, "name", Kind::kText},
                                      {6, "kind", Kind::kNumber},
                                      {7, "startTimeUnixNano", Kind::kFixed64},
                                      {8, "endTimeUnixNano", Kind::kFixed64},
                                      {9, "attributes", Kind::kMessage, true, KeyValueFields},
                                      {10, "droppedAttributesCount", Kind::kNumber},
                                      {11, "events", Kind::kMessage, true, EventFields},
                                      {12, "droppedEventsCount", Kind::kNumber},
                                      {13, "links", Kind::kMessage, true, LinkFields},
                                      {14, "droppedLinksCount", Kind::kNumber},
                                      {15, "status", Kind::kMessage, false, StatusFields},
                                      {16, "flags", Kind::kFixed32}};
  return kFields;
}

Fields ScopeSpansFields() {
  static constexpr Field kFields[] = {{1, "scope", Kind::kMessage, false, ScopeFields},
                                      {2, "spans", Kind::kMessage, true, SpanFields},
                                      {3, "schemaUrl", Kind::kText}};
  return kFields;
}

Fields ResourceSpansFields() {
  static constexpr Field kFields[] = {{1, "resource", Kind::kMessage, false, ResourceFields},
                                      {2, "scopeSpans", Kind::kMessage, true, ScopeSpansFields},
                                      {3, "schemaUrl", Kind::kText}};
  return kFields;
}

Fields RequestFields() {
  static constexpr Field kFields[] = {
      {1, "resourceSpans", Kind::kMessage, true, ResourceSpansFields}};
  return kFields;
}

constexpr std::size_t kMostFields = 16;

WireFormatLite::WireType WireTypeOf(Kind kind) {
  switch (kind) {
    case Kind::kBool:
    case Kind::kNumber:
    case Kind::kInt64:
      return WireFormatLite::WIRETYPE_VARINT;
    case Kind::kFixed32:
      return WireFormatLite::WIRETYPE_FIXED32;
    case Kind::kFixed64:
    case Kind::kDouble:
      return WireFormatLite::WIRETYPE_FIXED64;
    case Kind::kText:
    case Kind::kHex:
    case Kind::kBase64:
    case Kind::kMessage:
      break;
  }
  return WireFormatLite::WIRETYPE_LENGTH_DELIMITED;
}

void AppendQuoted(std::string& out, std::string_view plain) {
  out.append(1, '"').append(plain) += '"';
}

void AppendDouble(std::string& out, double value) {
  if (std::isfinite(value)) return AppendJsonNumber(out, value);
  AppendQuoted(out, std::isnan(value) ? "NaN" : value > 0 ? "Infinity" : "-Infinity");
}

void AppendMessage(std::string& out, std::string_view bytes, Fields fields, int level);

void AppendBytes(std::string& out, const std::string& bytes, const Field& field, int level) {
  switch (field.kind) {
    case Kind::kHex:
      return AppendQuoted(out, absl::BytesToHexString(bytes));
    case Kind::kBase64:
      return AppendQuoted(out, absl::Base64Escape(bytes));
    case Kind::kMessage:
      return AppendMessage(out, bytes, field.message(), level + 1);
    default:
      return AppendJsonString(out, bytes);
  }
}

bool AppendVarint(std::string& out, CodedInputStream& in, Kind kind) {
  std::uint64_t value = 0;
  if (!in.ReadVarint64(&value)) return false;
  if (kind == Kind::kBool) {
    out += value != 0 ? "true" : "false";
  } else if (kind == Kind::kInt64) {
    AppendQuoted(out, std::to_string(static_cast<std::int64_t>(value)));
  } else {
    out += std::to_string(value);
  }
  return true;
}

bool AppendFixed(std::string& out, CodedInputStream& in, Kind kind) {
  if (kind == Kind::kFixed32) {
    std::uint32_t value = 0;
    if (!in.ReadLittleEndian32(&value)) return false;
    out += std::to_string(value);
    return true;
  }
  std::uint64_t value = 0;
  if (!in.ReadLittleEndian64(&value)) return false;
  if (kind == Kind::kDouble) {
    AppendDouble(out, std::bit_cast<double>(value));
  } else {
    AppendQuoted(out, std::to_string(value));
  }
  return true;
}

bool AppendValue(std::string& out, CodedInputStream& in, const Field& field, int level) {
  switch (WireTypeOf(field.kind)) {
    case WireFormatLite::WIRETYPE_VARINT:
      return AppendVarint(out, in, field.kind);
    case WireFormatLite::WIRETYPE_FIXED32:
    case WireFormatLite::WIRETYPE_FIXED64:
      return AppendFixed(out, in, field.kind);
    default:
      break;
  }
  std::string bytes;
  if (!ReadProtoBytes(in, bytes)) return false;
  AppendBytes(out, bytes, field, level);
  return true;
}

void AppendMessage(std::string& out, std::string_view bytes, Fields fields, int level) {
  // The elements of a repeated field need not stand side by side.
  std::array<std::string, kMostFields> values;
  ReadProto(bytes, [&](std::uint32_t tag, CodedInputStream& in) {
    const auto field = std::find_if(fields.begin(), fields.end(), [tag](const Field& candidate) {
      return WireFormatLite::MakeTag(candidate.number, WireTypeOf(candidate.kind)) == tag;
    });
    if (field == fields.end() || level >= kMostLevels) return false;
    std::string& value = values[static_cast<std::size_t>(field - fields.begin())];
    if (!field->repeated) {
      value.clear();
    } else if (!value.empty()) {
      value += ',';
    }
    return AppendValue(value, in, *field, level);
  });
  out += '{';
  bool first = true;
  for (std::size_t i = 0; i < fields.size(); ++i) {
    if (values[i].empty()) continue;
    if (!std::exchange(first, false)) out += ',';
    AppendQuoted(out, fields[i].name);
    out += ':';
    if (fields[i].repeated) out += '[';
    out += values[i];
    if (fields[i].repeated) out += ']';
  }
  out += '}';
}

}  // namespace

std::string OtlpJson(std::string_view request) {
  std::string out;
  out.reserve(2 * request.size());
  AppendMessage(out, request, RequestFields(), 0);
  return out;
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
