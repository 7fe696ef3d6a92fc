// SPDX-License-Identifier: Apache-2.0
#include "headers_codec.h"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>

#include <weft/tracing/json.h>
#include <weft/tracing/trace_headers.h>

namespace weft::cli {
namespace {

std::string_view View(const boost::json::string& text) { return {text.data(), text.size()}; }

bool IsListOfStrings(const Json& value) {
  if (!value.is_array()) return false;
  const JsonArray& elements = value.get_array();
  return std::all_of(elements.begin(), elements.end(),
                     [](const Json& element) { return element.is_string(); });
}

Json OrNull(const std::optional<std::string>& text) { return text ? Json(*text) : Json(); }

std::string Hex(std::span<const std::uint8_t> bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string out;
  for (const std::uint8_t byte : bytes) {
    out += kDigits[byte >> 4];
    out += kDigits[byte & 15];
  }
  return out;
}

// What `langsmith-trace` said; a parent known by `traceparent` is shown under that name only.
void WriteParent(const ParsedHeaders& parsed, JsonObject& out) {
  const bool known = parsed.parent && !parsed.parent_is_traceparent;
  const RunContext& parent = parsed.parent;
  out["trace_id"] = known ? Json(parent.trace_id().ToString()) : Json();
  out["parent_run_id"] = known ? Json(parent.id().ToString()) : Json();
  out["dotted_order"] = known ? Json(std::string(parent.dotted_order())) : Json();
}

void WriteBaggage(const TraceBaggage& baggage, JsonObject& out) {
  out["project"] = OrNull(baggage.project);
  out["address"] = OrNull(baggage.address);
  out["tags"] = JsonArray(baggage.tags.begin(), baggage.tags.end());
  out["metadata"] = baggage.metadata;
  JsonObject foreign;
  for (const auto& [key, value] : baggage.foreign) foreign[key] = value;
  out["baggage"] = std::move(foreign);
}

void WriteTraceparent(const ParsedHeaders& parsed, JsonObject& out) {
  out["traceparent"] = nullptr;
  out["tracestate"] = nullptr;
  if (!parsed.traceparent) return;
  out["traceparent"] = {{"trace_id", Hex(parsed.traceparent->trace_id)},
                        {"span_id", Hex(parsed.traceparent->span_id)},
                        {"sampled", parsed.traceparent->sampled}};
  const std::string& tracestate = parsed.baggage->tracestate;
  if (!tracestate.empty()) out["tracestate"] = tracestate;
}

// Reads the members of an input of `encode`; null is as good as absent.
class ContextReader {
 public:
  ContextReader(const JsonObject& object, std::vector<std::string>& problems)
      : object_(object), problems_(problems) {}

  const Json* Find(std::string_view name) const {
    const Json* const value = object_.if_contains({name.data(), name.size()});
    return value == nullptr || value->is_null() ? nullptr : value;
  }

  std::optional<std::string> Text(std::string_view name) {
    const Json* const value = Find(name);
    if (value == nullptr) return std::nullopt;
    if (value->is_string()) return std::string(View(value->get_string()));
    Report(name, "is no string");
    return std::nullopt;
  }

  std::optional<RunId> Id(std::string_view name) {
    const std::optional<std::string> text = Text(name);
    const std::optional<RunId> id = text ? RunId::Parse(*text) : std::nullopt;
    if (text && !id) Report(name, "is no UUID");
    return id;
  }

  void Report(std::string_view name, std::string_view what) {
    problems_.push_back("`" + std::string(name) + "` " + std::string(what) + "; left out");
  }

