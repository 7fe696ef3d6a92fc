// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <weft/context/context.h>
#include <weft/context/context_scope.h>
#include <weft/tracing/json.h>
#include <weft/tracing/run.h>
#include <weft/tracing/tracer.h>

namespace weft {
inline namespace v0 {

struct TracingContextOptions {
  Parent parent{};                       ///< Of runs below that name none themselves.
  std::optional<std::string> project{};  ///< Of roots below.
  std::vector<std::string> tags{};       ///< Of every run below, besides those of outer contexts.
  JsonObject metadata{};                 ///< The same; wins over outer contexts and runs.
  /// Members of the header `baggage` for your own use: any number of services further on read them
  /// with CurrentBaggage. They join those that are there; one of the same key is replaced. A key is
  /// a token (`tenant`, `example.com-region`) and does not begin with `langsmith-`; others are left
  /// out and counted, see DroppedBaggageMembers. A value is any text.
  ///
  /// Every service that is called sees them, and those of others too: nothing secret.
  std::vector<std::pair<std::string, std::string>> baggage{};
  /// Wins over what the tracer says. Runs go to its exporters: one that was made with tracing off
  /// has none.
  std::optional<bool> enabled{};
  std::shared_ptr<Tracer> tracer{};
};

/// Says something about every run that is made below it, until the end of a block.
///
///     weft::TracingContext in({.parent = weft::TraceHeaders{...}.Parse(), .tags = {"canary"}});
///
/// Lifetime: a local variable only; see ContextScope.
class [[nodiscard]] TracingContext final {
 public:
  explicit TracingContext(TracingContextOptions options) noexcept;

 private:
  ContextScope scope_;
};

/// The same as a context, for work that somebody else starts.
Context WithTracing(const Context& base, TracingContextOptions options) noexcept;

/// What a run would take over if it started now, as the options that say the same elsewhere.
/// `parent` is a RunContext or nothing. `project` is absent where an agent's address stands in its
/// place, and without a tracer.
///
///     const weft::TracingContextOptions now = weft::CurrentTracing();
///     if (now.project == "canary") ...
///
/// Cost: copies everything. CurrentRun and CurrentBaggage are cheaper.
TracingContextOptions CurrentTracing();

/// The value of the member `key` of `baggage`, from a TracingContext around this stack or from the
/// caller of the RPC that it handles. Also with tracing off.
///
///     const std::optional<std::string> tenant = weft::CurrentBaggage("tenant");
std::optional<std::string> CurrentBaggage(std::string_view key);

/// How many members TracingContextOptions::baggage had in this process that cannot be sent.
std::uint64_t DroppedBaggageMembers() noexcept;

}  // namespace v0
}  // namespace weft
