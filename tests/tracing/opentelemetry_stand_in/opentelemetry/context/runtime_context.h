// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include <opentelemetry/trace/default_span.h>

namespace opentelemetry::context {

struct Context {
  std::shared_ptr<trace::Span> span;
};

class RuntimeContext {
 public:
  static Context& GetCurrent() noexcept {
    thread_local Context current;
    return current;
  }
};

}  // namespace opentelemetry::context
