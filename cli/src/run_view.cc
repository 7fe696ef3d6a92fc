// SPDX-License-Identifier: Apache-2.0
#include "run_view.h"

#include <cmath>
#include <initializer_list>

#include <absl/strings/numbers.h>
#include <absl/time/time.h>

namespace weft::cli {
namespace {

/// The value at a path of keys, or null.
const boost::json::value* Find(const boost::json::value& json,
                               std::initializer_list<std::string_view> path) {
  const boost::json::value* at = &json;
  for (const std::string_view key : path) {
    const auto* object = at->if_object();
    if (object == nullptr) return nullptr;
    at = object->if_contains({key.data(), key.size()});
    if (at == nullptr) return nullptr;
  }
  return at;
}

std::string Text(const boost::json::value& json, std::initializer_list<std::string_view> path) {
  const auto* value = Find(json, path);
  if (value == nullptr) return {};
  if (const auto* text = value->if_string()) return {text->data(), text->size()};
  if (const auto* number = value->if_int64()) return std::to_string(*number);
  if (const auto* number = value->if_uint64()) return std::to_string(*number);
  return {};
}

std::optional<std::int64_t> Integer(const boost::json::value& json,
                                    std::initializer_list<std::string_view> path) {
  const auto* value = Find(json, path);
  if (value == nullptr || !value->is_number()) return std::nullopt;
  boost::json::error_code error;
  const auto number = value->to_number<std::int64_t>(error);
  if (error) return std::nullopt;
  return number;
}

std::optional<std::int64_t> Time(const boost::json::value& json, std::string_view key) {
  const std::string text = Text(json, {key});
  absl::Time time;
  std::string error;
  if (text.empty() || !absl::ParseTime(absl::RFC3339_full, text, &time, &error)) return {};
  // What is no time of the years 1 to 9999 could not be subtracted from another one.
  const std::int64_t seconds = absl::ToUnixSeconds(time);
  if (seconds < -62'135'596'800 || seconds > 253'402'300'799) return {};
  return absl::ToUnixMicros(time);
}

/// LangSmith's API has decimals as texts, too.
std::optional<double> Decimal(const boost::json::value& json,
                              std::initializer_list<std::string_view> path) {
  const auto* value = Find(json, path);
  if (value == nullptr) return std::nullopt;
  double number = 0;
  if (const auto* text = value->if_string()) {
    if (!absl::SimpleAtod({text->data(), text->size()}, &number)) return std::nullopt;
  } else if (value->is_number()) {
    number = value->to_number<double>();
  } else {
    return std::nullopt;
  }
  return std::isfinite(number) ? std::optional(number) : std::nullopt;
}

/// Where a token count may stand: the model call's own place first, then LangSmith's sums.
std::optional<std::int64_t> Tokens(const boost::json::value& json, std::string_view key,
                                   std::string_view total_key) {
  if (auto count = Integer(json, {"extra", "metadata", "usage_metadata", key})) return count;
  if (auto count = Integer(json, {"outputs", "usage_metadata", key})) return count;
  return Integer(json, {total_key});
}

/// Of the run's own places for usage, then LangSmith's sums.
std::optional<double> Cost(const boost::json::value& json) {
  for (const auto* const usage : {Find(json, {"extra", "metadata", "usage_metadata"}),
                                  Find(json, {"outputs", "usage_metadata"}), &json}) {
    if (usage == nullptr) continue;
    if (auto total = Decimal(*usage, {"total_cost"})) return total;
    const bool is_sum = usage == &json;
    const auto input = Decimal(*usage, {is_sum ? "prompt_cost" : "input_cost"});
    const auto output = Decimal(*usage, {is_sum ? "completion_cost" : "output_cost"});
    if (input || output) return input.value_or(0) + output.value_or(0);
  }
  return std::nullopt;
}

/// The first of LangSmith's names for a conversation.
std::string Thread(const boost::json::value& json) {
  for (const std::string_view key : {"thread_id", "session_id", "conversation_id"}) {
    if (std::string thread = Text(json, {"extra", "metadata", key}); !thread.empty()) return thread;
  }
  return {};
}

}  // namespace

std::optional<std::int64_t> RunView::DurationUs() const {
  if (!start_us || !end_us) return std::nullopt;
  return *end_us - *start_us;
}

absl::StatusOr<RunView> ReadRun(const boost::json::value& json) {
  RunView run;
  run.id = Text(json, {"id"});
  if (run.id.empty()) return absl::InvalidArgumentError("a run of the reply has no id");
  run.trace_id = Text(json, {"trace_id"});
  run.parent_id = Text(json, {"parent_run_id"});
  run.dotted_order = Text(json, {"dotted_order"});
  run.name = Text(json, {"name"});
  run.run_type = Text(json, {"run_type"});
  run.project = Text(json, {"session_name"});
  run.status = Text(json, {"status"});
  run.error = Text(json, {"error"});
  run.start_us = Time(json, "start_time");
  run.end_us = Time(json, "end_time");
  run.input_tokens = Tokens(json, "input_tokens", "prompt_tokens");
  run.output_tokens = Tokens(json, "output_tokens", "completion_tokens");
  run.cost = Cost(json);
  run.user = Text(json, {"extra", "metadata", "user_id"});
  run.workflow = Text(json, {"extra", "metadata", "workflow"});
  run.thread = Thread(json);
  run.model = Text(json, {"extra", "metadata", "ls_model_name"});
  run.service = Text(json, {"extra", "metadata", "service.name"});
  run.process_id = Text(json, {"extra", "metadata", "process.pid"});
  run.otel_kind = Text(json, {"extra", "metadata", "otel_kind"});
  run.rpc_system = Text(json, {"extra", "metadata", "rpc.system"});
  run.rpc_service = Text(json, {"extra", "metadata", "rpc.service"});
  run.rpc_method = Text(json, {"extra", "metadata", "rpc.method"});
  run.rpc_kind = Text(json, {"extra", "metadata", "rpc.grpc.kind"});
  run.server_api = Text(json, {"extra", "metadata", "weft.server_api"});
  run.lost_method = Text(json, {"extra", "metadata", "weft_context_lost", "method"});
  run.lost_source = Text(json, {"extra", "metadata", "weft_context_lost", "source"});
  return run;
}

}  // namespace weft::cli
