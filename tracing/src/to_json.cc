// SPDX-License-Identifier: Apache-2.0
#include <weft/tracing/to_json.h>

#include <optional>
#include <utility>

#include <google/protobuf/message.h>
#include <google/protobuf/util/json_util.h>
#include <boost/core/demangle.hpp>

#include "json_writer.h"

namespace weft {
inline namespace v0 {
namespace internal {

Json TypeOnly(const std::type_info& type) {
  return JsonObject{{"type", boost::core::demangle(type.name())}};
}

Json MessageToJson(const google::protobuf::Message& message) {
  std::string text;
  if (!google::protobuf::util::MessageToJsonString(message, &text).ok()) {
    return JsonObject{{"type", message.GetTypeName()}};
  }
  std::optional<Json> json = ParseJson(text);
  return json ? *std::move(json) : JsonObject{{"type", message.GetTypeName()}};
}

Json StatusToJson(const absl::Status& status) {
  return JsonObject{{"code", absl::StatusCodeToString(status.code())},
                    {"message", std::string(status.message())}};
}

Json TimeToJson(std::chrono::system_clock::time_point time) {
  std::string text;
  AppendIsoTime(text, time);
  return Json(text);
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
