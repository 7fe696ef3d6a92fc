// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <concepts>
#include <cstdint>
#include <memory>
#include <optional>
#include <ranges>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <typeinfo>
#include <utility>
#include <variant>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <weft/tracing/json.h>

namespace google::protobuf {
class Message;
}  // namespace google::protobuf

namespace weft {
inline namespace v0 {

/// `value` as JSON, for the inputs and outputs of runs.
///
/// | type | JSON |
/// |---|---|
/// | a type with `tag_invoke(boost::json::value_from_tag, ...)` | what that says |
/// | numbers, bool, enumerations | number, true or false, the number |
/// | text, contiguous ranges of `char` | string |
/// | `std::chrono` | seconds; a time of the system clock as ISO 8601 |
/// | optional, smart pointers | the value or null |
/// | variant | the value it holds |
/// | pair, tuple, other ranges | array |
/// | maps | object; array of pairs when the keys are no text |
/// | `absl::Status`, `grpc::Status`; `absl::StatusOr` | `{"code", "message"}`; the value or that |
/// | protobuf messages | their JSON mapping |
/// | any other | `{"type": "its name"}` |
template <typename T>
Json ToJson(const T& value);

namespace internal {

Json TypeOnly(const std::type_info& type);
Json MessageToJson(const google::protobuf::Message& message);
Json StatusToJson(const absl::Status& status);
Json TimeToJson(std::chrono::system_clock::time_point time);

template <typename T>
concept HasTagInvoke = requires(Json& json, const T& value) {
  tag_invoke(boost::json::value_from_tag(), json, value);
};

template <typename T>
concept IsMessage =
    std::is_class_v<T> && std::is_convertible_v<const T*, const google::protobuf::Message*>;

// A null `const char*` is told apart before.
template <typename T>
concept IsText = std::is_convertible_v<const T&, std::string_view>;

template <typename T>
concept IsCharRange = std::ranges::contiguous_range<const T> && std::ranges::sized_range<const T> &&
                      std::same_as < std::ranges::range_value_t<const T>,
char > ;

template <typename T>
concept IsTupleLike = requires {
  std::tuple_size<T>::value;
}
&&!std::ranges::range<const T>;

template <typename T>
concept IsMap = std::ranges::range<const T> && requires {
  typename T::mapped_type;
};

template <typename T>
concept IsOptionalLike = requires(const T& value) {
  {*value};
  {static_cast<bool>(value)};
}
&&(
    requires(const T& value) { value.has_value(); } || requires(const T& value) { value.get(); });

template <typename T>
concept IsStatusOr = requires(const T& value) {
  { value.status() } -> std::convertible_to<const absl::Status&>;
  {*value};
};

// grpc::Status, whose header is not needed here.
template <typename T>
concept IsGrpcStatus = requires(const T& status) {
  {status.error_code()};
  { status.error_message() } -> std::convertible_to<std::string>;
};

template <typename T>
inline constexpr bool kIsVariant = false;
template <typename... Ts>
inline constexpr bool kIsVariant<std::variant<Ts...>> = true;

template <typename T>
inline constexpr bool kIsDuration = false;
template <typename Rep, typename Period>
inline constexpr bool kIsDuration<std::chrono::duration<Rep, Period>> = true;

template <typename T>
inline constexpr bool kIsSystemTime = false;
template <typename Duration>
inline constexpr bool kIsSystemTime<std::chrono::time_point<std::chrono::system_clock, Duration>> =
    true;

template <typename T>
Json NumberToJson(T value) {
  if constexpr (std::same_as<T, bool>) {
    return Json(value);
  } else if constexpr (std::same_as<T, char>) {
    return Json(std::string_view(&value, 1));
  } else if constexpr (std::floating_point<T>) {
    return Json(static_cast<double>(value));
  } else if constexpr (std::is_signed_v<T>) {
    return Json(static_cast<std::int64_t>(value));
  } else {
    return Json(static_cast<std::uint64_t>(value));
  }
}

template <typename T>
Json MapToJson(const T& map) {
  if constexpr (IsText<typename T::key_type>) {
    JsonObject object;
    for (const auto& [key, value] : map)
      object.insert_or_assign(std::string_view(key), ToJson(value));
    return object;
  } else {
    JsonArray array;
    for (const auto& [key, value] : map) array.push_back(JsonArray{ToJson(key), ToJson(value)});
    return array;
  }
}

template <typename T>
Json RangeToJson(const T& range) {
  JsonArray array;
  // Elements may be proxies, as those of std::vector<bool> are.
  using Value = std::ranges::range_value_t<const T>;
  for (const auto& element : range) array.push_back(ToJson(static_cast<const Value&>(element)));
  return array;
}

}  // namespace internal

template <typename T>
Json ToJson(const T& value) {
  using Decayed = std::decay_t<T>;
  if constexpr (std::same_as<T, Json> || std::same_as<T, JsonObject> ||
                std::same_as<T, JsonArray> || std::same_as<T, boost::json::string>) {
    return Json(value);
  } else if constexpr (internal::HasTagInvoke<T>) {
    Json json;
    tag_invoke(boost::json::value_from_tag(), json, value);
    return json;
  } else if constexpr (std::same_as<T, std::nullptr_t> || std::same_as<T, std::nullopt_t> ||
                       std::same_as<T, std::monostate>) {
    return nullptr;
  } else if constexpr (std::is_arithmetic_v<T>) {
    return internal::NumberToJson(value);
  } else if constexpr (std::is_enum_v<T>) {
    return internal::NumberToJson(static_cast<std::underlying_type_t<T>>(value));
  } else if constexpr (std::same_as<Decayed, const char*> || std::same_as<Decayed, char*>) {
    const char* const text = value;
    return text == nullptr ? Json(nullptr) : Json(std::string_view(text));
  } else if constexpr (internal::IsText<T>) {
    return Json(std::string_view(value));
  } else if constexpr (internal::IsMessage<T>) {
    return internal::MessageToJson(value);
  } else if constexpr (std::is_pointer_v<T> && internal::IsMessage<std::remove_pointer_t<T>>) {
    return value == nullptr ? Json(nullptr) : internal::MessageToJson(*value);
  } else if constexpr (std::same_as<T, absl::Status>) {
    return internal::StatusToJson(value);
  } else if constexpr (internal::IsStatusOr<T>) {
    return value.ok() ? ToJson(*value) : internal::StatusToJson(value.status());
  } else if constexpr (internal::IsGrpcStatus<T>) {
    return JsonObject{{"code", static_cast<int>(value.error_code())},
                      {"message", std::string(value.error_message())}};
  } else if constexpr (internal::kIsDuration<T>) {
    return std::chrono::duration<double>(value).count();
  } else if constexpr (internal::kIsSystemTime<T>) {
    return internal::TimeToJson(std::chrono::floor<std::chrono::system_clock::duration>(value));
  } else if constexpr (internal::kIsVariant<T>) {
    return value.valueless_by_exception()
               ? Json(nullptr)
               : std::visit([](const auto& held) { return ToJson(held); }, value);
  } else if constexpr (internal::IsOptionalLike<T>) {
    return static_cast<bool>(value) ? ToJson(*value) : Json(nullptr);
  } else if constexpr (internal::IsCharRange<T>) {
    return Json(std::string_view(std::ranges::data(value), std::ranges::size(value)));
  } else if constexpr (internal::IsMap<T>) {
    return internal::MapToJson(value);
  } else if constexpr (std::ranges::input_range<const T>) {
    return internal::RangeToJson(value);
  } else if constexpr (internal::IsTupleLike<T>) {
    return std::apply([](const auto&... elements) { return Json(JsonArray{ToJson(elements)...}); },
                      value);
  } else {
    return internal::TypeOnly(typeid(value));
  }
}

}  // namespace v0
}  // namespace weft
