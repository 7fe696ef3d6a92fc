// SPDX-License-Identifier: Apache-2.0
#include "weft_batch.h"

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "langsmith/json_scanner.h"
#include "langsmith/run_facts.h"

namespace weft::collector {
namespace {

constexpr std::size_t kMaxRejectedBytes = 1 << 20;
// So much may be read behind a text by simdjson.
constexpr std::size_t kPadding = 64;

std::optional<RunId> IdOf(std::string_view bytes) {
  RunId id;
  if (bytes.size() != id.bytes.size()) return std::nullopt;
  std::copy(bytes.begin(), bytes.end(), id.bytes.begin());
  return id;
}

class Decoder {
 public:
  explicit Decoder(const v1::RunBatch& batch) {
    payload_.reserve(batch.ByteSizeLong() + kPadding);
    batch_.header.receiver = Receiver::kWeft;
    batch_.header.ops.reserve(static_cast<std::size_t>(batch.operations_size()));
    for (int i = 0; i < batch.operations_size(); ++i) {
      Add(static_cast<std::size_t>(i), batch.operations(i));
    }
  }

  IngestBatch Finish() {
    batch_.header.decoded_size = payload_.size();
    batch_.payload = std::move(payload_);
    return std::move(batch_);
  }

 private:
  void Add(std::size_t index, const v1::RunOperation& operation) {
    const std::size_t start = payload_.size();
    RunOp op;
    absl::Status status = Read(operation, &op);
    if (status.ok()) {
      batch_.header.ops.push_back(std::move(op));
      return;
    }
    payload_.resize(start);
    std::string bytes = operation.ShortDebugString();
    bytes.resize(std::min(bytes.size(), kMaxRejectedBytes));
    batch_.rejected.push_back({index, std::string(status.message()), std::move(bytes)});
  }

  absl::Status Read(const v1::RunOperation& operation, RunOp* op) {
    if (operation.kind() != v1::RunOperation::KIND_POST &&
        operation.kind() != v1::RunOperation::KIND_PATCH) {
      return absl::InvalidArgumentError("kind: neither POST nor PATCH");
    }
    op->kind = operation.kind() == v1::RunOperation::KIND_POST ? OpKind::kPost : OpKind::kPatch;
    op->keep = operation.keep();
    const std::optional<RunId> id = IdOf(operation.run_id());
    if (!id || id->IsNil()) return absl::InvalidArgumentError("run_id: not 16 bytes of an id");
    op->run_id = *id;
    absl::Status status = AddRun(operation, op);
    const auto add = [&](bool present, PartField field, const std::string& text) {
      if (present && status.ok()) status = AddJson(field, text, op);
    };
    add(operation.has_inputs(), PartField::kInputs, operation.inputs());
    add(operation.has_outputs(), PartField::kOutputs, operation.outputs());
    add(operation.has_events(), PartField::kEvents, operation.events());
    add(operation.has_extra(), PartField::kExtra, operation.extra());
    add(operation.has_error(), PartField::kError, operation.error());
    add(operation.has_serialized(), PartField::kSerialized, operation.serialized());
    if (operation.has_error() && operation.error() != "null") op->has_error = true;
    for (const v1::Attachment& attachment : operation.attachments()) {
      if (status.ok()) status = AddAttachment(attachment, op);
    }
    return status;
  }

  absl::Status AddRun(const v1::RunOperation& operation, RunOp* op) {
    std::string repaired;
    std::string_view json = operation.run();
    RunFacts facts;
    absl::Status status = facts.Read(json);
    if (status.ok() && facts.defects > 0) {
      repaired = RepairJson(json);
      json = repaired;
      facts = RunFacts{};
      status = facts.Read(json);
    }
    Additions additions;
    if (status.ok()) status = IdentifyRun(facts, op, &additions);
    if (!status.ok()) return absl::InvalidArgumentError("run: " + std::string(status.message()));
    if (!operation.trace_id().empty()) {
      const std::optional<RunId> trace = IdOf(operation.trace_id());
      if (!trace) return absl::InvalidArgumentError("trace_id: not 16 bytes");
      if (op->trace_id.IsNil()) {
        op->trace_id = *trace;
        additions.emplace_back("trace_id", '"' + trace->ToString() + '"');
      } else if (*trace != op->trace_id) {
        return absl::InvalidArgumentError("trace_id: differs from the run's own");
      }
    }
    Append(PartField::kRun, additions.empty() ? json : WithMembers(json, additions), op);
    return absl::OkStatus();
  }

  absl::Status AddJson(PartField field, const std::string& text, RunOp* op) {
    Append(field, text, op);
    const Part& part = op->parts.back();
    const std::string_view copy = std::string_view(payload_).substr(part.offset, part.length);
    std::string error;
    const JsonState state = CheckJson(copy, payload_.capacity() - payload_.size(), &error);
    if (state == JsonState::kInvalid) {
      return absl::InvalidArgumentError(std::string(PartFieldName(field)) + ": " + error);
    }
    if (state == JsonState::kRepairable) {
      op->parts.pop_back();
      payload_.resize(payload_.size() - text.size());
      Append(field, RepairJson(text), op);
    }
    return absl::OkStatus();
  }

  absl::Status AddAttachment(const v1::Attachment& attachment, RunOp* op) {
    const std::string& name = attachment.name();
    if (name.empty() || name.find('.') != std::string::npos) {
      return absl::InvalidArgumentError("attachments: a name must have letters and no '.'");
    }
    Append(PartField::kAttachment, attachment.content(), op);
    op->parts.back().name = name;
    op->parts.back().mime_type = attachment.mime_type();
    return absl::OkStatus();
  }

  void Append(PartField field, std::string_view text, RunOp* op) {
    Part& part = op->parts.emplace_back();
    part.field = field;
    part.offset = payload_.size();
    part.length = text.size();
    payload_ += text;
  }

  std::string payload_;
  IngestBatch batch_;
};

}  // namespace

IngestBatch DecodeWeftBatch(const v1::RunBatch& batch) { return Decoder(batch).Finish(); }

}  // namespace weft::collector
