// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include <opentelemetry/context/runtime_context.h>
#include <opentelemetry/trace/default_span.h>

namespace opentelemetry::trace {

inline std::shared_ptr<Span> GetSpan(const context::Context& context) noexcept {
  if (context.span) return context.span;
  return std::make_shared<DefaultSpan>(SpanContext({}, {}, TraceFlags(), false));
}

}  // namespace opentelemetry::trace
