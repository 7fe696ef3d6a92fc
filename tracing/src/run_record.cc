// SPDX-License-Identifier: Apache-2.0
#include <weft/tracing/run_record.h>

#include <utility>

#include "json_writer.h"
#include "tags.h"

namespace weft {
inline namespace v0 {
namespace {

void Merge(JsonObject& into, const JsonObject& from) {
  for (const auto& [key, value] : from) into.insert_or_assign(key, value);
}

}  // namespace

std::string_view RunTypeName(RunType type) noexcept {
  switch (type) {
    case RunType::kChain:
      return "chain";
    case RunType::kLlm:
      return "llm";
    case RunType::kTool:
      return "tool";
    case RunType::kRetriever:
      return "retriever";
    case RunType::kEmbedding:
      return "embedding";
    case RunType::kPrompt:
      return "prompt";
    case RunType::kParser:
      return "parser";
  }
  return "chain";
}

SharedMetadata::SharedMetadata(JsonObject values) : values_(std::move(values)) {
  internal::AppendJsonMembers(json_, values_);
  if (!json_.empty()) json_.pop_back();
  for (const auto& member : values_) key_bits_ |= KeyBit(member.key());
}

RunTemplate::RunTemplate(std::string run_name, RunType run_type, JsonObject run_metadata)
    : name(std::move(run_name)), type(run_type), metadata(std::move(run_metadata)) {}

std::string_view RunRecord::DisplayName() const noexcept {
  if (!name.empty()) return name;
  return kind && !kind->name.empty() ? std::string_view(kind->name) : "Unnamed";
}

JsonObject RunRecord::AllMetadata() const {
  // What this process knows of itself wins over what a caller handed down: Python's SDK sends all
  // metadata of its runs, its service's name among them.
  JsonObject all = context.baggage().metadata;
  if (environment) Merge(all, environment->values());
  if (kind) Merge(all, kind->metadata.values());
  for (const RunAttribute& attribute : attributes) {
    std::visit([&](const auto& value) { all.insert_or_assign(attribute.key, value); },
               attribute.value);
  }
  Merge(all, metadata);
  return all;
}

std::vector<std::string> RunRecord::AllTags() const {
  std::vector<std::string> all;
  internal::MergeTags(all, context.baggage().tags);
  internal::MergeTags(all, tags);
  return all;
}

}  // namespace v0
}  // namespace weft
