// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <memory>

#include <weft/interceptors/middleware.h>
#include <weft/interceptors/tracing_middleware.h>
#include <weft/tracing/run_record.h>
#include <weft/tracing/tracer.h>

#include "captured_call.h"
#include "header_exchange.h"
#include "message_runs.h"
#include "trust_policy.h"

namespace weft {
inline namespace v0 {
namespace internal {

inline constexpr std::size_t kServerApis = static_cast<std::size_t>(ServerApi::kFiber) + 1;

/// What is decided once for all calls of a method.
struct MethodTracing {
  /// `tracer` may be null.
  static std::shared_ptr<MethodTracing> Of(const MethodDescription& method,
                                           const std::shared_ptr<Tracer>& tracer,
                                           const TracingOptions& options);

  std::shared_ptr<const RunTemplate> kind;
  /// Of unary calls that ended well, by ServerApi: by far most do.
  std::array<std::shared_ptr<const RunTemplate>, kServerApis> good;
  bool client_run = true;
  bool only_headers = false;  // was asked for
  MessageReader reader;
  HeaderPolicy headers;  // of a client's requests
  TrustPolicy trust;     // in a server's callers
  std::shared_ptr<const MethodCapture> capture;
  std::shared_ptr<const MethodMessageRuns> message_runs;
};

/// Null: nothing reads the method's messages.
MessageReader ReaderOf(const MethodDescription& method, const TracingOptions& options) noexcept;

}  // namespace internal
}  // namespace v0
}  // namespace weft
