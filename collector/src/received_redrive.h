// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include <absl/status/statusor.h>

#include <weft/collector/ingest.h>

#include "parked_items.h"

namespace weft::collector {

/// Takes operations that were parked as invalid as if they arrived now: what is valid today, or was
/// changed in the file by hand, goes to the log, and its line goes. The rest stays.
///
/// Only LangSmith's JSON can be taken again; of other receivers a line says no more than what a
/// person needs.
absl::StatusOr<ParkedItems::Redriven> RedriveReceived(Ingest& ingest, ParkedFile& parked,
                                                      const std::vector<std::uint64_t>& ids);

}  // namespace weft::collector
