// SPDX-License-Identifier: Apache-2.0
#include <weft/interceptors/recovery.h>

#include <string_view>
#include <utility>

#include <weft/async/internal/thrown.h>

#include "registered_methods.h"
#include "stats.h"

namespace weft {
inline namespace v0 {
namespace {

bool Says(const grpc::Status& status, grpc::StatusCode code, std::string_view text) {
  return status.error_code() == code && status.error_message() == text;
}

class RecoveryMiddleware final : public Middleware {
 public:
  explicit RecoveryMiddleware(RecoveryOptions options) : options_(std::move(options)) {}

  std::string_view name() const noexcept override { return "recovery"; }
  HookSet hooks() const noexcept override { return HooksOf<RecoveryMiddleware>(); }
  CallStateType call_state() const noexcept override { return CallStateType::Of<State>(); }

  void OnMessage(Call& call, const MessageView& message) noexcept override {
    if (message.direction == MessageView::Direction::kReceived) {
      call.state<State>().received = true;
    }
  }

  void OnStatus(Call& call, grpc::Status& status) noexcept override {
    if (status.ok() || call.side() == CallSide::kClient || !Threw(call, status)) return;
    internal::CountHandlerException();
    status = Reply(call.exception());
    if (!options_.on_exception) return;
    try {
      options_.on_exception(call, call.exception());
    } catch (...) {
      internal::CountHookFailure();
    }
  }

 private:
  struct State {
    bool received = false;
  };

  bool Threw(const Call& call, const grpc::Status& status) const {
    if (call.exception() != nullptr) return true;
    if (call.api() == ServerApi::kSync) {
      return Says(status, grpc::StatusCode::UNKNOWN, internal::kThrownText);
    }
    return options_.null_reactors && call.api() == ServerApi::kCallback &&
           Says(status, grpc::StatusCode::UNIMPLEMENTED, "") && HadItsRequest(call) &&
           internal::IsRegistered(call.method());  // generic services say so of what they lack
  }

  // gRPC says the same about a request that it cannot read.
  static bool HadItsRequest(const Call& call) {
    return call.state<State>().received || call.kind() == RpcKind::kClientStream ||
           call.kind() == RpcKind::kBidiStream;
  }

  grpc::Status Reply(const std::exception_ptr& exception) const noexcept try {
    grpc::Status status = options_.reply ? options_.reply(exception) : grpc::Status();
    return status.ok() ? internal::ThrownStatus() : status;
  } catch (...) {
    internal::CountHookFailure();
    return internal::ThrownStatus();
  }

  const RecoveryOptions options_;
};

}  // namespace

std::shared_ptr<Middleware> Recovery(RecoveryOptions options) {
  return std::make_shared<RecoveryMiddleware>(std::move(options));
}

std::string ExceptionText(const std::exception_ptr& exception) {
  if (exception == nullptr) return "unknown";
  try {
    std::rethrow_exception(exception);
  } catch (const std::exception& error) {
    return error.what();
  } catch (...) {
    return "not a std::exception";
  }
}

}  // namespace v0
}  // namespace weft
