// SPDX-License-Identifier: Apache-2.0
#include "headers_check.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <optional>
#include <string_view>
#include <utility>

#include <weft/tracing/run_context.h>
#include <weft/tracing/sampling.h>
#include <weft/tracing/trace_headers.h>

#include "sdk_readers.h"
#include "text.h"

namespace weft::cli {
namespace {

constexpr double kBuckets = 1'000'000;
constexpr std::array<std::string_view, 3> kReaders = {"weft", "python", "npm"};
constexpr std::array<std::string_view, 3> kReaderNames = {"weft", "Python SDK", "npm SDK"};

std::string_view View(const boost::json::string& text) { return {text.data(), text.size()}; }
std::string_view View(const Json& value) { return View(value.as_string()); }

/// Microseconds since 1970 of a segment's time, `20260910T004640000001`: it was checked before.
std::int64_t MicrosecondsOf(std::string_view time) {
  const auto number = [time](std::size_t at, std::size_t size) {
    int value = 0;
    std::from_chars(time.data() + at, time.data() + at + size, value);
    return value;
  };
  using namespace std::chrono;
  const sys_days day = year(number(0, 4)) / month(static_cast<unsigned>(number(4, 2))) /
                       std::chrono::day(static_cast<unsigned>(number(6, 2)));
  std::string fraction(time.substr(15));
  fraction.resize(6, '0');
  int micros = 0;
  std::from_chars(fraction.data(), fraction.data() + 6, micros);
  return duration_cast<microseconds>(day.time_since_epoch() + hours(number(9, 2)) +
                                     minutes(number(11, 2)) + seconds(number(13, 2)))
             .count() +
         micros;
}

std::string IsoTime(std::string_view time) {
  std::string fraction(time.substr(15));
  fraction.resize(6, '0');
  const auto part = [time](std::size_t at, std::size_t size) {
    return std::string(time.substr(at, size));
  };
  return part(0, 4) + "-" + part(4, 2) + "-" + part(6, 2) + "T" + part(9, 2) + ":" + part(11, 2) +
         ":" + part(13, 2) + "." + fraction + "Z";
}

JsonArray SegmentsOf(const ParsedHeaders& parsed) {
  JsonArray segments;
  if (!parsed.parent || parsed.parent_is_traceparent) return segments;
  std::string_view rest = parsed.parent.dotted_order();
  std::optional<std::int64_t> before;
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find('.'), rest.size());
    const std::string_view segment = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    const std::size_t zone = segment.find_first_of("Zz");
    const std::string_view time = segment.substr(0, zone);
    const std::int64_t micros = MicrosecondsOf(time);
    const auto id = RunId::Parse(segment.substr(zone + 1));
    JsonObject one = {{"id", id ? id->ToString() : std::string()}, {"time", IsoTime(time)}};
    if (before) one["after_us"] = micros - *before;
    before = micros;
    segments.push_back(std::move(one));
  }
  return segments;
}

std::size_t CountReplicas(const HeaderFields& headers) {
  // What weft never follows is not parsed by it either.
  return std::max(ReadLikePython(headers).replicas, ReadLikeNpm(headers).replicas);
}

HeaderReading ReadLikeWeft(const ParsedHeaders& parsed) {
  HeaderReading reading;
  const TraceBaggage& baggage = *parsed.baggage;
  reading.project = baggage.project;
  reading.address = baggage.address;
  reading.tags = baggage.tags;
  reading.metadata = baggage.metadata;
  if (!parsed.parent) return reading;
  reading.outcome = HeaderReading::Outcome::kParent;
  reading.run_id = parsed.parent.id().ToString();
  reading.trace_id = parsed.parent.trace_id().ToString();
  if (parsed.parent_is_traceparent) {
    reading.notes.emplace_back("takes the span of `traceparent` for the caller");
  }
  return reading;
}

Json OrNull(const std::optional<std::string>& text) { return text ? Json(*text) : Json(); }

