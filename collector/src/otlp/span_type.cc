// SPDX-License-Identifier: Apache-2.0
#include "otlp/span_type.h"

#include <algorithm>
#include <cctype>
#include <span>
#include <utility>

#include "otlp/json_values.h"
#include "otlp/proto_reader.h"

namespace weft::collector {
namespace {

using Pair = std::pair<std::string_view, std::string_view>;

constexpr std::uint64_t kStatusError = 2;

constexpr Pair kLangSmithKinds[] = {{"llm", "llm"},
                                    {"chain", "chain"},
                                    {"tool", "tool"},
                                    {"retriever", "retriever"},
                                    {"embedding", "embedding"},
                                    {"prompt", "prompt"},
                                    {"parser", "parser"}};

constexpr Pair kOperations[] = {
    {"chat", "llm"},
    {"completion", "llm"},
    {"text_completion", "llm"},
    {"generate_content", "llm"},
    {"embedding", "embedding"},
    {"embeddings", "embedding"},
    {"execute_tool", "tool"},
    {"invoke_agent", "chain"},
    {"create_agent", "chain"},
    {"retrieval", "retriever"},
};

// OpenInference's and OpenLLMetry's.
constexpr Pair kSpanKinds[] = {
    {"tool", "tool"},           {"workflow", "chain"},     {"task", "chain"},
    {"agent", "chain"},         {"chain", "chain"},        {"llm", "llm"},
    {"retriever", "retriever"}, {"reranker", "retriever"}, {"embedding", "embedding"},
    {"prompt", "prompt"},       {"guardrail", "chain"},    {"evaluator", "chain"},
    {"other", "chain"}};

constexpr Pair kAiOperations[] = {{"ai.generateText.doGenerate", "llm"},
                                  {"ai.streamText.doStream", "llm"},
                                  {"ai.generateObject.doGenerate", "llm"},
                                  {"ai.streamObject.doStream", "llm"},
                                  {"ai.toolCall", "tool"}};

std::string Lower(std::string_view text) {
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return lower;
}

std::string_view Look(std::span<const Pair> table, std::string_view value) {
  const auto found = std::find_if(table.begin(), table.end(),
                                  [&](const Pair& pair) { return pair.first == value; });
  return found == table.end() ? std::string_view() : found->second;
}

std::string_view TypeFrom(Attributes& attributes, std::string_view key,
                          std::span<const Pair> table) {
  const std::string_view text = attributes.Text(key);
  if (text.empty()) return {};
  const std::string_view type = Look(table, Lower(text));
  if (!type.empty()) attributes.MarkUsed(key);
  return type;
}

void AddTag(std::string_view tag, std::vector<std::string>& tags) {
  tag = Trimmed(tag);
  if (tag.empty() || std::find(tags.begin(), tags.end(), tag) != tags.end()) return;
  tags.emplace_back(tag);
}

}  // namespace

std::string_view RunTypeOf(Attributes& attributes) {
  if (const auto type = TypeFrom(attributes, "langsmith.span.kind", kLangSmithKinds);
      !type.empty()) {
    return type;
  }
  if (attributes.Has("gen_ai.tool.name")) return "tool";
  if (attributes.Has("llm.prompt_template.variables")) return "prompt";
  if (const auto type = TypeFrom(attributes, "gen_ai.operation.name", kOperations); !type.empty()) {
    return type;
  }
  for (const std::string_view key : {"llm.request.type", "traceloop.llm.request.type"}) {
    const std::string_view request = attributes.TakeText(key);
    if (!request.empty()) return request == "embedding" ? "embedding" : "llm";
  }
  for (const std::string_view key : {"openinference.span.kind", "traceloop.span.kind"}) {
    if (const auto type = TypeFrom(attributes, key, kSpanKinds); !type.empty()) return type;
  }
  // These are spelled in one way only.
  const std::string_view type = Look(kAiOperations, attributes.Text("ai.operationId"));
  return type.empty() ? "chain" : type;
}

std::string RunNameOf(SpanView& span) {
  Attributes& attributes = span.attributes;
  for (const std::string_view key :
       {"langsmith.trace.name", "ai.telemetry.metadata.ls_run_name", "traceloop.entity.name"}) {
    if (const std::string_view name = attributes.TakeText(key); !name.empty()) {
      return std::string(name);
    }
  }
  const std::string_view kind = attributes.Text("openinference.span.kind");
  if (!kind.empty() && Lower(kind) == "tool") {
    if (const auto name = attributes.TakeText("tool.name"); !name.empty()) return std::string(name);
  }
  if (attributes.Text("ai.operationId") == "ai.toolCall") {
    if (const auto name = attributes.TakeText("ai.toolCall.name"); !name.empty()) {
      return std::string(name);
    }
  }
  return span.name.empty() ? "span" : std::string(span.name);
}

std::string RunErrorOf(SpanView& span) {
  const auto last = std::find_if(span.events.rbegin(), span.events.rend(),
                                 [](const SpanEvent& event) { return event.name == "exception"; });
  const bool has_event = last != span.events.rend();
  if (!has_event && span.status_code != kStatusError) return "";
  std::string error;
  if (has_event) {
    Attributes& exception = last->attributes;
    error = exception.Text("exception.message");
    if (error.empty()) error = exception.Text("exception.type");
    const std::string_view stack = exception.Text("exception.stacktrace");
    if (!stack.empty()) {
      if (error.empty()) error = span.status_message;
      (error += error.empty() ? "Stacktrace:\n" : "\n\nStacktrace:\n") += stack;
    }
  }
  if (error.empty()) error = span.status_message;
  if (error.empty()) error = span.attributes.Text("error.type");
  return error.empty() ? "error" : error;
}

std::vector<std::string> RunTagsOf(SpanView& span) {
  std::vector<std::string> tags;
  const std::string_view joined = span.attributes.TakeText("langsmith.span.tags");
  for (std::size_t at = 0; at < joined.size();) {
    const std::size_t end = std::min(joined.find(',', at), joined.size());
    AddTag(joined.substr(at, end - at), tags);
    at = end + 1;
  }
  const AttributeValue list = span.attributes.Value("tag.tags");
  if (list.type != AttributeValue::Type::kList) return tags;
  span.attributes.MarkUsed("tag.tags");
  for (ProtoReader in(list.bytes); in.Next();) {
    if (in.Is(1, ProtoReader::kDelimited)) AddTag(AttributeValue::Read(in.bytes()).Text(), tags);
  }
  return tags;
}

}  // namespace weft::collector
