// SPDX-License-Identifier: Apache-2.0
#include "otlp/span_extra.h"

#include <algorithm>
#include <initializer_list>
#include <string_view>
#include <utility>
#include <vector>

#include <absl/container/flat_hash_map.h>
#include <absl/strings/escaping.h>
#include <boost/json.hpp>

#include "fold_json.h"
#include "otlp/json_text.h"
#include "otlp/json_values.h"

namespace weft::collector {
namespace {

using Type = AttributeValue::Type;

constexpr std::string_view kSpanKinds[] = {"",       "INTERNAL", "SERVER",
                                           "CLIENT", "PRODUCER", "CONSUMER"};

// Shown as they are: a viewer reads hops between services from them.
constexpr std::string_view kServicePrefixes[] = {"rpc.", "http.", "server.", "client.", "network."};

// Members by key, the last word counts; values are JSON.
class Members {
 public:
  Members() { members_.reserve(16); }

  void Set(std::string_view key, std::string json) {
    if (const std::size_t known = Find(key); known < members_.size()) {
      members_[known].second = std::move(json);
      return;
    }
    if (!places_.empty()) places_.emplace(std::string(key), members_.size());
    members_.emplace_back(key, std::move(json));
    if (members_.size() != kFew) return;
    for (std::size_t i = 0; i < kFew; ++i) places_.emplace(members_[i].first, i);
  }
  void SetText(std::string_view key, std::string_view text) {
    if (!text.empty()) Set(key, JsonString(text));
  }
  bool empty() const { return members_.empty(); }
  std::string Json() const {
    JsonObjectWriter object;
    for (const auto& [key, value] : members_) object.Add(key, value);
    return object.Take();
  }

 private:
  // Up to here looking through is faster. A text of JSON may bring millions.
  static constexpr std::size_t kFew = 64;

  std::size_t Find(std::string_view key) const {
    if (!places_.empty()) {
      const auto found = places_.find(absl::string_view(key.data(), key.size()));
      return found == places_.end() ? members_.size() : found->second;
    }
    const auto found = std::find_if(members_.begin(), members_.end(),
                                    [&](const auto& member) { return member.first == key; });
    return static_cast<std::size_t>(found - members_.begin());
  }

