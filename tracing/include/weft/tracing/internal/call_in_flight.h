// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <utility>

#include <weft/tracing/run_record.h>

namespace weft {
inline namespace v0 {
namespace internal {

/// Whether a tracer of this process wants to know which calls are in flight. Cost: a load.
bool DetectsContextLoss() noexcept;
/// There is such a tracer from now on.
void DetectContextLoss() noexcept;

/// Tells, as long as it lives, that a server of this process handles a call: a run that starts
/// without a context meanwhile may have lost it (TracerOptions::detect_context_loss).
///
/// Threads: any.
class CallInFlight {
 public:
  CallInFlight() noexcept = default;
  /// `kind` has the method's name. Without memory nothing is told.
  explicit CallInFlight(std::shared_ptr<const RunTemplate> kind) noexcept;
  CallInFlight(CallInFlight&& other) noexcept = default;
  CallInFlight& operator=(CallInFlight&& other) noexcept {
    std::swap(kind_, other.kind_);
    CallInFlight ended(std::move(other));
    return *this;
  }
  ~CallInFlight();

 private:
  std::shared_ptr<const RunTemplate> kind_;
};

/// The methods that this process handles now, joined by `, `; empty: none.
std::string MethodsInFlight();

}  // namespace internal
}  // namespace v0
}  // namespace weft
