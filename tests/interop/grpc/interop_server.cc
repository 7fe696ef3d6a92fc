// SPDX-License-Identifier: Apache-2.0
#include "interop_server.h"

#include <atomic>
#include <chrono>
#include <thread>
#include <utility>

#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server_builder.h>
#include <gtest/gtest.h>
#include <boost/fiber/operations.hpp>

#include <weft/async/fiber_server.h>
#include <weft/interceptors/guard.h>
#include <weft/interceptors/intercept_server.h>

#include "interop_handlers.h"

namespace weft::interop {
namespace {

using Test = pb::TestService;
using Input = pb::StreamingInputCallRequest;
using Output = pb::StreamingOutputCallResponse;
using OutputRequest = pb::StreamingOutputCallRequest;

class SyncService final : public Test::Service {
  grpc::Status EmptyCall(grpc::ServerContext*, const pb::Empty*, pb::Empty*) override { return {}; }
  grpc::Status UnaryCall(grpc::ServerContext* context, const pb::SimpleRequest* request,
                         pb::SimpleResponse* response) override {
    return interop::UnaryCall(context, request, response);
  }
  grpc::Status StreamingOutputCall(grpc::ServerContext* context, const OutputRequest* request,
                                   grpc::ServerWriter<Output>* writer) override {
    return interop::StreamingOutputCall(*context, *request, *writer);
  }
  grpc::Status StreamingInputCall(grpc::ServerContext* context, grpc::ServerReader<Input>* reader,
                                  pb::StreamingInputCallResponse* response) override {
    return interop::StreamingInputCall(context, *reader, response, &std::this_thread::yield);
  }
  grpc::Status FullDuplexCall(grpc::ServerContext* context,
                              grpc::ServerReaderWriter<Output, OutputRequest>* stream) override {
    return interop::FullDuplexCall(context, *stream);
  }
};

class OutputReactor final : public grpc::ServerWriteReactor<Output> {
 public:
  OutputReactor(grpc::ServerContextBase& context, const OutputRequest& request)
      : request_(request) {
    SetCompression(context, request);
    WriteNext();
  }
  void OnWriteDone(bool ok) override { ok ? WriteNext() : Finish(grpc::Status::OK); }
  void OnDone() override { delete this; }

 private:
  void WriteNext() {
    if (next_ == request_.response_parameters_size()) return Finish(grpc::Status::OK);
    const pb::ResponseParameters& wanted = request_.response_parameters(next_++);
    Fill(response_.mutable_payload(), wanted.size());
    StartWrite(&response_, OptionsFor(wanted));
  }

  const OutputRequest& request_;
  Output response_;
  int next_ = 0;
};

class InputReactor final : public grpc::ServerReadReactor<Input> {
 public:
  InputReactor(grpc::CallbackServerContext& context, pb::StreamingInputCallResponse* response)
      : context_(context), response_(response) {
    StartRead(&request_);
  }
  void OnReadDone(bool ok) override {
    if (!ok && size_ == 0 && !ended_.exchange(true)) return;  // OnCancel comes, see the handlers.
    if (!ok) return Answer();
    const grpc::Status status = CheckCompression(context_, request_);
    if (!status.ok()) return Finish(status);
    size_ += request_.payload().body().size();
    StartRead(&request_);
  }
  void OnCancel() override {
    if (ended_.exchange(true)) Answer();
  }
  void OnDone() override { delete this; }

 private:
  void Answer() {
    response_->set_aggregated_payload_size(static_cast<int>(size_));
    Finish(grpc::Status::OK);
  }

  grpc::CallbackServerContext& context_;
  pb::StreamingInputCallResponse* const response_;
  Input request_;
  std::size_t size_ = 0;
  std::atomic<bool> ended_{false};  // by the stream's end or by cancellation
};

class DuplexReactor final : public grpc::ServerBidiReactor<OutputRequest, Output> {
 public:
  explicit DuplexReactor(grpc::CallbackServerContext& context) {
    EchoMetadata(context);
    StartRead(&request_);
  }
  void OnReadDone(bool ok) override {
    if (!ok) return Finish(grpc::Status::OK);
    if (request_.has_response_status()) return Finish(WantedStatus(request_.response_status()));
    next_ = 0;
    WriteNext();
  }
  void OnWriteDone(bool ok) override { ok ? WriteNext() : Finish(grpc::Status::OK); }
  void OnDone() override { delete this; }

 private:
  void WriteNext() {
    if (next_ == request_.response_parameters_size()) return StartRead(&request_);
    Fill(response_.mutable_payload(), request_.response_parameters(next_++).size());
    StartWrite(&response_);
  }

