// SPDX-License-Identifier: Apache-2.0
#include "destinations/run_json.h"

#include <algorithm>

#include <absl/strings/escaping.h>
#include <boost/json.hpp>

#include "langsmith/run_facts.h"
#include "parked_file.h"

namespace weft::collector {
namespace {

// Between its tokens JSON may hold line breaks; within strings it cannot.
void OntoOneLine(std::string& json) {
  std::replace_if(
      json.begin(), json.end(), [](char c) { return c == '\n' || c == '\r'; }, ' ');
}

std::string Quoted(std::string_view text) {
  return boost::json::serialize(boost::json::value(text));
}

std::string AttachmentList(const OutgoingOp& op) {
  std::string list;
  for (const Part& part : op.op->parts) {
    if (part.field != PartField::kAttachment) continue;
    const std::string_view content = op.Text(part);
    list += list.empty() ? "" : ",";
    list += "{\"name\":" + Quoted(part.name.str()) +
            ",\"mime_type\":" + Quoted(part.mime_type.str()) + ",\"base64\":\"" +
            absl::Base64Escape(absl::string_view(content.data(), content.size())) + "\"}";
  }
  return list;
}

}  // namespace

std::string_view OpName(OpKind kind) noexcept {
  switch (kind) {
    case OpKind::kPost:
      return "post";
    case OpKind::kPatch:
      return "patch";
    case OpKind::kFeedback:
      return "feedback";
  }
  return "";
}

std::string RunObject(const OutgoingOp& op) {
  std::string_view object = "{}";
  Additions additions;
  for (const Part& part : op.op->parts) {
    if (part.field == PartField::kRun || part.field == PartField::kFeedback) {
      object = op.Text(part);
    } else if (part.field < PartField::kAttachment) {
      additions.emplace_back(PartFieldName(part.field), op.Text(part));
    }
  }
  return additions.empty() ? std::string(object) : WithMembers(object, additions);
}

std::string OperationLine(const OutgoingOp& op, std::string_view head) {
  const RunOp& run = *op.op;
  std::string line = "{" + std::string(head) + "\"op\":\"" + std::string(OpName(run.kind)) +
                     "\",\"run_id\":\"" + run.run_id.ToString() + "\",\"trace_id\":";
  line += run.trace_id.IsNil() ? "null" : "\"" + run.trace_id.ToString() + "\"";
  line += ",\"received\":\"" + IsoTime(op.received_us) + "\",\"seq\":" + std::to_string(op.seq);
  std::string object = RunObject(op);
  OntoOneLine(object);
  line += run.kind == OpKind::kFeedback ? ",\"feedback\":" : ",\"run\":";
  line += object;
  if (const std::string attachments = AttachmentList(op); !attachments.empty()) {
    line += ",\"attachments\":[" + attachments + "]";
  }
  return line + "}";
}

}  // namespace weft::collector
