// SPDX-License-Identifier: Apache-2.0
#include <weft/async/context_of.h>
#include <weft/async/rejected.h>

#include <atomic>
#include <cstddef>
#include <new>
#include <utility>

#include <weft/async/internal/call_sentinel.h>

namespace weft {
inline namespace v0 {
namespace internal {
namespace {

constexpr char kSentinelName[] = "weft-call";

// Whether any call of the process has an entry. As long as none has, gRPC need not make a map of
// the metadata of a call to search in.
constinit std::atomic<bool> any_installed{false};

thread_local bool t_rejects = false;

grpc::string_ref SentinelKey() noexcept { return {kSentinelName, sizeof(kSentinelName) - 1}; }

}  // namespace

bool InstallCallContext(std::multimap<grpc::string_ref, grpc::string_ref>& received,
                        const Context* context) noexcept {
  if (!any_installed.load(std::memory_order_relaxed)) {
    any_installed.store(true, std::memory_order_relaxed);
  }
  const grpc::string_ref key = SentinelKey();
  auto place = received.lower_bound(key);
  while (place != received.end() && place->first == key) place = received.erase(place);
  try {
    // Of length zero, so that code which walks the metadata reads nothing through the pointer.
    received.emplace_hint(place, key, grpc::string_ref(reinterpret_cast<const char*>(context), 0));
    return true;
  } catch (const std::bad_alloc&) {
    return false;
  }
}

void RemoveCallContext(std::multimap<grpc::string_ref, grpc::string_ref>& received) noexcept {
  received.erase(SentinelKey());
}

const Context* FindCallContext(
    const std::multimap<grpc::string_ref, grpc::string_ref>& received) noexcept {
  auto [entry, end] = received.equal_range(SentinelKey());
  for (; entry != end; ++entry) {
    if (entry->first.data() == kSentinelName) {
      return reinterpret_cast<const Context*>(entry->second.data());
    }
  }
  return nullptr;
}

bool RemoveForwardedSentinel(std::multimap<std::string, std::string>& sent) noexcept {
  std::size_t removed = 0;
  for (const char* name : {kSentinelName, "weft-keep", "weft-hops", "weft-messages"}) {
    removed += sent.erase(name);
  }
  return removed != 0;
}

const Context* FindCallContext(const grpc::ServerContextBase& context) noexcept {
  return any_installed.load(std::memory_order_relaxed) ? FindCallContext(context.client_metadata())
                                                       : nullptr;
}

RejectingThread::RejectingThread() noexcept : outer_(std::exchange(t_rejects, true)) {}
RejectingThread::~RejectingThread() { t_rejects = outer_; }
bool ThisThreadRejects() noexcept { return t_rejects; }

}  // namespace internal

Context ContextOf(const grpc::ServerContextBase& context) noexcept {
  const Context* const found = internal::FindCallContext(context);
  return found != nullptr ? *found : Context();
}

const grpc::Status* Rejected(const grpc::ServerContextBase& context) noexcept {
  const Context* const found = internal::FindCallContext(context);
  return found != nullptr ? found->Find(internal::kRejectionKey) : nullptr;
}

}  // namespace v0
}  // namespace weft