  OutputRequest request_;
  Output response_;
  int next_ = 0;
};

class CallbackService final : public Test::CallbackService {
  grpc::ServerUnaryReactor* EmptyCall(grpc::CallbackServerContext* context, const pb::Empty*,
                                      pb::Empty*) override {
    grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }
  grpc::ServerUnaryReactor* UnaryCall(grpc::CallbackServerContext* context,
                                      const pb::SimpleRequest* request,
                                      pb::SimpleResponse* response) override {
    grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
    reactor->Finish(interop::UnaryCall(context, request, response));
    return reactor;
  }
  grpc::ServerWriteReactor<Output>* StreamingOutputCall(grpc::CallbackServerContext* context,
                                                        const OutputRequest* request) override {
    return new OutputReactor(*context, *request);
  }
  grpc::ServerReadReactor<Input>* StreamingInputCall(
      grpc::CallbackServerContext* context, pb::StreamingInputCallResponse* response) override {
    return new InputReactor(*context, response);
  }
  grpc::ServerBidiReactor<OutputRequest, Output>* FullDuplexCall(
      grpc::CallbackServerContext* context) override {
    return new DuplexReactor(*context);
  }
};

void Prepare(grpc::ServerBuilder& builder, InterceptorOptions options, bool gzip, int* port) {
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), port);
  if (gzip) builder.SetDefaultCompressionAlgorithm(GRPC_COMPRESS_GZIP);
  const absl::Status status = InterceptServer(builder, std::move(options));
  EXPECT_TRUE(status.ok()) << status;
}

std::string AddressOf(int port) { return "127.0.0.1:" + std::to_string(port); }

/// Of a synchronous or callback service.
template <typename Service>
class ServiceServer final : public InteropServer {
 public:
  ServiceServer(InterceptorOptions options, bool gzip, bool guarded) {
    int port = 0;
    grpc::ServerBuilder builder;
    Prepare(builder, std::move(options), gzip, &port);
    if (guarded) {
      const absl::Status status = RegisterService(builder, &service_);
      EXPECT_TRUE(status.ok()) << status;
    } else {
      builder.RegisterService(&service_);
    }
    server_ = builder.BuildAndStart();
    address_ = AddressOf(port);
  }
  ~ServiceServer() override { Shutdown(); }
  const std::string& address() const override { return address_; }
  void Shutdown() override {
    if (server_ == nullptr) return;
    server_->Shutdown();
    server_->Wait();
    server_ = nullptr;
  }

 private:
  Service service_;
  std::unique_ptr<grpc::Server> server_;
  std::string address_;
};

class FiberInteropServer final : public InteropServer {
 public:
  FiberInteropServer(InterceptorOptions options, bool gzip) {
    int port = 0;
    grpc::ServerBuilder builder;
    Prepare(builder, std::move(options), gzip, &port);
    builder.RegisterService(&service_);
    HandleAll();
    const absl::Status status = server_.Start(builder);
    EXPECT_TRUE(status.ok()) << status;
    address_ = AddressOf(port);
  }
  ~FiberInteropServer() override { Shutdown(); }
  const std::string& address() const override { return address_; }
  void Shutdown() override { server_.Shutdown(std::chrono::system_clock::time_point::max()); }

 private:
  using Service = Test::AsyncService;

  void HandleAll() {
    server_.Handle(
        &service_, &Service::RequestEmptyCall,
        [](grpc::ServerContext*, const pb::Empty*, pb::Empty*) { return grpc::Status(); });
    server_.Handle(&service_, &Service::RequestUnaryCall, &interop::UnaryCall<grpc::ServerContext>);
    server_.Handle(&service_, &Service::RequestStreamingOutputCall,
                   [](grpc::ServerContext* context, const OutputRequest* request, auto& writer) {
                     return StreamingOutputCall(*context, *request, writer);
                   });
    server_.Handle(&service_, &Service::RequestStreamingInputCall,
                   [](grpc::ServerContext* context, auto& reader, auto* response) {
                     return StreamingInputCall(context, reader, response,
                                               &boost::this_fiber::yield);
                   });
    server_.Handle(
        &service_, &Service::RequestFullDuplexCall,
        [](grpc::ServerContext* context, auto& stream) { return FullDuplexCall(context, stream); });
    server_.Handle(&service_, &Service::RequestUnimplementedCall,
                   [](grpc::ServerContext*, const pb::Empty*, pb::Empty*) {
                     return grpc::Status(grpc::StatusCode::UNIMPLEMENTED, "");
                   });
  }

  Service service_;
  FiberServer server_;
  std::string address_;
};

}  // namespace

std::ostream& operator<<(std::ostream& out, Flavour flavour) {
  constexpr const char* kNames[] = {"Sync", "Callback", "Fiber", "PlainSync", "PlainCallback"};
  return out << kNames[static_cast<int>(flavour)];
}

std::unique_ptr<InteropServer> Serve(Flavour flavour, InterceptorOptions options, bool gzip) {
  const bool guarded = flavour == Flavour::kSync || flavour == Flavour::kCallback;
  switch (flavour) {
    case Flavour::kSync:
    case Flavour::kPlainSync:
      return std::make_unique<ServiceServer<SyncService>>(std::move(options), gzip, guarded);
    case Flavour::kCallback:
    case Flavour::kPlainCallback:
      return std::make_unique<ServiceServer<CallbackService>>(std::move(options), gzip, guarded);
    case Flavour::kFiber:
      break;
  }
  return std::make_unique<FiberInteropServer>(std::move(options), gzip);
}

}  // namespace weft::interop
