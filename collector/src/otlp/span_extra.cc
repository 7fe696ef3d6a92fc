// SPDX-License-Identifier: Apache-2.0
#include "otlp/span_extra.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <absl/container/flat_hash_map.h>
#include <absl/container/inlined_vector.h>
#include <absl/strings/escaping.h>
#include <boost/json.hpp>

#include "fold_json.h"
#include "otlp/json_text.h"
#include "otlp/json_values.h"

namespace weft::collector {
namespace {

using Type = AttributeValue::Type;

constexpr std::string_view kStatusCodes[] = {"", "OK", "ERROR"};
constexpr std::string_view kSpanKinds[] = {"",       "INTERNAL", "SERVER",
                                           "CLIENT", "PRODUCER", "CONSUMER"};

constexpr std::size_t kUsualParamsBytes = 128;

// Shown as they are: a viewer reads hops between services from them.
constexpr std::string_view kProviderKeys[] = {"gen_ai.provider.name", "gen_ai.system",
                                              "llm.provider", "llm.system"};
constexpr std::string_view kServicePrefixes[] = {"rpc.", "http.", "server.", "client.", "network."};

// Writes an object whose members may be said again: the last word counts. What was said before is
// left out in the end only, as it is rare.
class Members {
 public:
  // To the end of `out`, where Close ends it.
  explicit Members(std::string& out) : out_(out), begin_(out.size()), object_(out) {}

  void Set(std::string_view key, std::string_view json) {
    Begin(key) += json;
    End();
  }
  void SetText(std::string_view key, std::string_view text) {
    if (text.empty()) return;
    AppendJsonString(Begin(key), text);
    End();
  }
  void SetValue(std::string_view key, const AttributeValue& value) {
    value.AppendJson(Begin(key));
    End();
  }

  bool empty() const { return members_.empty(); }
  void Close() {
    if (said_again_) {
      const std::string all = out_.substr(begin_);
      out_.resize(begin_ + 1);
      const auto text = [&](std::size_t at, std::size_t size) {
        return std::string_view(all).substr(at - begin_, size);
      };
      for (const Member& member : members_) {
        if (!object_.empty()) out_ += ',';
        (out_ += text(member.key - 1, member.key_size + 2)) += ':';
        out_ += text(member.value, member.value_size);
      }
    }
    object_.Close();
  }

 private:
  // Places in `out_`, of the key without its quotes.
  struct Member {
    std::size_t key, key_size, value, value_size;
  };
  // Up to here looking through is faster. A text of JSON may bring millions.
  static constexpr std::size_t kFew = 64;

  // As written.
  std::string_view KeyOf(const Member& member) const {
    return std::string_view(out_).substr(member.key, member.key_size);
  }

  // Where to write the value of `key`, which may not lie in `out_`.
  std::string& Begin(std::string_view key) {
    std::string escaped;
    if (!IsPlainJson(key)) {
      escaped = JsonString(key);
      key = std::string_view(escaped).substr(1, escaped.size() - 2);
    }
    open_ = Find(key);
    if (open_ == members_.size()) {
      const std::size_t begin = out_.size() + (object_.empty() ? 1 : 2);
      object_.PlainKey(key);
      members_.push_back({begin, key.size(), 0, 0});
      if (!places_.empty() || members_.size() == kFew) Index();
    } else {
      said_again_ = true;
    }
    members_[open_].value = out_.size();
    return out_;
  }
  void End() { members_[open_].value_size = out_.size() - members_[open_].value; }

  void Index() {
    for (std::size_t i = places_.size(); i < members_.size(); ++i) {
      places_.emplace(std::string(KeyOf(members_[i])), i);
    }
  }

  std::size_t Find(std::string_view key) const {
    if (!places_.empty()) {
      const auto found = places_.find(absl::string_view(key.data(), key.size()));
      return found == places_.end() ? members_.size() : found->second;
    }
    const auto found = std::find_if(members_.begin(), members_.end(),
                                    [&](const Member& member) { return KeyOf(member) == key; });
    return static_cast<std::size_t>(found - members_.begin());
  }

