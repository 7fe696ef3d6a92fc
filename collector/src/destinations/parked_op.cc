// SPDX-License-Identifier: Apache-2.0
#include "destinations/parked_op.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <optional>
#include <utility>

#include <absl/strings/escaping.h>
#include <absl/strings/str_cat.h>
#include <simdjson.h>
#include <xxhash.h>
#include <boost/json.hpp>

#include "destinations/run_json.h"
#include "fold_json.h"

namespace weft::collector {
namespace {

constexpr std::array kSplitOut = {PartField::kInputs, PartField::kOutputs, PartField::kEvents,
                                  PartField::kExtra,  PartField::kError,   PartField::kSerialized};

std::uint64_t NowMicroseconds() {
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(
                                        std::chrono::system_clock::now().time_since_epoch())
                                        .count());
}

std::uint64_t IdOf(const OutgoingOp& op) {
  std::uint64_t id = XXH3_64bits_withSeed(op.op->run_id.bytes.data(), op.op->run_id.bytes.size(),
                                          op.seq * 4 + static_cast<std::uint64_t>(op.op->kind));
  for (const Part& part : op.op->parts) {
    const std::string_view text = op.Text(part);
    id = XXH3_64bits_withSeed(text.data(), text.size(), id);
  }
  return id;
}

std::string SpanParts(const OutgoingOp& op) {
  std::string list;
  for (const Part& part : op.op->parts) {
    const std::string_view bytes = op.Text(part);
    list += list.empty() ? "" : ",";
    absl::StrAppend(&list, "{\"field\":", static_cast<int>(part.field), ",\"base64\":\"",
                    absl::Base64Escape(absl::string_view(bytes.data(), bytes.size())), "\"}");
  }
  return list;
}

void AddPart(ParkedOp& parked, PartField field, std::string_view text) {
  Part part;
  part.field = field;
  part.offset = parked.payload.size();
  part.length = text.size();
  parked.op.parts.push_back(std::move(part));
  parked.payload += text;
}

// Puts what a request splits out of a run into parts of their own again.
void AddRun(ParkedOp& parked, std::string_view object) {
  std::string run = "{";
  std::vector<std::pair<PartField, std::string_view>> parts;
  FieldCutter cutter(object);
  for (std::string_view key, value; cutter.Next(key, value);) {
    const auto field = std::find_if(kSplitOut.begin(), kSplitOut.end(),
                                    [&](PartField f) { return PartFieldName(f) == key; });
    if (field == kSplitOut.end() || WeightOf(value) <= JsonWeight::kNull) {
      AppendField(run, key, value);
    } else {
      parts.emplace_back(*field, value);
    }
  }
  AddPart(parked, PartField::kRun, run + "}");
  for (const auto& [field, text] : parts) {
    parked.op.has_error |= field == PartField::kError;
    AddPart(parked, field, text);
  }
}

bool AddBytes(ParkedOp& parked, PartField field, const boost::json::object& entry) {
  const auto* const text = entry.if_contains("base64");
  if (text == nullptr || !text->is_string()) return false;
  std::string bytes;
  const auto& encoded = text->get_string();
  if (!absl::Base64Unescape(absl::string_view(encoded.data(), encoded.size()), &bytes)) {
    return false;
  }
  AddPart(parked, field, bytes);
  return true;
}

bool AddEntries(ParkedOp& parked, std::string_view array) {
  boost::json::error_code error;
  const boost::json::value entries = boost::json::parse({array.data(), array.size()}, error);
  if (error || !entries.is_array()) return false;
  for (const boost::json::value& value : entries.get_array()) {
    const auto* const entry = value.if_object();
    if (entry == nullptr) return false;
    const auto* const number = entry->if_contains("field");
    const bool is_span = number != nullptr && number->is_int64();
    const auto field =
        is_span ? static_cast<PartField>(number->get_int64()) : PartField::kAttachment;
    if (!AddBytes(parked, field, *entry)) return false;
    const auto text = [&](const char* name) {
      const auto* const found = entry->if_contains(name);
      return found != nullptr && found->is_string() ? std::string(found->get_string().c_str()) : "";
    };
    if (is_span) continue;
    parked.op.parts.back().name = text("name");
    parked.op.parts.back().mime_type = text("mime_type");
  }
  return true;
}

std::optional<OpKind> KindOf(std::string_view name) {
  for (const OpKind kind : {OpKind::kPost, OpKind::kPatch, OpKind::kFeedback}) {
    if (OpName(kind) == name) return kind;
  }
  return std::nullopt;
}

template <typename Number>
bool ReadNumber(std::string_view text, Number* number, int base = 10) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *number, base);
  return error == std::errc() && end == text.data() + text.size();
}

}  // namespace

