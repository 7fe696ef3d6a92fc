// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <vector>

#include <opentelemetry/proto/collector/trace/v1/trace_service.pb.h>

namespace weft::otlp_test {

namespace otlp = ::opentelemetry::proto;
using Request = otlp::collector::trace::v1::ExportTraceServiceRequest;
using Span = otlp::trace::v1::Span;
using Attributes = std::map<std::string, std::string>;

/// What an attribute says, with its kind: `"text"`, `7`, `0.5`, `true`, `["a","b"]`.
inline std::string Shown(const otlp::common::v1::AnyValue& value) {
  if (value.has_string_value()) return '"' + value.string_value() + '"';
  if (value.has_int_value()) return std::to_string(value.int_value());
  if (value.has_bool_value()) return value.bool_value() ? "true" : "false";
  if (value.has_double_value()) {
    std::string text = std::to_string(value.double_value());
    return text.erase(text.find_last_not_of('0') + 1);
  }
  if (!value.has_array_value()) return "?";
  std::string all;
  for (const auto& element : value.array_value().values()) {
    all += (all.empty() ? "" : ",") + Shown(element);
  }
  return '[' + all + ']';
}

template <typename Message>
Attributes AttributesOf(const Message& message) {
  Attributes all;
  for (const auto& attribute : message.attributes()) {
    all[attribute.key()] = Shown(attribute.value());
  }
  return all;
}

inline std::vector<Span> SpansOf(const Request& request) {
  std::vector<Span> spans;
  for (const auto& resource : request.resource_spans()) {
    for (const auto& scope : resource.scope_spans()) {
      spans.insert(spans.end(), scope.spans().begin(), scope.spans().end());
    }
  }
  return spans;
}

}  // namespace weft::otlp_test
