// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <type_traits>
#include <utility>

#include <weft/context/bind.h>

namespace weft {
inline namespace v0 {

/// An executor or pool that runs every function in the context that was current when it was handed
/// over.
///
///     weft::ContextExecutor<Pool&> pool(own_pool);
///     pool.submit([] { Summarise(page); });  // as own_pool.submit(weft::Bind(...))
///
///     weft::ContextExecutor executor(boost::asio::make_strand(io_context));
///     boost::asio::post(executor, [] { Work(); });
///
/// Has those of `post`, `execute` and `submit` that `Executor` has, with what they return. It is an
/// executor of Boost.Asio if `Executor` is one. There, wrap a strand; a strand around this runs the
/// handlers of all in the context of one.
///
/// Ownership: holds `Executor`, or a reference to it when that is a reference type.
/// Threads: as `Executor`.
template <typename Executor>
class ContextExecutor {
 public:
  explicit ContextExecutor(Executor executor) noexcept(
      std::is_nothrow_constructible_v<Executor, Executor&&>)
      : executor_(std::forward<Executor>(executor)) {}

  template <typename Function>
  auto post(Function&& function) const  // NOLINT(readability-identifier-naming)
      requires requires(Executor& inner) {
    inner.post(Bind(std::forward<Function>(function)));
  }
  { return Inner().post(Bind(std::forward<Function>(function))); }
  template <typename Function>
  auto execute(Function&& function) const  // NOLINT(readability-identifier-naming)
      requires requires(Executor& inner) {
    inner.execute(Bind(std::forward<Function>(function)));
  }
  { return Inner().execute(Bind(std::forward<Function>(function))); }
  template <typename Function>
  auto submit(Function&& function) const  // NOLINT(readability-identifier-naming)
      requires requires(Executor& inner) {
    inner.submit(Bind(std::forward<Function>(function)));
  }
  { return Inner().submit(Bind(std::forward<Function>(function))); }

  /// Properties of Asio's executors.
  template <typename Property, typename E = Executor>
  auto query(const Property& property) const  // NOLINT(readability-identifier-naming)
      noexcept(noexcept(std::declval<const E&>().query(property))) requires
      requires(const E& inner) {
    inner.query(property);
  }
  { return executor_.query(property); }
  template <typename Property, typename E = Executor>
  auto require(const Property& property) const  // NOLINT(readability-identifier-naming)
      requires requires(const E& inner) {
    inner.require(property);
  }
  {
    return ContextExecutor<std::decay_t<decltype(std::declval<const E&>().require(property))>>(
        executor_.require(property));
  }

  Executor& executor() noexcept { return executor_; }

  friend bool operator==(const ContextExecutor& a, const ContextExecutor& b) noexcept {
    return a.executor_ == b.executor_;
  }
  friend bool operator!=(const ContextExecutor& a, const ContextExecutor& b) noexcept {
    return !(a == b);
  }

 private:
  // Handing a function over does not change which executor this is.
  Executor& Inner() const noexcept { return const_cast<Executor&>(executor_); }

  Executor executor_;
};

}  // namespace v0
}  // namespace weft
