// SPDX-License-Identifier: Apache-2.0
#include "message_json.h"

#include <cmath>
#include <utility>

#include <absl/strings/escaping.h>
#include <google/protobuf/util/json_util.h>

namespace weft {
inline namespace v0 {
namespace internal {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

Json Text(std::string_view text) {
  return Json(boost::json::string_view(text.data(), text.size()));
}

Json Number(double number) {
  if (std::isnan(number)) return "NaN";
  if (std::isinf(number)) return number < 0 ? "-Infinity" : "Infinity";
  return number;
}

// Types of protobuf's own have forms of their own.
Json WellKnown(const Message& message) {
  std::string text;
  if (!google::protobuf::util::MessageToJsonString(message, &text).ok()) return nullptr;
  return ParseJson(text).value_or(nullptr);
}

class Writer {
 public:
  Writer(std::size_t attach_bytes, std::vector<RunAttachment>& attachments)
      : attach_bytes_(attach_bytes), attachments_(attachments) {}

  Json Write(const Message& message, const std::string& path) {
    if (message.GetDescriptor()->file()->package() == "google.protobuf") return WellKnown(message);
    const Reflection& reflection = *message.GetReflection();
    std::vector<const FieldDescriptor*> fields;
    reflection.ListFields(message, &fields);
    JsonObject object;
    for (const FieldDescriptor* const field : fields) {
      const std::string below = path + "_" + field->name();
      object[Key(*field)] = field->is_map()        ? Map(message, *field, below)
                            : field->is_repeated() ? List(message, *field, below)
                                                   : Value(message, *field, kNotRepeated, below);
    }
    return object;
  }

 private:
  static constexpr int kNotRepeated = -1;

  static std::string Key(const FieldDescriptor& field) {
    return field.is_extension() ? "[" + field.full_name() + "]" : field.json_name();
  }

  Json List(const Message& message, const FieldDescriptor& field, const std::string& path) {
    JsonArray list;
    const int size = message.GetReflection()->FieldSize(message, &field);
    for (int i = 0; i < size; ++i) {
      list.push_back(Value(message, field, i, path + "_" + std::to_string(i)));
    }
    return list;
  }

  Json Map(const Message& message, const FieldDescriptor& field, const std::string& path) {
    JsonObject map;
    const FieldDescriptor& key_field = *field.message_type()->map_key();
    const FieldDescriptor& value_field = *field.message_type()->map_value();
    const int size = message.GetReflection()->FieldSize(message, &field);
    for (int i = 0; i < size; ++i) {
      const Message& entry = message.GetReflection()->GetRepeatedMessage(message, &field, i);
      const Json key = Value(entry, key_field, kNotRepeated, path);
      std::string name;
      if (const auto* text = key.if_string()) {
        name.assign(text->data(), text->size());
      } else {
        name = boost::json::serialize(key);
      }
      Json value = Value(entry, value_field, kNotRepeated, path + "_" + std::to_string(i));
      map.insert_or_assign(name, std::move(value));
    }
    return map;
  }

  Json Value(const Message& message, const FieldDescriptor& field, int index,
             const std::string& path) {
    const Reflection& reflection = *message.GetReflection();
    const bool repeated = index != kNotRepeated;
    switch (field.cpp_type()) {
#define WEFT_GET(Type)                                             \
  (repeated ? reflection.GetRepeated##Type(message, &field, index) \
            : reflection.Get##Type(message, &field))
      case FieldDescriptor::CPPTYPE_INT32:
        return WEFT_GET(Int32);
      case FieldDescriptor::CPPTYPE_UINT32:
        return WEFT_GET(UInt32);
      case FieldDescriptor::CPPTYPE_INT64:
        return Text(std::to_string(WEFT_GET(Int64)));
      case FieldDescriptor::CPPTYPE_UINT64:
        return Text(std::to_string(WEFT_GET(UInt64)));
      case FieldDescriptor::CPPTYPE_DOUBLE:
        return Number(WEFT_GET(Double));
      case FieldDescriptor::CPPTYPE_FLOAT:
        return Number(WEFT_GET(Float));
      case FieldDescriptor::CPPTYPE_BOOL:
        return WEFT_GET(Bool);
      case FieldDescriptor::CPPTYPE_ENUM:
        return Enum(field, WEFT_GET(EnumValue));
      case FieldDescriptor::CPPTYPE_STRING: {
        std::string scratch;
        const std::string& text =
            repeated ? reflection.GetRepeatedStringReference(message, &field, index, &scratch)
                     : reflection.GetStringReference(message, &field, &scratch);
        return field.type() == FieldDescriptor::TYPE_BYTES ? Bytes(text, path) : Text(text);
      }
      case FieldDescriptor::CPPTYPE_MESSAGE:
        return Write(WEFT_GET(Message), path);
#undef WEFT_GET
    }
    return nullptr;
  }

  static Json Enum(const FieldDescriptor& field, int number) {
    if (field.enum_type()->full_name() == "google.protobuf.NullValue") return nullptr;
    const auto* const value = field.enum_type()->FindValueByNumber(number);
    return value == nullptr ? Json(number) : Text(value->name());
  }

  Json Bytes(const std::string& bytes, const std::string& path) {
    if (bytes.size() <= attach_bytes_) return Text(absl::Base64Escape(bytes));
    attachments_.push_back({path, "application/octet-stream", bytes});
    return JsonObject{{"weft_attachment", path}, {"bytes", bytes.size()}};
  }

  const std::size_t attach_bytes_;
  std::vector<RunAttachment>& attachments_;
};

std::optional<std::uint64_t> ReadVarint(std::string_view& wire) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < wire.size() && i < 10; ++i) {
    const auto byte = static_cast<unsigned char>(wire[i]);
    value |= std::uint64_t{byte & 0x7FU} << (7 * i);
    if (byte >= 0x80) continue;
    wire.remove_prefix(i + 1);
    return value;
  }
  return std::nullopt;
}

void AppendVarint(std::string& wire, std::uint64_t value) {
  for (; value >= 0x80; value >>= 7) wire += static_cast<char>(value | 0x80);
  wire += static_cast<char>(value);
}

// What there is of the value of a field that was cut; nothing: the field cannot be shown.
std::optional<std::string> CompleteValue(std::string_view start, const FieldDescriptor* field,
                                         int depth);

std::string Complete(std::string_view start, const google::protobuf::Descriptor& type, int depth) {
  std::string_view rest = start;
  while (!rest.empty()) {
    const std::size_t whole = start.size() - rest.size();  // ends with the last whole field
    const auto tag = ReadVarint(rest);
    if (!tag) return std::string(start.substr(0, whole));
    std::size_t size = 0;
    switch (*tag & 7) {
      case 0:
        if (!ReadVarint(rest)) return std::string(start.substr(0, whole));
        continue;
      case 1:
        size = 8;
        break;
      case 5:
        size = 4;
        break;
      case 2: {
        const auto length = ReadVarint(rest);
        if (!length) return std::string(start.substr(0, whole));
        if (*length > rest.size()) {
          std::string result(start.substr(0, whole));
          const auto value =
              CompleteValue(rest, type.FindFieldByNumber(static_cast<int>(*tag >> 3)), depth);
          if (!value) return result;
          AppendVarint(result, *tag);
          AppendVarint(result, value->size());
          return result + *value;
        }
        size = static_cast<std::size_t>(*length);
        break;
      }
      default:  // groups
        return std::string(start.substr(0, whole));
    }
    if (size > rest.size()) return std::string(start.substr(0, whole));
    rest.remove_prefix(size);
  }
  return std::string(start);
}

std::optional<std::string> CompleteValue(std::string_view start, const FieldDescriptor* field,
                                         int depth) {
  constexpr int kDeepest = 100;  // as protobuf's parser
  if (field == nullptr || depth == kDeepest) return std::nullopt;
  switch (field->type()) {
    case FieldDescriptor::TYPE_STRING: {
      std::size_t end = start.size();
      while (end > 0 && (static_cast<unsigned char>(start[end - 1]) & 0xC0) == 0x80) --end;
      // The character that may not be whole.
      return std::string(start.substr(0, end > 0 ? end - 1 : 0));
    }
    case FieldDescriptor::TYPE_BYTES:
      return std::string(start);
    case FieldDescriptor::TYPE_MESSAGE:
      return Complete(start, *field->message_type(), depth + 1);
    default:
      return std::nullopt;
  }
}

}  // namespace

Json MessageToJson(const Message& message, std::size_t attach_bytes, std::string_view prefix,
                   std::vector<RunAttachment>& attachments) {
  return Writer(attach_bytes, attachments).Write(message, std::string(prefix));
}

std::string CompleteMessage(std::string_view start, const google::protobuf::Descriptor& type) {
  return Complete(start, type, 0);
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
