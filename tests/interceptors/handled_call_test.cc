// SPDX-License-Identifier: Apache-2.0
#include <atomic>
#include <chrono>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <weft/async/context_of.h>
#include <weft/context/context_scope.h>
#include <weft/interceptors/guard.h>
#include <weft/interceptors/intercept_server.h>
#include <weft/testing/run_matchers.h>
#include <weft/tracing/run.h>

#include "echo.grpc.pb.h"
#include "echo_client.h"
#include "fixture.h"
#include "recorder.h"
#include "server_interceptors.h"

namespace weft::echo_test {

namespace {

using ::echo::Echo;
using ::echo::Message;

/// What handlers saw of the last call.
struct Seen {
  std::atomic<std::size_t> interceptors{99};
  std::atomic<bool> current{false};            // in the handler
  std::atomic<bool> current_when_done{false};  // in OnDone, after the run's end
};

void Look(const grpc::ServerContextBase& context, Seen& seen) {
  seen.interceptors = InterceptorsOf(context);
  seen.current = CurrentRun() && ContextOf(context) == Context::Current();
}

class SyncEcho final : public Echo::Service {
 public:
  explicit SyncEcho(Seen& seen) : seen_(seen) {}

 private:
  grpc::Status Unary(grpc::ServerContext* context, const Message*, Message*) override {
    Look(*context, seen_);
    return grpc::Status::OK;
  }
  grpc::Status ServerStream(grpc::ServerContext* context, const Message* request,
                            grpc::ServerWriter<Message>* writer) override {
    Look(*context, seen_);
    writer->SendInitialMetadata();
    for (int i = 0; i < 2; ++i) writer->Write(*request);
    writer->WriteLast(*request, {});
    return grpc::Status::OK;
  }
  grpc::Status ClientStream(grpc::ServerContext* context, grpc::ServerReader<Message>* reader,
                            Message* reply) override {
    Look(*context, seen_);
    while (reader->Read(reply)) {
    }
    return grpc::Status::OK;
  }

  Seen& seen_;
};

class CallbackEcho final : public Echo::CallbackService {
 public:
  explicit CallbackEcho(Seen& seen) : seen_(seen) {}

 private:
  template <typename Base>
  class Reactor : public Base {
   public:
    Reactor(grpc::CallbackServerContext* context, Seen& seen) : context_(context), seen_(seen) {
      Look(*context, seen);
    }
    void OnDone() override {
      seen_.current_when_done = static_cast<bool>(ContextOf(*context_));
      delete this;
    }

   private:
    grpc::CallbackServerContext* context_;
    Seen& seen_;
  };

  grpc::ServerUnaryReactor* Unary(grpc::CallbackServerContext* context, const Message*,
                                  Message*) override {
    class Unary final : public Reactor<grpc::ServerUnaryReactor> {
     public:
      using Reactor::Reactor;
      void OnSendInitialMetadataDone(bool) override { Finish(grpc::Status::OK); }
    };
    auto* const reactor = new Unary(context, seen_);
    reactor->StartSendInitialMetadata();
    return reactor;
  }
  grpc::ServerWriteReactor<Message>* ServerStream(grpc::CallbackServerContext* context,
                                                  const Message* request) override {
    class Stream final : public Reactor<grpc::ServerWriteReactor<Message>> {
     public:
      Stream(grpc::CallbackServerContext* server_context, Seen& seen, const Message* message)
          : Reactor(server_context, seen), message_(*message) {
        StartWrite(&message_);
      }
      void OnWriteDone(bool) override {
        if (++written_ < 2) return StartWrite(&message_);
        StartWriteAndFinish(&message_, {}, grpc::Status::OK);
        written_ = -1000;
      }

     private:
      Message message_;
      int written_ = 0;
    };
    return new Stream(context, seen_, request);
  }
  grpc::ServerReadReactor<Message>* ClientStream(grpc::CallbackServerContext* context,
                                                 Message* reply) override {
    class Reader final : public Reactor<grpc::ServerReadReactor<Message>> {
     public:
      Reader(grpc::CallbackServerContext* server_context, Seen& seen, Message* message)
          : Reactor(server_context, seen), message_(message) {
        StartRead(message_);
      }
      void OnReadDone(bool ok) override { ok ? StartRead(message_) : Finish(grpc::Status::OK); }

     private:
      Message* message_;
    };
    return new Reader(context, seen_, reply);
  }

