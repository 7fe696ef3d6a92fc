// SPDX-License-Identifier: Apache-2.0
#include "weft_batch.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include <simdjson.h>
#include <weft/collector/v1/collector.pb.h>
#include <weft/tracing/internal/form_data.h>

#include "http/content_coding.h"
#include "langsmith/json_scanner.h"
#include "langsmith/run_facts.h"
#include "otlp/proto_reader.h"

namespace weft::collector {
namespace {

constexpr std::size_t kMaxRejectedBytes = 1 << 20;
// A few bytes each on the wire, and hardly any when compressed, they take much more here.
constexpr std::size_t kMaxOperations = 100'000;
constexpr std::size_t kMaxAttachments = 10'000;
constexpr auto kVarint = ProtoReader::kVarint;
constexpr auto kDelimited = ProtoReader::kDelimited;

// The split-out texts, in the order of their field numbers.
constexpr std::uint32_t kFirstText = v1::RunOperation::kInputsFieldNumber;
constexpr std::array kTexts = {PartField::kInputs, PartField::kOutputs, PartField::kEvents,
                               PartField::kExtra,  PartField::kError,   PartField::kSerialized};

// A v1::RunOperation, where it lies.
struct Operation {
  std::uint64_t kind = 0;
  bool keep = false;
  std::string_view run_id{}, trace_id{}, run{};
  std::array<std::optional<std::string_view>, kTexts.size()> texts{};
  std::vector<std::string_view> attachments{};
};

// Null: it could be read. Else why not.
const char* ReadOperation(std::string_view bytes, Operation* operation) {
  using Proto = v1::RunOperation;
  ProtoReader in(bytes);
  while (in.Next()) {
    if (in.Is(Proto::kKindFieldNumber, kVarint)) operation->kind = in.number();
    if (in.Is(Proto::kKeepFieldNumber, kVarint)) operation->keep = in.number() != 0;
    if (in.type() != kDelimited) continue;
    const std::uint32_t field = in.field();
    if (field == Proto::kRunIdFieldNumber) operation->run_id = in.bytes();
    if (field == Proto::kTraceIdFieldNumber) operation->trace_id = in.bytes();
    if (field == Proto::kRunFieldNumber) operation->run = in.bytes();
    if (field == Proto::kAttachmentsFieldNumber) operation->attachments.push_back(in.bytes());
    if (field >= kFirstText && field < kFirstText + kTexts.size()) {
      operation->texts[field - kFirstText] = in.bytes();
    }
    if (operation->attachments.size() > kMaxAttachments) return "attachments: more than 10000";
  }
  return in.ok() ? nullptr : "operation: cut off or damaged";
}

std::optional<RunId> IdOf(std::string_view bytes) {
  RunId id;
  if (bytes.size() != id.bytes.size()) return std::nullopt;
  std::copy(bytes.begin(), bytes.end(), id.bytes.begin());
  return id;
}

class Decoder {
 public:
  // Behind `batch` kWeftBatchPadding bytes may be read.
  explicit Decoder(std::string_view batch) : batch_(batch) {
    result_.header.receiver = Receiver::kWeft;
  }

  absl::Status Read() {
    std::size_t fields = 0;
    ProtoReader in(batch_);
    while (in.Next()) ++fields;
    if (!in.ok()) return absl::InvalidArgumentError("batch: cut off or damaged");
    if (fields > kMaxOperations) {
      return absl::InvalidArgumentError("batch: more than 100000 operations");
    }
    result_.header.ops.reserve(fields);
    in = ProtoReader(batch_);
    for (std::size_t index = 0; in.Next();) {
      if (in.Is(v1::RunBatch::kOperationsFieldNumber, kDelimited)) Add(index++, in.bytes());
    }
    return absl::OkStatus();
  }

  IngestBatch TakeResult() { return std::move(result_); }
  // Texts that are not in the batch as the log needs them; they count from its end.
  const std::string& appended() const { return appended_; }

 private:
  void Add(std::size_t index, std::string_view bytes) {
    const std::size_t appended_before = appended_.size();
    RunOp op;
    absl::Status status = ReadOp(bytes, &op);
    if (status.ok()) {
      result_.header.ops.push_back(std::move(op));
      return;
    }
    appended_.resize(appended_before);
    v1::RunOperation operation;
    operation.ParsePartialFromArray(bytes.data(), static_cast<int>(bytes.size()));
    std::string text = operation.ShortDebugString();
    text.resize(std::min(text.size(), kMaxRejectedBytes));
    result_.rejected.push_back({index, std::string(status.message()), std::move(text)});
  }

  absl::Status ReadOp(std::string_view bytes, RunOp* op) {
    Operation operation;
    if (const char* const defect = ReadOperation(bytes, &operation)) {
      return absl::InvalidArgumentError(defect);
    }
    if (operation.kind != v1::RunOperation::KIND_POST &&
        operation.kind != v1::RunOperation::KIND_PATCH) {
      return absl::InvalidArgumentError("kind: neither POST nor PATCH");
    }
    op->kind = operation.kind == v1::RunOperation::KIND_POST ? OpKind::kPost : OpKind::kPatch;
    op->keep = operation.keep;
    const std::optional<RunId> id = IdOf(operation.run_id);
    if (!id || id->IsNil()) return absl::InvalidArgumentError("run_id: not 16 bytes of an id");
    op->run_id = *id;
    absl::Status status = AddRun(operation, op);
    for (std::size_t i = 0; i < kTexts.size() && status.ok(); ++i) {
      if (!operation.texts[i]) continue;
      status = AddJson(kTexts[i], *operation.texts[i], op);
      op->has_error |= kTexts[i] == PartField::kError && *operation.texts[i] != "null";
    }
    for (const std::string_view attachment : operation.attachments) {
      if (status.ok()) status = AddAttachment(attachment, op);
    }
    return status;
  }