JsonObject ToJson(const HeaderReading& reading) {
  using Outcome = HeaderReading::Outcome;
  const auto id = [&](const std::string& text) {
    if (reading.outcome != Outcome::kParent) return Json();
    return Json(text.empty() ? "made up" : text);
  };
  JsonObject json = {{"parent_run_id", id(reading.run_id)},
                     {"trace_id", id(reading.trace_id)},
                     {"throws", reading.error.empty() ? Json() : Json(reading.error)},
                     {"project", OrNull(reading.project)},
                     {"address", OrNull(reading.address)},
                     {"tags", JsonArray(reading.tags.begin(), reading.tags.end())},
                     {"metadata", reading.metadata},
                     {"replicas", reading.replicas},
                     {"notes", JsonArray(reading.notes.begin(), reading.notes.end())}};
  if (reading.no_project && !reading.address) {
    json["notes"].as_array().emplace_back("leaves the runs below without a project");
  }
  return json;
}

// Whether a reader that knows LangSmith's headers only is right, given what weft found.
bool Agrees(const HeaderReading& reading, const HeaderReading& weft, const ParsedHeaders& parsed) {
  using Outcome = HeaderReading::Outcome;
  if (parsed.parent_is_traceparent || !parsed.parent) return reading.outcome == Outcome::kNoParent;
  return reading.outcome == Outcome::kParent && reading.run_id == weft.run_id &&
         reading.trace_id == weft.trace_id;
}

JsonObject SamplingOf(const RunContext& parent) {
  const std::uint32_t bucket = SamplingBucket(parent.trace_id().ToString());
  return {{"bucket", bucket}, {"kept_above_rate", bucket / kBuckets}};
}

std::string Escaped(std::string_view text) { return EscapeControls(text); }

std::string Escaped(const Json& value) {
  return EscapeJsonForTerminal(boost::json::serialize(value));
}

std::string Join(const JsonArray& texts) {
  std::string joined;
  for (const Json& text : texts) joined.append(joined.empty() ? "" : ", ").append(View(text));
  return Escaped(joined);
}

std::string Plural(std::size_t count, std::string_view one) {
  return std::to_string(count) + " " + std::string(one) + (count == 1 ? "" : "s");
}

void ExplainTrace(const JsonObject& facts, std::string& out) {
  const JsonArray& segments = facts.at("segments").as_array();
  if (segments.empty()) {
    out += "langsmith-trace  names no caller\n";
    return;
  }
  out += "langsmith-trace  ";
  out += segments.size() == 1 ? "the root of a trace\n"
                              : "a run with " + Plural(segments.size() - 1, "run") + " above it\n";
  for (const Json& segment : segments) {
    std::string time(View(segment.at("time")));
    time[time.find('T')] = ' ';
    out += "  " + time + "  " + std::string(View(segment.at("id")));
    if (const Json* const after = segment.as_object().if_contains("after_us")) {
      const std::int64_t micros = after->as_int64();
      out += micros < 0 ? "  " + FormatDuration(-micros) + " before its parent"
                        : "  +" + FormatDuration(micros);
    }
    if (&segment == &segments.front()) out += "  the root, which gives the trace its id";
    if (&segment == &segments.back()) {
      out += segments.size() == 1 ? ", and" : " ";
      out += " the caller, parent of what starts here";
    }
    out += "\n";
  }
}

void ExplainBaggage(const JsonObject& facts, std::string& out) {
  std::string text;
  const auto line = [&text](std::string_view name, const std::string& value) {
    if (!value.empty()) text += "  " + PadRight(name, 10) + value + "\n";
  };
  const auto string = [&](std::string_view key) {
    const Json& value = facts.at({key.data(), key.size()});
    return value.is_string() ? Escaped(View(value)) : std::string();
  };
  line("project", string("project"));
  line("address", string("address"));
  line("tags", Join(facts.at("tags").as_array()));
  if (!facts.at("metadata").as_object().empty()) line("metadata", Escaped(facts.at("metadata")));
  if (!facts.at("baggage").as_object().empty()) line("others", Escaped(facts.at("baggage")));
  if (const auto replicas = facts.at("replicas").to_number<std::size_t>(); replicas != 0) {
    line("replicas", std::to_string(replicas) + ", which weft never follows");
  }
  out += text.empty() ? "baggage          says nothing\n" : "baggage\n" + text;
}

void ExplainTraceparent(const JsonObject& facts, std::string& out) {
  if (!facts.at("traceparent").is_object()) return;
  const JsonObject& parent = facts.at("traceparent").as_object();
  out += "traceparent      trace " + std::string(View(parent.at("trace_id"))) + ", span " +
         std::string(View(parent.at("span_id"))) +
         (parent.at("sampled").as_bool() ? ", sampled\n" : ", not sampled\n");
  if (facts.at("tracestate").is_string()) {
    out += "tracestate       " + Escaped(View(facts.at("tracestate"))) + "\n";
  }
}

