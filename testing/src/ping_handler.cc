// SPDX-License-Identifier: Apache-2.0
#include "ping_handler.h"

#include <chrono>
#include <stdexcept>

#include <weft/tracing/run.h>

namespace weft {
inline namespace v0 {
namespace testing {

void PingProgress::HandlerWaits() {
  const std::lock_guard lock(mutex_);
  ++waiting_;
  changed_.notify_all();
}

bool PingProgress::WaitForHandler() {
  std::unique_lock lock(mutex_);
  if (!changed_.wait_for(lock, std::chrono::seconds(20), [this] { return waiting_ > 0; })) {
    return false;
  }
  --waiting_;
  return true;
}

namespace internal {
namespace {

std::string MetadataOf(const grpc::ServerContextBase& context, const std::string& key) {
  const auto found = context.client_metadata().find(key);
  if (found == context.client_metadata().end()) return {};
  return {found->second.data(), found->second.size()};
}

bool Reads(RpcKind kind) { return kind == RpcKind::kClientStream || kind == RpcKind::kBidiStream; }
bool Writes(RpcKind kind) { return kind == RpcKind::kServerStream || kind == RpcKind::kBidiStream; }

grpc::Status EndHalfWay(RpcKind kind, const Peer& peer) {
  std::string message;
  if (Reads(kind)) peer.read(&message);
  if (Writes(kind)) peer.write(message);
  return {grpc::StatusCode::INTERNAL, "half way"};
}

grpc::Status Answer(RpcKind kind, const Peer& peer, const std::string& text, bool echoes,
                    const PingProgress& progress) {
  if (!text.empty() && peer.set_reply) peer.set_reply(text);
  if (kind == RpcKind::kServerStream) {
    for (int i = 0; i < 2; ++i) peer.write(text);
  }
  std::string request;
  while (Reads(kind) && peer.read(&request)) {
    if (progress.on_message) progress.on_message();
    if (Writes(kind) && !peer.write(echoes ? request : text)) break;
  }
  return grpc::Status::OK;
}

}  // namespace

std::string BehaviourOf(const grpc::ServerContextBase& context) {
  return MetadataOf(context, behaviour::kKey);
}

RpcKind KindOfMethod(const std::string& full_method) {
  const std::string method = full_method.substr(full_method.rfind('/') + 1);
  if (method == "ClientStream") return RpcKind::kClientStream;
  if (method == "ServerStream") return RpcKind::kServerStream;
  if (method == "Bidi") return RpcKind::kBidiStream;
  return RpcKind::kUnary;
}

grpc::Status HandlePing(RpcKind kind, grpc::ServerContextBase& context, const Peer& peer,
                        PingProgress& progress) {
  ++progress.handled;
  const std::string asked = BehaviourOf(context);
  Run work("work");
  work.AddMetadata({{"id", MetadataOf(context, behaviour::kCallId)}});
  if (progress.during_work) progress.during_work();
  if (asked == behaviour::kThrow) throw std::runtime_error("the handler broke");
  if (asked == behaviour::kError) return {grpc::StatusCode::FAILED_PRECONDITION, "not now"};
  if (asked == behaviour::kFlaky && MetadataOf(context, "grpc-previous-rpc-attempts") != "2") {
    return {grpc::StatusCode::UNAVAILABLE, "try again"};
  }
  if (asked == behaviour::kErrorAfterFirst) return EndHalfWay(kind, peer);
  if (asked == behaviour::kCancel) context.TryCancel();
  if (asked == behaviour::kWait || asked == behaviour::kForget || asked == behaviour::kCancel) {
    progress.HandlerWaits();
    peer.wait_until_cancelled();
    return grpc::Status::OK;
  }
  if (asked == behaviour::kBigTrailer) {
    context.AddTrailingMetadata("big", std::string(behaviour::kBigMetadata, 'x'));
  }
  if (asked == behaviour::kBigReply) {
    return Answer(kind, peer, std::string(behaviour::kBigMessage, 'x'), /*echoes=*/false, progress);
  }
  return Answer(kind, peer, progress.reply_text, /*echoes=*/true, progress);
}

}  // namespace internal
}  // namespace testing
}  // namespace v0
}  // namespace weft
