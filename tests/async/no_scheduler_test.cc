// SPDX-License-Identifier: Apache-2.0
// Boost makes a fiber scheduler (130 KiB) on every thread that asks it for the running fiber. So
// nobody may ask on a thread that runs none: not on the application's, nor on gRPC's.
#include <dlfcn.h>
#include <echo.grpc.pb.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include <boost/fiber/context.hpp>
#include <boost/fiber/operations.hpp>

#include <weft/async/call.h>
#include <weft/async/context_completion_queue.h>
#include <weft/async/context_of.h>
#include <weft/async/with_context.h>
#include <weft/context/bind.h>
#include <weft/interceptors/create_channel.h>
#include <weft/interceptors/intercept_server.h>
#include <weft/testing/in_memory_exporter.h>
#include <weft/tracing/run.h>
#include <weft/tracing/traceable.h>
#include <weft/tracing/tracer.h>

namespace {
constinit std::atomic<long> asked{0};
}  // namespace

// Takes the place of the function in Boost's library, for this program and for the library.
boost::fibers::context* boost::fibers::context::active() noexcept {
  using Active = context* (*)() noexcept;
  static const auto original =
      reinterpret_cast<Active>(dlsym(RTLD_NEXT, "_ZN5boost6fibers7context6activeEv"));
  ++asked;
  return original();
}

namespace weft {
namespace {

using echo::Echo;
using echo::Message;
using Stub = Echo::Stub;

class SyncService final : public Echo::Service {
  grpc::Status Unary(grpc::ServerContext* context, const Message*, Message*) override {
    const weft::Run own("work");
    return ContextOf(*context) ? grpc::Status::OK : grpc::Status::CANCELLED;
  }
};

class Answer : public grpc::ServerUnaryReactor {
 public:
  Answer() {
    const weft::Run own("work");
    Finish(grpc::Status::OK);
  }
  void OnDone() override { delete this; }
};

class CallbackService final : public Echo::CallbackService {
  grpc::ServerUnaryReactor* Unary(grpc::CallbackServerContext*, const Message*, Message*) override {
    return new WithContext<Answer>;
  }
};

// A traced server with a service.
struct Server {
  Server(grpc::Service& service, const std::shared_ptr<Tracer>& tracer) {
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(&service);
    EXPECT_TRUE(InterceptServer(builder, {.tracer = tracer}).ok());
    server = builder.BuildAndStart();
    stub = Echo::NewStub(CreateChannel("127.0.0.1:" + std::to_string(port),
                                       grpc::InsecureChannelCredentials(), {.tracer = tracer}));
  }
  std::unique_ptr<grpc::Server> server;
  std::unique_ptr<Stub> stub;
};

void CallEveryWay(Stub& stub) {
  const Message request;
  Message response;
  {
    grpc::ClientContext context;
    EXPECT_TRUE(stub.Unary(&context, request, &response).ok());
  }
  EXPECT_TRUE(CallUnary(stub, &Stub::PrepareAsyncUnary, request).ok());
  {
    grpc::ClientContext context;
    std::promise<bool> done;
    stub.async()->Unary(&context, &request, &response,
                        Bind([&](const grpc::Status& status) { done.set_value(status.ok()); }));
    EXPECT_TRUE(done.get_future().get());
  }
  grpc::ClientContext context;
  grpc::Status status;
  ContextCompletionQueue<Message> queue;
  const auto reader = stub.AsyncUnary(&context, request, queue.queue());
  reader->Finish(&response, &status, queue.Tag(&response));
  ContextCompletionQueue<Message>::Event event;
  EXPECT_TRUE(queue.Next(&event) && status.ok());
}

TEST(NoSchedulerTest, IsMadeByTracedCallsThroughThreads) {
  const auto exporter = std::make_shared<testing::InMemoryExporter>();
  const std::shared_ptr<Tracer> tracer = *Tracer::Create({.exporters = {exporter}});
  SyncService sync;
  CallbackService callback;
  {
    const Server sync_server(sync, tracer);
    const Server callback_server(callback, tracer);
    const weft::Run root("root", {.tracer = tracer});
    Traceable("step", [&] { CallEveryWay(*sync_server.stub); })();
    std::jthread(Bind([&] { CallEveryWay(*callback_server.stub); })).join();
  }
  EXPECT_TRUE(exporter->WaitFor(2 + 4 * 3 + 4 * 3));
  EXPECT_EQ(asked, 0);
}

TEST(NoSchedulerTest, AFiberIsSeen) {
  const long before = asked;
  std::jthread([] { boost::this_fiber::yield(); }).join();
  EXPECT_GT(asked, before);
}

}  // namespace
}  // namespace weft
