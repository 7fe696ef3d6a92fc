// SPDX-License-Identifier: Apache-2.0
#include "server_call.h"

#include <charconv>
#include <string>
#include <typeinfo>
#include <utility>

#include <grpc/grpc.h>
#include <grpcpp/generic/async_generic_service.h>

#include <weft/async/internal/call_sentinel.h>

#include "header_index.h"
#include "message_content.h"

namespace weft {
inline namespace v0 {
namespace internal {
namespace {

using Hook = grpc::experimental::InterceptionHookPoints;

int PreviousAttempts(const MetadataView& metadata) noexcept {
  int attempts = 0;
  if (const auto text = metadata.Get("grpc-previous-rpc-attempts")) {
    std::from_chars(text->data(), text->data() + text->size(), attempts);
  }
  return attempts;
}

bool IsGeneric(const grpc::ServerContextBase& context) noexcept {
  return typeid(context) == typeid(grpc::GenericServerContext) ||
         typeid(context) == typeid(grpc::GenericCallbackServerContext);
}

}  // namespace

ServerCall::~ServerCall() {
  if (!data_.Is(CallData::kStarted)) return;
  End();
}

void ServerCall::Begin(ReceivedMetadata& metadata, ServerApi api) noexcept {
  data_.api = api;
  data_.start = data_.method.chain->Now();
  data_.deadline = ToDeadline(context_->raw_deadline());
  const HeaderIndex index(metadata);
  const MetadataView received = index.View();
  data_.previous_attempts = PreviousAttempts(received);
  data_.server_context = context_;
  data_.Start();
  data_.Admit(received);
  data_.server_context = nullptr;
  if (data_.rejection != nullptr) Reject();
  InstallCallContext(metadata, &data_.context);
  data_.generic =
      data_.WantsMessages() && (data_.method.info->messages->are_bytes || IsGeneric(*context_));
}

void ServerCall::Received(void* message) noexcept {
  const bool rejected_before = data_.rejection != nullptr;
  data_.ReceiveMessage(message);
  if (rejected_before || data_.rejection == nullptr) return;
  const RpcKind kind = method().kind;
  if (kind == RpcKind::kUnary || kind == RpcKind::kServerStream) return Reject();
  // The handler runs, and its context is in use.
  CancelRejected();
}

// Whatever handles the call: its status and trailers are replaced (SendStatus). Where the handler
// cannot be kept from running, the peer at least need not wait for it.
void ServerCall::Reject() noexcept {
  data_.context = data_.context.With(kRejectionKey, data_.rejection->verdict.status);
  if (data_.method.info->guarded) return;
  if (data_.api != ServerApi::kCallback && ThisThreadRejects()) return;
  data_.method.chain->guards().WarnOf(method().service);
  CancelRejected();
}

void ServerCall::CancelRejected() noexcept {
  const grpc::Status& status = data_.rejection->verdict.status;
  grpc_call_cancel_with_status(context_->c_call(),
                               static_cast<grpc_status_code>(status.error_code()),
                               status.error_message().c_str(), nullptr);
}

void ServerCall::Send(Batch& batch) noexcept {
  if (batch.QueryInterceptionHookPoint(Hook::PRE_SEND_INITIAL_METADATA)) {
    data_.SendMetadata(*batch.GetSendInitialMetadata());
  }
  if (batch.QueryInterceptionHookPoint(Hook::PRE_SEND_MESSAGE)) {
    data_.SendMessage(batch);
  }
}

void ServerCall::SendStatus(Batch& batch) noexcept {
  status_ = batch.GetSendStatus();
  const grpc::StatusCode code = status_.error_code();
  const std::string message = status_.error_message();
  if (data_.rejection != nullptr) status_ = data_.rejection->verdict.status;
  data_.Status(status_);
  data_.SendTrailers(*batch.GetSendTrailingMetadata());
  if (status_.error_code() != code || status_.error_message() != message) {
    batch.ModifySendStatus(status_);
  }
  end_ = data_.method.chain->Now();
  if ((data_.Set(CallData::kStatusSent) & CallData::kPeerClosed) != 0) End();
}

void ServerCall::PeerClosed(bool cancelled) noexcept {
  if (!data_.Is(CallData::kStatusSent)) {
    data_.Set(CallData::kCancelled);
    closed_ = data_.method.chain->Now();
  } else if (cancelled) {
    data_.Set(CallData::kCancelled);
  }
  if ((data_.Set(CallData::kPeerClosed) & CallData::kStatusSent) != 0) End();
}

// Who ends it after the verdict, and how, says nothing more about the call.
void ServerCall::EndRejected() noexcept {
  if (!data_.Is(CallData::kStatusSent)) status_ = data_.rejection->verdict.status;
  data_.End({.status = status_, .api = data_.api, .end = end_});
}

void ServerCall::End() noexcept {
  if (data_.Is(CallData::kEnded)) return;
  const bool abandoned = !data_.Is(CallData::kStatusSent);
  if (abandoned) {
    end_ = data_.method.chain->Now();
    status_ =
        grpc::Status(grpc::StatusCode::CANCELLED, "the handler dropped the call without a status");
  }
  if (data_.rejection != nullptr) return EndRejected();
  const auto known = data_.Is(CallData::kCancelled) && closed_ ? *closed_ : end_;
  const bool expired = data_.deadline_passed(known);
  const bool cancelled = expired || data_.Is(CallData::kCancelled);
  if (cancelled && !abandoned && status_.ok()) {
    status_ = expired ? grpc::Status(grpc::StatusCode::DEADLINE_EXCEEDED,
                                     "the deadline passed before the reply")
                      : grpc::Status(grpc::StatusCode::CANCELLED,
                                     "the caller went away before the reply");
  }
  data_.End({.status = status_,
             .api = data_.api,
             .cancelled = cancelled,
             .deadline_exceeded = expired,
             .abandoned = abandoned,
             .end = end_});
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