  Seen& seen_;
};

/// Contexts of the application's own making.
class Allocator final : public grpc::ContextAllocator {
 public:
  explicit Allocator(std::atomic<int>& alive) : alive_(alive) {}
  grpc::CallbackServerContext* NewCallbackServerContext() override {
    ++alive_;
    return new grpc::CallbackServerContext;
  }
  void Release(grpc::CallbackServerContext* context) override {
    --alive_;
    delete context;
  }

 private:
  std::atomic<int>& alive_;
};

enum class Kind { kUnary, kServerStream, kClientStream };

class HandledCallTest : public EchoTest, public ::testing::WithParamInterface<bool> {
 protected:
  bool callback() const { return GetParam(); }

  struct Setup {
    bool guarded = true;
    bool registered = true;  ///< With RegisterService.
    bool others = false;
    bool allocator = false;
    bool server_runs = true;
    std::shared_ptr<Middleware> middleware{};
  };

  void Start(Setup setup) {
    if (callback()) {
      service_ = std::make_unique<CallbackEcho>(seen_);
    } else {
      service_ = std::make_unique<SyncEcho>(seen_);
    }
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    if (setup.guarded && setup.registered) {
      ASSERT_TRUE(RegisterService(builder, service_.get()).ok());
    } else {
      builder.RegisterService(service_.get());
    }
    if (setup.allocator) {
      builder.SetContextAllocator(std::make_unique<Allocator>(contexts_));
    }
    InterceptorOptions options{.tracer = tracer_, .tracing = {.server_runs = setup.server_runs}};
    options.guard_services = setup.guarded;
    if (setup.middleware != nullptr) options.middlewares.emplace_back(setup.middleware);
    std::vector<std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>> others;
    if (setup.others) others.push_back(PassThrough());
    ASSERT_TRUE(InterceptServer(builder, options, std::move(others)).ok());
    plain_server_ = builder.BuildAndStart();
    target_ = "127.0.0.1:" + std::to_string(port);
    plain_channel_ = grpc::CreateChannel(target_, grpc::InsecureChannelCredentials());
    stub_ = Echo::NewStub(plain_channel_);
  }

  /// Ends the server, and so every call.
  void Stop() {
    plain_server_->Shutdown();
    plain_server_.reset();
  }

  grpc::Status Call(Kind kind) {
    context_.emplace();
    return CallWithContext(kind);
  }

  grpc::Status CallWithContext(Kind kind) {
    Message message;
    switch (kind) {
      case Kind::kUnary:
        return stub_->Unary(&*context_, message, &message);
      case Kind::kServerStream: {
        const auto reader = stub_->ServerStream(&*context_, message);
        messages_ = 0;
        while (reader->Read(&message)) ++messages_;
        return reader->Finish();
      }
      case Kind::kClientStream: {
        const auto writer = stub_->ClientStream(&*context_, &message);
        writer->Write(message);
        writer->WritesDone();
        return writer->Finish();
      }
    }
    return {};
  }

  std::shared_ptr<const RunRecord> TheRun() {
    const std::vector<RunRecord> runs = exporter_->Runs();
    EXPECT_EQ(runs.size(), 1U);
    return runs.empty() ? nullptr : std::make_shared<const RunRecord>(runs.front());
  }

