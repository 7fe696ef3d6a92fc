// SPDX-License-Identifier: Apache-2.0
#include "context_loss.h"

#include <array>
#include <atomic>
#include <cstddef>
#include <map>
#include <mutex>
#include <string>
#include <variant>

#include <weft/context/bind.h>
#include <weft/tracing/internal/call_in_flight.h>

#include "tracer_impl.h"

namespace weft {
inline namespace v0 {
namespace internal {
namespace {

/// Nobody reads more names than that.
constexpr std::size_t kMostMethods = 5;

struct Calls {
  std::atomic<std::size_t> count{0};
  std::mutex mutex;
  std::map<std::string, std::size_t> by_method;
};

std::atomic<bool> detects{false};

// Never destroyed: calls may end while statics are.
Calls& TheCalls() noexcept {
  static Calls* const kCalls = new Calls;
  return *kCalls;
}

bool NamesNoParent(const RunOptions* options) noexcept {
  if (options == nullptr || std::holds_alternative<std::monostate>(options->parent)) return true;
  const auto* const context = std::get_if<RunContext>(&options->parent);
  return context != nullptr && !*context;
}

}  // namespace

bool DetectsContextLoss() noexcept { return detects.load(std::memory_order_relaxed); }

void DetectContextLoss() noexcept { detects.store(true, std::memory_order_relaxed); }

CallInFlight::CallInFlight(std::shared_ptr<const RunTemplate> kind) noexcept try {
  Calls& calls = TheCalls();
  {
    const std::lock_guard lock(calls.mutex);
    ++calls.by_method[kind->name];
  }
  calls.count.fetch_add(1, std::memory_order_relaxed);
  kind_ = std::move(kind);
} catch (...) {
}

CallInFlight::~CallInFlight() {
  if (kind_ == nullptr) return;
  Calls& calls = TheCalls();
  calls.count.fetch_sub(1, std::memory_order_relaxed);
  const std::lock_guard lock(calls.mutex);
  const auto method = calls.by_method.find(kind_->name);
  if (method != calls.by_method.end() && --method->second == 0) calls.by_method.erase(method);
}

std::string MethodsInFlight() {
  Calls& calls = TheCalls();
  if (calls.count.load(std::memory_order_relaxed) == 0) return {};
  const std::lock_guard lock(calls.mutex);
  std::string names;
  std::size_t named = 0;
  for (const auto& [name, count] : calls.by_method) {
    if (named++ == kMostMethods) return names + ", ...";
    names.append(names.empty() ? "" : ", ").append(name);
  }
  return names;
}

bool LacksContext(ContextView here, const Surroundings& surroundings,
                  const RunOptions* options) noexcept {
  return surroundings.run == nullptr && NamesNoParent(options) && !IsDetached(here);
}

void MarkContextLoss(Tracer& tracer, RunState* run, SourceLocation where) noexcept try {
  std::string methods = MethodsInFlight();
  if (methods.empty()) return;
  tracer.impl().context_lost.fetch_add(1, std::memory_order_relaxed);
  if (run == nullptr || !run->recording()) return;
  JsonObject mark = {{"method", methods}};
  if (where.line() != 0) {
    mark["source"] = std::string(where.file()) + ":" + std::to_string(where.line());
  }
  run->unshared_record().metadata["weft_context_lost"] = std::move(mark);
} catch (...) {
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
