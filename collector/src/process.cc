// SPDX-License-Identifier: Apache-2.0
#include <weft/collector/process.h>

#include <malloc.h>

#include <absl/synchronization/mutex.h>

namespace weft::collector {
namespace {

// The largest that the C library takes.
constexpr int kKeptBytes = 32 << 20;

}  // namespace

void PrepareProcess() {
  // Debian's build of Abseil looks for cycles of locks, which costs gRPC 2 % of a call.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  // Bodies would be mapped and given back one by one, and the kernel would clear each page anew.
  ::mallopt(M_MMAP_THRESHOLD, kKeptBytes);
  ::mallopt(M_TRIM_THRESHOLD, kKeptBytes);
}

}  // namespace weft::collector