 private:
  const JsonObject& object_;
  std::vector<std::string>& problems_;
};

TraceBaggage ReadBaggage(ContextReader& reader) {
  TraceBaggage baggage;
  baggage.project = reader.Text("project");
  baggage.address = reader.Text("address");
  if (baggage.address && !NormalizeAgentAddress(*baggage.address)) {
    reader.Report("address", "is no agent address");
  } else if (baggage.address && baggage.project && !baggage.project->empty()) {
    reader.Report("address", "cannot go with `project`");
  }
  if (const Json* const tags = reader.Find("tags"); tags != nullptr) {
    if (IsListOfStrings(*tags)) {
      for (const Json& tag : tags->get_array()) baggage.tags.emplace_back(View(tag.get_string()));
    } else {
      reader.Report("tags", "is no list of strings");
    }
  }
  if (const Json* const metadata = reader.Find("metadata"); metadata != nullptr) {
    if (metadata->is_object()) {
      baggage.metadata = metadata->get_object();
    } else {
      reader.Report("metadata", "is no object");
    }
  }
  return baggage;
}

void AddTraceparent(ContextReader& reader, JsonObject& out) {
  const std::optional<RunId> id = reader.Id("id");
  const std::optional<RunId> trace_id = reader.Id("trace_id");
  if (!id || !trace_id) return;
  const std::string span_id = Hex(std::span(id->bytes).subspan(8));
  if (trace_id->IsNil() || span_id.find_first_not_of('0') == span_id.npos) {
    reader.Report(trace_id->IsNil() ? "trace_id" : "id", "is all zeros in `traceparent`");
    return;
  }
  out["traceparent"] = "00-" + Hex(trace_id->bytes) + "-" + span_id + "-01";
}

}  // namespace

HeaderFields ReadHeadersLine(std::string_view line, JsonArray& problems) {
  HeaderFields fields;
  const std::optional<Json> json = ParseJson(line);
  if (!json || !json->is_object()) {
    problems.emplace_back("bad-input: the line is no JSON object");
    return fields;
  }
  for (const auto& header : json->get_object()) {
    const std::string name(header.key().data(), header.key().size());
    const Json& value = header.value();
    if (value.is_string()) {
      fields.emplace_back(name, View(value.get_string()));
    } else if (IsListOfStrings(value)) {
      for (const Json& one : value.get_array()) fields.emplace_back(name, View(one.get_string()));
    } else if (TraceHeaders().Add(name, "")) {
      problems.emplace_back("bad-header-value: header `" + name +
                            "` is neither a string nor a list of strings");
    }
  }
  return fields;
}

JsonObject DescribeHeaders(const ParsedHeaders& parsed) {
  JsonObject out;
  WriteParent(parsed, out);
  WriteBaggage(*parsed.baggage, out);
  WriteTraceparent(parsed, out);
  return out;
}

std::string DecodeHeadersLine(std::string_view line) {
  JsonArray problems;
  TraceHeaders headers;
  for (const auto& [name, value] : ReadHeadersLine(line, problems)) headers.Add(name, value);
  // People debug headers that no server would take; the interceptors have the limits.
  const ParsedHeaders parsed = headers.Parse(std::numeric_limits<std::size_t>::max());
  JsonObject out = DescribeHeaders(parsed);
  for (const HeaderProblem& problem : parsed.problems) {
    problems.emplace_back(problem.code + ": " + problem.text);
  }
  out["problems"] = std::move(problems);
  return boost::json::serialize(out);
}

std::string EncodeHeadersLine(std::string_view line, std::vector<std::string>& problems) {
  JsonObject out;
  const std::optional<Json> json = ParseJson(line);
  if (!json || !json->is_object()) {
    problems.emplace_back("the line is no JSON object");
    return boost::json::serialize(out);
  }
  ContextReader reader(json->get_object(), problems);
  if (const auto dotted_order = reader.Text("dotted_order"); dotted_order) {
    const RunContext run = RunContext::Remote(*dotted_order, nullptr);
    if (run) {
      out["langsmith-trace"] = std::string(run.dotted_order());
    } else {
      reader.Report("dotted_order", "is malformed");
    }
  }
  const std::string baggage = EncodeBaggage(ReadBaggage(reader));
  if (!baggage.empty()) out["baggage"] = baggage;
  AddTraceparent(reader, out);
  return boost::json::serialize(out);
}

}  // namespace weft::cli
