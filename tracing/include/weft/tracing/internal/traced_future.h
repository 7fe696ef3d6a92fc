// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <exception>
#include <future>
#include <thread>
#include <type_traits>
#include <utility>

#include <boost/fiber/fiber.hpp>
#include <boost/fiber/future/future.hpp>
#include <boost/fiber/future/promise.hpp>

#include <weft/tracing/run.h>

namespace weft {
inline namespace v0 {
namespace internal {

template <typename T>
inline constexpr bool kIsFuture = false;
template <typename T>
inline constexpr bool kIsFuture<std::future<T>> = true;
template <typename T>
inline constexpr bool kIsFuture<boost::fibers::future<T>> = true;

/// Passes on what `future` gives, value or exception, and ends the run with it.
template <typename Future, typename Promise, typename Record>
void PassOn(Future future, Promise& promise, Run run, const Record& record) noexcept {
  using Value = decltype(future.get());
  try {
    if constexpr (std::is_void_v<Value>) {
      future.get();
      run.End();
      promise.set_value();
    } else if constexpr (std::is_reference_v<Value>) {
      Value value = future.get();
      record(run, value);
      run.End();
      promise.set_value(value);
    } else {
      Value value = future.get();
      record(run, value);
      run.End();
      promise.set_value(std::move(value));
    }
  } catch (...) {
    run.SetError(std::current_exception());
    run.End();
    promise.set_exception(std::current_exception());
  }
}

/// A future that becomes ready with `future`, right after `run` has ended.
template <typename T, typename Record>
boost::fibers::future<T> Follow(boost::fibers::future<T> future, Run run, Record record) {
  boost::fibers::promise<T> promise;
  boost::fibers::future<T> followed = promise.get_future();
  boost::fibers::fiber([future = std::move(future), promise = std::move(promise),
                        run = std::move(run), record = std::move(record)]() mutable {
    PassOn(std::move(future), promise, std::move(run), record);
  }).detach();
  return followed;
}

/// The same. Nothing tells when a std::future is ready, so one that is not needs a thread to wait
/// in, as std::async has one; a deferred one stays deferred.
template <typename T, typename Record>
std::future<T> Follow(std::future<T> future, Run run, Record record) {
  if (!future.valid()) return future;
  std::promise<T> promise;
  std::future<T> followed = promise.get_future();
  const std::future_status status = future.wait_for(std::chrono::seconds(0));
  if (status == std::future_status::deferred) {
    return std::async(std::launch::deferred,
                      [future = std::move(future), run = std::move(run),
                       record = std::move(record)]() mutable -> T {
                        std::promise<T> inner;
                        std::future<T> result = inner.get_future();
                        PassOn(std::move(future), inner, std::move(run), record);
                        return result.get();
                      });
  }
  auto pass_on = [future = std::move(future), promise = std::move(promise), run = std::move(run),
                  record = std::move(record)]() mutable {
    PassOn(std::move(future), promise, std::move(run), record);
  };
  if (status == std::future_status::ready) {
    pass_on();
  } else {
    std::thread(std::move(pass_on)).detach();
  }
  return followed;
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