void ExplainSampling(const JsonObject& facts, std::string& out) {
  if (!facts.at("sampling").is_object()) return;
  const JsonObject& sampling = facts.at("sampling").as_object();
  std::array<char, 16> rate{};
  std::snprintf(rate.data(), rate.size(), "%.6f",
                sampling.at("kept_above_rate").to_number<double>());
  out += "sampling         bucket " + FormatCount(sampling.at("bucket").to_number<std::int64_t>()) +
         " of 1,000,000: kept at rates above " + rate.data() + "\n";
}

std::string Destination(const JsonObject& reading) {
  if (reading.at("project").is_string()) return "project " + Escaped(View(reading.at("project")));
  if (reading.at("address").is_string()) return "agent " + Escaped(View(reading.at("address")));
  return "a project of its own";
}

std::string Verdict(const JsonObject& reading, std::string_view reader) {
  if (reading.at("throws").is_string()) {
    return "throws " + std::string(View(reading.at("throws"))) +
           (reader == "python" ? ": behind TracingMiddleware the request fails"
                               : " out of RunTree.fromHeaders");
  }
  if (reading.at("parent_run_id").is_null()) return "no parent: a new trace";
  const std::string_view id = View(reading.at("parent_run_id"));
  const std::string parent =
      id == "made up" ? "a parent that it makes up" : "parent " + Escaped(id);
  return parent + ", " + Destination(reading);
}

void ExplainReaders(const JsonObject& facts, std::string& out) {
  out += "\n";
  for (std::size_t i = 0; i < kReaders.size(); ++i) {
    const std::string_view key = kReaders[i];
    const JsonObject& reading =
        facts.at("readers").as_object().at({key.data(), key.size()}).as_object();
    out += PadRight(kReaderNames[i], 17) + Verdict(reading, key) + "\n";
    for (const Json& note : reading.at("notes").as_array()) {
      out += std::string(17, ' ') + Escaped(View(note)) + "\n";
    }
  }
}

bool HasNotes(const JsonObject& facts) {
  const JsonObject& readers = facts.at("readers").as_object();
  return !readers.at("python").at("notes").as_array().empty() ||
         !readers.at("npm").at("notes").as_array().empty();
}

}  // namespace

HeadersCheck CheckHeaders(const HeaderFields& headers, JsonArray problems) {
  TraceHeaders received;
  for (const auto& [name, value] : headers) received.Add(name, value);
  const ParsedHeaders parsed = received.Parse(std::numeric_limits<std::size_t>::max());
  for (const HeaderProblem& problem : parsed.problems) {
    problems.emplace_back(problem.code + ": " + problem.text);
  }
  const HeaderReading weft = ReadLikeWeft(parsed);
  const HeaderReading python = ReadLikePython(headers);
  const HeaderReading npm = ReadLikeNpm(headers);

  HeadersCheck check;
  check.good = problems.empty() && Agrees(python, weft, parsed) && Agrees(npm, weft, parsed);
  check.facts = DescribeHeaders(parsed);
  check.facts["segments"] = SegmentsOf(parsed);
  check.facts["replicas"] = CountReplicas(headers);
  check.facts["sampling"] = parsed.parent ? Json(SamplingOf(parsed.parent)) : Json();
  check.facts["readers"] = {
      {"weft", ToJson(weft)}, {"python", ToJson(python)}, {"npm", ToJson(npm)}};
  check.facts["problems"] = std::move(problems);
  check.facts["good"] = check.good;
  return check;
}

std::string ExplainHeaders(const HeadersCheck& check) {
  std::string out;
  ExplainTrace(check.facts, out);
  ExplainBaggage(check.facts, out);
  ExplainTraceparent(check.facts, out);
  ExplainSampling(check.facts, out);
  ExplainReaders(check.facts, out);
  const JsonArray& problems = check.facts.at("problems").as_array();
  out += problems.empty() ? "\n" : "\nWhat is wrong\n";
  for (const Json& problem : problems) out += "  " + Escaped(View(problem)) + "\n";
  if (check.good) {
    out += HasNotes(check.facts) ? "All find the caller, but mind what stands beside the SDKs.\n"
                                 : "Nothing is wrong.\n";
  } else if (problems.empty()) {
    out += "Not every SDK finds the caller.\n";
  }
  return out;
}

}  // namespace weft::cli
