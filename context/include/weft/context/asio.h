// SPDX-License-Identifier: Apache-2.0
/// Include this where functions of `Bind` are handlers of Boost.Asio.
///
///     #include <weft/context/asio.h>
///
///     boost::asio::post(weft::Bind(boost::asio::bind_executor(strand, [] { Work(); })));
///     socket.async_read_some(buffer, weft::Bind(handler));
///
/// Asio asks a handler for its executor, allocator and cancellation slot, and by itself asks no
/// further than a wrapper: without this header a bound handler runs outside its strand. Nothing
/// else of weft needs Asio.
#pragma once

#include <boost/asio/associator.hpp>

#include <weft/context/bind.h>

namespace boost::asio {

template <template <typename, typename> class Associator, typename Function, typename Default>
struct associator<Associator, weft::Bound<Function>, Default> : Associator<Function, Default> {
  static typename Associator<Function, Default>::type get(
      const weft::Bound<Function>& bound) noexcept {
    return Associator<Function, Default>::get(bound.function());
  }
  static auto get(const weft::Bound<Function>& bound, const Default& fallback) noexcept
      -> decltype(Associator<Function, Default>::get(bound.function(), fallback)) {
    return Associator<Function, Default>::get(bound.function(), fallback);
  }
};

}  // namespace boost::asio
