// SPDX-License-Identifier: Apache-2.0
#include "echo_server.h"

#include <chrono>
#include <thread>
#include <utility>

#include <gtest/gtest.h>

#include <weft/interceptors/intercept_server.h>

#include "echo.grpc.pb.h"

namespace weft::echo_test {
namespace {

using ::echo::Message;

class SyncService final : public EchoService, public ::echo::Echo::Service {
 public:
  explicit SyncService(Progress& progress) : progress_(progress) {}

  void Register(grpc::ServerBuilder& builder, bool guarded) override {
    RegisterEcho(builder, *this, guarded);
  }

  grpc::Status Unary(grpc::ServerContext* context, const Message* request,
                     Message* reply) override {
    *reply = *request;
    return Run(RpcKind::kUnary, context, {}, {}, reply);
  }
  grpc::Status ClientStream(grpc::ServerContext* context, grpc::ServerReader<Message>* reader,
                            Message* reply) override {
    return Run(
        RpcKind::kClientStream, context, [=](Message* m) { return reader->Read(m); }, {}, reply);
  }
  grpc::Status ServerStream(grpc::ServerContext* context, const Message* /*request*/,
                            grpc::ServerWriter<Message>* writer) override {
    return Run(RpcKind::kServerStream, context, {},
               [=](const Message& m) { return writer->Write(m); });
  }
  grpc::Status Bidi(grpc::ServerContext* context,
                    grpc::ServerReaderWriter<Message, Message>* stream) override {
    return Run(
        RpcKind::kBidiStream, context, [=](Message* m) { return stream->Read(m); },
        [=](const Message& m) { return stream->Write(m); });
  }

 private:
  grpc::Status Run(RpcKind kind, grpc::ServerContext* context, std::function<bool(Message*)> read,
                   std::function<bool(const Message&)> write, Message* reply = nullptr) {
    return RunScript(kind, *context,
                     {.read = std::move(read),
                      .write = std::move(write),
                      .wait_until_cancelled =
                          [=] {
                            while (!context->IsCancelled()) std::this_thread::yield();
                          },
                      .reply = reply},
                     progress_);
  }

  Progress& progress_;
};

}  // namespace

grpc::Server* EchoService::Start(grpc::ServerBuilder& builder) {
  server_ = builder.BuildAndStart();
  if (server_ != nullptr) Serve();
  return server_.get();
}

void EchoService::Shutdown() {
  server_->Shutdown(std::chrono::system_clock::now());
  Stop();
  server_.reset();
}

std::unique_ptr<EchoService> MakeSyncService(Progress& progress) {
  return std::make_unique<SyncService>(progress);
}

std::ostream& operator<<(std::ostream& out, Flavour flavour) {
  constexpr const char* kNames[] = {"Sync",      "Callback",        "Cq",
                                    "GenericCq", "GenericCallback", "Fiber"};
  return out << kNames[static_cast<int>(flavour)];
}

void RegisterEcho(grpc::ServerBuilder& builder, grpc::Service& service, bool guarded) {
  if (!guarded) {
    builder.RegisterService(&service);
    return;
  }
  const absl::Status status = RegisterService(builder, &service);
  EXPECT_TRUE(status.ok()) << std::string(status.message());
}

EchoServer::EchoServer(Flavour flavour, InterceptorOptions options, int workers, bool guarded) {
  switch (flavour) {
    case Flavour::kSync:
      service_ = MakeSyncService(progress_);
      break;
    case Flavour::kCallback:
      service_ = MakeCallbackService(progress_);
      break;
    case Flavour::kCq:
      service_ = MakeCqService(progress_, workers);
      break;
    case Flavour::kGenericCq:
      service_ = MakeGenericCqService(progress_, workers);
      break;
    case Flavour::kGenericCallback:
      service_ = MakeGenericCallbackService(progress_);
      break;
    case Flavour::kFiber:
      service_ = MakeFiberService(progress_, workers);
      break;
  }
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  service_->Register(builder, guarded);
  const absl::Status status = InterceptServer(builder, std::move(options));
  EXPECT_TRUE(status.ok()) << std::string(status.message());
  server_ = service_->Start(builder);
  address_ = "127.0.0.1:" + std::to_string(port);
}

void EchoServer::Shutdown() {
  if (std::exchange(server_, nullptr) != nullptr) service_->Shutdown();
}

}  // namespace weft::echo_test
