// SPDX-License-Identifier: Apache-2.0
#include "langsmith/run_decoder.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include <absl/container/flat_hash_map.h>
#include <simdjson.h>

#include "langsmith/json_scanner.h"
#include "langsmith/multipart.h"
#include "langsmith/run_facts.h"

namespace weft::collector {
namespace {

constexpr std::size_t kMaxRejectedBytes = 1u << 20;

/// A few bytes each in a body that is packed well, they take hundreds here.
constexpr std::size_t kMaxBatchRuns = 100'000;

/// Fields with names of their own that a run may have split out.
constexpr std::size_t kMaxOtherFields = 64;

std::string Text(const absl::Status& status) { return std::string(status.message()); }

std::optional<PartField> SplitOutField(std::string_view name) {
  for (const PartField field : {PartField::kInputs, PartField::kOutputs, PartField::kEvents,
                                PartField::kExtra, PartField::kError, PartField::kSerialized}) {
    if (PartFieldName(field) == name) return field;
  }
  return std::nullopt;
}

/// Whether a name can be a member of a run as it is.
bool IsPlainName(std::string_view name) {
  return std::all_of(name.begin(), name.end(), [](unsigned char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  });
}

/// Decodes one request. Operations are put together here until all of their parts have been seen.
class Decoder {
 public:
  explicit Decoder(DecodedBody body) : body_(body), source_(body.text) {}

  absl::Status ReadForm(std::string_view boundary);
  absl::Status ReadBatch();
  absl::Status ReadRun(OpKind kind, RunId id);
  DecodedRuns Finish();

 private:
  struct Draft {
    RunOp op;
    std::string_view label;            ///< How messages name it: `post.<id>`, `post`, `run`.
    std::optional<std::size_t> index;  ///< Place in the array `label`.
    std::string reason;                ///< Why it is rejected; empty while it is not.
    bool unreadable = false;
    Additions additions;

    std::string Name() const {
      std::string name(label);
      if (index) name += "[" + std::to_string(*index) + "]";
      return name;
    }
  };
  struct PartName {
    std::string_view kind, id, rest;
  };
  struct OpKey {
    OpKind kind;
    RunId id;
    bool operator==(const OpKey&) const = default;
    template <typename H>
    friend H AbslHashValue(H hash, const OpKey& key) {
      return H::combine(std::move(hash), key.kind, key.id.bytes);
    }
  };

  static PartName SplitName(std::string_view name);

  void AddRun(OpKind kind, RunId id, std::string_view label, std::optional<std::size_t> index,
              std::string_view json);
  void AddFormPart(const FormPart& part);
  void AddField(OpKind kind, RunId id, const PartName& name, const FormPart& part);
  void AddAttachment(RunId id, const PartName& name, const FormPart& part);
  void AddFeedback(const FormPart& part);
  absl::Status AddElements(OpKind kind, std::string_view label, std::string_view array);
  void RejectPart(const FormPart& part, std::string reason);

  Draft* Find(OpKind kind, RunId id);
  static void Reject(Draft& draft, std::string reason, bool unreadable);
  Part Slice(PartField field, std::string_view json) const;
  Part Append(PartField field, std::string_view json);
  /// Checks a JSON text and adds it to the operation, repaired if need be.
  void AddJson(Draft& draft, PartField field, std::string_view json, std::string_view label);
  std::string BytesOf(const Draft& draft) const;
  std::string_view TextOf(const Part& part) const;

