// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <ostream>
#include <string>

#include <absl/status/statusor.h>
#include <grpcpp/channel.h>
#include <grpcpp/server.h>

#include <weft/interceptors/interceptor_options.h>

namespace weft {
inline namespace v0 {
namespace testing {

namespace internal {
class PingService;
}

/// The interfaces of gRPC that a server can be written for, and weft's fibers.
enum class ServerFlavour { kSync, kCallback, kCq, kGenericCq, kGenericCallback, kFiber };

/// `Sync`, `GenericCq` ...
std::ostream& operator<<(std::ostream& out, ServerFlavour flavour);

/// What the request metadata of a call may ask of its handler.
namespace behaviour {

inline constexpr char kKey[] = "behaviour";
inline constexpr char kCallId[] = "call-id";  ///< Becomes metadata `id` of the handler's run.

inline constexpr char kOk[] = "ok";
inline constexpr char kError[] = "error";           ///< FAILED_PRECONDITION at once.
inline constexpr char kErrorAfterFirst[] = "late";  ///< INTERNAL after one message each way.
inline constexpr char kFlaky[] = "flaky";           ///< UNAVAILABLE to the first two attempts.
inline constexpr char kWait[] = "wait";             ///< Waits until it is cancelled, then OK.
inline constexpr char kCancel[] = "cancel";         ///< Cancels itself, then the same.
inline constexpr char kThrow[] = "throw";
inline constexpr char kForget[] = "forget";       ///< As kWait, without a reply; queues only.
inline constexpr char kBigReply[] = "big";        ///< Messages that a client does not take.
inline constexpr char kBigTrailer[] = "trailer";  ///< Metadata that a client does not take.

/// Beyond the limit that gRPC has for messages, and for the metadata of a call.
inline constexpr std::size_t kBigMessage = std::size_t{5} << 20;
inline constexpr std::size_t kBigMetadata = std::size_t{9} << 10;

}  // namespace behaviour

/// Tells a test how far handlers are, and lets it take part.
class PingProgress {
 public:
  /// Called in every handler, within its run `work`; to be set before the first call.
  std::function<void()> during_work;
  /// The same after each message of a stream that it has read.
  std::function<void()> on_message;
  /// Said in replies, but for those that echo a request; the same.
  std::string reply_text;

  /// How many calls reached a handler.
  std::atomic<int> handled{0};

  void HandlerWaits();
  /// Waits until a handler has begun to wait for its cancellation. False: not in time.
  bool WaitForHandler();

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int waiting_ = 0;
};

struct PingServerOptions {
  ServerFlavour flavour = ServerFlavour::kSync;
  /// Around the calls: the middlewares to be tested.
  InterceptorOptions interceptors{};
  /// Registered with weft::RegisterService, so that middlewares may reject calls.
  bool guarded = true;
  /// Calls of a method that are served at a time; of kCq and kGenericCq, and threads of kFiber.
  int workers = 1;
};

/// A server of `weft.ping.v1.Ping`, on a free port of 127.0.0.1, with middlewares around its calls.
///
///     auto server = weft::testing::PingServer::Start(
///         {.flavour = ServerFlavour::kFiber, .interceptors = {.middlewares = {my_middleware}}});
///     ASSERT_TRUE(server.ok());
///     auto channel = (*server)->Connect({.middlewares = {my_other_middleware}});
///     grpc::ClientContext context;
///     EXPECT_TRUE(weft::testing::Ping(ClientFlavour::kSync, RpcKind::kUnary, channel,
///     context).ok());
///
/// Threads: any; Shutdown not from a handler.
class PingServer {
 public:
  /// Errors: Unavailable when gRPC could not start it; else those of InterceptServer and
  ///   RegisterService.
  static absl::StatusOr<std::unique_ptr<PingServer>> Start(PingServerOptions options);
  ~PingServer();
  PingServer(const PingServer&) = delete;
  PingServer& operator=(const PingServer&) = delete;

  /// A channel over the network, and one within the process.
  std::shared_ptr<grpc::Channel> Connect(InterceptorOptions options = {}) const;
  std::shared_ptr<grpc::Channel> ConnectInProcess(InterceptorOptions options = {});

  const std::string& address() const noexcept { return address_; }
  grpc::Server& server() noexcept { return *server_; }
  PingProgress& progress() noexcept { return progress_; }

  /// Cancels what is in flight. Idempotent.
  void Shutdown();

 private:
  PingServer();

  PingProgress progress_;
  std::unique_ptr<internal::PingService> service_;
  grpc::Server* server_ = nullptr;
  std::string address_;
};

}  // namespace testing
}  // namespace v0
}  // namespace weft
