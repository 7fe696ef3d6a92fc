// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include <absl/status/statusor.h>

#include <weft/collector/ingest.h>

namespace weft::collector {

/// The payload without its coding.
absl::StatusOr<std::string> DecodedPayload(IngestBatch& batch);

/// Puts another one in its place, compressed where that is worth it. Parts count in it from now on.
void SetPayload(std::string payload, IngestBatch& batch);

}  // namespace weft::collector
