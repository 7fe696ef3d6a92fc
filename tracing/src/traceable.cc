// SPDX-License-Identifier: Apache-2.0
#include <weft/tracing/traceable.h>

#include <algorithm>
#include <utility>

namespace weft {
inline namespace v0 {
namespace internal {
namespace {

JsonObject NameArguments(const std::vector<std::string>& names, JsonArray arguments) {
  JsonObject inputs;
  const std::size_t named = std::min(names.size(), arguments.size());
  for (std::size_t i = 0; i < named; ++i) inputs[names[i]] = std::move(arguments[i]);
  arguments.erase(arguments.begin(), arguments.begin() + static_cast<std::ptrdiff_t>(named));
  if (!arguments.empty()) inputs["args"] = std::move(arguments);
  return inputs;
}

JsonObject Apply(const std::function<JsonObject(JsonObject)>& change, JsonObject object) noexcept {
  if (!change) return object;
  try {
    return change(std::move(object));
  } catch (const std::exception& error) {
    return Unshowable(&error);
  } catch (...) {
    return Unshowable(nullptr);
  }
}

}  // namespace

TraceableState::TraceableState(std::string name, TraceableOptions traceable_options,
                               SourceLocation location)
    : options(std::move(traceable_options)),
      kind(std::make_shared<const RunTemplate>(std::move(name), options.run_type)),
      where(location) {}

RunOptions TraceableState::OptionsFor(CallOptions* call) const {
  RunOptions run;
  run.tags = options.tags;
  if (!options.metadata.empty()) run.metadata = options.metadata;
  run.project = options.project;
  run.tracer = options.tracer;
  if (call == nullptr) return run;
  run.parent = call->parent;
  run.tags.insert(run.tags.end(), call->tags.begin(), call->tags.end());
  for (const auto& [key, value] : call->metadata) run.metadata.insert_or_assign(key, value);
  if (call->project) run.project = call->project;
  if (call->tracer) run.tracer = call->tracer;
  return run;
}

void TraceableState::SetInputs(Run& run, JsonArray arguments) const noexcept {
  if (arguments.empty() && !options.inputs) return;
  run.SetInputs(Apply(options.inputs, NameArguments(options.arguments, std::move(arguments))));
}

void TraceableState::SetMessage(Run& run, Json message) const noexcept {
  if (!message.is_object() || !options.arguments.empty()) {
    return SetInputs(run, JsonArray{std::move(message)});
  }
  run.SetInputs(Apply(options.inputs, std::move(message.get_object())));
}

void TraceableState::SetOutput(Run& run, Json output) const noexcept {
  run.SetOutputs(OutputsOf(std::move(output)));
}

JsonObject TraceableState::OutputsOf(Json output) const noexcept {
  JsonObject outputs = output.is_object() ? std::move(output.get_object())
                                          : JsonObject{{"output", std::move(output)}};
  return Apply(options.outputs, std::move(outputs));
}

JsonObject Unshowable(const std::exception* error) {
  return {{"weft_error", error != nullptr ? error->what() : "not convertible to JSON"}};
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
