// SPDX-License-Identifier: Apache-2.0
#include "queue_call.h"

#include <cstddef>
#include <cstdlib>
#include <string>
#include <typeinfo>
#include <utility>
#include <vector>

#include <grpcpp/completion_queue.h>
#include <grpcpp/impl/call.h>
#include <grpcpp/impl/call_op_set.h>

#include <weft/async/internal/call_sentinel.h>

#include "private_member.h"
#include "server_call.h"
#include "server_operations.h"

namespace weft {
inline namespace v0 {
namespace internal {

struct ServiceServerTag {
  friend constexpr auto Get(ServiceServerTag);
};
struct CServerTag {
  friend constexpr auto Get(CServerTag);
};
struct MessageSizeTag {
  friend constexpr auto Get(MessageSizeTag);
};
struct CreatorsTag {
  friend constexpr auto Get(CreatorsTag);
};
struct NotifiesTag {
  friend constexpr auto Get(NotifiesTag);
};
template struct PrivateMember<&grpc::Service::server_, ServiceServerTag>;
template struct PrivateMember<&grpc::ServerInterface::server, CServerTag>;
template struct PrivateMember<&grpc::ServerInterface::max_receive_message_size, MessageSizeTag>;
template struct PrivateMember<&grpc::ServerInterface::interceptor_creators, CreatorsTag>;
template struct PrivateMember<&grpc::ServerContextBase::has_notify_when_done_tag_, NotifiesTag>;

namespace {

using grpc::internal::CallOpSetInterface;

/// What responders of unary calls send a status with.
using Reply = grpc::internal::CallOpSet<grpc::internal::CallOpSendInitialMetadata,
                                        grpc::internal::CallOpSendMessage,
                                        grpc::internal::CallOpServerSendStatus>;

/// A unary call. It is the tag of its reply's batch, to hear how that went.
class QueueCall final : public grpc::internal::CompletionQueueTag,
                        public WithTrailingStates<QueueCall> {
 public:
  using WithTrailingStates<QueueCall>::operator new;
  using WithTrailingStates<QueueCall>::operator delete;

  QueueCall(MethodRef method, grpc::ServerContextBase* context) noexcept
      : call_(std::move(method), reinterpret_cast<std::byte*>(this) + StateOffset(), context) {}

  ~QueueCall() override {
    // Dropped without a status: gRPC will tell the peer.
    if (begun_ && !call_.Is(CallData::kStatusSent)) call_.SetCancelled();
  }

  /// `operations` are about to start.
  void Watch(CallOpSetInterface& operations) noexcept {
    // The first are gRPC's own, once the call is there and before the application hears of it.
    if (!std::exchange(begun_, true)) return Begin();
    if (typeid(operations) != typeid(Reply)) return Send(call_, operations);
    if (call_.server_context()->IsCancelled()) call_.PeerClosed(/*cancelled=*/true);
    Send(call_, operations);
    reply_ = static_cast<Reply*>(&operations);
    reply_->set_core_cq_tag(static_cast<grpc::internal::CompletionQueueTag*>(this));
  }

 private:
  void Begin() noexcept {
    grpc::ServerContextBase& context = *call_.server_context();
    call_.Begin(MetadataOf(context), ServerApi::kCompletionQueue);
    call_.Received(nullptr);
    // gRPC has looked at it by now. It lets IsCancelled be asked at any time.
    context.*Get(NotifiesTag()) = true;
  }

  bool FinalizeResult(void** tag, bool* status) override {
    if (!*status) call_.SetCancelled();
    call_.End();
    return reply_->FinalizeResult(tag, status);
  }

  ServerCall call_;
  bool begun_ = false;
  Reply* reply_ = nullptr;
};

/// Lies in the function of CompletionOf, which is never copied.
class KeptCall {
 public:
  explicit KeptCall(std::unique_ptr<QueueCall> call) noexcept : call_(std::move(call)) {}
  KeptCall(KeptCall&&) noexcept = default;
  KeptCall(const KeptCall& /*other*/) { std::abort(); }
  void operator()(bool /*ok*/) const noexcept {}
  QueueCall& call() const noexcept { return *call_; }

 private:
  std::unique_ptr<QueueCall> call_;
};

/// Passes everything on to gRPC's server.
class WatchingServer final : public grpc::ServerInterface {
 public:
  explicit WatchingServer(grpc::ServerInterface& server) noexcept : server_(server) {}

 private:
  using Creators =
      std::vector<std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>>;

  void PerformOpsOnCall(CallOpSetInterface* operations, grpc::internal::Call* call) override {
    if (auto* const info = call->server_rpc_info()) {
      auto& kept = FunctionOf(CompletionOf(*info->server_context()));
      if (const auto* const watched = kept.target<KeptCall>()) watched->call().Watch(*operations);
    }
    static_cast<grpc::internal::CallHook&>(server_).PerformOpsOnCall(operations, call);
  }
  grpc_server* server() override { return (server_.*Get(CServerTag()))(); }
  int max_receive_message_size() const override { return (server_.*Get(MessageSizeTag()))(); }
  Creators* interceptor_creators() override { return (server_.*Get(CreatorsTag()))(); }

  // Of no use to services.
  void Wait() override { server_.Wait(); }
  bool RegisterService(const std::string* /*host*/, grpc::Service* /*service*/) override {
    return false;
  }
  void RegisterAsyncGenericService(grpc::AsyncGenericService* /*service*/) override {}
  int AddListeningPort(const std::string& /*address*/,
                       grpc::ServerCredentials* /*creds*/) override {
    return 0;
  }
  void Start(grpc::ServerCompletionQueue** /*queues*/, std::size_t /*count*/) override {}
  void ShutdownInternal(gpr_timespec deadline) override { server_.Shutdown(deadline); }

  grpc::ServerInterface& server_;
};

}  // namespace

std::unique_ptr<grpc::ServerInterface> WatchQueueService(grpc::Service& service) {
  grpc::ServerInterface*& server = service.*Get(ServiceServerTag());
  if (server == nullptr) return nullptr;
  auto watching = std::make_unique<WatchingServer>(*server);
  server = watching.get();
  return watching;
}

bool CanWatchQueueCall(const MethodInfo& method) noexcept {
  return method.description.kind == RpcKind::kUnary && method.messages == nullptr;
}

void WatchQueueCall(MethodRef method, grpc::ServerContextBase& context) noexcept {
  const std::size_t state_bytes = method.info->state_bytes;
  FunctionOf(CompletionOf(context)) = KeptCall(
      std::unique_ptr<QueueCall>(new (state_bytes) QueueCall(std::move(method), &context)));
}

void ReceiveForQueue(MethodRef method, grpc::ServerContextBase& context) noexcept {
  const auto kept = std::make_shared<const Context>(ReceivedContext(std::move(method), context));
  InstallCallContext(MetadataOf(context), kept.get());
  FunctionOf(CompletionOf(context)) = [kept](bool) {};
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
