// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <utility>

#include <absl/functional/function_ref.h>

#include <weft/interceptors/middleware.h>
#include <weft/tracing/run.h>

#include "token_buckets.h"

namespace weft {
inline namespace v0 {
namespace internal {

/// Takes what peers say with `weft-keep`, as far as it is believed.
///
/// Threads: any.
class KeepSignals {
 public:
  explicit KeepSignals(double per_second);

  /// Looks whether a peer wants a trace kept. `run` and `peer` are asked for it, and for the peer's
  /// name, if it does; `tracer` is for runs of other processes and may be null.
  void Receive(const MetadataView& metadata, bool trusted, Tracer* tracer,
               absl::FunctionRef<RunRef()> run, absl::FunctionRef<std::string()> peer) noexcept;

 private:
  const double per_second_;
  const Rate rate_;
  Buckets buckets_;
};

}  // namespace internal
}  // namespace v0
}  // namespace weft
