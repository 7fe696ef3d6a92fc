// SPDX-License-Identifier: Apache-2.0
#include "otlp/span_messages.h"

#include <charconv>
#include <map>
#include <optional>
#include <utility>

#include <boost/json.hpp>

#include "langsmith/json_scanner.h"
#include "otlp/json_text.h"
#include "otlp/json_values.h"
#include "otlp/span_check.h"

namespace weft::collector {
namespace {

namespace json = boost::json;

// Of an indexed list; the spans that hold more are not made by hand.
constexpr std::uint64_t kMaxIndexes = 10'000;

json::value ParseOrText(std::string_view text) {
  json::error_code error;
  json::parse_options options;
  options.max_depth = kMaxJsonDepth;
  json::value value = json::parse({text.data(), text.size()}, error, {}, options);
  return error ? json::value(json::string(text.data(), text.size())) : value;
}

json::value ValueOf(const AttributeValue& value) { return ParseOrText(JsonOf(value)); }

std::string_view TextIn(const json::object& object, std::string_view key) {
  const json::value* const found = object.if_contains({key.data(), key.size()});
  if (found == nullptr || !found->is_string()) return {};
  return {found->get_string().data(), found->get_string().size()};
}

json::value Member(const json::object& object, std::string_view key) {
  const json::value* const found = object.if_contains({key.data(), key.size()});
  return found == nullptr ? json::value() : *found;
}

// What LangSmith has as the text of a tool's arguments.
json::value AsJsonText(const json::value& value) {
  if (value.is_string()) return value;
  return json::string(json::serialize(value));
}

json::object ToolCall(const json::object& part) {
  json::object function;
  function["name"] = Member(part, "name");
  function["arguments"] = AsJsonText(Member(part, "arguments"));
  json::object call;
  call["id"] = Member(part, "id");
  call["type"] = "function";
  call["function"] = std::move(function);
  return call;
}

// The parts of a message as its content: one text stays a text, anything else is a list.
void TakeParts(const json::array& parts, json::object& message) {
  json::array content, calls;
  std::size_t texts = 0;
  for (const json::value& value : parts) {
    const json::object* const part = value.if_object();
    const std::string_view type = part == nullptr ? std::string_view() : TextIn(*part, "type");
    if (type == "text") {
      ++texts;
      json::object text{{"type", "text"}};
      text["text"] = Member(*part, part->contains("content") ? "content" : "text");
      content.push_back(std::move(text));
    } else if (type == "tool_call") {
      calls.push_back(ToolCall(*part));
    } else if (type == "tool_call_response" && parts.size() == 1) {
      message["role"] = "tool";
      message["tool_call_id"] = Member(*part, "id");
      message["content"] = Member(*part, part->contains("result") ? "result" : "response");
      return;
    } else {
      content.push_back(value);
    }
  }
  if (texts == 1 && content.size() == 1) {
    message["content"] = content[0].as_object()["text"];
  } else if (content.empty()) {
    message["content"] = "";
  } else {
    message["content"] = std::move(content);
  }
  if (!calls.empty()) message["tool_calls"] = std::move(calls);
}

json::value MessageOfParts(const json::value& value) {
  const json::object* const given = value.if_object();
  const json::value* const parts = given == nullptr ? nullptr : given->if_contains("parts");
  if (parts == nullptr || !parts->is_array()) return value;
  json::object message;
  for (const auto& [key, member] : *given) {
    if (key != "parts") message[key] = member;
  }
  TakeParts(parts->get_array(), message);
  return message;
}

void AppendElement(const json::value& value, std::string& list) {
  if (!list.empty()) list += ',';
  list += json::serialize(value);
}

// A path of an indexed attribute, put into the object it describes: a number is an index. Past the
// depth that values may have the rest of a path is one name.
void Put(json::object& into, std::string_view path, json::value value) {
  json::object* object = &into;
  for (int depth = 0; depth < kMaxValueDepth; ++depth) {
    const std::size_t dot = path.find('.');
    if (dot == std::string_view::npos) break;
    json::value& inner = (*object)[{path.data(), dot}];
    if (!inner.is_object()) inner = json::object();
    object = &inner.get_object();
    path.remove_prefix(dot + 1);
  }
  (*object)[{path.data(), path.size()}] = std::move(value);
}

std::optional<std::uint64_t> IndexOf(std::string_view name) {
  std::uint64_t index = 0;
  const char* const end = name.data() + name.size();
  const auto [at, error] = std::from_chars(name.data(), end, index);
  if (name.empty() || error != std::errc() || at != end) return std::nullopt;
  return index;
}

// Objects all of whose keys are indexes become lists, in the order of the indexes.
json::value WithLists(const json::value& value) {
  const json::object* const object = value.if_object();
  if (object == nullptr) return value;
  std::map<std::uint64_t, const json::value*> elements;
  for (const auto& [key, member] : *object) {
    if (const auto index = IndexOf({key.data(), key.size()})) elements[*index] = &member;
  }
  if (!elements.empty() && elements.size() == object->size()) {
    json::array list;
    for (const auto& [index, element] : elements) list.push_back(WithLists(*element));
    return list;
  }
  json::object copy;
  for (const auto& [key, member] : *object) copy[key] = WithLists(member);
  return copy;
}

// OpenInference names the wrapper of each element: {"tool_call": {...}} stands for {...}.
json::value Unwrapped(const json::value& value, std::string_view wrapper) {
  const json::object* const object = value.if_object();
  if (object == nullptr || object->size() != 1) return value;
  const json::value* const inner = object->if_contains({wrapper.data(), wrapper.size()});
  return inner == nullptr ? value : *inner;
}

void NameCalls(json::object& message) {
  json::value* const calls = message.if_contains("tool_calls");
  if (calls == nullptr || !calls->is_array()) return;
  for (json::value& call : calls->get_array()) {
    call = Unwrapped(call, "tool_call");
    json::object* const object = call.if_object();
    if (object == nullptr) continue;
    // OpenLLMetry has name and arguments beside the id.
    if (!object->contains("function") && object->contains("name")) *object = ToolCall(*object);
    if (!object->contains("type")) (*object)["type"] = "function";
  }
}

void NameContents(json::object& message) {
  json::value* const contents = message.if_contains("contents");
  if (contents == nullptr || !contents->is_array()) return;
  json::array list;
  for (const json::value& item : contents->get_array()) {
    json::value part = Unwrapped(item, "message_content");
    list.push_back(std::move(part));
  }
  message.erase("contents");
  if (!message.contains("content")) message["content"] = std::move(list);
}

json::value IndexedMessage(const json::value& fields) {
  json::value lists = WithLists(fields);
  json::value message = Unwrapped(lists, "message");
  if (json::object* const object = message.if_object(); object != nullptr) {
    NameCalls(*object);
    NameContents(*object);
  }
  return message;
}

// Values under an index are texts as they are, not JSON in them.
json::value PlainValue(const Attributes::Entry& entry) {
  return ParseOrText(AttributeValue::Read(entry.value).Json());
}

json::object FieldsOf(Attributes& attributes, std::string_view without_prefix) {
  json::object fields;
  for (const Attributes::Entry& entry : attributes.all()) {
    std::string_view key = entry.key;
    if (key.starts_with(without_prefix)) key.remove_prefix(without_prefix.size());
    if (key == "gen_ai.system" || key == "event.name") continue;
    Put(fields, key, PlainValue(entry));
  }
  return fields;
}

}  // namespace

std::string MessagesOfParts(Attributes& attributes, std::string_view key,
                            std::string_view instructions_key) {
  if (!attributes.Has(key)) return "";
  const json::value messages = ValueOf(attributes.Value(key));
  if (!messages.is_array()) return "";
  attributes.MarkUsed(key);
  std::string list;
  if (!instructions_key.empty() && attributes.Has(instructions_key)) {
    const json::value instructions = ValueOf(attributes.Take(instructions_key));
    json::object message{{"role", "system"}};
    if (instructions.is_array()) {
      TakeParts(instructions.get_array(), message);
    } else {
      message["content"] = instructions;
    }
    AppendElement(message, list);
  }
  for (const json::value& message : messages.get_array()) {
    AppendElement(MessageOfParts(message), list);
  }
  return list;
}

std::string MessagesOfIndexes(Attributes& attributes, std::string_view prefix) {
  std::map<std::uint64_t, json::object> messages;
  for (Attributes::Entry* const entry : attributes.Under(prefix)) {
    const std::string_view rest = entry->key.substr(prefix.size());
    const std::size_t dot = rest.find('.');
    const std::optional<std::uint64_t> index = IndexOf(rest.substr(0, dot));
    if (!index || dot == std::string_view::npos || messages.size() >= kMaxIndexes) continue;
    Put(messages[*index], rest.substr(dot + 1), PlainValue(*entry));
    entry->used = true;
  }
  std::string list;
  for (const auto& [index, fields] : messages) AppendElement(IndexedMessage(fields), list);
  return list;
}

std::string MessageOfEvent(SpanEvent& event) {
  event.used = true;
  if (const AttributeValue whole = event.attributes.Value("gen_ai.event.content");
      whole.is_text()) {
    if (auto parsed = ParsedJson(whole.bytes)) return *std::move(parsed);
  }
  json::object message = FieldsOf(event.attributes, "gen_ai.");
  if (!message.contains("role")) {
    // gen_ai.user.message
    const std::string_view name = event.name.substr(0, event.name.rfind('.'));
    const std::string_view role = name.substr(name.rfind('.') + 1);
    message["role"] = json::string(role.data(), role.size());
  }
  if (event.name == "gen_ai.tool.message" && message.contains("id")) {
    message["tool_call_id"] = message["id"];
    message.erase("id");
  }
  json::value lists = WithLists(message);
  NameCalls(lists.get_object());
  return json::serialize(lists);
}

std::string ChoiceOfEvent(SpanEvent& event) {
  event.used = true;
  if (const AttributeValue whole = event.attributes.Value("gen_ai.event.content");
      whole.is_text()) {
    if (auto parsed = ParsedJson(whole.bytes)) return *std::move(parsed);
  }
  json::value choice = WithLists(FieldsOf(event.attributes, "gen_ai."));
  json::object* const fields = choice.if_object();
  if (fields == nullptr) return "{}";
  NameCalls(*fields);
  // A message that was sent as JSON text.
  if (json::value* const message = fields->if_contains("message");
      message != nullptr && message->is_string()) {
    const json::string& text = message->get_string();
    json::value parsed = ParseOrText({text.data(), text.size()});
    if (parsed.is_object()) *message = std::move(parsed);
  }
  return json::serialize(choice);
}

}  // namespace weft::collector
