// SPDX-License-Identifier: Apache-2.0
#include "langsmith_writer.h"

#include <algorithm>
#include <array>
#include <unordered_map>
#include <utility>

#include "utf8.h"

namespace weft {
inline namespace v0 {
namespace internal {
namespace {

// What a run that was too large may have.
constexpr std::size_t kShortened = std::size_t{256} << 10;

bool IsPatch(const RunRecord& record) { return record.operation == RunRecord::Operation::kPatch; }

std::string_view OperationName(const RunRecord& record) {
  return IsPatch(record) ? "patch." : "post.";
}

/// The beginning and the end of a run as one.
RunRecord Folded(const RunRecord& post, const RunRecord& patch) {
  RunRecord both = patch;
  both.operation = RunRecord::Operation::kPost;
  if (both.inputs.empty()) both.inputs = post.inputs;
  if (!both.outputs) both.outputs = post.outputs;
  for (const RunAttachment& attachment : post.attachments) {
    const auto same = [&](const RunAttachment& other) { return other.name == attachment.name; };
    if (std::none_of(both.attachments.begin(), both.attachments.end(), same)) {
      both.attachments.push_back(attachment);
    }
  }
  return both;
}

void LeaveAttachmentsOut(RunRecord& record) {
  boost::json::array names;
  for (const RunAttachment& attachment : record.attachments) names.emplace_back(attachment.name);
  record.metadata["weft_attachments_left_out"] = std::move(names);
  record.attachments.clear();
}

}  // namespace

std::vector<const RunRecord*> LangSmithWriter::Fold(Runs runs, bool leave_attachments_out) {
  folded_.clear();
  folded_.reserve(2 * runs.size());  // Pointers to its elements are kept.
  std::vector<const RunRecord*> left;
  left.reserve(runs.size());
  std::unordered_map<RunId, std::size_t> posts;
  if (std::any_of(runs.begin(), runs.end(), [](const RunRecord* run) { return IsPatch(*run); })) {
    for (const RunRecord* run : runs) {
      const auto known = posts.find(run->context.id());
      if (known != posts.end() && IsPatch(*run)) {
        left[known->second] = &folded_.emplace_back(Folded(*left[known->second], *run));
        continue;
      }
      if (!IsPatch(*run)) posts[run->context.id()] = left.size();
      left.push_back(run);
    }
  } else {
    left.assign(runs.begin(), runs.end());
  }
  if (!leave_attachments_out) return left;
  for (const RunRecord*& run : left) {
    if (run->attachments.empty()) continue;
    LeaveAttachmentsOut(folded_.emplace_back(*run));
    run = &folded_.back();
  }
  return left;
}

void LangSmithWriter::Write(const RunRecord& record, bool shorten) {
  const std::size_t most = shorten ? kShortened : RunJson::kMaxSize;
  if (replica_.ChangesNothing()) {
    json_.Write(record, record.context, most);
    SetId(record.context.id());
    return;
  }
  const RunContext mapped = replica_.Map(record.context).value_or(record.context);
  json_.Write(record, mapped, most);
  SetId(mapped.id());
}

void LangSmithWriter::SetId(const RunId& id) {
  id_.resize(RunId::kTextSize);
  id.Write(id_.data());
}

FormData LangSmithWriter::Form(Runs runs, bool shorten) {
  FormData form;
  form.Reserve(last_size_);  // This batch is like the last one.
  for (const RunRecord* run : Fold(runs, shorten)) {
    Write(*run, shorten);
    AppendForm(*run, form);
  }
  last_size_ = form.size() + 64;
  return form;
}

void LangSmithWriter::AppendForm(const RunRecord& record, FormData& form) {
  const std::string_view operation = OperationName(record);
  form.AppendJson(operation, id_, "", json_.run());
  const std::pair<std::string_view, std::string_view> fields[] = {{".inputs", json_.inputs()},
                                                                  {".outputs", json_.outputs()},
                                                                  {".events", json_.events()},
                                                                  {".extra", json_.extra()},
                                                                  {".error", json_.error()}};
  for (const auto& [field, json] : fields) {
    if (!json.empty()) form.AppendJson(operation, id_, field, json);
  }
  for (const RunAttachment& attachment : record.attachments) {
    form.Append("attachment." + id_ + "." + ToValidUtf8(attachment.name), attachment.mime_type,
                attachment.content);
  }
}

std::string LangSmithWriter::Batch(Runs runs, bool shorten) {
  std::array<std::string, 2> lists;
  for (const RunRecord* run : Fold(runs, true)) {
    Write(*run, shorten);
    std::string& list = lists[IsPatch(*run) ? 1 : 0];
    if (!list.empty()) list += ',';
    json_.AppendTo(list);
  }
  return "{\"post\":[" + lists[0] + "],\"patch\":[" + lists[1] + "]}";
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