ParkedLine MakeParkedOp(const OutgoingOp& op, std::uint64_t key_id, const std::string& destination,
                        const std::string& code, const std::string& reason) {
  const bool utf8 = simdjson::validate_utf8(reason.data(), reason.size());
  ParkedLine parked;
  parked.id = IdOf(op);
  parked.operations = op.covers;
  parked.code = code;
  const JsonObject head = {
      {"id", HexId(parked.id)}, {"time", IsoTime(NowMicroseconds())},      {"dest", destination},
      {"code", code},           {"reason", utf8 ? reason : "(not UTF-8)"}, {"key", HexId(key_id)},
      {"covers", op.covers}};
  std::string members = boost::json::serialize(head);
  members = members.substr(1, members.size() - 2) + ",";
  parked.text = OperationLine(op, members);
  if (op.receiver == Receiver::kOtlp) {
    parked.text.pop_back();
    parked.text += ",\"span\":[" + SpanParts(op) + "]}";
  }
  return parked;
}

OutgoingOp ParkedOp::Outgoing() const {
  OutgoingOp out;
  out.op = &op;
  out.payload = payload;
  out.received_us = received_us;
  out.seq = seq;
  out.covers = covers;
  out.receiver = receiver;
  if (receiver == Receiver::kOtlp) out.record_ops = 0;  // In no request of its own.
  return out;
}

absl::StatusOr<ParkedOp> ReadParkedOp(std::string_view line) {
  ParkedOp parked;
  bool has_key = false, has_kind = false, is_good = true;
  std::string_view run, spans, attachments;
  FieldCutter cutter(line);
  for (std::string_view key, value; cutter.Next(key, value);) {
    const std::string_view text =
        value.size() >= 2 && value.front() == '"' ? value.substr(1, value.size() - 2) : value;
    if (key == "op") {
      const std::optional<OpKind> kind = KindOf(text);
      has_kind = kind.has_value();
      parked.op.kind = kind.value_or(OpKind::kPost);
    } else if (key == "run_id") {
      parked.op.run_id = RunId::Parse(text).value_or(RunId{});
    } else if (key == "trace_id") {
      parked.op.trace_id = RunId::Parse(text).value_or(RunId{});
    } else if (key == "key") {
      has_key = ReadNumber(text, &parked.key_id, 16);
    } else if (key == "seq") {
      is_good &= ReadNumber(text, &parked.seq);
    } else if (key == "covers") {
      is_good &= ReadNumber(text, &parked.covers);
    } else if (key == "run" || key == "feedback") {
      run = value;
    } else if (key == "attachments") {
      attachments = value;
    } else if (key == "span") {
      spans = value;
    }
  }
  if (!has_kind || !is_good || run.empty()) return absl::DataLossError("the line is no operation");
  if (!has_key) return absl::DataLossError("the line does not say whose key it was sent with");
  if (!spans.empty()) {
    parked.receiver = Receiver::kOtlp;
  } else if (parked.op.kind == OpKind::kFeedback) {
    AddPart(parked, PartField::kFeedback, run);
  } else {
    AddRun(parked, run);
  }
  for (const std::string_view list : {spans, attachments}) {
    if (!list.empty() && !AddEntries(parked, list)) {
      return absl::DataLossError("the line's attachments cannot be read");
    }
  }
  return parked;
}

}  // namespace weft::collector
