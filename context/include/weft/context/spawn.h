// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <memory>
#include <type_traits>
#include <utility>

#include <boost/fiber/fiber.hpp>
#include <boost/fiber/policy.hpp>

#include <weft/context/bind.h>

namespace weft {
inline namespace v0 {
namespace internal {

template <typename T>
concept FiberFunction = !std::same_as<std::remove_cvref_t<T>, boost::fibers::launch> &&
                        !std::same_as<std::remove_cvref_t<T>, std::allocator_arg_t>;

}  // namespace internal

/// Starts a fiber that inherits the current context. The parameters are those of the constructors
/// of `boost::fibers::fiber`.
///
///     boost::fibers::fiber child = weft::Spawn([] { Work(); });
///     child.join();
///
/// The child gets the context as it is now: what parent or child make current later stays their
/// own. A fiber that is made without Spawn begins with the root context.
///
/// Lifetime: the child lets go of the context when its function returns.
/// Errors: those of the fiber's constructor.
template <typename StackAllocator, typename Function, typename... Args>
[[nodiscard]] boost::fibers::fiber Spawn(boost::fibers::launch policy, std::allocator_arg_t,
                                         StackAllocator&& stack, Function&& function,
                                         Args&&... args) {
  return boost::fibers::fiber(policy, std::allocator_arg, std::forward<StackAllocator>(stack),
                              Bind(std::forward<Function>(function)), std::forward<Args>(args)...);
}

template <typename StackAllocator, typename Function, typename... Args>
[[nodiscard]] boost::fibers::fiber Spawn(std::allocator_arg_t, StackAllocator&& stack,
                                         Function&& function, Args&&... args) {
  return boost::fibers::fiber(std::allocator_arg, std::forward<StackAllocator>(stack),
                              Bind(std::forward<Function>(function)), std::forward<Args>(args)...);
}

template <internal::FiberFunction Function, typename... Args>
[[nodiscard]] boost::fibers::fiber Spawn(boost::fibers::launch policy, Function&& function,
                                         Args&&... args) {
  return boost::fibers::fiber(policy, Bind(std::forward<Function>(function)),
                              std::forward<Args>(args)...);
}

template <internal::FiberFunction Function, typename... Args>
[[nodiscard]] boost::fibers::fiber Spawn(Function&& function, Args&&... args) {
  return boost::fibers::fiber(Bind(std::forward<Function>(function)), std::forward<Args>(args)...);
}

}  // namespace v0
}  // namespace weft
