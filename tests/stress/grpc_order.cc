// SPDX-License-Identifier: Apache-2.0
// Tells ThreadSanitizer what gRPC orders. Its libraries are not instrumented: what a thread does
// before it starts a batch looks unordered to what another one does once the batch has ended. In a
// program these functions come before those of the shared libraries, and go on to them. What they
// cannot see is in cmake/tsan_grpc.supp.
#include <dlfcn.h>
#include <grpc/grpc.h>
#include <sanitizer/tsan_interface.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <utility>

#include <link.h>

namespace {

template <typename F>
F* Next(const char* name) {
  return reinterpret_cast<F*>(dlsym(RTLD_NEXT, name));
}

// ---- the tags of callbacks are functors, which the core runs in the place of returning them

using Functor = grpc_completion_queue_functor;
using Run = void (*)(Functor*, int);

// Relaxed everywhere: what is here must not order anything.
constexpr std::size_t kMostRuns = 16;
std::array<std::atomic<Run>, kMostRuns> g_runs{};

template <std::size_t I>
void RunOrdered(Functor* functor, int ok) {
  __tsan_acquire(functor);
  g_runs[I].load(std::memory_order_relaxed)(functor, ok);
}

template <std::size_t... I>
constexpr std::array<Run, sizeof...(I)> OrderedRuns(std::index_sequence<I...>) {
  return {&RunOrdered<I>...};
}
constexpr auto kOrdered = OrderedRuns(std::make_index_sequence<kMostRuns>());

/// Whether it is in a segment of code.
bool IsCode(const void* address) {
  struct Search {
    std::uintptr_t address;
    bool found;
  } search{reinterpret_cast<std::uintptr_t>(address), false};
  dl_iterate_phdr(
      [](dl_phdr_info* object, std::size_t /*size*/, void* data) {
        auto& s = *static_cast<Search*>(data);
        for (int i = 0; i < object->dlpi_phnum; ++i) {
          const ElfW(Phdr)& segment = object->dlpi_phdr[i];
          const std::uintptr_t start = object->dlpi_addr + segment.p_vaddr;
          if (segment.p_type == PT_LOAD && (segment.p_flags & PF_X) != 0 && s.address >= start &&
              s.address < start + segment.p_memsz) {
            s.found = true;
          }
        }
        return 0;
      },
      &search);
  return search.found;
}

/// Has a functor order before it runs. The C++ library's other tags begin with a table of virtual
/// functions, which is no code.
void OrderFunctor(void* tag) {
  auto* const functor = static_cast<Functor*>(tag);
  const Run run = functor->functor_run;
  for (std::size_t i = 0; i < kMostRuns; ++i) {
    if (run == kOrdered[i]) return;
    Run known = g_runs[i].load(std::memory_order_relaxed);
    if (known == nullptr) {
      if (!IsCode(reinterpret_cast<const void*>(run))) return;
      if (g_runs[i].compare_exchange_strong(known, run, std::memory_order_relaxed)) known = run;
    }
    if (known == run) {
      functor->functor_run = kOrdered[i];
      return;
    }
  }
}

grpc_event Acquired(grpc_event event) {
  if (event.type == GRPC_OP_COMPLETE) __tsan_acquire(event.tag);
  return event;
}

}  // namespace

extern "C" {

grpc_call_error grpc_call_start_batch(grpc_call* call, const grpc_op* ops, std::size_t nops,
                                      void* tag, void* reserved) {
  static auto* const next = Next<decltype(grpc_call_start_batch)>("grpc_call_start_batch");
  OrderFunctor(tag);
  __tsan_release(tag);
  return next(call, ops, nops, tag, reserved);
}

grpc_call_error grpc_server_request_call(grpc_server* server, grpc_call** call,
                                         grpc_call_details* details, grpc_metadata_array* metadata,
                                         grpc_completion_queue* call_queue,
                                         grpc_completion_queue* queue, void* tag) {
  static auto* const next = Next<decltype(grpc_server_request_call)>("grpc_server_request_call");
  __tsan_release(tag);
  return next(server, call, details, metadata, call_queue, queue, tag);
}

grpc_call_error grpc_server_request_registered_call(grpc_server* server, void* method,
                                                    grpc_call** call, gpr_timespec* deadline,
                                                    grpc_metadata_array* metadata,
                                                    grpc_byte_buffer** payload,
                                                    grpc_completion_queue* call_queue,
                                                    grpc_completion_queue* queue, void* tag) {
  static auto* const next =
      Next<decltype(grpc_server_request_registered_call)>("grpc_server_request_registered_call");
  __tsan_release(tag);
  return next(server, method, call, deadline, metadata, payload, call_queue, queue, tag);
}

grpc_event grpc_completion_queue_next(grpc_completion_queue* queue, gpr_timespec deadline,
                                      void* reserved) {
  static auto* const next =
      Next<decltype(grpc_completion_queue_next)>("grpc_completion_queue_next");
  return Acquired(next(queue, deadline, reserved));
}

grpc_event grpc_completion_queue_pluck(grpc_completion_queue* queue, void* tag,
                                       gpr_timespec deadline, void* reserved) {
  static auto* const next =
      Next<decltype(grpc_completion_queue_pluck)>("grpc_completion_queue_pluck");
  return Acquired(next(queue, tag, deadline, reserved));
}

// absl::Mutex and absl::CondVar, with which gRPC orders nearly all else: by the names that Debian's
// Abseil has.
#define WEFT_MUTEX "_ZN4absl7debian35Mutex"
#define WEFT_CONDITION "_ZN4absl7debian37CondVar"

void MutexLock(void* mutex) __asm__(WEFT_MUTEX "4LockEv");
void MutexLock(void* mutex) {
  static auto* const next = Next<void(void*)>(WEFT_MUTEX "4LockEv");
  next(mutex);
  __tsan_acquire(mutex);
}

bool MutexTryLock(void* mutex) __asm__(WEFT_MUTEX "7TryLockEv");
bool MutexTryLock(void* mutex) {
  static auto* const next = Next<bool(void*)>(WEFT_MUTEX "7TryLockEv");
  const bool locked = next(mutex);
  if (locked) __tsan_acquire(mutex);
  return locked;
}

void MutexUnlock(void* mutex) __asm__(WEFT_MUTEX "6UnlockEv");
void MutexUnlock(void* mutex) {
  static auto* const next = Next<void(void*)>(WEFT_MUTEX "6UnlockEv");
  __tsan_release(mutex);
  next(mutex);
}

void ConditionWait(void* condition, void* mutex) __asm__(WEFT_CONDITION "4WaitEPNS0_5MutexE");
void ConditionWait(void* condition, void* mutex) {
  static auto* const next = Next<void(void*, void*)>(WEFT_CONDITION "4WaitEPNS0_5MutexE");
  __tsan_release(mutex);
  next(condition, mutex);
  __tsan_acquire(mutex);
}

struct Duration {  // absl::Duration's form
  std::int64_t high;
  std::uint32_t low;
};
bool ConditionWaitFor(void* condition, void* mutex,
                      Duration timeout) __asm__(WEFT_CONDITION
                                                "15WaitWithTimeoutEPNS0_5MutexENS0_8DurationE");
bool ConditionWaitFor(void* condition, void* mutex, Duration timeout) {
  static auto* const next = Next<bool(void*, void*, Duration)>(
      WEFT_CONDITION "15WaitWithTimeoutEPNS0_5MutexENS0_8DurationE");
  __tsan_release(mutex);
  const bool timed_out = next(condition, mutex, timeout);
  __tsan_acquire(mutex);
  return timed_out;
}

}  // extern "C"
