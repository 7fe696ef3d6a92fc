// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <weft/context/context_scope.h>
#include <weft/tracing/internal/traced_future.h>
#include <weft/tracing/internal/traced_range.h>
#include <weft/tracing/run.h>
#include <weft/tracing/to_json.h>

namespace weft {
inline namespace v0 {

struct TraceableOptions {
  RunType run_type = RunType::kChain;
  /// Names of the arguments, in their order; inputs are `{"args": [...]}` without.
  std::vector<std::string> arguments{};
  std::vector<std::string> tags{};
  JsonObject metadata{};
  std::optional<std::string> project{};
  std::shared_ptr<Tracer> tracer{};
  /// Replace what would be recorded, for instance to leave out a secret or a large value.
  std::function<JsonObject(JsonObject)> inputs{};
  std::function<JsonObject(JsonObject)> outputs{};
};

/// What one call says besides the options of its Traceable.
struct CallOptions {
  Parent parent{};
  std::vector<std::string> tags{};
  JsonObject metadata{};
  std::optional<std::string> project{};
  std::shared_ptr<Tracer> tracer{};
};

namespace internal {

/// What the calls of one Traceable share.
struct TraceableState : std::enable_shared_from_this<TraceableState> {
  TraceableState(std::string name, TraceableOptions options, SourceLocation location);

  /// The run of a call; `call` may be null.
  Run Start(const CallOptions* call, bool make_current) const;
  void SetInputs(Run& run, JsonArray arguments) const noexcept;
  /// A single protobuf message: its fields are the inputs.
  void SetMessage(Run& run, Json message) const noexcept;
  void SetOutput(Run& run, Json output) const noexcept;
  JsonObject OutputsOf(Json output) const noexcept;

  std::vector<std::string> argument_names;
  std::function<JsonObject(JsonObject)> change_inputs;   ///< May be null.
  std::function<JsonObject(JsonObject)> change_outputs;  ///< May be null.
  std::shared_ptr<const RunTemplate> kind;
  RunOptions shared;     ///< By all calls.
  SourceLocation where;  ///< Of the Traceable.
};

/// Records what a call returned; the Status that a failed one carries is the run's error. Outputs
/// are made only for a run that is sent.
template <typename T>
void RecordResult(const TraceableState& state, Run& run, const T& result) noexcept {
  if constexpr (std::same_as<T, absl::Status>) {
    run.SetError(result);
  } else if constexpr (IsStatusOr<T>) {
    if (!result.ok()) return run.SetError(result.status());
    if (run) state.SetOutput(run, ToJsonOrSo(*result));
  } else if constexpr (IsGrpcStatus<T>) {
    if (static_cast<int>(result.error_code()) != 0) {
      run.SetError(absl::Status(static_cast<absl::StatusCode>(result.error_code()),
                                std::string(result.error_message())));
    }
  } else if (run) {
    state.SetOutput(run, ToJsonOrSo(result));
  }
}

template <typename... Args>
void RecordArguments(const TraceableState& state, Run& run, const Args&... args) noexcept {
  if constexpr (sizeof...(Args) == 1 && (IsMessage<std::decay_t<Args>> && ...)) {
    state.SetMessage(run, ToJsonOrSo(args...));
  } else {
    JsonArray array;
    (array.push_back(ToJsonOrSo(args)), ...);
    state.SetInputs(run, std::move(array));
  }
}

template <typename F, typename... Args>
void RecordInputs(const TraceableState& state, Run& run, const Args&... args) noexcept {
  if constexpr (std::is_member_pointer_v<F>) {
    // The object is no argument.
    [&](const auto&, const auto&... rest) { RecordArguments(state, run, rest...); }(args...);
  } else {
    RecordArguments(state, run, args...);
  }
}

template <typename F, typename... Args>
decltype(auto) CallTraced(const TraceableState& state, const CallOptions* call, F& function,
                          Args&&... args) {
  using Result = std::invoke_result_t<F&, Args...>;
  Run run = state.Start(call, !kIsFuture<std::decay_t<Result>> && !kIsGenerator<Result>);
  if (run.recording()) RecordInputs<std::remove_const_t<F>>(state, run, args...);
  try {
    if constexpr (kIsFuture<std::decay_t<Result>>) {
      // The work may go on when the call is back: the run moves with it.
      Result future = [&] {
        const ContextScope scope(WithRun(Context::Current(), run));
        return std::invoke(function, std::forward<Args>(args)...);
      }();
      if (!run.recording()) return future;
      return Follow(std::move(future), std::move(run),
                    [spec = state.shared_from_this()](Run& its, const auto& result) {
                      RecordResult(*spec, its, result);
                    });
    } else if constexpr (kIsGenerator<Result>) {
      Result range = [&] {
        const ContextScope scope(WithRun(Context::Current(), run));
        return std::invoke(function, std::forward<Args>(args)...);
      }();
      return TracedRange<Result>(std::move(range), std::move(run),
                                 [spec = state.shared_from_this()](const std::vector<Json>& all) {
                                   return spec->OutputsOf(JsonArray(all.begin(), all.end()));
                                 });
    } else if constexpr (std::is_void_v<Result>) {
      std::invoke(function, std::forward<Args>(args)...);
    } else {
      decltype(auto) result = std::invoke(function, std::forward<Args>(args)...);
      if (run.recording()) RecordResult(state, run, result);
      if constexpr (std::is_reference_v<Result>) {
        return static_cast<Result>(result);
      } else {
        return result;
      }
    }
  } catch (...) {
    run.SetError(std::current_exception());
    throw;
  }
}

/// One call with options of its own.
template <typename F>
struct TraceableCall {
  template <typename... Args>
  requires std::invocable<F&, Args...>
  decltype(auto) operator()(Args&&... args) {
    return CallTraced(*state, &call, *function, std::forward<Args>(args)...);
  }

  const TraceableState* state;
  CallOptions call;
  F* function;
};

}  // namespace internal

/// What Traceable() returns: calls `F`, and each call is a run.
///
/// Threads: as safe as `F`.
template <typename F>
class TraceableFunction {
 public:
  TraceableFunction(std::string name, TraceableOptions options, F function,
                    SourceLocation where = SourceLocation::Current())
      : state_(std::make_shared<const internal::TraceableState>(std::move(name), std::move(options),
                                                                where)),
        function_(std::move(function)) {}

  template <typename... Args>
  requires std::invocable<F&, Args...>
  decltype(auto) operator()(Args&&... args) {
    return internal::CallTraced(*state_, nullptr, function_, std::forward<Args>(args)...);
  }
  template <typename... Args>
  requires std::invocable<const F&, Args...>
  decltype(auto) operator()(Args&&... args) const {
    return internal::CallTraced(*state_, nullptr, function_, std::forward<Args>(args)...);
  }

  /// For one call: `plan.With({.parent = headers, .tags = {"retry"}})(question)`. The result refers
  /// to this object.
  auto With(CallOptions call) {
    return internal::TraceableCall<F>{state_.get(), std::move(call), &function_};
  }
  auto With(CallOptions call) const {
    return internal::TraceableCall<const F>{state_.get(), std::move(call), &function_};
  }

 private:
  std::shared_ptr<const internal::TraceableState> state_;
  F function_;
};

/// A callable like `function`, each call of which is a run: with its arguments as inputs, what it
/// returns as outputs, and as an error what it throws or a failed status that it returns.
///
///     auto plan = weft::Traceable("plan", {.run_type = weft::RunType::kLlm,
///                                          .arguments = {"question", "k"}},
///                                 [&](const Question& question, int k) { return Think(question,
///                                 k); });
///     Plan p = plan(question, 8);
///
/// `function` is anything that std::invoke takes; a move-only one makes the result move-only. With
/// a `std::future` or `boost::fibers::future` as the result the run lasts until that is ready, with
/// a generator (a range that can be read once only) until it is read: the result is then another
/// range of the same elements, which are the outputs.
/// Inputs and outputs are made by ToJson (to_json.h); a single protobuf message becomes its JSON.
///
/// Errors: exceptions of `function` pass through. Nothing that goes wrong in the tracing does.
/// Cost: bench/tracing_benchmark.cc. With tracing off nothing is converted.
template <typename F>
auto Traceable(std::string name, TraceableOptions options, F function,
               SourceLocation where = SourceLocation::Current()) {
  return TraceableFunction<F>(std::move(name), std::move(options), std::move(function), where);
}

template <typename F>
auto Traceable(std::string name, F function, SourceLocation where = SourceLocation::Current()) {
  return TraceableFunction<F>(std::move(name), TraceableOptions(), std::move(function), where);
}

}  // namespace v0
}  // namespace weft
