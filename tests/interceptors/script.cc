// SPDX-License-Identifier: Apache-2.0
#include "script.h"

#include <chrono>
#include <stdexcept>

#include <weft/tracing/run.h>

namespace weft::echo_test {

void Progress::HandlerWaits() {
  const std::lock_guard lock(mutex_);
  ++waiting_;
  changed_.notify_all();
}

bool Progress::WaitForHandler() {
  std::unique_lock lock(mutex_);
  if (!changed_.wait_for(lock, std::chrono::seconds(20), [this] { return waiting_ > 0; })) {
    return false;
  }
  --waiting_;
  return true;
}

grpc::Status RunScript(RpcKind kind, grpc::ServerContextBase& context, const Peer& peer,
                       Progress& progress) {
  ++progress.handled;
  const std::string behaviour = BehaviourOf(context);
  const bool reads = kind == RpcKind::kClientStream || kind == RpcKind::kBidiStream;
  const bool writes = kind == RpcKind::kServerStream || kind == RpcKind::kBidiStream;
  Run work("work");
  work.AddMetadata({{"id", MetadataOf(context, kCallId)}});
  if (progress.during_work) progress.during_work();
  ::echo::Message message;
  if (behaviour == kThrow) throw std::runtime_error("the handler broke");
  if (behaviour == kError) {
    return {grpc::StatusCode::FAILED_PRECONDITION, "not now"};
  }
  const std::string attempts = MetadataOf(context, "grpc-previous-rpc-attempts");
  if (behaviour == kFlaky && attempts != "2") {
    return {grpc::StatusCode::UNAVAILABLE, "try again"};
  }
  if (behaviour == kErrorAfterFirst) {
    if (reads) peer.read(&message);
    if (writes) peer.write(message);
    return {grpc::StatusCode::INTERNAL, "half way"};
  }
  if (behaviour == kBigTrailer) context.AddTrailingMetadata("big", std::string(kBigMetadata, 'x'));
  message.set_text(progress.reply_text);
  if (behaviour == kBigReply) message.set_text(std::string(kBigMessage, 'x'));
  if (peer.reply != nullptr && !message.text().empty()) *peer.reply = message;
  if (behaviour == kCancel) context.TryCancel();
  if (behaviour == kWait || behaviour == kForget || behaviour == kCancel) {
    progress.HandlerWaits();
    peer.wait_until_cancelled();
    return grpc::Status::OK;
  }
  if (kind == RpcKind::kServerStream) {
    for (int i = 0; i < 2; ++i) peer.write(message);
  }
  ::echo::Message request;
  while (reads && peer.read(&request)) {
    if (progress.on_message) progress.on_message();
    if (writes && !peer.write(behaviour == kBigReply ? message : request)) break;
  }
  return grpc::Status::OK;
}

std::string MetadataOf(const grpc::ServerContextBase& context, const std::string& key) {
  const auto found = context.client_metadata().find(key);
  if (found == context.client_metadata().end()) return {};
  return {found->second.data(), found->second.size()};
}

std::string BehaviourOf(const grpc::ServerContextBase& context) {
  return MetadataOf(context, kBehaviour);
}

std::string RunNameOf(RpcKind kind) {
  switch (kind) {
    case RpcKind::kUnary:
      return "echo.Echo/Unary";
    case RpcKind::kClientStream:
      return "echo.Echo/ClientStream";
    case RpcKind::kServerStream:
      return "echo.Echo/ServerStream";
    default:
      return "echo.Echo/Bidi";
  }
}

RpcKind KindOfMethod(const std::string& full_method) {
  for (const RpcKind kind :
       {RpcKind::kUnary, RpcKind::kClientStream, RpcKind::kServerStream, RpcKind::kBidiStream}) {
    if (full_method == "/" + RunNameOf(kind)) return kind;
  }
  return RpcKind::kUnary;
}

}  // namespace weft::echo_test