  std::string& out_;
  const std::size_t begin_;
  JsonObjectWriter object_;
  absl::InlinedVector<Member, 16> members_;
  std::size_t open_ = 0;  ///< The member whose value is being written.
  bool said_again_ = false;
  absl::flat_hash_map<std::string, std::size_t> places_;  ///< In `members_`, once there are many.
};

// A text that is a JSON object or list stands for that; other texts are texts.
void SetMetadata(std::string_view key, const AttributeValue& value, Members& into) {
  if (value.is_text() && (value.bytes.starts_with('{') || value.bytes.starts_with('['))) {
    return into.Set(key, JsonOf(value));
  }
  into.SetValue(key, value);
}

void SetFrom(Attributes& attributes, std::string_view key, std::string_view name, Members& into) {
  const AttributeValue value = attributes.Take(key);
  if (value.type != Type::kNone) into.SetValue(name, value);
}

void SetFirstText(Attributes& attributes, std::span<const std::string_view> keys,
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
    SetMetadata(entry->key.substr(prefix.size()), AttributeValue::Read(entry->value), into);
    entry->used = true;
  }
}

void MergeObject(const std::string& object, Members& into) {
  FieldCutter cutter(object);
  for (std::string_view key, value; cutter.Next(key, value);) {
    if (const auto name = JsonText('"' + std::string(key) + '"')) into.Set(*name, value);
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
    SetMetadata(name, AttributeValue::Read(entry->value), metadata);
  }
}

std::string Hex(std::string_view bytes) {
  return absl::BytesToHexString(absl::string_view(bytes.data(), bytes.size()));
}

// Of the last bytes of an id.
void SetHex(std::string_view key, const RunId& id, std::size_t bytes, Members& into) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::array<char, 2 * sizeof id.bytes> text;
  char* end = text.data();
  for (const std::uint8_t byte : std::span(id.bytes).last(bytes)) {
    *end++ = kDigits[byte >> 4];
    *end++ = kDigits[byte & 15];
  }
  into.SetText(key, {text.data(), static_cast<std::size_t>(end - text.data())});
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

// What is below the microseconds that a run's times have, in nanoseconds: of the start, the end and
// of the run's events.
void SetNanoseconds(const SpanView& span, Members& metadata) {
  const SpanIds& ids = span.ids;
  const std::uint64_t start = ids.start_unix_ns != 0 ? ids.start_unix_ns : ids.end_unix_ns;
  const std::uint64_t end = ids.end_unix_ns != 0 ? std::max(start, ids.end_unix_ns) : 0;
  const auto has_rest = [](const SpanEvent& event) {
    return !event.used && event.time_unix_ns % 1000 != 0;
  };
  if (start % 1000 == 0 && end % 1000 == 0 &&
      std::none_of(span.events.begin(), span.events.end(), has_rest)) {
    return;
  }
  std::string list;
  const auto add = [&](std::uint64_t time) {
    char text[5] = {list.empty() ? '[' : ','};
    list.append(text, std::to_chars(text + 1, std::end(text), time % 1000).ptr);
  };
  add(start);
  add(end);
  for (const SpanEvent& event : span.events) {
    if (!event.used) add(event.time_unix_ns);
  }
  metadata.Set("otel_time_ns", list + "]");
}

// With these the run becomes the span again that it was. A span whose status is not set says none.
void SetStatusAndTimes(const SpanView& span, Members& metadata) {
  if (span.status_code != 0 && span.status_code < std::size(kStatusCodes)) {
    metadata.SetText("otel_status_code", kStatusCodes[span.status_code]);
    metadata.SetText("otel_status_description", span.status_message);
  }
  SetNanoseconds(span, metadata);
}

void SetOpenTelemetry(SpanView& span, Members& metadata) {
  SetHex("OTEL_TRACE_ID", span.ids.otel_trace_id, 16, metadata);
  SetHex("OTEL_SPAN_ID", PaddedRunId(span.ids.span_id), 8, metadata);
  if (span.kind < std::size(kSpanKinds)) metadata.SetText("otel_kind", kSpanKinds[span.kind]);
  metadata.SetText("otel_scope_name", span.scope_name);
  metadata.SetText("otel_scope_version", span.scope_version);
  metadata.SetText("otel_tracestate", span.trace_state);
  SetStatusAndTimes(span, metadata);
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
    const AttributeValue value = AttributeValue::Read(entry.value);
    if (is_service) {
      metadata.SetValue(entry.key, value);
    } else {
      room -= entry.value.size();
      value.AppendJson(others.Key(entry.key));
    }
  }
  if (!others.empty()) metadata.Set("otel_attributes", others.Take());
}

}  // namespace

std::string InvocationParamsOf(Attributes& attributes) {
  std::string json;
  json.reserve(kUsualParamsBytes);
  Members params(json);
  MergeJson(attributes, "llm.invocation_parameters", params);
  static constexpr std::pair<std::string_view, std::string_view> kNames[] = {
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
  for (const auto& [key, name] : kNames) {
    if (attributes.Has(key)) SetFrom(attributes, key, name, params);
  }
  for (const auto& [key, name] :
       {std::pair<std::string_view, std::string_view>{"llm.request.functions", "functions"},
        {"tool_arguments", "tool_arguments"}}) {
    if (attributes.Has(key)) params.Set(name, JsonOf(attributes.Take(key)));
  }
  SetTools(attributes, params);
  if (params.empty()) return "";
  params.Close();
  return json;
}

void WriteMetadata(SpanView& span, const MetadataOptions& options, std::string& out) {
  Attributes& attributes = span.attributes;
  Members metadata(out);
  for (const Attributes::Entry& entry : span.resource.all()) {
    metadata.SetValue(entry.key, AttributeValue::Read(entry.value));
  }
  SetFirstText(attributes, kProviderKeys, "ls_provider", metadata);
  SetFirstText(attributes, kModelKeys, "ls_model_name", metadata);
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
  if (options.cost_computed) metadata.Set("weft_cost_computed", "true");
  MarkIds(span);
  SetOthers(span, options, metadata);
  metadata.Close();
}

}  // namespace weft::collector
