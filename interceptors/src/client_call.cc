// SPDX-License-Identifier: Apache-2.0
#include "client_call.h"

#include <atomic>
#include <cstddef>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include <grpc/grpc.h>

#include <weft/async/internal/call_sentinel.h>

#include "call_data.h"
#include "client_operations.h"
#include "message_content.h"
#include "private_member.h"
#include "rpc_kind.h"

namespace weft {
inline namespace v0 {
namespace internal {

struct SentMetadataTag {
  friend constexpr auto Get(SentMetadataTag);
};
template struct PrivateMember<&grpc::ClientContext::send_initial_metadata_, SentMetadataTag>;

namespace {

using Hook = grpc::experimental::InterceptionHookPoints;

using Batch = grpc::experimental::InterceptorBatchMethods;
using Type = grpc::experimental::ClientRpcInfo::Type;

/// What a client that is held keeps back. Shared with whoever resumes it: sending may end the call.
struct KeptBack {
  std::mutex mutex;
  std::vector<Batch*> batches;  // what the caller does meanwhile
  bool sent = false;
};

void Describe(CallData& data, const grpc::ClientContext& context) noexcept {
  data.start = data.method.chain->Now();
  data.deadline = ToDeadline(context.raw_deadline());
  data.context = Context::Current();
}

class ClientCall final : public grpc::experimental::Interceptor,
                         private ClientOperations,
                         public WithTrailingStates<ClientCall> {
 public:
  using WithTrailingStates<ClientCall>::operator new;
  using WithTrailingStates<ClientCall>::operator delete;

  ClientCall(MethodRef method, grpc::experimental::ClientRpcInfo& info)
      : data_(std::move(method), reinterpret_cast<std::byte*>(this) + StateOffset()),
        context_(info.client_context()),
        reads_(info.type() == Type::SERVER_STREAMING || info.type() == Type::BIDI_STREAMING) {
    Describe(data_, *context_);
    data_.generic = data_.WantsMessages() && data_.method.info->messages->are_bytes;
  }

  // A stub that was never really started had no hook and is no call. The rest of those without a
  // status were dropped: the stream's owner let go of it without Finish.
  ~ClientCall() override {
    if (!data_.Is(CallData::kStarted) || data_.Is(CallData::kEnded)) return;
    const bool cancelled = data_.Is(CallData::kCancelled);
    const grpc::Status status(grpc::StatusCode::CANCELLED,
                              "the call was dropped before its status arrived");
    data_.End({.status = status,
               .cancelled = cancelled,
               .abandoned = !cancelled,
               .end = data_.method.chain->Now()});
  }

  void Intercept(Batch* batch) override {
    if (batch->QueryInterceptionHookPoint(Hook::PRE_SEND_CANCEL)) {
      Cancel();
      return batch->Proceed();
    } else if (data_.Is(CallData::kHeld) && KeepsBack(*batch)) {
      return;
    } else if (batch->QueryInterceptionHookPoint(Hook::PRE_SEND_INITIAL_METADATA)) {
      return Begin(*batch);
    }
    PassOn(*batch);
  }

 private:
  void Begin(Batch& batch) noexcept {
    auto& metadata = *batch.GetSendInitialMetadata();
    if (!metadata.empty()) RemoveForwardedSentinel(metadata);
    data_.Start();
    Send(batch);
  }

  void Send(Batch& batch) noexcept {
    if (!Admits(batch)) return;
    // The caller may destroy the call as soon as nothing of it is under way any more.
    const std::shared_ptr<KeptBack> kept = kept_back_;
    if (kept == nullptr) return PassOn(batch);
    std::vector<Batch*> next = {&batch};
    while (!next.empty()) {
      for (Batch* const each : next) PassOn(*each);
      next.clear();
      const std::lock_guard lock(kept->mutex);
      next.swap(kept->batches);
      kept->sent = next.empty();
    }
  }

  // False: the call waits, and is sent later. Nothing may be touched then.
  bool Admits(Batch& batch) noexcept {
    auto& metadata = *batch.GetSendInitialMetadata();
    while (!data_.AdmitSending(metadata)) {
      if (Waits(batch)) return false;
    }
    data_.SendMetadata(metadata);
    // Nothing leaves of a call that is cancelled before its first batch.
    if (data_.rejection != nullptr) {
      const grpc::Status& status = data_.rejection->verdict.status;
      grpc_call_cancel_with_status(context_->c_call(),
                                   static_cast<grpc_status_code>(status.error_code()),
                                   status.error_message().c_str(), nullptr);
    }
    return true;
  }

  bool Waits(Batch& batch) noexcept {
    if (kept_back_ == nullptr) kept_back_ = std::make_shared<KeptBack>();
    const std::shared_ptr<Hold> hold = data_.hold;
    {
      const std::lock_guard lock(kept_back_->mutex);
      held_ = hold;
    }
    if ((data_.Set(CallData::kHeld) & CallData::kCancelled) != 0) hold->Cancel();
    return hold->Wait([this, &batch] { Send(batch); });
  }

  bool KeepsBack(Batch& batch) {
    const std::lock_guard lock(kept_back_->mutex);
    if (!kept_back_->sent) kept_back_->batches.push_back(&batch);
    return !kept_back_->sent;
  }

  // On the thread of whoever cancels; the call may begin or be held at the same time.
  void Cancel() noexcept {
    if ((data_.Set(CallData::kCancelled) & CallData::kHeld) == 0) return;
    // gRPC cancels the call only after all interceptors have heard of it: what was kept back would
    // be sent before.
    grpc_call_cancel(context_->c_call(), nullptr);
    const std::lock_guard lock(kept_back_->mutex);
    held_->Cancel();
  }

  void PassOn(Batch& batch) noexcept {
    if (batch.QueryInterceptionHookPoint(Hook::PRE_SEND_MESSAGE) && data_.rejection == nullptr) {
      data_.SendMessage(batch);
    }
    // Held ones go on on another thread, where queue and caller may go with the end of the batch.
    if (!data_.Is(CallData::kHeld) && Start(batch)) return;
    const bool has_read = Receive(batch);
    const bool has_status = batch.QueryInterceptionHookPoint(Hook::POST_RECV_STATUS);
    if (reads_) return PassOnInOrder(batch, has_read, has_status);
    if (has_status) ReceiveStatus(batch);
    batch.Proceed();
  }

  // What comes before a status; true if the batch has read a message, or tried to.
  bool Receive(Batch& batch) noexcept {
    if (batch.QueryInterceptionHookPoint(Hook::POST_RECV_INITIAL_METADATA)) {
      data_.ReceiveMetadata(MetadataView(batch, MetadataView::Part::kInitial));
    }
    if (!batch.QueryInterceptionHookPoint(Hook::POST_RECV_MESSAGE)) return false;
    if (void* const message = batch.GetRecvMessage()) data_.ReceiveMessage(message);
    return true;
  }

  void Ended(Batch& batch) noexcept override {
    Receive(batch);
    ReceiveStatus(batch);
  }

  // gRPC hands what it has read, and the status, to callbacks on several threads. The status waits
  // for the reads under way: it ends the call, to which their messages belong.
  void PassOnInOrder(Batch& batch, bool has_read, bool has_status) noexcept {
    if (!has_read && !has_status) {
      const bool reads = batch.GetRecvMessage() != nullptr;
      if (reads) AwaitRead();
      return batch.Proceed();
    }
    if (has_status) status_ = &batch;
    const int came = has_read + has_status;
    const bool last = awaited_.fetch_sub(came, std::memory_order_acq_rel) == came;
    Batch* const status = last ? std::exchange(status_, nullptr) : nullptr;
    if (!has_status) batch.Proceed();
    if (status == nullptr) return;
    ReceiveStatus(*status);
    status->Proceed();
  }

  // Not once the last of them has come: it has the status, and another one would take it, too.
  void AwaitRead() noexcept {
    int awaited = awaited_.load(std::memory_order_relaxed);
    while (awaited > 0 &&
           !awaited_.compare_exchange_weak(awaited, awaited + 1, std::memory_order_relaxed)) {
    }
  }

  void ReceiveStatus(Batch& batch) noexcept {
    if (data_.rejection != nullptr) AddTrailers(*batch.GetRecvTrailingMetadata());
    data_.ReceiveTrailers(MetadataView(batch, MetadataView::Part::kTrailing));
    grpc::Status& status = *batch.GetRecvStatus();
    data_.Status(status);
    data_.End({.status = status,
               .cancelled = data_.Is(CallData::kCancelled) ||
                            status.error_code() == grpc::StatusCode::CANCELLED,
               .deadline_exceeded = status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED,
               .end = data_.method.chain->Now()});
  }

  // The map is the client context's, which lives as long as the rejection.
  void AddTrailers(MetadataView::Map& received) const {
    for (const auto& [key, value] : data_.rejection->verdict.trailers) {
      if (MetadataProblem(key, value) == nullptr) received.emplace(key, value);
    }
  }

  CallData data_;
  grpc::ClientContext* const context_;
  const bool reads_;  // a stream of messages
  // The status, and the reads under way; below 1 once the last of them has come.
  std::atomic<int> awaited_ = 1;
  Batch* status_ = nullptr;  // while it waits for reads
  // Of a call that was held; set before kHeld is.
  std::shared_ptr<KeptBack> kept_back_;
  std::shared_ptr<Hold> held_;
};

// Writes what a hook would write, if nothing else is to be done: gRPC looks at the metadata of the
// context only after all interceptors are made. The map is that of the application's own
// AddMetadata calls, so that a header is replaced rather than sent twice.
bool SendsOnlyHeaders(MethodRef& method, grpc::ClientContext& context) noexcept {
  MetadataWriter::Map& metadata = context.*Get(SentMetadataTag());
  if (!NeedsOnlyHeaders(*method.info, metadata)) return false;
  if (!metadata.empty()) RemoveForwardedSentinel(metadata);
  CallData data(std::move(method), nullptr);
  Describe(data, context);
  data.SendOnlyHeaders(metadata);
  return true;
}

}  // namespace

grpc::experimental::Interceptor* ClientCallFactory::CreateClientInterceptor(
    grpc::experimental::ClientRpcInfo* info) {
  MethodRef method = chain_->Find(info->method(), KindOf(info->type()));
  if (method.info->links.empty()) return nullptr;
  if (SendsOnlyHeaders(method, *info->client_context())) return nullptr;
  const std::size_t state_bytes = method.info->state_bytes;
  return new (state_bytes) ClientCall(std::move(method), *info);
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
