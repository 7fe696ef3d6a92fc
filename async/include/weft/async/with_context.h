// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <weft/async/internal/reactor_mixins.h>

namespace weft {
inline namespace v0 {

/// A reactor of gRPC's callback interface whose reactions run in the context it was made in.
///
///     grpc::ServerBidiReactor<Question, Answer>* Converse(grpc::CallbackServerContext*) override {
///       return new weft::WithContext<Conversation>(model_);  // Conversation is your reactor
///     }
///
/// gRPC runs the reactions (`OnReadDone`, `OnDone` and the others) on threads of its own, which
/// have no context. The method that makes the reactor has one, from the interceptor; a client's
/// reactor gets that of the code that makes the call.
///
/// `Reactor` derives from one of gRPC's eight reactors, and its reactions are not private. The
/// constructor takes what the one of `Reactor` takes.
///
/// Lifetime: as `Reactor`; it may delete itself in `OnDone`. It keeps the context while it exists.
/// Errors: gRPC swallows an exception of a reaction and the call hangs. Here an exception of one of
///   a server finishes the call as FinishThrown does; hence none may leave a reaction after
///   `Finish` was called. OnCancel, OnDone and the reactions of clients are left as they are.
/// Cost: one scope with a copy of the context for each reaction.
template <typename Reactor>
class WithContext final : public internal::ReactorWithContext<Reactor>::Type {
  using internal::ReactorWithContext<Reactor>::Type::Type;
};

}  // namespace v0
}  // namespace weft