  DecodedBody body_;
  std::string_view source_;  ///< What is decoded: the body, or a repaired copy of all of it.
  std::uint64_t source_offset_ = 0;
  std::string repaired_body_;
  DecodedRuns result_;
  std::vector<Draft> drafts_;
  absl::flat_hash_map<OpKey, std::size_t> by_key_;
  std::vector<FormPart> orphans_;  ///< Attachments that came before their run.
  bool at_end_ = false;
};

Decoder::PartName Decoder::SplitName(std::string_view name) {
  PartName split;
  const std::size_t first = std::min(name.find('.'), name.size());
  split.kind = name.substr(0, first);
  name.remove_prefix(std::min(first + 1, name.size()));
  const std::size_t second = std::min(name.find('.'), name.size());
  split.id = name.substr(0, second);
  name.remove_prefix(std::min(second + 1, name.size()));
  split.rest = name;
  return split;
}

void Decoder::Reject(Draft& draft, std::string reason, bool unreadable) {
  if (!draft.reason.empty()) return;
  draft.reason = std::move(reason);
  draft.unreadable = unreadable;
}

Decoder::Draft* Decoder::Find(OpKind kind, RunId id) {
  if (!drafts_.empty() && drafts_.back().op.kind == kind && drafts_.back().op.run_id == id) {
    return &drafts_.back();
  }
  const auto found = by_key_.find(OpKey{kind, id});
  return found == by_key_.end() ? nullptr : &drafts_[found->second];
}

Part Decoder::Slice(PartField field, std::string_view json) const {
  return {.field = field,
          .offset = source_offset_ + static_cast<std::uint64_t>(json.data() - source_.data()),
          .length = json.size(),
          .name = {},
          .mime_type = {}};
}

Part Decoder::Append(PartField field, std::string_view json) {
  const std::size_t offset = body_.text.size() + result_.appended.size();
  result_.appended += json;
  ++result_.repaired_parts;
  return {.field = field, .offset = offset, .length = json.size(), .name = {}, .mime_type = {}};
}

std::string_view Decoder::TextOf(const Part& part) const {
  if (part.offset < body_.text.size()) return body_.text.substr(part.offset, part.length);
  return std::string_view(result_.appended).substr(part.offset - body_.text.size(), part.length);
}

void Decoder::AddJson(Draft& draft, PartField field, std::string_view json,
                      std::string_view label) {
  std::string error;
  const auto behind =
      static_cast<std::size_t>(body_.text.data() + body_.text.size() - (json.data() + json.size()));
  const JsonState state = CheckJson(json, behind + body_.readable_after, &error);
  if (state == JsonState::kRepairable) {
    draft.op.parts.push_back(Append(field, RepairJson(json)));
    return;
  }
  draft.op.parts.push_back(Slice(field, json));
  if (state == JsonState::kInvalid) Reject(draft, std::string(label) + ": " + error, true);
}

void Decoder::AddRun(OpKind kind, RunId id, std::string_view label,
                     std::optional<std::size_t> index, std::string_view json) {
  Draft& draft = drafts_.emplace_back();
  draft.op.kind = kind;
  draft.op.run_id = id;
  draft.label = label;
  draft.index = index;
  RunFacts facts;
  absl::Status status = facts.Read(json);
  const bool unreadable = !status.ok();
  if (status.ok() && facts.defects > 0) {
    const std::string repaired = RepairJson(json);
    facts = RunFacts{};
    status = facts.Read(repaired);
    if (status.ok()) status = IdentifyRun(facts, &draft.op, &draft.additions);
    draft.op.parts.push_back(Append(PartField::kRun, repaired));
  } else {
    if (status.ok()) status = IdentifyRun(facts, &draft.op, &draft.additions);
    draft.op.parts.push_back(Slice(PartField::kRun, json));
  }
  if (!status.ok()) Reject(draft, draft.Name() + ": " + Text(status), unreadable);
}

absl::Status Decoder::ReadForm(std::string_view boundary) {
  MultipartReader reader(body_.text, boundary);
  FormPart part;
  while (reader.Next(&part)) AddFormPart(part);
  if (!reader.status().ok()) return reader.status();
  at_end_ = true;
  for (const FormPart& orphan : std::exchange(orphans_, {})) AddFormPart(orphan);
  return absl::OkStatus();
}

void Decoder::AddFormPart(const FormPart& part) {
  const PartName name = SplitName(part.name);
  const auto id = RunId::Parse(name.id);
  const bool is_post = name.kind == "post";
  if (!is_post && name.kind != "patch" && name.kind != "attachment" && name.kind != "feedback") {
    return RejectPart(part, "is none of post, patch, attachment and feedback");
  }
  if (!id || id->IsNil()) return RejectPart(part, "its name holds no UUID");
  if (name.kind == "feedback") return AddFeedback(part);
  if (name.kind == "attachment") return AddAttachment(*id, name, part);
  const OpKind kind = is_post ? OpKind::kPost : OpKind::kPatch;
  if (!name.rest.empty()) return AddField(kind, *id, name, part);
  by_key_[OpKey{kind, *id}] = drafts_.size();
  AddRun(kind, *id, part.name, std::nullopt, part.content);
}

void Decoder::AddField(OpKind kind, RunId id, const PartName& name, const FormPart& part) {
  Draft* draft = Find(kind, id);
  if (draft == nullptr) return RejectPart(part, "the run it belongs to is not before it");
  if (const auto field = SplitOutField(name.rest)) {
    if (*field == PartField::kError && part.content != "null") draft->op.has_error = true;
    return AddJson(*draft, *field, part.content, part.name);
  }
  // A field that is split out by a later SDK goes back to where it came from.
  if (draft->additions.size() >= kMaxOtherFields) {
    return Reject(*draft, draft->Name() + ": more than 64 fields with names of their own", false);
  }
  if (!IsPlainName(name.rest)) return RejectPart(part, "no run has a field of this name");
  std::string error;
  const JsonState state = CheckJson(part.content, 0, &error);
  if (state == JsonState::kInvalid)
    return Reject(*draft, std::string(part.name) + ": " + error, true);
  draft->additions.emplace_back(
      name.rest, state == JsonState::kValid ? std::string(part.content) : RepairJson(part.content));
}

void Decoder::AddAttachment(RunId id, const PartName& name, const FormPart& part) {
  Draft* draft = Find(OpKind::kPost, id);
  if (draft == nullptr) draft = Find(OpKind::kPatch, id);
  if (draft == nullptr && !at_end_) {
    orphans_.push_back(part);
    return;
  }
  if (draft == nullptr) return RejectPart(part, "the run it belongs to is not in the request");
  if (name.rest.empty()) return RejectPart(part, "an attachment without a name");
  if (!simdjson::validate_utf8(name.rest.data(), name.rest.size())) {
    return RejectPart(part, "an attachment whose name is not UTF-8");
  }
  Part attachment = Slice(PartField::kAttachment, part.content);
  attachment.name = UnescapedName(name.rest);
  attachment.mime_type = WithoutParameter(part.content_type, "length");
  draft->op.parts.push_back(std::move(attachment));
}

void Decoder::AddFeedback(const FormPart& part) {
  Draft& draft = drafts_.emplace_back();
  draft.op.kind = OpKind::kFeedback;
  draft.label = part.name;
  AddJson(draft, PartField::kFeedback, part.content, part.name);
  if (!draft.reason.empty()) return;
  RunFacts facts;
  absl::Status status = facts.Read(TextOf(draft.op.parts.front()));
  if (status.ok()) status = IdentifyFeedback(facts, &draft.op);
  if (!status.ok()) Reject(draft, std::string(part.name) + ": " + Text(status), false);
}

void Decoder::RejectPart(const FormPart& part, std::string reason) {
  Draft& draft = drafts_.emplace_back();
  draft.op.kind = OpKind::kFeedback;  // So that no part is taken for one of its own.
  draft.label = part.name;
  draft.op.parts.push_back(Slice(PartField::kAttachment, part.content));
  Reject(draft, "part '" + std::string(part.name) + "': " + std::move(reason), false);
}

absl::Status Decoder::ReadBatch() {
  std::string error;
  JsonState state = CheckJson(source_, body_.readable_after, &error);
  // A run that is nested too deep is rejected alone.
  if (state == JsonState::kInvalid) state = CheckJsonOfAnyDepth(source_, &error);
  if (state == JsonState::kInvalid) return absl::InvalidArgumentError("body: " + error);
  if (state == JsonState::kRepairable) {
    repaired_body_ = RepairJson(source_, JsonDepth::kAny);
    source_offset_ = Append(PartField::kRun, repaired_body_).offset;
    source_ = repaired_body_;
  }
  JsonScanner scanner(source_);
  scanner.AllowAnyDepth();
  if (!scanner.EnterObject()) return absl::InvalidArgumentError("body: expected a JSON object");
  bool known = false;
  while (const auto member = scanner.NextMember()) {
    if (member->key != "post" && member->key != "patch") continue;
    known = true;
    if (member->value == "null") continue;
    if (member->value.front() != '[') {
      return absl::InvalidArgumentError(std::string(member->key) + ": expected an array of runs");
    }
    const OpKind kind = member->key == "post" ? OpKind::kPost : OpKind::kPatch;
    if (auto status = AddElements(kind, member->key, member->value); !status.ok()) return status;
  }
  if (!known) return absl::InvalidArgumentError("body: has neither post nor patch");
  return absl::OkStatus();
}

absl::Status Decoder::AddElements(OpKind kind, std::string_view label, std::string_view array) {
  JsonScanner scanner(array);
  scanner.AllowAnyDepth();
  scanner.EnterArray();
  for (std::size_t i = 0; const auto element = scanner.NextElement(); ++i) {
    if (drafts_.size() == kMaxBatchRuns) {
      return absl::ResourceExhaustedError("body: more than 100000 runs");
    }
    AddRun(kind, RunId{}, label, i, *element);
  }
  return absl::OkStatus();
}

absl::Status Decoder::ReadRun(OpKind kind, RunId id) {
  AddRun(kind, id, "run", std::nullopt, body_.text);
  const Draft& draft = drafts_.front();
  if (draft.unreadable) return absl::InvalidArgumentError(draft.reason);
  return absl::OkStatus();
}

/// What is kept of a rejected operation: its parts, each after a line with its name.
std::string Decoder::BytesOf(const Draft& draft) const {
  if (draft.op.parts.size() == 1) {
    return std::string(TextOf(draft.op.parts.front()).substr(0, kMaxRejectedBytes));
  }
  std::string bytes;
  for (const Part& part : draft.op.parts) {
    if (bytes.size() >= kMaxRejectedBytes) break;
    bytes.append(draft.Name());
    if (part.field != PartField::kRun) {
      bytes.append(".").append(part.name.empty() ? PartFieldName(part.field)
                                                 : std::string_view(part.name.str()));
    }
    bytes.append("\n").append(TextOf(part).substr(0, kMaxRejectedBytes)).append("\n");
  }
  bytes.resize(std::min(bytes.size(), kMaxRejectedBytes));
  return bytes;
}

DecodedRuns Decoder::Finish() {
  bool all_unreadable = !drafts_.empty();
  result_.ops.reserve(drafts_.size());
  for (std::size_t i = 0; i < drafts_.size(); ++i) {
    Draft& draft = drafts_[i];
    all_unreadable &= draft.unreadable;
    if (!draft.reason.empty()) {
      result_.rejected.push_back({i, std::move(draft.reason), BytesOf(draft)});
      continue;
    }
    if (!draft.additions.empty()) {
      Part& run = draft.op.parts.front();
      run = Append(PartField::kRun, WithMembers(TextOf(run), draft.additions));
    }
    result_.ops.push_back(std::move(draft.op));
  }
  result_.nothing_readable = all_unreadable;
  return std::move(result_);
}

}  // namespace

absl::StatusOr<DecodedRuns> DecodeMultipartRuns(DecodedBody body, std::string_view boundary) {
  Decoder decoder(body);
  if (auto status = decoder.ReadForm(boundary); !status.ok()) return status;
  return decoder.Finish();
}

absl::StatusOr<DecodedRuns> DecodeRunBatch(DecodedBody body) {
  Decoder decoder(body);
  if (auto status = decoder.ReadBatch(); !status.ok()) return status;
  return decoder.Finish();
}

absl::StatusOr<DecodedRuns> DecodeSingleRun(DecodedBody body, OpKind kind, RunId id) {
  Decoder decoder(body);
  if (auto status = decoder.ReadRun(kind, id); !status.ok()) return status;
  return decoder.Finish();
}

}  // namespace weft::collector
