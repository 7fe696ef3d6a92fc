// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <absl/status/statusor.h>

#include <weft/tracing/collector_exporter.h>
#include <weft/tracing/langsmith_exporter.h>
#include <weft/tracing/tracer.h>

#include "environment_variables.h"
#include "otlp_environment.h"

namespace weft {
inline namespace v0 {
namespace internal {

/// What the environment asks for. docs/environment.md lists the variables.
struct EnvironmentSettings {
  TracerOptions tracer;
  /// Where runs go when tracing is on, unless there are `langsmith`.
  CollectorExporterOptions collector;
  std::vector<LangSmithExporterOptions> langsmith;
  /// Absent: nothing is sent as spans.
  std::optional<OtlpSettings> otlp;
};

/// Errors: InvalidArgument with the variable's name and value; the value of a key is masked.
absl::StatusOr<EnvironmentSettings> ReadEnvironment(const GetVariable& get);

}  // namespace internal
}  // namespace v0
}  // namespace weft
