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

/// What one call says besides.
void Add(const CallOptions& call, RunOptions& options) {
  options.parent = call.parent;
  options.tags.insert(options.tags.end(), call.tags.begin(), call.tags.end());
  for (const auto& [key, value] : call.metadata) options.metadata.insert_or_assign(key, value);
  if (call.project) options.project = call.project;
  if (call.tracer) options.tracer = call.tracer;
}

}  // namespace

TraceableState::TraceableState(std::string name, TraceableOptions options, SourceLocation location)
    : argument_names(std::move(options.arguments)),
      change_inputs(std::move(options.inputs)),
      change_outputs(std::move(options.outputs)),
      kind(std::make_shared<const RunTemplate>(std::move(name), options.run_type)),
      shared{.tags = std::move(options.tags),
             .metadata = std::move(options.metadata),
             .project = std::move(options.project),
             .tracer = std::move(options.tracer)},
      where(location) {}

Run TraceableState::Start(const CallOptions* call, bool make_current) const {
  if (call == nullptr && make_current) return Run(kind, shared, where);
  RunOptions options = shared;
  options.make_current = make_current;
  if (call != nullptr) Add(*call, options);
  return Run(kind, std::move(options), where);
}

void TraceableState::SetInputs(Run& run, JsonArray arguments) const noexcept {
  if (arguments.empty() && !change_inputs) return;
  run.SetInputs(Apply(change_inputs, NameArguments(argument_names, std::move(arguments))));
}

void TraceableState::SetMessage(Run& run, Json message) const noexcept {
  if (!message.is_object() || !argument_names.empty()) {
    return SetInputs(run, JsonArray{std::move(message)});
  }
  run.SetInputs(Apply(change_inputs, std::move(message.get_object())));
}

void TraceableState::SetOutput(Run& run, Json output) const noexcept {
  run.SetOutputs(OutputsOf(std::move(output)));
}

JsonObject TraceableState::OutputsOf(Json output) const noexcept {
  JsonObject outputs = output.is_object() ? std::move(output.get_object())
                                          : JsonObject{{"output", std::move(output)}};
  return Apply(change_outputs, std::move(outputs));
}

JsonObject Unshowable(const std::exception* error) {
  return {{"weft_error", error != nullptr ? error->what() : "not convertible to JSON"}};
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
