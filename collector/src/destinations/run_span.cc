// SPDX-License-Identifier: Apache-2.0
#include "destinations/run_span.h"

#include <charconv>
#include <utility>

#include <boost/json.hpp>

#include "destinations/run_json.h"
#include "fold.h"
#include "fold_json.h"

namespace weft::collector {
namespace {

using std::chrono::microseconds;
using std::chrono::system_clock;
using Time = std::chrono::sys_time<microseconds>;

const Json* Find(const JsonObject& object, std::string_view key) {
  const Json* const value = object.if_contains(key);
  return value != nullptr && !value->is_null() ? value : nullptr;
}

const JsonObject* FindObject(const JsonObject& object, std::string_view key) {
  const Json* const value = Find(object, key);
  return value != nullptr ? value->if_object() : nullptr;
}

std::string_view FindText(const JsonObject& object, std::string_view key) {
  const Json* const value = Find(object, key);
  if (value == nullptr || !value->is_string()) return {};
  return {value->get_string().data(), value->get_string().size()};
}

int Digits(std::string_view text, std::size_t at, std::size_t count) {
  int value = 0;
  std::from_chars(text.data() + at, text.data() + at + count, value);
  return value;
}

// `2026-09-10T00:26:40.021001Z`, as IsoTime writes it.
system_clock::time_point TimeOf(const std::string& iso) {
  const std::chrono::year_month_day date{std::chrono::year(Digits(iso, 0, 4)),
                                         std::chrono::month(Digits(iso, 5, 2)),
                                         std::chrono::day(Digits(iso, 8, 2))};
  return Time(std::chrono::sys_days(date)) + std::chrono::hours(Digits(iso, 11, 2)) +
         std::chrono::minutes(Digits(iso, 14, 2)) + std::chrono::seconds(Digits(iso, 17, 2)) +
         microseconds(Digits(iso, 20, 6));
}

std::optional<system_clock::time_point> FindTime(const JsonObject& object, std::string_view key) {
  const Json* const value = Find(object, key);
  if (value == nullptr) return std::nullopt;
  const std::optional<std::string> iso = IsoTime(boost::json::serialize(*value));
  return iso ? std::optional(TimeOf(*iso)) : std::nullopt;
}

// The time in the last part of a dotted order: `20260910T002640021001Z<id>`.
std::optional<system_clock::time_point> TimeInOrder(std::string_view order) {
  const std::size_t dot = order.rfind('.');
  const std::string_view part = dot == order.npos ? order : order.substr(dot + 1);
  if (part.size() < 22 || part[8] != 'T' || part[21] != 'Z') return std::nullopt;
  std::string iso = "\"0000-00-00T00:00:00.000000Z\"";
  constexpr std::pair<std::size_t, std::size_t> kTo[] = {{1, 4},  {6, 2},  {9, 2}, {12, 2},
                                                         {15, 2}, {18, 2}, {21, 6}};
  std::size_t from = 0;
  for (const auto& [to, count] : kTo) {
    iso.replace(to, count, part.substr(from, count));
    from += count;
    if (from == 8) ++from;  // the T
  }
  const std::optional<std::string> valid = IsoTime(iso);
  return valid ? std::optional(TimeOf(*valid)) : std::nullopt;
}

// LangSmith's inputs and outputs are objects; what is none gets a name.
std::optional<JsonObject> Wrapped(const Json* value, std::string_view name) {
  if (value == nullptr || value->is_object()) return std::nullopt;
  return JsonObject{{name, *value}};
}

}  // namespace

absl::StatusOr<RunSpan> RunSpan::Parse(const OutgoingOp& op) {
  boost::json::error_code error;
  boost::json::parse_options options;
  options.max_depth = 300;
  RunSpan span;
  span.text_ = std::make_unique<const std::string>(RunObject(op));
  Json value = boost::json::parse(*span.text_, error, {}, options);
  if (error || !value.is_object()) return absl::InvalidArgumentError("the run is no JSON object");
  span.run_ = std::move(value.get_object());
  span.id_ = op.op->run_id;
  span.trace_id_ = op.op->trace_id.IsNil() ? op.op->run_id : op.op->trace_id;
  span.ReadTimes(op);
  if (const Json* const said = Find(span.run_, "error")) {
    span.error_ = said->is_string() ? std::string(FindText(span.run_, "error"))
                                    : boost::json::serialize(*said);
  }
  span.inputs_ = Wrapped(Find(span.run_, "inputs"), "input");
  span.outputs_ = Wrapped(Find(span.run_, "outputs"), "output");
  span.FindTexts();
  span.ReadEvents();
  span.ReadAttachments(op);
  return span;
}

// What was written is sent, with every digit of its numbers.
void RunSpan::FindTexts() {
  FieldCutter cutter(*text_);
  for (std::string_view key, value; cutter.Next(key, value);) {
    if (!value.starts_with('{')) continue;
    if (key == "inputs") inputs_text_ = value;
    if (key == "outputs") outputs_text_ = value;
  }
}

void RunSpan::ReadTimes(const OutgoingOp& op) {
  const auto received = system_clock::time_point(microseconds(op.received_us));
  const auto start = FindTime(run_, "start_time");
  start_ = start ? *start : TimeInOrder(FindText(run_, "dotted_order")).value_or(received);
  end_ = FindTime(run_, "end_time");
}

void RunSpan::ReadEvents() {
  const Json* const events = Find(run_, "events");
  if (events == nullptr || !events->is_array()) return;
  for (const Json& event : events->get_array()) {
    const JsonObject* const object = event.if_object();
    if (object == nullptr) continue;
    RunEvent& read = events_.emplace_back();
    read.name = FindText(*object, "name");
    read.time = FindTime(*object, "time").value_or(start_);
    if (const JsonObject* const kwargs = FindObject(*object, "kwargs")) read.kwargs = *kwargs;
  }
}

void RunSpan::ReadAttachments(const OutgoingOp& op) {
  for (const Part& part : op.op->parts) {
    if (part.field != PartField::kAttachment) continue;
    attachments_.push_back({part.name.str(), part.mime_type.str(), std::string(op.Text(part))});
  }
}

internal::SpanSource RunSpan::Source() const {
  internal::SpanSource source;
  source.id = id_;
  source.trace_id = trace_id_;
  source.parent_id = RunId::Parse(FindText(run_, "parent_run_id"));
  source.dotted_order = FindText(run_, "dotted_order");
  source.name = FindText(run_, "name");
  source.run_type = FindText(run_, "run_type");
  if (source.run_type.empty()) source.run_type = "chain";
  source.start = start_;
  source.end = end_;
  source.inputs = inputs_ ? &*inputs_ : FindObject(run_, "inputs");
  source.outputs = outputs_ ? &*outputs_ : FindObject(run_, "outputs");
  source.inputs_json = inputs_text_;
  source.outputs_json = outputs_text_;
  source.error = error_;
  source.session_name = FindText(run_, "session_name");
  source.session_id = FindText(run_, "session_id");
  source.reference_example_id = FindText(run_, "reference_example_id");
  source.address = FindText(run_, "address");
  source.serialized = FindObject(run_, "serialized");
  source.events = &events_;
  source.attachments = &attachments_;
  if (const JsonObject* const extra = FindObject(run_, "extra")) {
    if (const JsonObject* const metadata = FindObject(*extra, "metadata")) {
      source.metadata = *metadata;
    }
    source.invocation_params = FindObject(*extra, "invocation_params");
  }
  source.tracestate = FindText(source.metadata, "otel_tracestate");
  if (const Json* const tags = Find(run_, "tags"); tags != nullptr && tags->is_array()) {
    for (const Json& tag : tags->get_array()) {
      if (tag.is_string())
        source.tags.emplace_back(tag.get_string().data(), tag.get_string().size());
    }
  }
  return source;
}

}  // namespace weft::collector
