// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <exception>
#include <utility>

#include <weft/async/internal/thrown.h>

namespace weft {
inline namespace v0 {

/// Ends a call whose handling threw, from the `catch` block: its peer is told INTERNAL and a text
/// that discloses nothing, its run and the middlewares know the exception.
///
///     try {
///       Answer();
///     } catch (...) {
///       weft::FinishThrown([&](const grpc::Status& status) {
///         writer_.FinishWithError(status, this);
///       });
///     }
///
/// For loops over completion queues, and reactors that other threads finish. FiberServer and
/// WithContext do so themselves; docs/middleware.md says under Recovery what else is caught where.
///
/// `finish` hands the status to gRPC before it returns.
template <typename Finish>
void FinishThrown(Finish&& finish) {
  internal::FinishWith(std::current_exception(), std::forward<Finish>(finish));
}

}  // namespace v0
}  // namespace weft
