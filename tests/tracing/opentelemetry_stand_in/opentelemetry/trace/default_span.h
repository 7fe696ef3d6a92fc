// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <utility>

#include <opentelemetry/trace/span_context.h>

namespace opentelemetry::trace {

class Span {
 public:
  virtual ~Span() = default;
  virtual SpanContext GetContext() const noexcept = 0;
};

class DefaultSpan final : public Span {
 public:
  DefaultSpan(SpanContext context) noexcept : context_(std::move(context)) {}
  SpanContext GetContext() const noexcept override { return context_; }

 private:
  SpanContext context_;
};

}  // namespace opentelemetry::trace
