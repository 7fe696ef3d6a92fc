// SPDX-License-Identifier: Apache-2.0
#include <weft/tracing/tracing_context.h>

#include <algorithm>
#include <utility>

#include "run_state.h"
#include "start_run.h"

namespace weft {
inline namespace v0 {
namespace {

bool SaysNothing(const TracingContextOptions& options) noexcept {
  return !options.project && options.tags.empty() && options.metadata.empty() && !options.enabled &&
         !options.tracer;
}

internal::AmbientPtr Extend(const internal::AmbientPtr* outer, TracingContextOptions& options) {
  auto ambient = outer != nullptr ? std::make_shared<internal::Ambient>(**outer)
                                  : std::make_shared<internal::Ambient>();
  if (options.tracer) ambient->tracer = std::move(options.tracer);
  if (options.enabled) ambient->enabled = options.enabled;
  if (options.project) ambient->project = std::move(options.project);
  for (std::string& tag : options.tags) {
    if (std::find(ambient->tags.begin(), ambient->tags.end(), tag) == ambient->tags.end()) {
      ambient->tags.push_back(std::move(tag));
    }
  }
  for (auto& [key, value] : options.metadata) {
    ambient->metadata.insert_or_assign(key, std::move(value));
  }
  return ambient;
}

}  // namespace

Context WithTracing(const Context& base, TracingContextOptions options) noexcept {
  Context context = base;
  if (!std::holds_alternative<std::monostate>(options.parent)) {
    context = context.With(internal::kRunKey,
                           internal::ResolveParent(options.parent, base.Find(internal::kRunKey)));
  }
  if (SaysNothing(options)) return context;
  return context.With(internal::kAmbientKey, Extend(base.Find(internal::kAmbientKey), options));
}

TracingContext::TracingContext(TracingContextOptions options) noexcept
    : scope_(WithTracing(Context::Current(), std::move(options))) {}

}  // namespace v0
}  // namespace weft
