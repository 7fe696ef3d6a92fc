// SPDX-License-Identifier: Apache-2.0
#include "otlp/span_values.h"

#include <map>
#include <string_view>
#include <utility>

#include <boost/json.hpp>

#include "otlp/json_text.h"
#include "otlp/json_values.h"
#include "otlp/span_messages.h"

namespace weft::collector {
namespace {

namespace json = boost::json;

std::string ListAs(std::string_view key, const std::string& elements) {
  return elements.empty() ? "" : Wrap(key, "[" + elements + "]");
}

// Appends the first of these attributes that is there, as an object.
bool AppendFirstOf(Attributes& attributes, std::initializer_list<std::string_view> keys,
                   std::string_view wrapper, std::string& out) {
  for (const std::string_view key : keys) {
    if (!attributes.Has(key)) continue;
    AppendJsonOrWrap(attributes.Take(key), wrapper, out);
    return true;
  }
  return false;
}

std::string FirstOf(Attributes& attributes, std::initializer_list<std::string_view> keys,
                    std::string_view wrapper) {
  std::string object;
  AppendFirstOf(attributes, keys, wrapper, object);
  return object;
}

SpanEvent* EventNamed(SpanView& span, std::string_view name) {
  for (SpanEvent& event : span.events) {
    if (event.name == name) return &event;
  }
  return nullptr;
}

std::string FromContentEvent(SpanView& span, std::string_view event_name, std::string_view key,
                             std::string_view wrapper) {
  SpanEvent* const event = EventNamed(span, event_name);
  if (event == nullptr || !event->attributes.Has(key)) return "";
  event->used = true;
  std::string object;
  AppendJsonOrWrap(event->attributes.Value(key), wrapper, object);
  return object;
}

std::string FromMessageEvents(SpanView& span, std::initializer_list<std::string_view> names) {
  std::string messages;
  for (SpanEvent& event : span.events) {
    for (const std::string_view name : names) {
      if (event.name == name) (messages += messages.empty() ? "" : ",") += MessageOfEvent(event);
    }
  }
  return messages;
}

// A prompt's input is an object, or one of its variables.
std::string FromPromptVariables(Attributes& attributes) {
  const AttributeValue input = attributes.Value("input.value");
  if (input.type == AttributeValue::Type::kNone) return "";
  const std::string parsed = JsonOf(input);
  if (!IsJsonObject(parsed)) {
    json::error_code error;
    const std::string variables = JsonOf(attributes.Value("llm.prompt_template.variables"));
    const json::value value = json::parse(variables, error);
    if (error || !value.is_object()) return "";
    const std::string text = input.Text();
    for (const auto& [key, variable] : value.get_object()) {
      const bool same = variable.is_string()
                            ? variable.get_string() == json::string_view(text.data(), text.size())
                            : json::serialize(variable) == parsed;
      if (!same) continue;
      attributes.MarkUsed("input.value");
      attributes.MarkUsed("llm.prompt_template.variables");
      return Wrap({key.data(), key.size()}, parsed);
    }
    return "";
  }
  attributes.MarkUsed("input.value");
  return parsed;
}

std::string FromQuery(Attributes& attributes) {
  for (const std::string_view key : {"gen_ai.retrieval.query.text", "input.value"}) {
    const AttributeValue value = attributes.Take(key);
    if (value.type != AttributeValue::Type::kNone) return Wrap("query", JsonOf(value));
  }
  return "";
}

// `retrieval.documents.{n}.document.content` and its like.
std::string FromDocuments(Attributes& attributes) {
  constexpr std::string_view kPrefix = "retrieval.documents.";
  struct Document {
    std::string content, metadata, score, id;
  };
  std::map<std::size_t, Document> documents;
  for (Attributes::Entry* const entry : attributes.Under(kPrefix)) {
    const std::string_view rest = entry->key.substr(kPrefix.size());
    const std::size_t digits = rest.find_first_not_of("0123456789");
    if (digits == 0 || digits > 9 || digits == std::string_view::npos) continue;
    const std::string_view name = rest.substr(digits);
    const AttributeValue value = AttributeValue::Read(entry->value);
    Document& document = documents[static_cast<std::size_t>(std::stoul(std::string(rest)))];
    if (name == ".document.content") document.content = value.Json();
    if (name == ".document.metadata") document.metadata = JsonOf(value);
    if (name == ".document.score") document.score = value.Json();
    if (name == ".document.id") document.id = value.Json();
    entry->used = true;
  }
  std::string list;
  for (const auto& [index, document] : documents) {
    JsonObjectWriter object;
    object.Add("page_content", document.content.empty() ? "\"\"" : document.content);
    object.Add("metadata", document.metadata.empty() ? "{}" : document.metadata);
    object.AddText("type", "Document");
    if (!document.score.empty()) object.Add("score", document.score);
    if (!document.id.empty()) object.Add("id", document.id);
    (list += list.empty() ? "" : ",") += object.Take();
  }
  if (!list.empty() || !attributes.Has("gen_ai.retrieval.documents")) {
    return ListAs("documents", list);
  }
  return Wrap("documents", JsonOf(attributes.Take("gen_ai.retrieval.documents")));
}

// Logfire's attribute `events`: messages, and one that is the answer.
std::string FromEventsAttribute(Attributes& attributes, bool want_choice) {
  if (!attributes.Has("events")) return "";
  json::error_code error;
  const json::value events = json::parse(JsonOf(attributes.Value("events")), error);
  if (error || !events.is_array()) return "";
  json::array messages;
  for (const json::value& event : events.get_array()) {
    const json::object* const object = event.if_object();
    const json::value* const name = object == nullptr ? nullptr : object->if_contains("event.name");
    const bool is_choice = name != nullptr && *name == "gen_ai.choice";
    if (is_choice && want_choice) {
      attributes.MarkUsed("events");
      return json::serialize(event);
    }
    if (!is_choice) messages.push_back(event);
  }
  if (want_choice || messages.empty()) return "";
  attributes.MarkUsed("events");
  return Wrap("input", json::serialize(messages));
}

// Vercel's AI SDK: the text and what tools were called stand beside each other.
std::string FromAiResponse(Attributes& attributes) {
  const std::pair<std::string_view, std::string_view> members[] = {
      {"ai.response.text", "text"},
      {"ai.response.object", "object"},
      {"ai.response.choices", "choices"},
      {"ai.response.toolCalls", "tool_calls"}};
  JsonObjectWriter outputs;
  for (const auto& [key, name] : members) {
    const AttributeValue value = attributes.Take(key);
    if (value.type == AttributeValue::Type::kNone) continue;
    outputs.Add(name, name == "text" ? value.Json() : JsonOf(value));
  }
  if (!outputs.empty()) return outputs.Take();
  return FirstOf(attributes, {"ai.toolCall.output", "ai.toolCall.result"}, "output");
}

std::string FromAiPrompt(Attributes& attributes) {
  for (const std::string_view key : {"ai.prompt", "ai.prompt.messages"}) {
    if (attributes.Has(key)) return Wrap("input", JsonOf(attributes.Take(key)));
  }
  return FirstOf(attributes, {"ai.toolCall.input", "ai.toolCall.args"}, "input");
}

// What stands in events: whole texts, or a message each.
std::string InputsFromEvents(SpanView& span) {
  std::string inputs = FromContentEvent(span, "gen_ai.content.prompt", "gen_ai.prompt", "input");
  if (!inputs.empty()) return inputs;
  return ListAs("messages",
                FromMessageEvents(span, {"gen_ai.system.message", "gen_ai.user.message"}));
}

std::string OutputsFromEvents(SpanView& span) {
  std::string outputs =
      FromContentEvent(span, "gen_ai.content.completion", "gen_ai.completion", "output");
  if (!outputs.empty()) return outputs;
  const std::string messages =
      FromMessageEvents(span, {"gen_ai.assistant.message", "gen_ai.tool.message"});
  std::string choices;
  for (SpanEvent& event : span.events) {
    if (event.name != "gen_ai.choice") continue;
    (choices += choices.empty() ? "" : ",") += ChoiceOfEvent(event);
  }
  if (messages.empty() && choices.empty()) return "";
  JsonObjectWriter object;
  if (!messages.empty()) object.Add("messages", "[" + messages + "]");
  if (!choices.empty()) object.Add("choices", "[" + choices + "]");
  return object.Take();
}

std::string MessagesIn(Attributes& attributes, std::string_view gen_ai, std::string_view llm) {
  std::string messages = MessagesOfIndexes(attributes, gen_ai);
  if (messages.empty()) messages = MessagesOfIndexes(attributes, llm);
  return ListAs("messages", messages);
}

}  // namespace

void AppendRunInputs(SpanView& span, std::string& out) {
  Attributes& attributes = span.attributes;
  std::string inputs = ListAs("messages", MessagesOfParts(attributes, "gen_ai.input.messages",
                                                          "gen_ai.system_instructions"));
  if (inputs.empty()) inputs = InputsFromEvents(span);
  if (inputs.empty() && span.run_type == "prompt") inputs = FromPromptVariables(attributes);
  if (inputs.empty() && span.run_type == "tool") {
    inputs = FirstOf(attributes, {"gen_ai.tool.call.arguments"}, "input");
  }
  if (inputs.empty() && span.run_type == "retriever") inputs = FromQuery(attributes);
  if (inputs.empty()) inputs = MessagesIn(attributes, "gen_ai.prompt.", "llm.input_messages.");
  // Written where they belong, as most texts are.
  if (inputs.empty() &&
      AppendFirstOf(attributes,
                    {"input.value", "traceloop.entity.input", "gen_ai.prompt", "prompt"}, "input",
                    out)) {
    return;
  }
  if (inputs.empty()) inputs = FromAiPrompt(attributes);
  if (inputs.empty()) inputs = FromEventsAttribute(attributes, false);
  out += inputs;
}

void AppendRunOutputs(SpanView& span, std::string& out) {
  Attributes& attributes = span.attributes;
  std::string outputs =
      ListAs("messages", MessagesOfParts(attributes, "gen_ai.output.messages", ""));
  if (outputs.empty()) outputs = OutputsFromEvents(span);
  if (outputs.empty() && span.run_type == "tool") {
    outputs = FirstOf(attributes, {"gen_ai.tool.call.result"}, "output");
  }
  if (outputs.empty() && span.run_type == "retriever") outputs = FromDocuments(attributes);
  if (outputs.empty())
    outputs = MessagesIn(attributes, "gen_ai.completion.", "llm.output_messages.");
  if (outputs.empty() && AppendFirstOf(attributes,
                                       {"output.value", "traceloop.entity.output",
                                        "gen_ai.completion", "all_messages_events"},
                                       "text", out)) {
    return;
  }
  if (outputs.empty()) outputs = FromAiResponse(attributes);
  if (outputs.empty()) outputs = FromEventsAttribute(attributes, true);
  out += outputs;
}

}  // namespace weft::collector
