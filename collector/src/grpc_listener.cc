// SPDX-License-Identifier: Apache-2.0
#include "grpc_listener.h"

#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <thread>
#include <utility>

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>

#include "grpc_tls.h"

namespace weft::collector {
namespace {

constexpr int kMaxMetadataBytes = 64 << 10;
constexpr int kMinPingIntervalMs = 5'000;
constexpr int kFrameBytes = 1 << 20;
constexpr std::array kServices = {"weft.collector.v1.CollectorService", OtlpReceiver::kService,
                                  "grpc.health.v1.Health",
                                  "grpc.reflection.v1alpha.ServerReflection"};

struct HostPort {
  std::string host;
  std::string port;
};

HostPort Split(const std::string& address) {
  const std::size_t colon = address.rfind(':');
  return {address.substr(0, colon), address.substr(colon + 1)};
}

// gRPC says only that it could not bind. Trying again by hand gives the reason.
std::string WhyNotBound(const std::string& address) {
  auto [host, port] = Split(address);
  if (host.size() > 2 && host.front() == '[') host = host.substr(1, host.size() - 2);
  addrinfo hints{};
  hints.ai_flags = AI_PASSIVE;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (const int error = ::getaddrinfo(host.c_str(), port.c_str(), &hints, &found); error != 0) {
    return ::gai_strerror(error);
  }
  std::string reason = "cannot bind";
  const int descriptor = ::socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (descriptor < 0 || ::bind(descriptor, found->ai_addr, found->ai_addrlen) != 0) {
    reason = std::strerror(errno);
  }
  if (descriptor >= 0) ::close(descriptor);
  ::freeaddrinfo(found);
  return reason;
}

}  // namespace

class GrpcListener::Server {
 public:
  std::shared_ptr<GrpcTls> tls;  // The server asks it at every handshake.
  std::unique_ptr<grpc::Server> server;
  std::thread stopper;
};

GrpcListener::GrpcListener(WeftReceiverOptions receiver)
    : otlp_({.ingest = receiver.ingest,
             .accepts_key = receiver.accepts_key,
             .max_inflight_bytes = receiver.max_inflight_bytes,
             .max_message_bytes = receiver.max_message_bytes}),
      receiver_(std::move(receiver)),
      server_(std::make_unique<Server>()) {}

GrpcListener::~GrpcListener() {
  BeginStop(std::chrono::milliseconds(0));
  FinishStop();
}

absl::StatusOr<std::unique_ptr<GrpcListener>> GrpcListener::Start(GrpcListenerOptions options,
                                                                  WeftReceiverOptions receiver) {
  receiver.max_message_bytes = options.max_message_bytes;
  std::unique_ptr<GrpcListener> listener(new GrpcListener(std::move(receiver)));
  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  grpc::ServerBuilder builder;
  int port = 0;
  listener->server_->tls = GrpcTls::Make(options.tls);
  builder.AddListeningPort(options.address, ServerCredentialsOf(listener->server_->tls), &port);
  // Otherwise a second collector would share the port, and take half of the calls.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, kMaxMetadataBytes);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
                             kMinPingIntervalMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  // Batches are large: in few frames, and without waiting for leave to send the next ones.
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_FRAME_SIZE, kFrameBytes);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, kFrameBytes);
  // It would unpack without a limit: see PlainMessage.
  builder.AddChannelArgument(GRPC_ARG_ENABLE_PER_MESSAGE_DECOMPRESSION, 0);
  // Of messages that have not come whole, nobody knows yet whose they are.
  builder.SetResourceQuota(grpc::ResourceQuota("weft").Resize(options.max_memory_bytes));
  builder.SetMaxReceiveMessageSize(static_cast<int>(options.max_message_bytes));
  builder.RegisterService(listener->receiver_.service());
  builder.RegisterService(listener->otlp_.service());
  listener->server_->server = builder.BuildAndStart();
  if (listener->server_->server == nullptr || port == 0) {
    return absl::UnavailableError("cannot listen on " + options.address + ": " +
                                  WhyNotBound(options.address));
  }
  listener->address_ = Split(options.address).host + ":" + std::to_string(port);
  listener->SetServing(false);
  return listener;
}

void GrpcListener::SetServing(bool serving) {
  grpc::HealthCheckServiceInterface* const health = server_->server->GetHealthCheckService();
  if (health == nullptr) return;
  for (const char* service : kServices) health->SetServingStatus(service, serving);
  health->SetServingStatus("", serving);
}

void GrpcListener::BeginStop(std::chrono::milliseconds patience) {
  if (server_->server == nullptr || server_->stopper.joinable()) return;
  receiver_.Drain();
  otlp_.Drain();
  server_->stopper = std::thread([this, server = server_->server.get(), patience] {
    if (patience.count() > 0) otlp_.AwaitQuiet();
    server->Shutdown(std::chrono::system_clock::now() + patience);
    server->Wait();
  });
}

void GrpcListener::FinishStop() {
  if (server_->stopper.joinable()) server_->stopper.join();
  server_->server.reset();
}

}  // namespace weft::collector
