// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <exception>
#include <type_traits>
#include <utility>

#include <grpcpp/support/client_callback.h>
#include <grpcpp/support/server_callback.h>

#include <weft/async/internal/thrown.h>
#include <weft/context/context.h>
#include <weft/context/context_scope.h>

namespace weft {
inline namespace v0 {
namespace internal {

template <bool kServer, bool kReads, bool kWrites>
struct ReactorKind {
  static constexpr bool kIsServer = kServer;
  static constexpr bool kHasReads = kReads;
  static constexpr bool kHasWrites = kWrites;
};

ReactorKind<true, false, false> KindOf(const grpc::ServerUnaryReactor*);
template <typename Q>
ReactorKind<true, true, false> KindOf(const grpc::ServerReadReactor<Q>*);
template <typename R>
ReactorKind<true, false, true> KindOf(const grpc::ServerWriteReactor<R>*);
template <typename Q, typename R>
ReactorKind<true, true, true> KindOf(const grpc::ServerBidiReactor<Q, R>*);
ReactorKind<false, false, false> KindOf(const grpc::ClientUnaryReactor*);
template <typename R>
ReactorKind<false, true, false> KindOf(const grpc::ClientReadReactor<R>*);
template <typename Q>
ReactorKind<false, false, true> KindOf(const grpc::ClientWriteReactor<Q>*);
template <typename Q, typename R>
ReactorKind<false, true, true> KindOf(const grpc::ClientBidiReactor<Q, R>*);

class CapturedContext {
 protected:
  const Context captured_context_ = Context::Current();
};

// The context is captured before the reactor is made, whose constructor may start operations.
template <typename Reactor>
class ReactorRoot : protected CapturedContext, public Reactor {
 public:
  template <typename... Args>
  explicit ReactorRoot(Args&&... args) : Reactor(std::forward<Args>(args)...) {}

 protected:
  // The scope has a copy of its own: the reaction may delete the reactor.
  template <typename Reaction>
  void React(Reaction reaction) {
    ContextScope scope(captured_context_);
    if constexpr (decltype(KindOf(static_cast<Reactor*>(nullptr)))::kIsServer) {
      std::exception_ptr thrown;
      try {
        reaction();
        return;
      } catch (...) {
        // Left before anything else is done: see below.
        thrown = std::current_exception();
      }
      FinishWith(std::move(thrown), [this](const grpc::Status& status) { this->Finish(status); });
    } else {
      reaction();
    }
  }
  // For reactions after which nothing can be finished.
  template <typename Reaction>
  void ReactLast(Reaction reaction) {
    ContextScope scope(captured_context_);
    reaction();
  }
};

template <typename Base>
class ServerReactions : public Base {
 public:
  using Base::Base;
  void OnSendInitialMetadataDone(bool ok) override {
    this->React([&] { Base::OnSendInitialMetadataDone(ok); });
  }
  void OnCancel() override {
    this->ReactLast([&] { Base::OnCancel(); });
  }
  void OnDone() override {
    this->ReactLast([&] { Base::OnDone(); });
  }
};

template <typename Base>
class ClientReactions : public Base {
 public:
  using Base::Base;
  void OnReadInitialMetadataDone(bool ok) override {
    this->React([&] { Base::OnReadInitialMetadataDone(ok); });
  }
  void OnDone(const grpc::Status& status) override {
    this->ReactLast([&] { Base::OnDone(status); });
  }
};

template <typename Base>
class ReadReactions : public Base {
 public:
  using Base::Base;
  void OnReadDone(bool ok) override {
    this->React([&] { Base::OnReadDone(ok); });
  }
};

template <typename Base>
class WriteReactions : public Base {
 public:
  using Base::Base;
  void OnWriteDone(bool ok) override {
    this->React([&] { Base::OnWriteDone(ok); });
  }
};

template <typename Base>
class WritesDoneReactions : public Base {
 public:
  using Base::Base;
  void OnWritesDoneDone(bool ok) override {
    this->React([&] { Base::OnWritesDoneDone(ok); });
  }
};

template <bool kWanted, template <typename> typename Mixin, typename Base>
using MixinIf = std::conditional_t<kWanted, Mixin<Base>, Base>;

template <typename Reactor>
struct ReactorWithContext {
  using Kind = decltype(KindOf(static_cast<Reactor*>(nullptr)));
  using Root = std::conditional_t<Kind::kIsServer, ServerReactions<ReactorRoot<Reactor>>,
                                  ClientReactions<ReactorRoot<Reactor>>>;
  using Reads = MixinIf<Kind::kHasReads, ReadReactions, Root>;
  using Writes = MixinIf<Kind::kHasWrites, WriteReactions, Reads>;
  using Type = MixinIf<Kind::kHasWrites && !Kind::kIsServer, WritesDoneReactions, Writes>;
};

}  // namespace internal
}  // namespace v0
}  // namespace weft