  absl::Status AddRun(const Operation& operation, RunOp* op) {
    std::string repaired;
    std::string_view json = operation.run;
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
    if (!operation.trace_id.empty()) {
      const std::optional<RunId> trace = IdOf(operation.trace_id);
      if (!trace) return absl::InvalidArgumentError("trace_id: not 16 bytes");
      if (op->trace_id.IsNil()) {
        op->trace_id = *trace;
        additions.emplace_back("trace_id", '"' + trace->ToString() + '"');
      } else if (*trace != op->trace_id) {
        return absl::InvalidArgumentError("trace_id: differs from the run's own");
      }
    }
    if (!additions.empty()) {
      Append(PartField::kRun, WithMembers(json, additions), op);
    } else if (!repaired.empty()) {
      Append(PartField::kRun, repaired, op);
    } else {
      Slice(PartField::kRun, json, op);
    }
    return absl::OkStatus();
  }

  absl::Status AddJson(PartField field, std::string_view text, RunOp* op) {
    const auto behind =
        static_cast<std::size_t>(batch_.data() + batch_.size() - (text.data() + text.size()));
    std::string error;
    switch (CheckJson(text, behind + kWeftBatchPadding, &error)) {
      case JsonState::kInvalid:
        return absl::InvalidArgumentError(std::string(PartFieldName(field)) + ": " + error);
      case JsonState::kRepairable:
        Append(field, RepairJson(text), op);
        break;
      case JsonState::kValid:
        Slice(field, text, op);
    }
    return absl::OkStatus();
  }

  absl::Status AddAttachment(std::string_view attachment, RunOp* op) {
    using Proto = v1::Attachment;
    std::string_view name, mime_type, content = attachment.substr(0, 0);
    ProtoReader in(attachment);
    while (in.Next()) {
      if (in.Is(Proto::kNameFieldNumber, kDelimited)) name = in.bytes();
      if (in.Is(Proto::kMimeTypeFieldNumber, kDelimited)) mime_type = in.bytes();
      if (in.Is(Proto::kContentFieldNumber, kDelimited)) content = in.bytes();
    }
    if (!in.ok()) return absl::InvalidArgumentError("attachments: cut off or damaged");
    if (name.empty() || name.find('.') != std::string_view::npos) {
      return absl::InvalidArgumentError("attachments: a name must have letters and no '.'");
    }
    if (!simdjson::validate_utf8(name.data(), name.size()) ||
        !simdjson::validate_utf8(mime_type.data(), mime_type.size())) {
      return absl::InvalidArgumentError("attachments: a name or a type that is not UTF-8");
    }
    Slice(PartField::kAttachment, content, op);
    op->parts.back().name = name;
    op->parts.back().mime_type = mime_type;
    return absl::OkStatus();
  }

  static Part& AddPart(PartField field, std::size_t offset, std::size_t length, RunOp* op) {
    Part& part = op->parts.emplace_back();
    part.field = field;
    part.offset = offset;
    part.length = length;
    return part;
  }

  void Slice(PartField field, std::string_view text, RunOp* op) {
    AddPart(field, static_cast<std::size_t>(text.data() - batch_.data()), text.size(), op);
  }

  void Append(PartField field, std::string_view text, RunOp* op) {
    AddPart(field, batch_.size() + appended_.size(), text.size(), op);
    appended_ += text;
  }

  const std::string_view batch_;
  std::string appended_;
  IngestBatch result_;
};

}  // namespace

absl::StatusOr<IngestBatch> DecodeWeftBatch(std::string batch, PayloadCoding coding,
                                            std::size_t limit) {
  thread_local DecodeBuffer scratch;
  const bool is_zstd = coding == PayloadCoding::kZstd;
  if (is_zstd && !DecodeContent(ContentCoding::kZstd, batch, limit, &scratch).ok()) {
    scratch.Shrink();
    return absl::InvalidArgumentError("zstd_batch: not a zstd frame of at most " +
                                      std::to_string(limit) + " bytes");
  }
  batch.reserve(batch.size() + kWeftBatchPadding);
  const std::string_view content = is_zstd ? scratch.view() : std::string_view(batch);
  Decoder decoder(content);
  if (absl::Status status = decoder.Read(); !status.ok()) {
    scratch.Shrink();
    return status;
  }
  IngestBatch result = decoder.TakeResult();
  result.header.coding = coding;
  result.header.decoded_size = content.size() + decoder.appended().size();
  if (decoder.appended().empty()) {
    result.payload = std::move(batch);
  } else if (is_zstd) {
    result.payload = internal::CompressZstd(std::string(content) + decoder.appended());
  } else {
    result.payload = std::move(batch += decoder.appended());
  }
  scratch.Shrink();
  return result;
}

}  // namespace weft::collector
