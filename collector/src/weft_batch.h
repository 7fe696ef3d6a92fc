// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>

#include <absl/status/statusor.h>

#include <weft/collector/ingest.h>

namespace weft::collector {

/// What may be behind the texts of a batch, as simdjson wants it: reserve so much more.
inline constexpr std::size_t kWeftBatchPadding = 64;

/// The operations of a weft.collector.v1.RunBatch, checked as those of LangSmith's HTTP API are
/// (langsmith/run_decoder.h). `batch` is its bytes, or one zstd frame of them; it is the payload as
/// it came, but for batches in which something had to be repaired.
///
/// Errors: InvalidArgument when the bytes are not a batch, or one of more than `limit` bytes. An
/// operation that is not valid is rejected alone.
/// Cost: no message objects; each text is walked once where it lies.
absl::StatusOr<IngestBatch> DecodeWeftBatch(std::string batch, PayloadCoding coding,
                                            std::size_t limit);

}  // namespace weft::collector
