// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <optional>
#include <utility>

#include <weft/tracing/internal/run_to_span.h>

#include "span_attributes.h"
#include "text.h"

namespace weft {
inline namespace v0 {
namespace internal {
namespace {

std::string_view View(const boost::json::string& text) noexcept {
  return {text.data(), text.size()};
}

const Json* Find(const JsonObject* object, std::string_view key) noexcept {
  if (object == nullptr) return nullptr;
  const Json* const value = object->if_contains(key);
  return value != nullptr && !value->is_null() ? value : nullptr;
}

const JsonObject* FindObject(const JsonObject* object, std::string_view key) noexcept {
  const Json* const value = Find(object, key);
  return value != nullptr ? value->if_object() : nullptr;
}

std::string_view FindText(const JsonObject* object, std::string_view key) noexcept {
  const Json* const value = Find(object, key);
  return value != nullptr && value->is_string() ? View(value->get_string()) : std::string_view();
}

std::string_view OperationOf(std::string_view run_type) noexcept {
  if (run_type == "llm" || run_type == "prompt") return "chat";
  if (run_type == "tool") return "execute_tool";
  if (run_type == "retriever" || run_type == "embedding") return "embeddings";
  return run_type;
}

std::string_view ModelOf(const SpanSource& run) noexcept {
  // What was asked for in a chat request is the most exact.
  const Json* const messages = Find(run.inputs, "messages");
  if (messages != nullptr && messages->is_array()) {
    if (const auto model = FindText(run.inputs, "model"); !model.empty()) return model;
  }
  if (const auto model = FindText(&run.metadata, "ls_model_name"); !model.empty()) return model;
  const JsonObject* const params = FindObject(&run.metadata, "invocation_params");
  for (const char* const key : {"model", "model_name"}) {
    if (const auto model = FindText(params, key); !model.empty()) return model;
  }
  return {};
}

// The guesses of LangSmith's Python SDK, in its order. Each needs both texts in the model's name.
struct Guess {
  std::string_view part;
  std::string_view other;
  std::string_view system;
};
constexpr Guess kGuesses[] = {{"anthropic", "", "anthropic"},
                              {"bedrock", "", "aws.bedrock"},
                              {"azure", "openai", "az.ai.openai"},
                              {"azure", "inference", "az.ai.inference"},
                              {"cohere", "", "cohere"},
                              {"deepseek", "", "deepseek"},
                              {"gemini", "", "gemini"},
                              {"groq", "", "groq"},
                              {"watson", "", "ibm.watsonx.ai"},
                              {"ibm", "", "ibm.watsonx.ai"},
                              {"mistral", "", "mistral_ai"},
                              {"gpt", "", "openai"},
                              {"openai", "", "openai"},
                              {"perplexity", "", "perplexity"},
                              {"sonar", "", "perplexity"},
                              {"vertex", "", "vertex_ai"},
                              {"xai", "", "xai"},
                              {"grok", "", "xai"},
                              {"qwen", "", "qwen"}};

std::string SystemOf(const SpanSource& run, std::string_view model) {
  if (const auto provider = FindText(&run.metadata, "ls_provider"); !provider.empty()) {
    return std::string(provider);
  }
  const std::string lower = AsciiLower(model);
  if (lower.starts_with("claude")) return "anthropic";
  for (const auto& [part, other, system] : kGuesses) {
    if (lower.find(part) != lower.npos && lower.find(other) != lower.npos) {
      return std::string(system);
    }
  }
  return "langchain";
}

bool CountsTokens(const JsonObject* usage) noexcept {
  const Json* const input = Find(usage, "input_tokens");
  const Json* const output = Find(usage, "output_tokens");
  return input != nullptr && input->is_number() && output != nullptr && output->is_number();
}

/// The `usage_metadata` of a message of LangChain's, in one of the places where there is one.
const JsonObject* UsageOfMessage(const JsonObject& message) noexcept {
  const JsonObject* const direct = FindObject(&message, "usage_metadata");
  if (CountsTokens(direct)) return direct;
  const Json* const version = Find(&message, "lc");
  if (version == nullptr || !version->is_int64() || version->get_int64() != 1) return nullptr;
  const JsonObject* const usage = FindObject(FindObject(&message, "kwargs"), "usage_metadata");
  return CountsTokens(usage) ? usage : nullptr;
}

const JsonObject* UsageOfGenerations(const Json& generations) noexcept {
  const JsonArray* const list = generations.if_array();
  if (list == nullptr) return nullptr;
  for (const Json& element : *list) {
    // A list, or a list of lists.
    if (element.is_array()) {
      if (const JsonObject* const usage = UsageOfGenerations(element)) return usage;
      continue;
    }
    const JsonObject* const message = FindObject(element.if_object(), "message");
    const JsonObject* const usage = FindObject(FindObject(message, "kwargs"), "usage_metadata");
    if (CountsTokens(usage)) return usage;
  }
  return nullptr;
}

const JsonObject* UsageIn(const JsonObject& outputs) noexcept {
  if (const JsonObject* const usage = FindObject(&outputs, "usage_metadata")) return usage;
  for (const auto& member : outputs) {
    const JsonObject* const message = member.value().if_object();
    const JsonObject* const usage = message != nullptr ? UsageOfMessage(*message) : nullptr;
    if (usage != nullptr) return usage;
  }
  const Json* const generations = Find(&outputs, "generations");
  return generations != nullptr ? UsageOfGenerations(*generations) : nullptr;
}

void WriteUsage(const SpanSource& run, SpanAttributes& attributes) {
  const JsonObject* usage = FindObject(&run.metadata, "usage_metadata");
  if (usage == nullptr && run.outputs != nullptr) usage = UsageIn(*run.outputs);
  if (usage == nullptr) return;
  attributes.JsonText("langsmith.usage_metadata", *usage);
  for (const std::string_view key : {"input_tokens", "output_tokens", "total_tokens"}) {
    const Json* const count = Find(usage, key);
    if (count == nullptr || !count->is_number()) continue;
    attributes.Value("gen_ai.usage." + std::string(key), *count);
  }
  for (const std::string_view key : {"input_token_details", "output_token_details"}) {
    const JsonObject* const details = FindObject(usage, key);
    if (details == nullptr) continue;
    attributes.JsonText("gen_ai.usage." + std::string(key), *details);
  }
}

using Pairs = std::pair<std::string_view, std::string_view>[];

template <std::size_t kCount>
void Copy(const JsonObject* from,
          const std::pair<std::string_view, std::string_view> (&keys)[kCount],
          SpanAttributes& attributes) {
  for (const auto& [key, attribute] : keys) {
    if (const Json* const value = Find(from, key)) attributes.Value(attribute, *value);
  }
}

void WriteRequest(const SpanSource& run, SpanAttributes& attributes) {
  const JsonObject* const in_metadata = FindObject(&run.metadata, "invocation_params");
  Copy(in_metadata != nullptr ? in_metadata : run.invocation_params,
       Pairs{{"max_tokens", "gen_ai.request.max_tokens"},
             {"temperature", "gen_ai.request.temperature"},
             {"top_p", "gen_ai.request.top_p"},
             {"frequency_penalty", "gen_ai.request.frequency_penalty"},
             {"presence_penalty", "gen_ai.request.presence_penalty"}},
       attributes);
  Copy(run.inputs,
       Pairs{{"stream", "langsmith.request.streaming"},
             {"extra_query", "gen_ai.request.extra_query"},
             {"extra_body", "gen_ai.request.extra_body"}},
       attributes);
  const JsonObject* const headers = FindObject(run.inputs, "extra_headers");
  if (headers == nullptr) return;
  // Which ones there were; what they say may be a key.
  JsonObject names;
  for (const auto& header : *headers) names[header.key()] = "[redacted]";
  attributes.JsonText("langsmith.request.headers", names);
}

void WriteResponse(const JsonObject& outputs, SpanAttributes& attributes) {
  Copy(&outputs,
       Pairs{{"model", "gen_ai.response.model"},
             {"id", "gen_ai.response.id"},
             {"service_tier", "gen_ai.response.service_tier"},
             {"system_fingerprint", "gen_ai.response.system_fingerprint"}},
       attributes);
  const Json* const choices = Find(&outputs, "choices");
  if (choices == nullptr || !choices->is_array()) return;
  std::vector<std::string> reasons;
  for (const Json& choice : choices->get_array()) {
    const std::string_view reason = FindText(choice.if_object(), "finish_reason");
    if (!reason.empty()) reasons.emplace_back(reason);
  }
  if (!reasons.empty()) attributes.Texts("gen_ai.response.finish_reasons", reasons);
}

void WriteWhole(std::string_view key, const JsonObject* value, std::string_view text,
                SpanAttributes& attributes) {
  if (!text.empty()) {
    attributes.JsonText(key, text);
  } else if (value != nullptr) {
    attributes.JsonText(key, *value);
  }
}

}  // namespace

void WriteModelAttributes(const SpanSource& run, SpanAttributes& attributes) {
  attributes.Text("gen_ai.operation.name", OperationOf(run.run_type));
  const std::string_view model = ModelOf(run);
  attributes.Text("gen_ai.system", SystemOf(run, model));
  if (!model.empty()) attributes.Text("gen_ai.request.model", model);
  WriteRequest(run, attributes);
  if (run.outputs != nullptr) WriteResponse(*run.outputs, attributes);
  WriteUsage(run, attributes);
  Copy(run.serialized,
       Pairs{{"name", "gen_ai.serialized.name"},
             {"signature", "gen_ai.serialized.signature"},
             {"doc", "gen_ai.serialized.doc"}},
       attributes);
  WriteWhole("gen_ai.prompt", run.inputs, run.inputs_json, attributes);
  WriteWhole("gen_ai.completion", run.outputs, run.outputs_json, attributes);
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
