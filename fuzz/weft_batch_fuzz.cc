// SPDX-License-Identifier: Apache-2.0
// What any batch of weft's own protocol must do: give operations whose parts lie in the payload and
// are valid JSON, and a reason for each operation that is refused.
#include <weft/collector/ingest.h>

#include "fuzz.h"
#include "langsmith/json_scanner.h"
#include "weft/collector/v1/collector.pb.h"
#include "weft_batch.h"

using namespace weft::collector;  // NOLINT: a program of one function
using weft::fuzz::Require;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  constexpr std::size_t kLimit = 1 << 20;
  (void)DecodeWeftBatch(std::string(bytes), PayloadCoding::kZstd, kLimit);
  const absl::StatusOr<IngestBatch> batch =
      DecodeWeftBatch(std::string(bytes), PayloadCoding::kIdentity, kLimit);
  if (!batch.ok()) return 0;
  const IngestBatch& decoded = *batch;
  v1::RunBatch message;
  if (message.ParseFromArray(data, static_cast<int>(size))) {
    Require(decoded.header.ops.size() + decoded.rejected.size() ==
                static_cast<std::size_t>(message.operations_size()),
            "each operation is taken or refused");
  }
  for (const RejectedOp& op : decoded.rejected) Require(!op.reason.empty(), "a refusal says why");
  std::string error;
  for (const RunOp& op : decoded.header.ops) {
    for (const Part& part : op.parts) {
      Require(part.offset + part.length <= decoded.payload.size(), "a part lies in the payload");
      if (part.field == PartField::kAttachment) continue;
      Require(CheckJson(std::string_view(decoded.payload).substr(part.offset, part.length), 0,
                        &error) == JsonState::kValid,
              "a part is JSON");
    }
  }
  const auto header = RecordHeader::Decode(decoded.header.Encode());
  Require(header.ok() && *header == decoded.header, "its header survives");
  return 0;
}
