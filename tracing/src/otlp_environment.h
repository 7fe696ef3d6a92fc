// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

#include <absl/status/statusor.h>

#include <weft/tracing/json.h>
#include <weft/tracing/otlp_exporter.h>

#include "environment_variables.h"

namespace weft {
inline namespace v0 {
namespace internal {

/// What the environment says of OpenTelemetry.
struct OtlpSettings {
  OtlpExporterOptions exporter;
  bool only = false;  ///< Runs go nowhere else.
};

// Errors of all: InvalidArgument with the variable's name and value; those of headers are masked.

/// OTEL_RESOURCE_ATTRIBUTES, with OTEL_SERVICE_NAME as `service.name`.
absl::StatusOr<JsonObject> ReadResourceAttributes(const Environment& environment);

/// Where runs go as spans; nothing: OpenTelemetry mode is off. Without an address of a receiver
/// they go to LANGSMITH_ENDPOINT, which takes OTLP over HTTP, else to this machine.
absl::StatusOr<std::optional<OtlpSettings>> ReadOtlpEnvironment(const Environment& environment,
                                                                JsonObject resource);

}  // namespace internal
}  // namespace v0
}  // namespace weft