  std::vector<std::pair<std::string, std::string>> members_;
  absl::flat_hash_map<std::string, std::size_t> places_;  ///< In `members_`, once there are many.
};

// A text that is a JSON object or list stands for that; other texts are texts.
std::string MetadataValue(const AttributeValue& value) {
  if (value.is_text() && (value.bytes.starts_with('{') || value.bytes.starts_with('['))) {
    return JsonOf(value);
  }
  return value.Json();
}

void SetFrom(Attributes& attributes, std::string_view key, std::string_view name, Members& into) {
  const AttributeValue value = attributes.Take(key);
  if (value.type != Type::kNone) into.Set(name, value.Json());
}

void SetFirstText(Attributes& attributes, std::initializer_list<std::string_view> keys,
                  std::string_view name, Members& into) {
  for (const std::string_view key : keys) {
    if (const std::string_view text = attributes.Text(key); !text.empty()) {
      return into.SetText(name, text);
    }
  }
}

void SetUnder(Attributes& attributes, std::string_view prefix, Members& into) {
  for (Attributes::Entry* const entry : attributes.Under(prefix)) {
    if (entry->key.size() == prefix.size()) continue;
    into.Set(entry->key.substr(prefix.size()), MetadataValue(AttributeValue::Read(entry->value)));
    entry->used = true;
  }
}

void MergeObject(const std::string& object, Members& into) {
  FieldCutter cutter(object);
  for (std::string_view key, value; cutter.Next(key, value);) {
    if (const auto name = JsonText('"' + std::string(key) + '"'))
      into.Set(*name, std::string(value));
  }
}

void MergeJson(Attributes& attributes, std::string_view key, Members& into) {
  if (!attributes.Has(key)) return;
  const std::string object = JsonOf(attributes.Value(key));
  if (!IsJsonObject(object)) return;
  attributes.MarkUsed(key);
  MergeObject(object, into);
}

void SetTools(Attributes& attributes, Members& params) {
  for (const std::string_view key : {"gen_ai.tool.definitions", "tools"}) {
    if (!attributes.Has(key)) continue;
    std::string tools = JsonOf(attributes.Take(key));
    params.Set("tools", IsJsonArray(tools) ? tools : "[" + tools + "]");
    return;
  }
}

// Where a Vercel application says which trace it wants, and what else it knows.
void SetAiMetadata(Attributes& attributes, Members& metadata) {
  constexpr std::string_view kPrefix = "ai.telemetry.metadata.";
  for (Attributes::Entry* const entry : attributes.Under(kPrefix)) {
    const std::string_view name = entry->key.substr(kPrefix.size());
    entry->used = true;
    if (name == "ls_project_name" || name == "ls_project_id" || name == "ls_run_name") continue;
    metadata.Set(name, MetadataValue(AttributeValue::Read(entry->value)));
  }
}

std::string Hex(std::string_view bytes) {
  return absl::BytesToHexString(absl::string_view(bytes.data(), bytes.size()));
}

std::string HexOf(SpanId id) {
  const RunId padded = PaddedRunId(id);
  return Hex({reinterpret_cast<const char*>(padded.bytes.data()) + 8, 8});
}

std::string LinksOf(SpanView& span) {
  std::string list;
  for (SpanLink& link : span.links) {
    JsonObjectWriter object;
    object.AddText("trace_id", Hex(link.trace_id));
    object.AddText("span_id", Hex(link.span_id));
    SpanId id = 0;
    for (const char c : link.span_id) id = id << 8 | static_cast<unsigned char>(c);
    if (link.span_id.size() == 8) object.AddText("run_id", PaddedRunId(id).ToString());
    JsonObjectWriter attributes;
    for (const Attributes::Entry& entry : link.attributes.all()) {
      attributes.Add(entry.key, AttributeValue::Read(entry.value).Json());
    }
    if (!attributes.empty()) object.Add("attributes", attributes.Take());
    (list += list.empty() ? "" : ",") += object.Take();
  }
  return list;
}

void SetOpenTelemetry(SpanView& span, Members& metadata) {
  const RunId& trace = span.ids.otel_trace_id;
  metadata.SetText("OTEL_TRACE_ID", Hex({reinterpret_cast<const char*>(trace.bytes.data()), 16}));
  metadata.SetText("OTEL_SPAN_ID", HexOf(span.ids.span_id));
  if (span.kind < std::size(kSpanKinds)) metadata.SetText("otel_kind", kSpanKinds[span.kind]);
  metadata.SetText("otel_scope_name", span.scope_name);
  metadata.SetText("otel_scope_version", span.scope_version);
  metadata.SetText("otel_tracestate", span.trace_state);
  if (const std::string links = LinksOf(span); !links.empty()) {
    metadata.Set("weft_links", "[" + links + "]");
  }
}

// What the ids of the run were made of is known already, but an id that could not be used is kept.
void MarkIds(SpanView& span) {
  Attributes& attributes = span.attributes;
  if (span.ids.names_run_id) attributes.MarkUsed("langsmith.span.id");
  if (span.ids.names_trace_id) attributes.MarkUsed("langsmith.trace.id");
  if (!span.ids.parent_run_id.IsNil()) attributes.MarkUsed("langsmith.span.parent_id");
  if (!span.ids.dotted_order.empty()) attributes.MarkUsed("langsmith.span.dotted_order");
  for (const std::string_view key :
       {"langsmith.is_root", "langsmith.traceable", "langsmith.traceable_parent_otel_span_id",
        "langsmith.trace.session_name"}) {
    attributes.MarkUsed(key);
  }
}

void SetOthers(SpanView& span, const MetadataOptions& options, Members& metadata) {
  JsonObjectWriter others;
  std::size_t room = options.max_other_bytes;
  for (Attributes::Entry& entry : span.attributes.all()) {
    if (entry.used) continue;
    const bool is_service =
        std::any_of(std::begin(kServicePrefixes), std::end(kServicePrefixes),
                    [&](std::string_view prefix) { return entry.key.starts_with(prefix); });
    if (!is_service && (!options.other_attributes || entry.value.size() > room)) continue;
    std::string value = AttributeValue::Read(entry.value).Json();
    if (is_service) {
      metadata.Set(entry.key, std::move(value));
    } else {
      room -= entry.value.size();
      others.Add(entry.key, value);
    }
  }
  if (!others.empty()) metadata.Set("otel_attributes", others.Take());
}

}  // namespace

std::string InvocationParamsOf(Attributes& attributes) {
  Members params;
  MergeJson(attributes, "llm.invocation_parameters", params);
  const std::pair<std::string_view, std::string_view> names[] = {
      {"gen_ai.request.model", "model"},
      {"gen_ai.response.model", "model"},
      {"gen_ai.request.temperature", "temperature"},
      {"gen_ai.request.top_p", "top_p"},
      {"gen_ai.request.top_k", "top_k"},
      {"gen_ai.request.max_tokens", "max_tokens"},
      {"gen_ai.request.frequency_penalty", "frequency_penalty"},
      {"gen_ai.request.presence_penalty", "presence_penalty"},
      {"llm.frequency_penalty", "frequency_penalty"},
      {"llm.presence_penalty", "presence_penalty"},
      {"gen_ai.request.seed", "seed"},
      {"gen_ai.request.encoding_formats", "encoding_formats"},
      {"gen_ai.request.stop_sequences", "stop"},
      {"gen_ai.tool.name", "tool_name"},
      {"gen_ai.tool.call.id", "tool_call_id"},
  };
  for (const auto& [key, name] : names) SetFrom(attributes, key, name, params);
  for (const auto& [key, name] :
       {std::pair<std::string_view, std::string_view>{"llm.request.functions", "functions"},
        {"tool_arguments", "tool_arguments"}}) {
    if (attributes.Has(key)) params.Set(name, JsonOf(attributes.Take(key)));
  }
  SetTools(attributes, params);
  return params.empty() ? "" : params.Json();
}

std::string MetadataOf(SpanView& span, const MetadataOptions& options) {
  Attributes& attributes = span.attributes;
  Members metadata;
  for (const Attributes::Entry& entry : span.resource.all()) {
    metadata.Set(entry.key, AttributeValue::Read(entry.value).Json());
  }
  SetFirstText(attributes, {"gen_ai.provider.name", "gen_ai.system", "llm.provider", "llm.system"},
               "ls_provider", metadata);
  SetFirstText(
      attributes,
      {"gen_ai.request.model", "gen_ai.response.model", "model", "llm.model_name", "ai.model.id"},
      "ls_model_name", metadata);
  SetFrom(attributes, "gen_ai.agent.name", "agent_name", metadata);
  SetFrom(attributes, "gen_ai.agent.id", "agent_id", metadata);
  SetFrom(attributes, "gen_ai.conversation.id", "thread_id", metadata);
  SetFrom(attributes, "session.id", "thread_id", metadata);
  SetFrom(attributes, "user.id", "user_id", metadata);
  if (!options.invocation_params.empty()) {
    metadata.Set("invocation_params", options.invocation_params);
  }
  if (!options.usage.empty()) metadata.Set("usage_metadata", options.usage);
  MergeJson(attributes, "metadata", metadata);
  SetUnder(attributes, "traceloop.association.properties.", metadata);
  SetAiMetadata(attributes, metadata);
  SetUnder(attributes, "langsmith.metadata.", metadata);
  SetOpenTelemetry(span, metadata);
  if (options.clock_fixed) metadata.Set("weft_clock_fixed", "true");
  MarkIds(span);
  SetOthers(span, options, metadata);
  return metadata.Json();
}

}  // namespace weft::collector
