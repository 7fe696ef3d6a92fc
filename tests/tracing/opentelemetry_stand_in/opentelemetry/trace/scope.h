// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <utility>

#include <opentelemetry/context/runtime_context.h>
#include <opentelemetry/trace/default_span.h>

namespace opentelemetry::trace {

class Scope final {
 public:
  Scope(const std::shared_ptr<Span>& span) noexcept
      : outer_(std::exchange(context::RuntimeContext::GetCurrent().span, span)) {}
  ~Scope() { context::RuntimeContext::GetCurrent().span = std::move(outer_); }

 private:
  std::shared_ptr<Span> outer_;
};

}  // namespace opentelemetry::trace
