// SPDX-License-Identifier: Apache-2.0
#include "batch_payload.h"

#include <utility>

#include <weft/tracing/internal/form_data.h>

namespace weft::collector {
namespace {

// Smaller payloads gain nothing.
constexpr std::size_t kCompressFrom = 1024;

}  // namespace

absl::StatusOr<std::string> DecodedPayload(IngestBatch& batch) {
  Record record;
  record.header.coding = batch.header.coding;
  record.header.decoded_size = batch.header.decoded_size;
  record.payload = std::move(batch.payload);
  absl::StatusOr<std::string> decoded = record.Decoded();
  batch.payload = std::move(record.payload);
  return decoded;
}

void SetPayload(std::string payload, IngestBatch& batch) {
  batch.header.decoded_size = payload.size();
  batch.header.form_boundary.clear();
  batch.header.coding = PayloadCoding::kIdentity;
  if (payload.size() >= kCompressFrom) {
    if (std::string packed = internal::CompressZstd(payload); !packed.empty()) {
      batch.header.coding = PayloadCoding::kZstd;
      payload = std::move(packed);
    }
  }
  batch.payload = std::move(payload);
}

}  // namespace weft::collector
