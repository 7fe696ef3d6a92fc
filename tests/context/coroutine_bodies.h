// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <stdexcept>
#include <thread>
#include <vector>

#include <weft/context/context_scope.h>

#include "coroutine_task.h"
#include "counted_id.h"

namespace weft {
inline namespace v0 {
namespace testing {

// Runs `function` on another thread, where `id` is current; returns what is current there later.
inline std::uint64_t OnThread(std::uint64_t id, const std::function<void()>& function) {
  std::uint64_t afterwards = 99;
  std::jthread([&] {
    ContextScope own(Make(id));
    function();
    afterwards = CurrentId();
  }).join();
  return afterwards;
}

inline Task See(std::uint64_t* seen) {
  *seen = CurrentId();
  co_return 0;
}

inline Task HopInScope(ReadyQueue& queue, std::vector<std::uint64_t>& seen) {
  {
    ContextScope scope(Make(7));
    seen.push_back(CurrentId());
    co_await queue.Hop();
    seen.push_back(CurrentId());
    {
      ContextScope inner(Derive(Context::Current(), 8));
      co_await queue.Hop();
      seen.push_back(CurrentId());
    }
    seen.push_back(CurrentId());
  }
  seen.push_back(CurrentId());
  co_return 0;
}

inline Task Return(int value) { co_return value; }
inline Task Throw(ReadyQueue* queue) {
  ContextScope scope(Derive(Context::Current(), 9));
  if (queue != nullptr) co_await queue->Hop();
  throw std::runtime_error("lost");
}

}  // namespace testing
}  // namespace v0
}  // namespace weft
