// SPDX-License-Identifier: Apache-2.0
#include "fold.h"

#include <algorithm>
#include <map>
#include <tuple>

#include <openssl/sha.h>

#include "fold_json.h"

namespace weft::collector {
namespace {

// What a later operation says replaces what an earlier one said, and a PATCH is later than any
// POST.
void SortByWord(std::vector<FoldOp>& ops) {
  std::sort(ops.begin(), ops.end(), [](const FoldOp& a, const FoldOp& b) {
    return std::tuple(a.op->kind, a.seq, a.index) < std::tuple(b.op->kind, b.seq, b.index);
  });
}

std::string_view Bytes(const FoldOp& op, const Part& part) {
  if (part.offset > op.payload.size()) return {};
  std::string_view bytes = op.payload.substr(part.offset, part.length);
  if (part.field == PartField::kAttachment) return bytes;
  constexpr std::string_view kBlanks = " \n\r\t";
  std::size_t first = bytes.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) return {};
  return bytes.substr(first, bytes.find_last_not_of(kBlanks) - first + 1);
}

std::string PercentEncoded(std::string_view text) {
  static constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string out;
  for (char c : text) {
    auto byte = static_cast<unsigned char>(c);
    bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                 c == '-' || c == '.' || c == '_' || c == '~';
    if (plain) {
      out += c;
    } else {
      out += '%';
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    }
  }
  return out;
}

std::string Quoted(std::string_view text) {
  std::string out;
  AppendQuoted(out, text);
  return out;
}

std::string Object(const FieldSet& fields) {
  std::string out = "{";
  for (const auto& [key, value] : fields) AppendField(out, key, value);
  return out + '}';
}

// The object that a run's operations are merged into.
class Merged {
 public:
  void Apply(const FoldOp& op) {
    if (!op.op->project.empty()) project_ = op.op->project;
    // The object first: what was split out of it has the last word.
    for (const Part& part : op.op->parts) {
      if (part.field == PartField::kRun) ApplyObject(Bytes(op, part));
    }
    for (const Part& part : op.op->parts) {
      if (part.field == PartField::kRun || part.field == PartField::kFeedback) continue;
      if (part.field == PartField::kAttachment) {
        attachments_[part.name.str()] = part.mime_type.str();
      } else if (std::string_view bytes = Bytes(op, part); !bytes.empty()) {
        ApplyField(PartFieldName(part.field), bytes);
      }
    }
  }

  std::string_view Find(std::string_view key) const { return fields_.Find(key); }
  std::string Text(std::string_view key) const { return JsonText(Find(key)).value_or(""); }

  std::string Project(std::string_view trace_project) const {
    for (const std::string& said : {Text("session_name"), Text("address"), project_}) {
      if (!said.empty()) return ProjectName(said);
    }
    return trace_project.empty() ? "default" : ProjectName(trace_project);
  }

  std::string_view Status() const {
    if (WeightOf(Find("error")) >= JsonWeight::kEmptyObject) return "error";
    return WeightOf(Find("end_time")) > JsonWeight::kNull ? "success" : "pending";
  }

  std::string Json(const StoredRun& run) const {
    static constexpr std::string_view kOwn[] = {"id",           "trace_id",   "status",
                                                "session_name", "session_id", "extra"};
    std::string out = "{";
    AppendField(out, "id", Quoted(run.id.ToString()));
    AppendField(out, "trace_id", Quoted(run.trace_id.ToString()));
    for (const auto& [key, value] : fields_) {
      if (std::find(std::begin(kOwn), std::end(kOwn), key) != std::end(kOwn)) continue;
      if (key == "s3_urls" && !attachments_.empty()) continue;
      if (key == "start_time" || key == "end_time") {
        std::optional<std::string> time = IsoTime(value);
        AppendField(out, key, time ? Quoted(*time) : value);
      } else {
        AppendField(out, key, value);
      }
    }
    if (std::string extra = Extra(); !extra.empty()) AppendField(out, "extra", extra);
    AppendField(out, "status", Quoted(run.status));
    AppendField(out, "session_name", Quoted(run.session_name));
    AppendField(out, "session_id", Quoted(run.session_id.ToString()));
    if (!attachments_.empty()) AppendField(out, "s3_urls", Attachments(run.id));
    return out + '}';
  }

 private:
  void ApplyObject(std::string_view object) {
    FieldCutter cutter(object);
    for (std::string_view key, value; cutter.Next(key, value);) ApplyField(key, value);
  }

