// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include <absl/status/status.h>

#include <weft/tracing/json.h>
#include <weft/tracing/run_context.h>
#include <weft/tracing/run_record.h>
#include <weft/tracing/trace_headers.h>
#include <weft/tracing/tracer.h>

namespace weft {
inline namespace v0 {

/// Asks for a new root whatever the current context is.
struct NoParent {};
inline constexpr NoParent kNoParent{};

/// Whose child a run is. Empty (default): the current run's, else a root.
using Parent = std::variant<std::monostate, NoParent, RunContext, ParsedHeaders>;

struct RunOptions {
  RunType run_type = RunType::kChain;
  Parent parent;
  JsonObject inputs;
  std::vector<std::string> tags;
  JsonObject metadata;
  std::optional<std::string> project;
  /// When the run began; absent: now. For a run whose record is made after its work started.
  std::optional<std::chrono::system_clock::time_point> start;
  std::shared_ptr<Tracer> tracer;  ///< Null: the current run's, else GlobalTracer().
  /// Makes the run current from its construction to its end. Off for runs that end elsewhere.
  bool make_current = true;
};

/// Token counts and costs of a model call, in LangSmith's `usage_metadata` form.
struct Usage {
  std::optional<std::int64_t> input_tokens;
  std::optional<std::int64_t> output_tokens;
  std::optional<std::int64_t> total_tokens;  ///< Absent: the sum.
  JsonObject input_token_details;
  JsonObject output_token_details;
  std::optional<double> input_cost;
  std::optional<double> output_cost;
  std::optional<double> total_cost;
};

/// A run in progress. Ends when destroyed.
///
///     weft::Run run("rerank", {.run_type = weft::RunType::kTool, .inputs = {{"k", 8}}});
///     run.SetOutputs({{"ids", ids}});
///
/// Lifetime: may be moved to another thread or fiber and ended there; with `make_current` (the
///   default) it is current only on the stack that made it, and must end there.
/// Threads: one at a time.
/// Errors: none; with tracing off every method does nothing. Setters after the end are counted.
class [[nodiscard]] Run {
 public:
  Run() noexcept;
  explicit Run(std::string_view name, RunOptions options = {}) noexcept;
  Run(Run&&) noexcept;
  Run& operator=(Run&&) noexcept;
  ~Run();

  void SetName(std::string_view name) noexcept;
  void SetInputs(JsonObject inputs) noexcept;
  void SetOutputs(JsonObject outputs) noexcept;
  void AddTags(std::vector<std::string> tags) noexcept;
  void AddMetadata(JsonObject metadata) noexcept;
  void AddEvent(std::string_view name, JsonObject kwargs = {}) noexcept;
  void AddUsage(const Usage& usage) noexcept;
  void Attach(std::string_view name, std::string_view mime_type, std::string content) noexcept;

  /// Marks the run as failed. An OK status does nothing.
  void SetError(std::string_view text) noexcept;
  void SetError(const absl::Status& status) noexcept;
  void SetError(std::exception_ptr error) noexcept;

  /// Ends the run now, or at `time`. A second call does nothing.
  void End() noexcept;
  void End(std::chrono::system_clock::time_point time) noexcept;

  /// Whether this run is recorded: tracing is on, it is in the sample, and it has not ended.
  explicit operator bool() const noexcept;

  RunContext context() const noexcept;
  /// Headers for a call that this run makes; empty ones for an empty run.
  TraceHeaders ToHeaders() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// The run that the calling stack works for. `RunRef` gives the setters of Run that are safe on a
/// run that another function owns.
class RunRef {
 public:
  RunContext context() const noexcept;
  TraceHeaders ToHeaders() const;
  explicit operator bool() const noexcept;

 private:
  friend RunRef CurrentRun() noexcept;
  RunContext context_;
};

/// The current run, or an empty reference. Cost: see bench/context_benchmark.cc.
RunRef CurrentRun() noexcept;

}  // namespace v0
}  // namespace weft
