// SPDX-License-Identifier: Apache-2.0
#include "destinations/langsmith_body.h"

#include <openssl/rand.h>

#include <algorithm>
#include <array>

#include <absl/strings/escaping.h>

#include "destinations/run_json.h"
#include "langsmith/json_scanner.h"
#include "langsmith/run_facts.h"

namespace weft::collector {
namespace {

// Roughly what a part's header takes.
constexpr std::size_t kHeaderBytes = 160;

// As browsers write names in headers; nothing in a name can end the header.
std::string HeaderName(std::string_view name) {
  std::string out;
  for (const char c : name) {
    if (c == '"') {
      out += "%22";
    } else if (c == '\r') {
      out += "%0D";
    } else if (c == '\n') {
      out += "%0A";
    } else {
      out += c;
    }
  }
  return out;
}

std::string MediaType(const std::string& type) {
  const bool printable =
      std::all_of(type.begin(), type.end(), [](char c) { return c >= ' ' && c < 0x7f; });
  return type.empty() || !printable ? "application/octet-stream" : type;
}

std::string FeedbackId(const OutgoingOp& op, const Part& part) {
  RunFacts facts;
  if (!facts.Read(op.Text(part)).ok()) return op.op->run_id.ToString();
  return JsonStringValue(facts.id).value_or(op.op->run_id.ToString());
}

std::string PartName(const OutgoingOp& op, const Part& part) {
  const std::string id = op.op->run_id.ToString();
  switch (part.field) {
    case PartField::kFeedback:
      return "feedback." + FeedbackId(op, part);
    case PartField::kAttachment:
      return "attachment." + id + "." + HeaderName(part.name);
    case PartField::kRun:
      return std::string(OpName(op.op->kind)) + "." + id;
    default:
      return std::string(OpName(op.op->kind)) + "." + id + "." +
             std::string(PartFieldName(part.field));
  }
}

}  // namespace

std::string MultipartBody(std::span<const OutgoingOp> ops, std::string_view boundary) {
  std::size_t size = 64;
  for (const OutgoingOp& op : ops) {
    for (const Part& part : op.op->parts) size += part.length + kHeaderBytes + part.name.size();
  }
  std::string body;
  body.reserve(size);
  for (const OutgoingOp& op : ops) {
    for (const Part& part : op.op->parts) {
      const bool attachment = part.field == PartField::kAttachment;
      const std::string_view text = op.Text(part);
      body.append("--").append(boundary).append("\r\nContent-Disposition: form-data; name=\"");
      body.append(PartName(op, part)).append("\"\r\nContent-Type: ");
      body.append(attachment ? MediaType(part.mime_type) : "application/json");
      body.append("\r\nContent-Length: ").append(std::to_string(text.size())).append("\r\n\r\n");
      body.append(text).append("\r\n");
    }
  }
  return body.append("--").append(boundary).append("--\r\n");
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
  if (op.op->kind == OpKind::kFeedback) return true;
  if (op.op->trace_id.IsNil()) return false;
  for (const Part& part : op.op->parts) {
    if (part.field != PartField::kRun) continue;
    const std::string_view text = op.Text(part);
    return text.find("\"dotted_order\"") != std::string_view::npos &&
           text.find("\"trace_id\"") != std::string_view::npos;
  }
  return false;
}

std::string NewBoundary() {
  std::string bytes(16, '\0');
  RAND_bytes(reinterpret_cast<unsigned char*>(bytes.data()), static_cast<int>(bytes.size()));
  return absl::BytesToHexString(bytes);
}

}  // namespace weft::collector
