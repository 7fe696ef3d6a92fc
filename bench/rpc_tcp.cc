// SPDX-License-Identifier: Apache-2.0
#include "rpc_tcp.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <thread>
#include <utility>

#include <grpcpp/grpcpp.h>

#include <weft/async/rejected.h>

#include "rpc_benchmark.grpc.pb.h"
#include "rpc_handlers.h"

namespace bench {

class TcpPair::Server {
 public:
  virtual ~Server() = default;
  const std::string& target() const { return target_; }

 protected:
  std::string target_;
};

class TcpPair::QueueServer final : public Server {
 public:
  explicit QueueServer(const Instruments& instruments) : instruments_(instruments) {
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    instruments.Register(builder, &service_);
    queue_ = builder.AddCompletionQueue();
    server_ = builder.BuildAndStart();
    target_ = "127.0.0.1:" + std::to_string(port);
    for (int i = 0; i < 128; ++i) new Call(*this);
    thread_ = std::thread([this] {
      void* tag = nullptr;
      bool ok = false;
      while (queue_->Next(&tag, &ok)) static_cast<Call*>(tag)->Go(ok);
    });
  }
  ~QueueServer() override {
    server_->Shutdown(std::chrono::system_clock::now());
    queue_->Shutdown();
    thread_.join();
  }

 private:
  struct Call {
    explicit Call(QueueServer& owner) : server(owner) {
      auto* queue = server.queue_.get();
      server.service_.RequestUnary(&context, &message, &writer, queue, queue, this);
    }
    void Go(bool ok) {
      if (finished || !ok) {
        delete this;
        return;
      }
      new Call(server);
      finished = true;
      if (server.instruments_.setup().guarded) {
        if (const grpc::Status* const rejected = weft::Rejected(context)) {
          return writer.FinishWithError(*rejected, this);
        }
      }
      HandlerSpan span;
      span.Start(server.instruments_, "Unary", "unary", context);
      span.End(grpc::Status::OK);
      writer.Finish(message, grpc::Status::OK, this);
    }
    QueueServer& server;
    grpc::ServerContext context;
    Message message;
    grpc::ServerAsyncResponseWriter<Message> writer{&context};
    bool finished = false;
  };

  const Instruments& instruments_;
  Echo::AsyncService service_;
  std::unique_ptr<grpc::ServerCompletionQueue> queue_;
  std::unique_ptr<grpc::Server> server_;
  std::thread thread_;
};

class TcpPair::CallbackServer final : public Server {
 public:
  explicit CallbackServer(const Instruments& instruments) : service_(instruments) {
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    instruments.Register(builder, &service_);
    server_ = builder.BuildAndStart();
    target_ = "127.0.0.1:" + std::to_string(port);
  }
  ~CallbackServer() override { server_->Shutdown(std::chrono::system_clock::now()); }

 private:
  CallbackEcho service_;
  std::unique_ptr<grpc::Server> server_;
};

class TcpPair::Client {
 public:
  Client(const std::string& target, const Instruments& instruments) : instruments_(instruments) {
    // Else channels to one address share a connection, whatever their mode.
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    stub_ = Echo::NewStub(grpc::experimental::CreateCustomChannelWithInterceptors(
        target, grpc::InsecureChannelCredentials(), arguments, instruments.Interceptors()));
    request_.set_text("hello");
  }

  void Run(int count) {
    constexpr int kOutstanding = 64;
    int started = 0;
    int ended = 0;
    while (started < std::min(count, kOutstanding)) Start(started);
    void* tag = nullptr;
    bool ok = false;
    while (ended < count && queue_.Next(&tag, &ok)) {
      const std::unique_ptr<Call> call(static_cast<Call*>(tag));
      if (!call->status.ok()) std::abort();
      if (call->span != nullptr) instruments_.by_hand()->End(std::move(call->span), call->status);
      ++ended;
      if (started < count) Start(started);
    }
  }

 private:
  struct Call {
    grpc::ClientContext context;
    Message reply;
    grpc::Status status;
    std::unique_ptr<grpc::ClientAsyncResponseReader<Message>> reader;
    std::unique_ptr<HandSpan> span;
  };

  void Start(int& started) {
    auto* call = new Call;
    if (HandTracer* const by_hand = instruments_.by_hand()) {
      call->span = by_hand->StartClient("bench.Echo", "Unary", "unary", call->context);
    }
    instruments_.Prepare(call->context);
    call->reader = stub_->AsyncUnary(&call->context, request_, &queue_);
    call->reader->Finish(&call->reply, &call->status, call);
    ++started;
  }

  const Instruments& instruments_;
  grpc::CompletionQueue queue_;
  std::unique_ptr<Echo::Stub> stub_;
  Message request_;
};

std::unique_ptr<TcpPair::Server> TcpPair::MakeServer(const Instruments& instruments) {
  if (instruments.setup().api == Setup::Api::kCallback) {
    return std::make_unique<CallbackServer>(instruments);
  }
  return std::make_unique<QueueServer>(instruments);
}

TcpPair::TcpPair(const Instruments& instruments)
    : server_(MakeServer(instruments)),
      client_(std::make_unique<Client>(server_->target(), instruments)) {}
TcpPair::~TcpPair() = default;

void TcpPair::Run(int count) { client_->Run(count); }

}  // namespace bench
