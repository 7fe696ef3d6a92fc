// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <utility>

#include <boost/fiber/future/async.hpp>
#include <boost/fiber/policy.hpp>

#include <weft/context/bind.h>
#include <weft/context/spawn.h>

namespace weft {
inline namespace v0 {

/// Runs `function` in a fiber that inherits the current context, and returns a
/// `boost::fibers::future` of what it returns or throws. The parameters are those of
/// `boost::fibers::async`.
///
///     auto answer = weft::Async(Ask, retriever, question);
///     auto critique = weft::Async(Ask, critic, question);
///     return Merge(answer.get(), critique.get());
///
/// Lifetime: destroying the future does not wait for the fiber. The fiber lets go of the context
///   when `function` returns, before the future is ready.
template <internal::FiberFunction Function, typename... Args>
[[nodiscard]] auto Async(Function&& function, Args&&... args) {
  return boost::fibers::async(Bind(std::forward<Function>(function)), std::forward<Args>(args)...);
}

template <internal::FiberFunction Function, typename... Args>
[[nodiscard]] auto Async(boost::fibers::launch policy, Function&& function, Args&&... args) {
  return boost::fibers::async(policy, Bind(std::forward<Function>(function)),
                              std::forward<Args>(args)...);
}

template <typename StackAllocator, typename Function, typename... Args>
[[nodiscard]] auto Async(boost::fibers::launch policy, std::allocator_arg_t, StackAllocator&& stack,
                         Function&& function, Args&&... args) {
  return boost::fibers::async(policy, std::allocator_arg, std::forward<StackAllocator>(stack),
                              Bind(std::forward<Function>(function)), std::forward<Args>(args)...);
}

}  // namespace v0
}  // namespace weft
