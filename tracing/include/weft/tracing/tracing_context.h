// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <string>
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

}  // namespace v0
}  // namespace weft
