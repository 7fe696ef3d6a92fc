// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>
#include <utility>

#include <grpcpp/server_context.h>
#include <grpcpp/support/status.h>

#include <weft/testing/ping_server.h>

namespace weft {
inline namespace v0 {
namespace testing {
namespace internal {

/// A handler's view of its call, whatever interface of gRPC is below. Messages are their texts.
struct Peer {
  std::function<bool(std::string*)> read{};
  std::function<bool(const std::string&)> write{};
  std::function<void()> wait_until_cancelled{};
  std::function<void(const std::string&)> set_reply{};  ///< Where the handler returns just one.
};

/// From functions on messages, empty ones too.
template <typename Message>
std::function<bool(std::string*)> ReadingText(std::function<bool(Message*)> read) {
  if (!read) return {};
  return [read = std::move(read)](std::string* text) {
    Message message;
    if (!read(&message)) return false;
    *text = message.text();
    return true;
  };
}
template <typename Message>
std::function<bool(const std::string&)> WritingText(std::function<bool(const Message&)> write) {
  if (!write) return {};
  return [write = std::move(write)](const std::string& text) {
    Message message;
    message.set_text(text);
    return write(message);
  };
}
template <typename Message>
std::function<void(const std::string&)> SetterOf(Message* reply) {
  if (reply == nullptr) return {};
  return [reply](const std::string& text) { reply->set_text(text); };
}

/// The handler of all methods and interfaces. Makes a run `work` in the current context, with the
/// metadata `id` that the request has.
grpc::Status HandlePing(RpcKind kind, grpc::ServerContextBase& context, const Peer& peer,
                        PingProgress& progress);

std::string BehaviourOf(const grpc::ServerContextBase& context);

/// Of `/package.Service/Bidi` ...; unary where the name is another one.
RpcKind KindOfMethod(const std::string& full_method);

}  // namespace internal
}  // namespace testing
}  // namespace v0
}  // namespace weft