  Seen seen_;
  std::atomic<int> contexts_{0};
  std::unique_ptr<grpc::Service> service_;
  std::unique_ptr<grpc::Server> plain_server_;
  std::string target_;
  std::shared_ptr<grpc::Channel> plain_channel_;
  std::unique_ptr<Echo::Stub> stub_;
  std::optional<grpc::ClientContext> context_;
  int messages_ = 0;
};

TEST_P(HandledCallTest, HasNoInterceptorWhereTheHandlerSeesAll) {
  Start({});
  for (const Kind kind : {Kind::kUnary, Kind::kServerStream}) {
    EXPECT_TRUE(Call(kind).ok());
    EXPECT_EQ(seen_.interceptors, 0U);
    EXPECT_TRUE(seen_.current);
  }
  Stop();
  EXPECT_EQ(exporter_->Runs().size(), 2U);
}

TEST_P(HandledCallTest, HasAnInterceptorWhereRequestsAreReadAsAStream) {
  Start({});
  EXPECT_TRUE(Call(Kind::kClientStream).ok());
  EXPECT_EQ(seen_.interceptors, 1U);
  Stop();
  EXPECT_EQ(exporter_->Runs().size(), 1U);
}

TEST_P(HandledCallTest, HasAnInterceptorInAServiceThatIsNotGuarded) {
  Start({.guarded = false});
  EXPECT_TRUE(Call(Kind::kUnary).ok());
  EXPECT_EQ(seen_.interceptors, 1U);
}

TEST_P(HandledCallTest, HasNoInterceptorInAServiceThatTheBuilderRegistered) {
  Start({.registered = false});
  for (const Kind kind : {Kind::kUnary, Kind::kServerStream}) EXPECT_TRUE(Call(kind).ok());
  EXPECT_EQ(seen_.interceptors, 0U);
  EXPECT_TRUE(seen_.current);
  Stop();
  EXPECT_EQ(exporter_->Runs().size(), 2U);
}

TEST_P(HandledCallTest, KeepsItsPlaceAroundOtherInterceptors) {
  Start({.others = true});
  EXPECT_TRUE(Call(Kind::kUnary).ok());
  EXPECT_EQ(seen_.interceptors, 2U);
  EXPECT_TRUE(seen_.current);
}

TEST_P(HandledCallTest, HasNoInterceptorWithoutARunOfTheServer) {
  // Else the caller is told of errors below.
  tracer_ = Tracer::Create({.error_promotion = false, .exporters = {exporter_}}).value();
  Start({.server_runs = false});
  const RunContext caller = RunContext::Root(RunId::New(std::chrono::system_clock::now()),
                                             std::chrono::system_clock::now(), nullptr);
  for (const Kind kind : {Kind::kUnary, Kind::kServerStream, Kind::kClientStream}) {
    seen_.current_when_done = false;
    context_.emplace();
    context_->AddMetadata("langsmith-trace", std::string(caller.dotted_order()));
    EXPECT_TRUE(CallWithContext(kind).ok());
    EXPECT_EQ(seen_.interceptors, 0U);
    EXPECT_TRUE(seen_.current);
  }
  Stop();
  EXPECT_EQ(seen_.current_when_done, callback());
  EXPECT_TRUE(exporter_->Runs().empty());
}

TEST_P(HandledCallTest, CountsTheMessagesOfAStream) {
  Start({});
  EXPECT_TRUE(Call(Kind::kServerStream).ok());
  EXPECT_EQ(messages_, 3);
  Stop();
  const auto run = TheRun();
  EXPECT_THAT(run, weft::testing::HasMetadata("rpc.grpc.messages_sent", std::int64_t{3}));
  EXPECT_THAT(run, weft::testing::HasMetadata("rpc.grpc.messages_received", std::int64_t{1}));
  EXPECT_THAT(run, weft::testing::HasMetadata("weft.server_api", callback() ? "callback" : "sync"));
}

TEST_P(HandledCallTest, LetsMiddlewaresChangeAllThatIsSent) {
  const auto hooks = std::make_shared<Hooks>();
  hooks->on_send = [](weft::Call&, MetadataWriter& metadata) { metadata.Add("first", "1"); };
  hooks->on_send_trailers = [](weft::Call&, MetadataWriter& metadata) {
    metadata.Add("last", "2");
  };
  hooks->on_status = [](weft::Call&, grpc::Status& status) {
    status = grpc::Status(grpc::StatusCode::DATA_LOSS, "changed");
  };
  Start({.middleware = hooks});
  for (const Kind kind : {Kind::kUnary, Kind::kServerStream}) {
    const grpc::Status status = Call(kind);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::DATA_LOSS);
    EXPECT_EQ(status.error_message(), "changed");
    EXPECT_EQ(context_->GetServerInitialMetadata().count("first"), 1U);
    EXPECT_EQ(context_->GetServerTrailingMetadata().count("last"), 1U);
  }
  Stop();
  for (const RunRecord& run : exporter_->Runs()) EXPECT_EQ(run.error, "DATA_LOSS: changed");
}

TEST_P(HandledCallTest, ShowsItsContextUntilTheCallIsReleased) {
  if (!callback()) GTEST_SKIP() << "a synchronous handler returns before the call ends";
  Start({});
  for (const Kind kind : {Kind::kUnary, Kind::kServerStream}) {
    seen_.current_when_done = false;
    EXPECT_TRUE(Call(kind).ok());
  }
  Stop();
  EXPECT_TRUE(seen_.current_when_done);
}

TEST_P(HandledCallTest, WorksWithContextsOfTheApplicationsOwn) {
  if (!callback()) GTEST_SKIP() << "of callback servers only";
  Start({.allocator = true});
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(Call(Kind::kUnary).ok());
  Stop();
  EXPECT_EQ(exporter_->Runs().size(), 10U);
}

TEST_P(HandledCallTest, TracesARequestThatCannotBeRead) {
  Start({});
  grpc::GenericStub generic(plain_channel_);
  grpc::CompletionQueue queue;
  grpc::ClientContext context;
  const grpc::Slice garbage("\xff\xff\xff");
  grpc::ByteBuffer request(&garbage, 1);
  grpc::ByteBuffer reply;
  grpc::Status status;
  const auto call = generic.PrepareUnaryCall(&context, "/echo.Echo/Unary", request, &queue);
  call->StartCall();
  call->Finish(&reply, &status, nullptr);
  void* tag = nullptr;
  bool ok = false;
  ASSERT_TRUE(queue.Next(&tag, &ok));
  EXPECT_FALSE(status.ok());
  Stop();
  const auto run = TheRun();
  ASSERT_NE(run, nullptr);
  EXPECT_EQ(run->DisplayName(), "echo.Echo/Unary");
  EXPECT_TRUE(run->error);
  EXPECT_EQ(seen_.interceptors, 99U) << "the handler ran";
}

class QueuedCallTest : public EchoTest {
 protected:
  ~QueuedCallTest() override {
    plain_server_->Shutdown();
    queue_->Shutdown();
    while (queue_->Next(&tag_, &ok_)) {
    }
  }

