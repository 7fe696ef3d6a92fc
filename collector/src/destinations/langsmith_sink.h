// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "destinations/sink.h"

namespace weft::collector {

/// Sends operations to LangSmith, or to what speaks its API: `/runs/multipart` with every part as
/// it arrived, zstd where the target takes it; `/runs/batch` while the target knows no multipart;
/// `/runs` and `/runs/{id}` for runs without the fields that batches need.
std::unique_ptr<Sink> MakeLangSmithSink(const DestinationConfig& config);

}  // namespace weft::collector
