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

std::string FeedbackId(const OutgoingOp& op, const Part& part) {
  RunFacts facts;
  if (!facts.Read(op.Text(part)).ok()) return op.op->run_id.ToString();
  return JsonStringValue(facts.id).value_or(op.op->run_id.ToString());
}

// `post.<id>`, `post.<id>.inputs`, `attachment.<id>.<name>`, `feedback.<id>`
void WritePartName(const OutgoingOp& op, const Part& part, std::string& name) {
  if (part.field == PartField::kFeedback) {
    name = "feedback." + FeedbackId(op, part);
    return;
  }
  const bool is_attachment = part.field == PartField::kAttachment;
  std::array<char, RunId::kTextSize> id;
  op.op->run_id.Write(id.data());
  name = is_attachment ? "attachment" : OpName(op.op->kind);
  name += '.';
  name.append(id.data(), id.size());
  const std::string_view rest =
      is_attachment ? std::string_view(part.name.str()) : PartFieldName(part.field);
  if (!rest.empty() || is_attachment) (name += '.') += rest;
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
  std::string name;
  for (const OutgoingOp& op : ops) {
    for (const Part& part : op.op->parts) {
      const bool attachment = part.field == PartField::kAttachment;
      WritePartName(op, part, name);
      form.Append(name, attachment ? std::string_view(part.mime_type.str()) : "application/json",
                  op.Text(part));
    }
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
