// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <weft/collector/v1/collector.pb.h>

#include <weft/collector/ingest.h>

namespace weft::collector {

/// The operations of a batch of weft's gRPC service, checked as those of LangSmith's HTTP API are
/// (langsmith/run_decoder.h). The payload is their JSON texts and attachments in a row.
///
/// Cost: each text is copied once and walked once.
IngestBatch DecodeWeftBatch(const v1::RunBatch& batch);

}  // namespace weft::collector
