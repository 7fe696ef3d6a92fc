// SPDX-License-Identifier: Apache-2.0
#include "run_limits.h"

#include <openssl/sha.h>

#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <absl/strings/escaping.h>

#include <weft/collector/run_store.h>

#include "batch_payload.h"
#include "langsmith/json_scanner.h"
#include "otlp/request_bytes.h"
#include "otlp/span_ids.h"
#include "otlp/trace_request.h"

namespace weft::collector {
namespace {

constexpr std::size_t kMaxRejectedBytes = 1u << 20;
// Each span has its resource with it, which all of a request may share.
constexpr std::size_t kMaxKeptSpans = 64u << 20;
// What may be left out of a run; the rest says what it is.
constexpr std::array<std::string_view, 6> kLargeFields = {"inputs", "outputs", "events",
                                                          "extra",  "error",   "serialized"};
// Below it a marker would save nothing.
constexpr std::size_t kLeastField = 1024;

// Empty for what stays in any case.
std::string_view OnlyLarge(std::string_view field) {
  const auto* const found = std::find(kLargeFields.begin(), kLargeFields.end(), field);
  return found == kLargeFields.end() ? std::string_view() : *found;
}

// Of a span without its resource, which all spans of a request may share.
std::uint64_t SizeOf(const RunOp& op) {
  std::uint64_t size = 0;
  for (const Part& part : op.parts) {
    const bool is_counted = part.field != PartField::kAttachment &&
                            part.field != PartField::kResource && part.field != PartField::kScope;
    if (is_counted) size += part.length;
  }
  return size;
}

std::string MarkerFor(std::string_view field, std::string_view text) {
  std::array<unsigned char, SHA256_DIGEST_LENGTH> digest{};
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data());
  const std::string hex = absl::BytesToHexString(
      absl::string_view(reinterpret_cast<const char*>(digest.data()), digest.size()));
  const std::string bytes = std::to_string(text.size());
  if (field == "error") return "\"weft_truncated: " + bytes + " bytes, sha256 " + hex + "\"";
  return "{\"weft_truncated\":{\"bytes\":" + bytes + ",\"sha256\":\"" + hex + "\"}}";
}

// A run that is too large, in pieces: fields that may be left out, and the text between them.
class LargeRun {
 public:
  LargeRun(const RunOp& op, std::string_view payload) {
    for (std::size_t i = 0; i < op.parts.size(); ++i) {
      const Part& part = op.parts[i];
      const std::string_view text = payload.substr(part.offset, part.length);
      if (part.field != PartField::kAttachment) size_ += part.length;
      if (part.field == PartField::kRun) {
        AddMembers(i, text);
      } else {
        Add(i, OnlyLarge(PartFieldName(part.field)), text);
      }
    }
  }

  /// Whether it may go to the log, perhaps without its largest fields.
  bool Fits(const RunLimits& limits) {
    if (limits.large_runs == LargeRuns::kRefuse) return size_ <= limits.max_run_bytes;
    return CutTo(limits.max_run_bytes);
  }

  /// False when that is not enough.
  bool CutTo(std::uint64_t limit) {
    std::vector<Piece*> largest;
    for (Piece& piece : pieces_) {
      if (!piece.field.empty() && piece.text.size() >= kLeastField) largest.push_back(&piece);
    }
    std::sort(largest.begin(), largest.end(),
              [](const Piece* a, const Piece* b) { return a->text.size() > b->text.size(); });
    for (Piece* const piece : largest) {
      if (size_ <= limit) break;
      piece->marker = MarkerFor(piece->field, piece->text);
      size_ -= piece->text.size() - piece->marker.size();
    }
    return size_ <= limit;
  }

  /// Appends the parts to `payload`, and lets `op` say where they are.
  void Write(RunOp& op, std::string& payload) const {
    for (std::size_t i = 0; i < op.parts.size(); ++i) {
      op.parts[i].offset = payload.size();
      for (const Piece& piece : pieces_) {
        if (piece.part == i) payload += piece.marker.empty() ? piece.text : piece.marker;
      }
      op.parts[i].length = payload.size() - op.parts[i].offset;
    }
  }

 private:
  struct Piece {
    std::size_t part;
    std::string_view field;  // empty: stays
    std::string_view text;
    std::string marker{};
  };

  void Add(std::size_t part, std::string_view field, std::string_view text) {
    pieces_.push_back({part, field, text});
  }

  void AddMembers(std::size_t part, std::string_view text) {
    std::size_t copied = 0;
    JsonScanner scanner(text);
    const bool is_object = scanner.EnterObject();
    while (const auto member = is_object ? scanner.NextMember() : std::nullopt) {
      const std::string_view field = OnlyLarge(member->key);
      if (field.empty()) continue;
      const auto begin = static_cast<std::size_t>(member->value.data() - text.data());
      Add(part, {}, text.substr(copied, begin - copied));
      Add(part, field, member->value);
      copied = begin + member->value.size();
    }
    Add(part, {}, text.substr(copied));
  }

