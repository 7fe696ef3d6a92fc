// SPDX-License-Identifier: Apache-2.0
#include "destinations/langsmith_body.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "destinations/run_json.h"
#include "langsmith/json_scanner.h"
#include "langsmith/run_facts.h"

namespace weft::collector {
namespace {

// Of a text with many quotes in it memmem finds this faster than std::string_view does.
bool Contains(std::string_view text, std::string_view needle) {
  return ::memmem(text.data(), text.size(), needle.data(), needle.size()) != nullptr;
}

// What the header of a part takes at most, but for the names of attachments: a form that turns out
// longer is copied once more.
constexpr std::size_t kHeaderBytes = 200;
constexpr std::string_view kJson = "application/json";

std::string FeedbackId(const OutgoingOp& op, const Part& part) {
  RunFacts facts;
  if (!facts.Read(op.Text(part)).ok()) return op.op->run_id.ToString();
  return JsonStringValue(facts.id).value_or(op.op->run_id.ToString());
}

// Attachments are named by those who sent them.
void AppendAttachment(const OutgoingOp& op, const Part& part, std::string_view id,
                      internal::FormData& form) {
  std::string name = "attachment.";
  name.append(id).append(".").append(part.name.str());
  form.Append(name, part.mime_type.str(), op.Text(part));
}

// `post.<id>`, `post.<id>.inputs`, `attachment.<id>.<name>`, `feedback.<id>`
void AppendParts(const OutgoingOp& op, internal::FormData& form) {
  std::array<char, RunId::kTextSize + 1> id_and_dot;
  op.op->run_id.Write(id_and_dot.data());
  id_and_dot.back() = '.';
  const std::string_view id(id_and_dot.data(), RunId::kTextSize);
  const std::string_view operation = op.op->kind == OpKind::kPatch      ? "patch."
                                     : op.op->kind == OpKind::kFeedback ? "feedback."
                                                                        : "post.";
  for (const Part& part : op.op->parts) {
    if (part.field == PartField::kAttachment) {
      AppendAttachment(op, part, id, form);
    } else if (part.field == PartField::kFeedback) {
      form.Append("feedback." + FeedbackId(op, part), kJson, op.Text(part));
    } else if (const std::string_view field = PartFieldName(part.field); field.empty()) {
      form.AppendJson(operation, id, "", op.Text(part));
    } else {
      form.AppendJson(operation, {id_and_dot.data(), id_and_dot.size()}, field, op.Text(part));
    }
  }
}

// Texts were written a while ago, by another thread, and have left the processor's near caches:
// those of the next operation come while this one is copied.
void Fetch(const OutgoingOp& op) {
  constexpr std::size_t kLine = 64;
  constexpr std::size_t kMost = 4096;  // Behind that the processor finds them by itself.
  for (const Part& part : op.op->parts) {
    const std::string_view text = op.Text(part).substr(0, kMost);
    for (std::size_t at = 0; at < text.size(); at += kLine) __builtin_prefetch(text.data() + at);
  }
}

}  // namespace

internal::FormData MakeForm(std::span<const OutgoingOp> ops) {
  std::size_t size = 64;
  for (const OutgoingOp& op : ops) {
    for (const Part& part : op.op->parts)
      size += part.length + kHeaderBytes + part.name.str().size() + part.mime_type.str().size();
  }
  internal::FormData form;
  form.Reserve(size);
  for (std::size_t i = 0; i < ops.size(); ++i) {
    if (i + 1 < ops.size()) Fetch(ops[i + 1]);
    AppendParts(ops[i], form);
  }
  return form;
}

std::string BatchBody(std::span<const OutgoingOp> ops) {
  std::array<std::string, 2> lists;
  for (const OutgoingOp& op : ops) {
    std::string& list = lists[op.op->kind == OpKind::kPatch ? 1 : 0];
    list += list.empty() ? "" : ",";
    list += RunObject(op);
  }
  return "{\"post\":[" + lists[0] + "],\"patch\":[" + lists[1] + "]}";
}

bool CanBatch(const OutgoingOp& op) {
  return op.op->kind != OpKind::kFeedback &&
         std::none_of(op.op->parts.begin(), op.op->parts.end(),
                      [](const Part& part) { return part.field == PartField::kAttachment; });
}

bool HasBatchFields(const OutgoingOp& op) {
  if (op.is_placed || op.op->kind == OpKind::kFeedback) return true;
  if (op.op->trace_id.IsNil()) return false;
  for (const Part& part : op.op->parts) {
    if (part.field != PartField::kRun) continue;
    const std::string_view text = op.Text(part);
    return Contains(text, "\"dotted_order\"") && Contains(text, "\"trace_id\"");
  }
  return false;
}

}  // namespace weft::collector
