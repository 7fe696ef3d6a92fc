// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include <absl/status/statusor.h>

#include "destinations/sink.h"

namespace weft::collector {

/// Appends operations to a file as JSON lines. Opens it, so that a wrong path is known at once.
absl::StatusOr<std::unique_ptr<Sink>> MakeFileSink(const DestinationConfig& config);

}  // namespace weft::collector
