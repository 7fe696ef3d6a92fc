// SPDX-License-Identifier: Apache-2.0
#include <utility>

#include <weft/tracing/exporter.h>

#include "redactor.h"

namespace weft {
inline namespace v0 {
namespace {

void Render(RunRecord& record) noexcept {
  const std::shared_ptr<const RunPayload> payload = std::move(record.payload);
  const RunPayload::Hidden hidden =
      record.environment ? record.environment->hidden : RunPayload::Hidden{};
  try {
    payload->RenderInto(record, hidden);
  } catch (...) {
    record.metadata["weft_payload"] = "could not be rendered";
  }
}

}  // namespace

void FinishRecord(RunRecord& record) noexcept {
  if (record.payload != nullptr) Render(record);
  if (record.environment == nullptr || record.environment->redactor == nullptr) return;
  const std::shared_ptr<const RunEnvironment> environment = record.environment;
  environment->redactor->Redact(record);
}

}  // namespace v0
}  // namespace weft
