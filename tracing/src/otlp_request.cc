// SPDX-License-Identifier: Apache-2.0
#include <weft/tracing/internal/otlp_request.h>

#include <algorithm>
#include <limits>
#include <string_view>

#include <weft/tracing/internal/proto_writer.h>
#include <weft/version.h>

#include "span_attributes.h"

namespace weft {
inline namespace v0 {
namespace internal {
namespace {

// Field numbers of opentelemetry.proto.trace.v1 and the messages around it.
constexpr int kResourceSpans = 1;
constexpr int kResource = 1;
constexpr int kScopeSpans = 2;
constexpr int kResourceAttributes = 1;
constexpr int kScope = 1;
constexpr int kSpans = 2;
constexpr int kScopeName = 1;
constexpr int kScopeVersion = 2;
constexpr std::string_view kServiceName = "service.name";

void WriteResource(std::string& out, const JsonObject& resource, std::string_view service) {
  SpanAttributes attributes(out, kResourceAttributes, std::numeric_limits<std::size_t>::max());
  attributes.Text(kServiceName, service);
  for (const auto& [key, value] : resource) {
    const std::string_view name(key.data(), key.size());
    if (name != kServiceName) attributes.Value(name, value);
  }
  attributes.Text("telemetry.sdk.name", "weft");
  attributes.Text("telemetry.sdk.language", "cpp");
  attributes.Text("telemetry.sdk.version", WEFT_VERSION);
}

}  // namespace

OtlpRequest::OtlpRequest(JsonObject resource) : resource_(std::move(resource)) {}

OtlpRequest::Service& OtlpRequest::ServiceNamed(std::string_view name) {
  const auto found = std::find_if(services_.begin(), services_.end(),
                                  [&](const Service& service) { return service.name == name; });
  if (found != services_.end()) return *found;
  return services_.emplace_back(Service{std::string(name), {}});
}

void OtlpRequest::Add(const SpanSource& run, std::size_t max_size) {
  const Json* const named = resource_.if_contains(kServiceName);
  Service& service =
      ServiceNamed(named != nullptr && named->is_string()
                       ? std::string_view(named->get_string().data(), named->get_string().size())
                       : ServiceNameOf(run));
  span_.clear();
  AppendSpanUpTo(span_, run, max_size);
  ProtoWriter(service.spans).Text(kSpans, span_);
  ++runs_;
}

std::string OtlpRequest::Take() {
  std::string out;
  ProtoWriter writer(out);
  for (const Service& service : services_) {
    const auto resource_spans = writer.Begin(kResourceSpans);
    const auto resource = writer.Begin(kResource);
    WriteResource(out, resource_, service.name);
    writer.End(resource);
    const auto scope_spans = writer.Begin(kScopeSpans);
    const auto scope = writer.Begin(kScope);
    writer.Text(kScopeName, "weft");
    writer.Text(kScopeVersion, WEFT_VERSION);
    writer.End(scope);
    out += service.spans;
    writer.End(scope_spans);
    writer.End(resource_spans);
  }
  services_.clear();
  runs_ = 0;
  return out;
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
