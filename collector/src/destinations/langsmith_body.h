// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>

#include <weft/tracing/internal/form_data.h>

#include "destinations/sink.h"

namespace weft::collector {

/// A body of `/runs/multipart`. Texts and attachments are copied, not changed.
internal::FormData MakeForm(std::span<const OutgoingOp> ops);

/// A body of `/runs/batch`. Feedback and attachments have no place in it: CanBatch.
std::string BatchBody(std::span<const OutgoingOp> ops);

/// Whether `/runs/batch` can carry all of the operation.
bool CanBatch(const OutgoingOp& op);

/// Whether the run says all that LangSmith asks of a run in a batch.
bool HasBatchFields(const OutgoingOp& op);

}  // namespace weft::collector