  void Start(InterceptorOptions options, bool with_others = false) {
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    ASSERT_TRUE(RegisterService(builder, &service_).ok());
    std::vector<std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>> others;
    if (with_others) others.push_back(PassThrough());
    ASSERT_TRUE(InterceptServer(builder, std::move(options), std::move(others)).ok());
    queue_ = builder.AddCompletionQueue();
    plain_server_ = builder.BuildAndStart();
    stub_ = Echo::NewStub(grpc::CreateChannel("127.0.0.1:" + std::to_string(port),
                                              grpc::InsecureChannelCredentials()));
  }

  using Writer = grpc::ServerAsyncResponseWriter<Message>;
  using Handler = std::function<void(grpc::ServerContext&, Writer&)>;

  /// A call as `caller`. `handler` ends it with the writer as tag, or drops it.
  grpc::Status Call(const RunContext& caller, const Handler& handler) {
    auto server_context = std::make_unique<grpc::ServerContext>();
    auto writer = std::make_unique<Writer>(server_context.get());
    service_.RequestUnary(server_context.get(), &message_, writer.get(), queue_.get(), queue_.get(),
                          &service_);
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
    context.AddMetadata("langsmith-trace", std::string(caller.dotted_order()));
    const auto call = stub_->AsyncUnary(&context, message_, queue_.get());
    grpc::Status status;
    call->Finish(&message_, &status, &status);
    bool ended = false;
    bool finished = false;
    while (!(ended && finished) && queue_->Next(&tag_, &ok_)) {
      if (tag_ == &status) finished = true;
      if (tag_ == writer.get()) ended = true;
      if (tag_ != &service_) continue;
      handler(*server_context, *writer);
      ended = drops_;
      if (!drops_) continue;
      writer.reset();
      server_context.reset();
      context.TryCancel();
    }
    return status;
  }

  static RunContext Caller() {
    const auto now = std::chrono::system_clock::now();
    return RunContext::Root(RunId::New(now), now, nullptr);
  }

  bool drops_ = false;