  void ApplyField(std::string_view key, std::string_view value) {
    if (key != "extra" || value.front() != '{') {
      fields_.Merge(key, value);
      return;
    }
    fields_.Merge(key, "{}");
    FieldCutter cutter(value);
    for (std::string_view inner, text; cutter.Next(inner, text);) {
      bool by_key = (inner == "metadata" || inner == "runtime") && text.front() == '{';
      extra_.Merge(inner, by_key ? "{}" : text);
      if (!by_key) continue;
      FieldCutter members(text);
      FieldSet& into = inner == "metadata" ? metadata_ : runtime_;
      for (std::string_view member, said; members.Next(member, said);) into.Merge(member, said);
    }
  }

  std::string Extra() const {
    std::string_view whole = fields_.Find("extra");
    if (extra_.empty()) return std::string(whole);
    std::string out = "{";
    for (const auto& [key, value] : extra_) {
      if (key == "metadata" && !metadata_.empty()) {
        AppendField(out, key, Object(metadata_));
      } else if (key == "runtime" && !runtime_.empty()) {
        AppendField(out, key, Object(runtime_));
      } else {
        AppendField(out, key, value);
      }
    }
    return out + '}';
  }

  std::string Attachments(RunId id) const {
    std::string out = "{";
    for (const auto& [name, mime_type] : attachments_) {
      std::string entry = "{";
      AppendField(entry, "presigned_url",
                  Quoted("/runs/" + id.ToString() + "/attachments/" + PercentEncoded(name)));
      AppendField(entry, "mime_type", Quoted(mime_type));
      std::string key = Quoted("attachment." + name);
      AppendField(out, std::string_view(key).substr(1, key.size() - 2), entry + '}');
    }
    return out + '}';
  }

  FieldSet fields_;
  FieldSet extra_;
  FieldSet metadata_;
  FieldSet runtime_;
  std::map<std::string, std::string> attachments_;
  std::string project_;
};

}  // namespace

std::string ProjectName(std::string_view said) {
  constexpr std::string_view kPrefix = "lrn:agents/";
  constexpr std::string_view kMiddle = "/environments/";
  std::size_t middle = said.find(kMiddle);
  if (!said.starts_with(kPrefix) || middle == std::string_view::npos) return std::string(said);
  std::string name(said.substr(kPrefix.size(), middle - kPrefix.size()));
  name += '/';
  name += said.substr(middle + kMiddle.size());
  return name;
}

RunId ProjectId(std::string_view name) {
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const unsigned char*>(name.data()), name.size(), digest);
  RunId id;
  std::copy_n(digest, id.bytes.size(), id.bytes.begin());
  id.bytes[6] = static_cast<std::uint8_t>((id.bytes[6] & 0x0f) | 0x80);  // version 8: our own
  id.bytes[8] = static_cast<std::uint8_t>((id.bytes[8] & 0x3f) | 0x80);
  return id;
}

StoredRun FoldRun(RunId id, RunId trace_id, std::vector<FoldOp> ops,
                  std::string_view trace_project) {
  SortByWord(ops);
  Merged merged;
  for (const FoldOp& op : ops) {
    if (op.op->kind != OpKind::kFeedback) merged.Apply(op);
  }
  StoredRun run;
  run.id = id;
  run.trace_id = trace_id;
  run.parent_run_id = RunId::Parse(merged.Text("parent_run_id")).value_or(RunId{});
  run.session_name = merged.Project(trace_project);
  run.session_id = ProjectId(run.session_name);
  run.name = merged.Text("name");
  run.run_type = merged.Text("run_type");
  run.status = merged.Status();
  run.start_time = IsoTime(merged.Find("start_time")).value_or("");
  run.end_time = IsoTime(merged.Find("end_time")).value_or("");
  run.dotted_order = merged.Text("dotted_order");
  run.json = merged.Json(run);
  return run;
}

std::optional<AttachmentContent> FoldAttachment(std::vector<FoldOp> ops, std::string_view name) {
  SortByWord(ops);
  std::optional<AttachmentContent> found;
  for (const FoldOp& op : ops) {
    for (const Part& part : op.op->parts) {
      if (part.field != PartField::kAttachment || part.name.str() != name) continue;
      found = {.mime_type = part.mime_type.str(), .content = std::string(Bytes(op, part))};
    }
  }
  return found;
}

}  // namespace weft::collector
