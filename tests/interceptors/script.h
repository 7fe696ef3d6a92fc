// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>

#include <grpcpp/server_context.h>
#include <grpcpp/support/status.h>

#include <weft/interceptors/middleware.h>

#include "echo.pb.h"

namespace weft::echo_test {

/// What a handler is asked to do.
inline constexpr char kBehaviour[] = "behaviour";
inline constexpr char kCallId[] = "call-id";
inline constexpr char kOk[] = "ok";
inline constexpr char kError[] = "error";           // FAILED_PRECONDITION at once
inline constexpr char kErrorAfterFirst[] = "late";  // INTERNAL after one message each way
inline constexpr char kFlaky[] = "flaky";           // UNAVAILABLE to the first two attempts
inline constexpr char kWait[] = "wait";             // until cancelled, then OK
inline constexpr char kCancel[] = "cancel";         // cancels itself, waits, then OK
inline constexpr char kThrow[] = "throw";
inline constexpr char kForget[] = "forget";       // as kWait, but replies nothing; queues only
inline constexpr char kBigReply[] = "big";        // messages that a client does not take
inline constexpr char kBigTrailer[] = "trailer";  // trailing metadata that a client does not take

/// Beyond the limit that gRPC has for messages, and for the metadata of a call.
inline constexpr std::size_t kBigMessage = std::size_t{5} << 20;
inline constexpr std::size_t kBigMetadata = std::size_t{9} << 10;

/// A handler's view of its call, whatever interface of gRPC is below.
struct Peer {
  std::function<bool(::echo::Message*)> read{};
  std::function<bool(const ::echo::Message&)> write{};
  std::function<void()> wait_until_cancelled{};
  ::echo::Message* reply = nullptr;  ///< Where the handler returns just one.
};

/// Tells tests how far handlers are, and lets them take part.
class Progress {
 public:
  /// Called in every handler, within its run `work`; to be set before the first call.
  std::function<void()> during_work;
  /// The same after each message that it has read.
  std::function<void()> on_message;
  /// Said in replies, but for those that echo a request; the same.
  std::string reply_text;

  /// How many calls reached a handler.
  std::atomic<int> handled{0};

  void HandlerWaits();
  /// False: not in time.
  bool WaitForHandler();

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int waiting_ = 0;
};

/// The handler of all methods and interfaces. Makes a run `work` in the current context, with the
/// metadata `id` that the request has.
grpc::Status RunScript(RpcKind kind, grpc::ServerContextBase& context, const Peer& peer,
                       Progress& progress);

/// A value of the request's metadata; empty when absent.
std::string MetadataOf(const grpc::ServerContextBase& context, const std::string& key);
std::string BehaviourOf(const grpc::ServerContextBase& context);

/// `echo.Echo/Unary` ...
std::string RunNameOf(RpcKind kind);
RpcKind KindOfMethod(const std::string& full_method);

}  // namespace weft::echo_test