  std::vector<Piece> pieces_;
  std::uint64_t size_ = 0;
};

std::string LabelOf(const RunOp& op) {
  const char* const kind = op.kind == OpKind::kPost    ? "post."
                           : op.kind == OpKind::kPatch ? "patch."
                                                       : "feedback.";
  return kind + op.run_id.ToString();
}

// Its parts, each after a line with its name, as the decoder of forms keeps them.
std::string BytesOf(const RunOp& op, std::string_view payload) {
  std::string bytes;
  for (const Part& part : op.parts) {
    bytes += LabelOf(op);
    if (part.field != PartField::kRun) {
      bytes += "." + (part.name.empty() ? std::string(PartFieldName(part.field)) : part.name.str());
    }
    bytes.append("\n").append(payload.substr(part.offset, part.length)).append("\n");
    if (bytes.size() >= kMaxRejectedBytes) break;
  }
  bytes.resize(std::min(bytes.size(), kMaxRejectedBytes));
  return bytes;
}

constexpr char kFull[] = "its trace has as many runs as a trace may have";

// Which operations go nowhere, by their index.
std::vector<bool> OfFullTraces(const RunLimits& limits, const IngestBatch& batch) {
  std::vector<bool> full;
  if (limits.store == nullptr || !limits.store->has_full_traces()) return full;
  const std::vector<RunOp>& ops = batch.header.ops;
  for (std::size_t i = 0; i < ops.size(); ++i) {
    const bool is_run = ops[i].kind != OpKind::kFeedback && !ops[i].trace_id.IsNil();
    if (!is_run || !limits.store->IsFull(ops[i].trace_id, ops[i].run_id, limits.max_trace_runs)) {
      continue;
    }
    full.resize(ops.size());
    full[i] = true;
  }
  return full;
}

void LimitRuns(const RunLimits& limits, const std::vector<bool>& full, std::string_view payload,
               IngestBatch& batch) {
  std::string rest;
  std::vector<RunOp> kept;
  for (std::size_t i = 0; i < batch.header.ops.size(); ++i) {
    RunOp& op = batch.header.ops[i];
    const bool is_full = !full.empty() && full[i];
    LargeRun run(op, payload);
    if (is_full || !run.Fits(limits)) {
      const char* const reason = is_full ? kFull : "larger than a run may be";
      batch.rejected.push_back({i, LabelOf(op) + ": " + reason, BytesOf(op, payload)});
      continue;
    }
    run.Write(op, rest);
    kept.push_back(std::move(op));
  }
  batch.header.ops = std::move(kept);
  SetPayload(std::move(rest), batch);
}

// As a request of its own, with which it can be sent again; the beginning of its own bytes when
// that would be large.
std::string RequestOf(const RunOp& op, std::string_view payload) {
  const SpanSlices slices = SlicesOf(op, payload);
  const std::size_t size = slices.span.size() + slices.resource.size() + slices.scope.size();
  if (size > kMaxRejectedBytes) return std::string(slices.span.substr(0, kMaxRejectedBytes));
  return OneSpanRequest(slices.span, slices.resource, slices.scope);
}

std::string TooLarge(std::uint64_t size, std::uint64_t limit) {
  return "larger than a run may be, " + std::to_string(size) + " bytes of " + std::to_string(limit);
}

void LimitSpans(const RunLimits& limits, const std::vector<bool>& full, std::string_view payload,
                IngestBatch& batch) {
  std::vector<std::string> projects;
  std::vector<bool> gone(batch.header.ops.size());
  std::size_t kept = 0;
  for (std::size_t i = 0; i < gone.size(); ++i) {
    const RunOp& op = batch.header.ops[i];
    const std::uint64_t size = SizeOf(op);
    const bool is_large = size > limits.max_run_bytes;
    gone[i] = is_large || (!full.empty() && full[i]);
    if (!gone[i]) {
      projects.push_back(op.project);
      continue;
    }
    std::string bytes = kept < kMaxKeptSpans ? RequestOf(op, payload) : "";
    kept += bytes.size();
    batch.rejected.push_back(
        {i, "span: " + (is_large ? TooLarge(size, limits.max_run_bytes) : std::string(kFull)),
         std::move(bytes), op.project});
  }
  std::size_t next = 0;
  std::string rest = KeepSpans(payload, [&](std::uint64_t) { return !gone[next++]; });
  absl::StatusOr<DecodedSpans> spans = DecodeTraceRequest("", &rest);
  if (!spans.ok()) spans = DecodedSpans();
  batch.header.ops = std::move(spans->ops);
  // As many as are left: all of them were decoded before.
  for (std::size_t i = 0; i < std::min(projects.size(), batch.header.ops.size()); ++i) {
    batch.header.ops[i].project = std::move(projects[i]);
  }
  SetPayload(std::move(rest), batch);
}

}  // namespace

void ApplyRunLimits(const RunLimits& limits, IngestBatch& batch) {
  const bool is_otlp = batch.header.receiver == Receiver::kOtlp;
  const std::vector<RunOp>& ops = batch.header.ops;
  const bool is_large = batch.header.decoded_size > limits.max_run_bytes &&
                        std::any_of(ops.begin(), ops.end(), [&](const RunOp& op) {
                          return SizeOf(op) > limits.max_run_bytes;
                        });
  const std::vector<bool> full = OfFullTraces(limits, batch);
  if (!is_large && full.empty()) return;
  const absl::StatusOr<std::string> payload = DecodedPayload(batch);
  if (!payload.ok()) return;  // The log would say so.
  is_otlp ? LimitSpans(limits, full, *payload, batch) : LimitRuns(limits, full, *payload, batch);
}

}  // namespace weft::collector
