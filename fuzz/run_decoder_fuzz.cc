// SPDX-License-Identifier: Apache-2.0
// What any body must do in the run decoder: give operations whose parts lie in the payload and are
// valid JSON, the same whether simdjson may help or not.
// The first byte chooses the path: `m`ultipart with the boundary B, `b`atch, else one run.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "langsmith/json_scanner.h"
#include "langsmith/run_decoder.h"

using namespace weft::collector;  // NOLINT: a program of one function

namespace {

absl::StatusOr<DecodedRuns> Decode(char kind, DecodedBody body) {
  if (kind == 'm') return DecodeMultipartRuns(body, "B");
  if (kind == 'b') return DecodeRunBatch(body);
  return DecodeSingleRun(body, kind == 'p' ? OpKind::kPatch : OpKind::kPost, weft::RunId{});
}

void CheckParts(const DecodedRuns& runs, const std::string& payload) {
  std::string error;
  for (const RunOp& op : runs.ops) {
    if (op.parts.empty()) std::abort();
    for (const Part& part : op.parts) {
      if (part.offset + part.length > payload.size()) std::abort();
      if (part.field == PartField::kAttachment) continue;
      const std::string_view text = std::string_view(payload).substr(part.offset, part.length);
      if (CheckJson(text, 0, &error) != JsonState::kValid) std::abort();
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string body(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::string padded = body + std::string(64, ' ');
  const char kind = static_cast<char>(data[0]);
  const auto slow = Decode(kind, {.text = body, .readable_after = 0});
  const auto fast =
      Decode(kind, {.text = std::string_view(padded).substr(0, body.size()), .readable_after = 64});
  if (slow.ok() != fast.ok()) std::abort();
  if (!slow.ok()) return 0;
  if (slow->ops != fast->ops || slow->appended != fast->appended) std::abort();
  CheckParts(*slow, body + slow->appended);
  return 0;
}
