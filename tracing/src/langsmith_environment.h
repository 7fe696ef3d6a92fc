// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include <absl/status/statusor.h>

#include <weft/tracing/langsmith_exporter.h>

#include "environment_variables.h"

namespace weft {
inline namespace v0 {
namespace internal {

/// Where runs go without a collector: LANGSMITH_RUNS_ENDPOINTS, else LANGSMITH_ENDPOINT, else
/// nowhere.
///
/// Errors: InvalidArgument with the variable's name and value; what may hold keys is masked.
/// The folder for runs that cannot be delivered; of whatever exporter.
struct SpillSettings {
  std::filesystem::path folder{};
  std::uint64_t bytes = LangSmithExporterOptions{}.spill_bytes;
};
absl::StatusOr<SpillSettings> ReadSpill(const Environment& environment);

absl::StatusOr<std::vector<LangSmithExporterOptions>> ReadLangSmithEnvironment(
    const Environment& environment);

}  // namespace internal
}  // namespace v0
}  // namespace weft