 private:
  Echo::AsyncService service_;
  std::unique_ptr<grpc::ServerCompletionQueue> queue_;
  std::unique_ptr<grpc::Server> plain_server_;
  std::unique_ptr<Echo::Stub> stub_;
  Message message_;
  void* tag_ = nullptr;
  bool ok_ = false;
};

TEST_F(QueuedCallTest, HasNoInterceptorWithoutARunOfTheServer) {
  tracer_ = Tracer::Create({.error_promotion = false, .exporters = {exporter_}}).value();
  Start({.tracer = tracer_, .tracing = {.server_runs = false}});
  const RunContext caller = Caller();
  const grpc::Status status = Call(caller, [&](grpc::ServerContext& context, Writer& writer) {
    EXPECT_EQ(InterceptorsOf(context), 0U);
    const ContextScope scope(ContextOf(context));
    EXPECT_EQ(CurrentRun().context(), caller);
    writer.Finish({}, grpc::Status::OK, &writer);
  });
  EXPECT_TRUE(status.ok()) << status.error_message();
}

TEST_F(QueuedCallTest, HasARunWithoutAnInterceptor) {
  Start({.tracer = tracer_});
  const RunContext caller = Caller();
  const grpc::Status status = Call(caller, [](grpc::ServerContext& context, Writer& writer) {
    EXPECT_EQ(InterceptorsOf(context), 0U);
    EXPECT_FALSE(context.IsCancelled());
    const ContextScope scope(ContextOf(context));
    EXPECT_TRUE(CurrentRun());
    writer.Finish({}, grpc::Status::OK, &writer);
  });
  EXPECT_TRUE(status.ok()) << status.error_message();
  ASSERT_EQ(exporter_->Runs().size(), 1U);
  const auto run = std::make_shared<const RunRecord>(exporter_->Runs().front());
  EXPECT_EQ(run->context.parent_id(), caller.id());
  EXPECT_THAT(run, weft::testing::HasMetadata("weft.server_api", "cq"));
}

TEST_F(QueuedCallTest, IsSeenWhereNothingWantedItsServiceWhenTheServerStarted) {
  const auto wanted = std::make_shared<std::atomic<bool>>(false);
  const auto selects = [wanted](std::string_view /*method*/) { return wanted->load(); };
  Start({.tracer = tracer_, .selector = Selector::Matching(selects)});
  *wanted = true;
  const InterceptorStats before = GetInterceptorStats();
  const grpc::Status status = Call(Caller(), [](grpc::ServerContext& context, Writer& writer) {
    EXPECT_EQ(InterceptorsOf(context), 1U);
    const ContextScope scope(ContextOf(context));
    EXPECT_TRUE(CurrentRun());
    writer.Finish({}, grpc::Status::OK, &writer);
  });
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(GetInterceptorStats().server_started - before.server_started, 1U);
}

TEST_F(QueuedCallTest, KeepsItsPlaceAroundOtherInterceptors) {
  Start({.tracer = tracer_}, /*with_others=*/true);
  const grpc::Status status = Call(Caller(), [](grpc::ServerContext& context, Writer& writer) {
    EXPECT_EQ(InterceptorsOf(context), 2U);
    writer.FinishWithError(grpc::Status(grpc::StatusCode::INTERNAL, "broken"), &writer);
  });
  EXPECT_EQ(status.error_message(), "broken");
}

TEST_F(QueuedCallTest, EndsWithTheContextOfACallThatIsDropped) {
  Start({.tracer = tracer_});
  drops_ = true;
  EXPECT_EQ(Call(Caller(), [](grpc::ServerContext&, Writer&) {}).error_code(),
            grpc::StatusCode::CANCELLED);
  ASSERT_EQ(exporter_->Runs().size(), 1U);
  const auto run = std::make_shared<const RunRecord>(exporter_->Runs().front());
  EXPECT_THAT(run, weft::testing::HasMetadata("weft.abandoned", true));
  EXPECT_THAT(run, weft::testing::HasMetadata("weft.cancelled", true));
}

/// Whose state takes long to destroy.
class Heavy : public Middleware {
 public:
  CallStateType call_state() const noexcept override { return CallStateType::Of<State>(); }
  void OnStart(Call& call) noexcept override {
    call.state<State>().live = live_;
    call.state<State>().weight.assign(200'000, 0);
  }
  long live() const noexcept { return live_.use_count() - 1; }

 private:
  struct State {
    std::shared_ptr<int> live;
    std::list<int> weight;
  };
  std::shared_ptr<int> live_ = std::make_shared<int>();
};

class CallbackCallTest : public EchoTest {};

TEST_F(CallbackCallTest, LeavesNothingBehindWhenTheServerHasShutDown) {
  const auto heavy = std::make_shared<Heavy>();
  Serve(Flavour::kCallback, {.tracer = tracer_, .middlewares = {heavy}}, {.tracer = tracer_});
  grpc::ClientContext context;
  EXPECT_TRUE(CallSync(RpcKind::kUnary, channel_, context).ok());
  server_->Shutdown();
  EXPECT_EQ(heavy->live(), 0);
}

INSTANTIATE_TEST_SUITE_P(All, HandledCallTest, ::testing::Bool(),
                         [](const auto& param) { return param.param ? "Callback" : "Sync"; });

}  // namespace
}  // namespace weft::echo_test
