// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include <absl/status/status.h>

#include <weft/context/context.h>
#include <weft/tracing/json.h>
#include <weft/tracing/run_context.h>
#include <weft/tracing/run_record.h>
#include <weft/tracing/source_location.h>
#include <weft/tracing/trace_headers.h>
#include <weft/tracing/tracer.h>

namespace weft {
inline namespace v0 {

class Run;
class RunRef;

namespace internal {
class LocalRun;
class RunNode;
class RunState;
class TracerRef;
struct RootDecision;
struct RunSubject;
struct Surroundings;

/// What became of a peer's word that a trace is to be kept.
enum class KeepSignal : std::uint8_t { kFollowed, kIgnored, kLimited };
/// Counts it; keeps the trace of `run` when it is followed. `tracer`: for a run of another process;
/// may be null.
void TakeKeepSignal(const RunRef& run, Tracer* tracer, KeepSignal signal) noexcept;
/// Whether peers are listened to about the trace of `run`.
bool HearsKeepSignals(const RunRef& run, const Tracer* tracer) noexcept;
}  // namespace internal

/// Asks for a new root whatever the current context is.
struct NoParent {};
inline constexpr NoParent kNoParent{};

/// Whose child a run is. Empty (default), or an empty RunContext: the current run's, else a root.
/// Received headers without a usable parent: a root that takes their baggage.
using Parent = std::variant<std::monostate, NoParent, RunContext, ParsedHeaders>;

struct RunOptions {
  RunType run_type = RunType::kChain;
  Parent parent{};
  JsonObject inputs{};
  std::vector<std::string> tags{};  ///< Of this run; they travel in its headers.
  JsonObject metadata{};            ///< Of this run and all below it, in other processes too.
  /// Of a root; a run with a parent joins the parent's project.
  std::optional<std::string> project{};
  /// When the run began; absent: now. For a run whose record is made after its work started.
  std::optional<std::chrono::system_clock::time_point> start{};
  std::shared_ptr<Tracer> tracer{};  ///< Null: the current run's, else GlobalTracer().
  /// Makes the run current from its construction to its end. Off for runs that end elsewhere.
  bool make_current = true;
};

/// Token counts and costs of a model call, in LangSmith's `usage_metadata` form.
struct Usage {
  std::optional<std::int64_t> input_tokens{};
  std::optional<std::int64_t> output_tokens{};
  std::optional<std::int64_t> total_tokens{};  ///< Absent: the sum.
  JsonObject input_token_details{};
  JsonObject output_token_details{};
  std::optional<double> input_cost{};
  std::optional<double> output_cost{};
  std::optional<double> total_cost{};
};

class RunRef;

/// A run in progress. Ends when destroyed.
///
///     weft::Run run("rerank", {.run_type = weft::RunType::kTool, .inputs = {{"k", 8}}});
///     run.SetOutputs({{"ids", ids}});
///
/// Lifetime: may be moved to another thread or fiber and ended there; with `make_current` (the
///   default) it is current only on the stack that made it, and must end there.
/// Threads: the setters and End may be called from several threads; moving and destroying may not.
/// Errors: none; with tracing off every method does nothing. Setters after the end are counted.
class [[nodiscard]] Run {
 public:
  Run() noexcept;
  /// `where` is said of a run without a parent, see TracerOptions::detect_context_loss.
  explicit Run(std::string_view name, SourceLocation where = SourceLocation::Current()) noexcept;
  Run(std::string_view name, RunOptions options,
      SourceLocation where = SourceLocation::Current()) noexcept;
  /// A run of a kind; name and type are the kind's, `options.run_type` is not looked at.
  Run(const std::shared_ptr<const RunTemplate>& kind, RunOptions&& options,
      SourceLocation where = SourceLocation::Unknown()) noexcept;
  /// The same with options that many runs share: they are copied only for a run that is recorded.
  Run(const std::shared_ptr<const RunTemplate>& kind, const RunOptions& options,
      SourceLocation where = SourceLocation::Unknown()) noexcept;
  Run(Run&& other) noexcept;
  Run& operator=(Run&& other) noexcept;
  /// Ends the run; as failed when an exception is leaving the block.
  ~Run();

  void SetName(std::string_view name) noexcept;
  void SetInputs(JsonObject inputs) noexcept;
  void SetOutputs(JsonObject outputs) noexcept;
  void AddTags(std::vector<std::string> tags) noexcept;
  /// Adds to this run only. What descendants are to have is said when the run starts
  /// (RunOptions::metadata) or by a TracingContext.
  void AddMetadata(JsonObject metadata) noexcept;
  /// The cheap way for instrumentation; see RunAttribute. The key must have static storage.
  void AddAttribute(std::string_view static_key, RunAttribute::Value value) noexcept;
  void AddEvent(std::string_view name, JsonObject kwargs = {}) noexcept;
  /// Of something that happened at `time`.
  void AddEvent(std::string_view name, std::chrono::system_clock::time_point time,
                JsonObject kwargs = {}) noexcept;
  /// Adds up when called again, the details too.
  void AddUsage(const Usage& usage) noexcept;
  /// Which model was asked, as LangSmith looks it up for costs: `openai`, `gpt-4o-mini`.
  void SetModel(std::string_view provider, std::string_view name) noexcept;
  /// A `.` in the name becomes `_`.
  void Attach(std::string_view name, std::string_view mime_type, std::string content) noexcept;
  /// What is to be rendered only when the run is sent; replaces the one from before.
  void SetPayload(std::shared_ptr<const RunPayload> payload) noexcept;

  /// Marks the run as failed. An OK status and a null pointer do nothing; the last one wins.
  void SetError(std::string_view text) noexcept;
  void SetError(const absl::Status& status) noexcept;
  void SetError(std::exception_ptr error) noexcept;
  void SetError(const char* text) noexcept { SetError(std::string_view(text)); }
  /// A grpc::Status.
  template <typename Status>
  requires requires(const Status& status) {
    status.error_code();
    status.error_message();
  }
  void SetError(const Status& status) noexcept {
    SetError(absl::Status(static_cast<absl::StatusCode>(status.error_code()),
                          std::string(status.error_message())));
  }

  /// Ends the run now, or at `time`. A second call does nothing.
  void End() noexcept;
  void End(std::chrono::system_clock::time_point time) noexcept;
  /// As one of the kind that it turned out to be: of its name, unless it has one of its own, and
  /// with the metadata that all such runs share.
  void End(std::chrono::system_clock::time_point time,
           std::shared_ptr<const RunTemplate> kind) noexcept;

  /// Keeps the trace, as an error does: what this process holds of it is sent, later runs are as
  /// they come, and the services around are told. For what is worth keeping without an error.
  void Keep() noexcept;
  /// Whether the trace is kept: by Keep, by an error, or because a neighbour said so.
  bool kept() const noexcept;

  /// Whether this run is sent: tracing is on, it is in the sample or its trace is kept, and it has
  /// not ended. Asked before something costly is said to it.
  explicit operator bool() const noexcept;
  /// Whether this run takes what is said to it: it is sent, or held back in case that its trace
  /// fails (TracerOptions::error_promotion), and it has not ended.
  bool recording() const noexcept;

  /// This run's identity. With tracing off, and below a run that is neither sent nor held back, if
  /// it hands down nothing of its own: that of the run above it, which may have come from
  /// another process, so that headers still pass through.
  RunContext context() const noexcept;
  /// Headers for a call that this run makes; empty ones for an empty run.
  TraceHeaders ToHeaders() const;
  /// What may outlive this handle.
  RunRef Ref() const noexcept;

 private:
  friend Context WithRun(const Context& base, const Run& run) noexcept;

  /// `options` may be null. `own`: the same, if they may be moved from, or null.
  void Begin(ContextView here, const internal::RunSubject& subject, const RunOptions* options,
             RunOptions* own, SourceLocation where) noexcept;
  void BeginInFull(ContextView here, internal::TracerRef tracer,
                   const internal::Surroundings& surroundings, const internal::RunSubject& subject,
                   RunOptions* options, std::optional<internal::RootDecision> decided,
                   SourceLocation where) noexcept;
  void Leave() noexcept;
  void Finish() noexcept;
  const std::shared_ptr<internal::RunNode>& node() const noexcept;

  // The run that this handle stands for; without `local_`, somebody else's or none. While the run
  // is current its context keeps it, and this is null.
  std::shared_ptr<internal::RunNode> node_;
  internal::LocalRun* local_ = nullptr;
  internal::RunState* state_ = nullptr;  // The same run; null: it is not recorded.
};

/// The run that the calling stack works for, whoever made it: the setters of Run that are safe on
/// a run that another function owns. They do nothing on a run of another process or an ended one.
///
/// Threads: any. A copy may outlive the run.
class RunRef {
 public:
  RunRef() noexcept;

  RunContext context() const noexcept;
  TraceHeaders ToHeaders() const;
  /// Whether there is a run, be it of another process.
  explicit operator bool() const noexcept;
  /// Whether it takes what is said to it; see Run::recording.
  bool recording() const noexcept;

  void SetOutputs(JsonObject outputs) const noexcept;
  void AddTags(std::vector<std::string> tags) const noexcept;
  void AddMetadata(JsonObject metadata) const noexcept;
  void AddEvent(std::string_view name, JsonObject kwargs = {}) const noexcept;
  void AddUsage(const Usage& usage) const noexcept;
  void SetModel(std::string_view provider, std::string_view name) const noexcept;
  void Keep() const noexcept;
  bool kept() const noexcept;

 private:
  friend class Run;
  friend RunRef RunOf(ContextView context) noexcept;
  friend void internal::TakeKeepSignal(const RunRef& run, Tracer* tracer,
                                       internal::KeepSignal signal) noexcept;
  friend bool internal::HearsKeepSignals(const RunRef& run, const Tracer* tracer) noexcept;
  explicit RunRef(std::shared_ptr<internal::RunNode> node) noexcept;

  std::shared_ptr<internal::RunNode> node_;
};

/// The current run, or an empty reference. Cost: one reference is counted.
RunRef CurrentRun() noexcept;
/// The same where `context` is current; it need not be.
RunRef RunOf(ContextView context) noexcept;

namespace internal {
/// Who that is, without counting a reference: valid as long as `context`. Null: there is no run.
const RunContext* FindRun(ContextView context) noexcept;
/// Whether a run that starts here with `tracer` (may be null) is recorded if its parent is in the
/// sample. False is certain.
bool MayTrace(const std::shared_ptr<Tracer>& tracer) noexcept;
/// The same below the current run. False is certain; of a root only its id decides.
bool MayRecord(const std::shared_ptr<Tracer>& tracer) noexcept;
/// Whether the trace of the current run might still be kept by what a call of it without a run
/// hears. `only_held`: by this process, of runs that it makes.
bool AwaitsKeepSignal(const std::shared_ptr<Tracer>& tracer, bool only_held) noexcept;
/// Whether `tracer` records anything, be it to hold it back.
bool RecordsAny(Tracer& tracer) noexcept;
}  // namespace internal

/// `base` with `run` as the current run: for work that somebody else starts, such as the handler of
/// a call.
///
///     weft::ContextScope scope(weft::WithRun(weft::Context::Current(), run));
Context WithRun(const Context& base, const Run& run) noexcept;

/// `base` with a received parent as the current run: with tracing off headers pass through. Runs
/// below are made with `tracer`, if it is given.
Context WithParent(const Context& base, ParsedHeaders parent,
                   std::shared_ptr<Tracer> tracer = nullptr) noexcept;

}  // namespace v0
}  // namespace weft
