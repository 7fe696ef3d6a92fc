// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <atomic>
#include <memory>
#include <sstream>
#include <string>
#include <string_view>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <grpcpp/server_builder.h>
#include <gtest/gtest.h>

#include <weft/context/context_scope.h>
#include <weft/interceptors/intercept_server.h>
#include <weft/testing/run_matchers.h>
#include <weft/tracing/run.h>

#include "echo.grpc.pb.h"
#include "echo_client.h"
#include "fixture.h"
#include "per_message.grpc.pb.h"

namespace weft::echo_test {
namespace {

using per_message_test::Item;
using ::testing::AnyOf;
using ::testing::Combine;
using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::Values;
using weft::testing::HasParent;
using weft::testing::RunInTree;
using weft::testing::RunTree;

class PerMessageTest : public EchoTest {
 protected:
  InterceptorOptions PerMessageOptions(PerMessage per_message = {.field = "text"}) const {
    return {.tracer = tracer_, .tracing = {.per_message = std::move(per_message)}};
  }
  RunTree Finish() {
    channel_.reset();
    server_->Shutdown();
    return exporter_->Tree();
  }
};

bool IsOfClient(const RunInTree& run) { return run->AllMetadata().contains("server.address"); }

class PerMessageFlavours : public PerMessageTest,
                           public ::testing::WithParamInterface<std::tuple<Flavour, RpcKind>> {};

TEST_P(PerMessageFlavours, EveryMessageIsAChildOfTheOneThatWasSent) {
  const auto& [flavour, kind] = GetParam();
  Serve(flavour, PerMessageOptions(), PerMessageOptions());
  server_->progress().on_message = [] {
    const ContextScope scope(MessageContext());
    const weft::Run step("step");
  };
  grpc::ClientContext context;
  EXPECT_TRUE(CallSync(kind, channel_, context, "").ok());
  const RunTree tree = Finish();
  const std::string name = RunNameOf(kind);
  int requests = 0;
  int replies = 0;
  for (const RunInTree& sent : tree.FindRuns(name + " sent")) {
    ASSERT_THAT(sent.Children(), SizeIs(1)) << tree;
    EXPECT_EQ(sent.Children()[0]->name, "") << tree;
    EXPECT_EQ(sent.Children()[0]->DisplayName(), name + " received");
    const bool is_request = IsOfClient(sent.Parent());
    ++(is_request ? requests : replies);
    // What a reactor starts before its method has returned, gRPC sends when it returns.
    if (is_request || flavour != Flavour::kCallback) {
      EXPECT_THAT(sent, HasParent(is_request ? name : "work"));
    } else {
      EXPECT_THAT(sent, AnyOf(HasParent("work"), HasParent(name)));
    }
    EXPECT_THAT(sent.Children()[0].Children(), SizeIs(is_request ? 1 : 0)) << tree;
  }
  EXPECT_EQ(requests, kind == RpcKind::kServerStream ? 0 : 2) << tree;
  EXPECT_EQ(replies, kind == RpcKind::kClientStream ? 0 : 2) << tree;
  EXPECT_THAT(tree.FindRuns(name + " received"), SizeIs(requests + replies));
  EXPECT_THAT(tree.FindRuns("step"), SizeIs(requests));
  EXPECT_THAT(tree.Roots(), SizeIs(1)) << tree;
}

std::string NameOf(const ::testing::TestParamInfo<std::tuple<Flavour, RpcKind>>& param) {
  std::ostringstream name;
  name << std::get<0>(param.param) << '_' << RpcKindName(std::get<1>(param.param));
  return name.str();
}

INSTANTIATE_TEST_SUITE_P(
    All, PerMessageFlavours,
    Combine(Values(Flavour::kSync, Flavour::kCallback, Flavour::kCq, Flavour::kGenericCq,
                   Flavour::kGenericCallback, Flavour::kFiber),
            Values(RpcKind::kClientStream, RpcKind::kServerStream, RpcKind::kBidiStream)),
    NameOf);

/// Notes how many messages reach the application with fields that it does not know, as far as a
/// middleware inside of the tracing sees.
class UnknownFields : public Middleware {
 public:
  bool wants_messages(const MethodDescription&) const noexcept override { return true; }
  void OnMessage(Call&, const MessageView& view) noexcept override {
    if (view.direction != MessageView::Direction::kReceived) return;
    const auto* const message = view.message();
    if (message == nullptr) return;
    ++seen;
    if (!message->GetReflection()->GetUnknownFields(*message).empty()) ++unknown;
    if (message->GetReflection()->GetString(*message, message->GetDescriptor()->field(0)) == "hi") {
      ++intact;
    }
  }
  std::atomic<int> seen{0};
  std::atomic<int> unknown{0};
  std::atomic<int> intact{0};
};

class Envelopes : public PerMessageFlavours {
 protected:
  InterceptorOptions With(bool envelope) {
    auto options = PerMessageOptions(PerMessage{.envelope = envelope});
    options.middlewares = {unknown_};
    return options;
  }
  void Talk(RpcKind kind, int times) {
    server_->progress().reply_text = "hi";
    for (int i = 0; i < times; ++i) {
      grpc::ClientContext context;
      EXPECT_TRUE(CallSync(kind, channel_, context, "hi").ok());
    }
  }
  std::shared_ptr<UnknownFields> unknown_ = std::make_shared<UnknownFields>();
};

TEST_P(Envelopes, CarryRunsBetweenPeersThatTakeThemOut) {
  const auto& [flavour, kind] = GetParam();
  Serve(flavour, With(true), With(true));
  constexpr int kCalls = 3;
  Talk(kind, kCalls);
  const RunTree tree = Finish();
  const auto sent = tree.FindRuns(RunNameOf(kind) + " sent");
  const auto received = tree.FindRuns(RunNameOf(kind) + " received");
  ASSERT_EQ(sent.size(), received.size());
  // Of the first stream, what went out before the server's answer had none.
  const auto carried = std::count_if(received.begin(), received.end(), [](const auto& run) {
    return std::string_view(run.Parent()->DisplayName()).ends_with(" sent");
  });
  const std::size_t uncarried = received.size() - static_cast<std::size_t>(carried);
  EXPECT_LE(uncarried, kind == RpcKind::kServerStream ? 0u : 2u) << tree;
  EXPECT_EQ(unknown_->unknown, 0);
  EXPECT_EQ(unknown_->intact, unknown_->seen);
  EXPECT_GT(unknown_->seen, kCalls);
}

INSTANTIATE_TEST_SUITE_P(
    All, Envelopes,
    Combine(Values(Flavour::kSync, Flavour::kCallback, Flavour::kCq, Flavour::kGenericCq,
                   Flavour::kGenericCallback, Flavour::kFiber),
            Values(RpcKind::kClientStream, RpcKind::kServerStream, RpcKind::kBidiStream)),
    NameOf);

class EnvelopeNegotiation : public PerMessageTest, public ::testing::WithParamInterface<bool> {};

TEST_P(EnvelopeNegotiation, SendsNothingToAPeerThatDoesNotTakeIt) {
  const bool server_takes = GetParam();
  const auto unknown = std::make_shared<UnknownFields>();
  InterceptorOptions taking = PerMessageOptions(PerMessage{});
  InterceptorOptions other = PerMessageOptions(PerMessage{.envelope = false});
  taking.middlewares = {unknown};
  other.middlewares = {unknown};
  Serve(Flavour::kSync, server_takes ? taking : other, server_takes ? other : taking);
  for (int i = 0; i < 2; ++i) {
    grpc::ClientContext context;
    EXPECT_TRUE(CallSync(RpcKind::kBidiStream, channel_, context, "hi").ok());
  }
  const RunTree tree = Finish();
  EXPECT_EQ(unknown->unknown, 0);
  EXPECT_EQ(unknown->seen, 8);
  EXPECT_THAT(tree.FindRuns("echo.Echo/Bidi received"), Each(HasParent("echo.Echo/Bidi")));
}

INSTANTIATE_TEST_SUITE_P(All, EnvelopeNegotiation, Values(false, true));

class ManyStreams : public PerMessageTest, public ::testing::WithParamInterface<Flavour> {};

TEST_P(ManyStreams, EndTheRunsOfTheirMessagesHoweverTheyEnd) {
  constexpr int kThreads = 4;
  constexpr int kCalls = 30;
  auto options = PerMessageOptions(PerMessage{});
  options.tracing.capture = {.messages = true, .max_messages = 1};
  Serve(GetParam(), options, options, /*workers=*/4);
  server_->progress().on_message = [] {
    const ContextScope scope(MessageContext());
    const weft::Run step("step");
  };
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < kCalls; ++i) {
        if (i % 3 != 0) {
          grpc::ClientContext context;
          EXPECT_TRUE(CallSync(RpcKind::kBidiStream, channel_, context, "hi").ok());
          continue;
        }
        grpc::ClientContext context;
        const auto call = ::echo::Echo::NewStub(channel_)->Bidi(&context);
        ::echo::Message message;
        if (call->Write(message) && i % 2 == 0) call->Read(&message);
        context.TryCancel();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  const RunTree tree = Finish();
  EXPECT_EQ(tree.Roots().size(), std::size_t{kThreads} * kCalls);
  for (const char* name : {"echo.Echo/Bidi sent", "echo.Echo/Bidi received"}) {
    const auto runs = tree.FindRuns(name);
    EXPECT_GE(runs.size(), std::size_t{kThreads} * kCalls);
    for (const RunInTree& run : runs) EXPECT_TRUE(run->end.has_value());
  }
}

INSTANTIATE_TEST_SUITE_P(All, ManyStreams,
                         Values(Flavour::kSync, Flavour::kCallback, Flavour::kCq,
                                Flavour::kGenericCq, Flavour::kGenericCallback, Flavour::kFiber),
                         [](const auto& param) {
                           std::ostringstream name;
                           name << param.param;
                           return name.str();
                         });

TEST_F(PerMessageTest, LeavesMessagesAloneThatAreLarge) {
  const auto unknown = std::make_shared<UnknownFields>();
  auto options = PerMessageOptions(PerMessage{});
  options.middlewares = {unknown};
  Serve(Flavour::kSync, options, options);
  for (int i = 0; i < 2; ++i) {
    grpc::ClientContext context;
    // As large as a receiver takes.
    const std::string text((std::size_t{4} << 20) - 5, 'x');
    EXPECT_TRUE(CallSync(RpcKind::kBidiStream, channel_, context, text).ok());
  }
  EXPECT_EQ(unknown->seen, 8);
}

class PerMessageClients : public PerMessageTest, public ::testing::WithParamInterface<ClientApi> {};

TEST_P(PerMessageClients, SendAndReceiveWithRuns) {
  Serve(Flavour::kSync, PerMessageOptions(), PerMessageOptions());
  grpc::ClientContext context;
  EXPECT_TRUE(CallEcho(GetParam(), RpcKind::kBidiStream, channel_, context).ok());
  const RunTree tree = Finish();
  const auto received = tree.FindRuns("echo.Echo/Bidi received");
  EXPECT_THAT(received, SizeIs(4)) << tree;
  EXPECT_THAT(received, Each(HasParent("echo.Echo/Bidi sent")));
}

INSTANTIATE_TEST_SUITE_P(All, PerMessageClients,
                         Values(ClientApi::kSync, ClientApi::kCallback, ClientApi::kCq),
                         [](const auto& param) {
                           std::ostringstream name;
                           name << param.param;
                           return name.str();
                         });

TEST_F(PerMessageTest, WithoutAFieldMessagesAreChildrenOfTheirStreams) {
  const PerMessage bare = {.envelope = false};
  Serve(Flavour::kSync, PerMessageOptions(bare), PerMessageOptions(bare));
  grpc::ClientContext context;
  EXPECT_TRUE(CallSync(RpcKind::kClientStream, channel_, context).ok());
  const RunTree tree = Finish();
  EXPECT_THAT(tree.FindRuns("echo.Echo/ClientStream sent"), SizeIs(2));
  EXPECT_THAT(tree.FindRuns("echo.Echo/ClientStream received"),
              Each(HasParent("echo.Echo/ClientStream")));
}

TEST_F(PerMessageTest, OfAPeerThatDoesNotDoItIsOneSided) {
  Serve(Flavour::kSync, PerMessageOptions(), {.tracer = tracer_});
  grpc::ClientContext context;
  EXPECT_TRUE(CallSync(RpcKind::kClientStream, channel_, context, "hello").ok());
  const RunTree tree = Finish();
  EXPECT_THAT(tree.FindRuns("echo.Echo/ClientStream sent"), IsEmpty());
  const auto received = tree.FindRuns("echo.Echo/ClientStream received");
  EXPECT_THAT(received, SizeIs(2));
  for (const RunInTree& run : received) EXPECT_FALSE(IsOfClient(run.Parent()));
}

TEST_F(PerMessageTest, IsDecidedByMethodAndNeverOfUnaryCalls) {
  const PerMessage per_message = {.selector = "/*/Bidi", .field = "text"};
  Serve(Flavour::kSync, PerMessageOptions(per_message), PerMessageOptions(per_message));
  for (const RpcKind kind : {RpcKind::kUnary, RpcKind::kClientStream}) {
    grpc::ClientContext context;
    EXPECT_TRUE(CallSync(kind, channel_, context, "hello").ok());
  }
  EXPECT_EQ(Finish().size(), 6u);
}

TEST_F(PerMessageTest, IsSilentWhereTracingIs) {
  tracer_ = Tracer::Create({.sampling_rate = 0.0, .exporters = {exporter_}}).value();
  Serve(Flavour::kSync, PerMessageOptions(), PerMessageOptions());
  std::string said;
  grpc::ClientContext context;
  const auto call = ::echo::Echo::NewStub(channel_)->Bidi(&context);
  ::echo::Message message;
  message.set_text("hello");
  ASSERT_TRUE(call->Write(message));
  ASSERT_TRUE(call->Read(&message));
  EXPECT_EQ(message.text(), "hello");
  call->WritesDone();
  EXPECT_TRUE(call->Finish().ok());
  EXPECT_EQ(Finish().size(), 0u);
}

/// Notes what arrives, and answers.
class QueueService final : public per_message_test::Queue::Service {
 public:
  grpc::Status Consume(grpc::ServerContext*,
                       grpc::ServerReaderWriter<Item, Item>* stream) override {
    Item item;
    while (stream->Read(&item)) {
      carried.push_back(item.langsmith_trace());
      const ContextScope scope(MessageContext(item));
      const weft::Run handle("handle " + item.text());
      stream->Write(item);
    }
    return grpc::Status::OK;
  }
  std::vector<std::string> carried;
};

class TraceField : public PerMessageTest {
 protected:
  TraceField() {
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(&service_);
    EXPECT_TRUE(InterceptServer(builder, PerMessageOptions(PerMessage{})).ok());
    server_ = builder.BuildAndStart();
    channel_ = CreateChannel("127.0.0.1:" + std::to_string(port),
                             grpc::InsecureChannelCredentials(), PerMessageOptions(PerMessage{}));
  }
  void Send(const std::vector<Item>& items) {
    grpc::ClientContext context;
    const auto call = per_message_test::Queue::NewStub(channel_)->Consume(&context);
    for (const Item& item : items) {
      ASSERT_TRUE(call->Write(item));
      Item reply;
      ASSERT_TRUE(call->Read(&reply));
      const ContextScope scope(MessageContext(reply));
      const weft::Run got("got " + reply.text());
    }
    call->WritesDone();
    EXPECT_TRUE(call->Finish().ok());
  }
  RunTree Runs() {
    channel_.reset();
    server_->Shutdown();
    server_.reset();
    return exporter_->Tree();
  }
  static Item Of(const std::string& text, const std::string& trace = {}) {
    Item item;
    item.set_text(text);
    item.set_langsmith_trace(trace);
    return item;
  }

  QueueService service_;
  std::unique_ptr<grpc::Server> server_;
};

constexpr char kConsume[] = "per_message_test.Queue/Consume";

TEST_F(TraceField, IsTheOneWithTheOption) {
  Send({Of("a"), Of("b")});
  const RunTree tree = Runs();
  ASSERT_THAT(service_.carried, SizeIs(2));
  for (const std::string& text : {std::string("a"), std::string("b")}) {
    const RunInTree handle = tree.FindRun("handle " + text);
    EXPECT_THAT(handle, HasParent(std::string(kConsume) + " received")) << tree;
    EXPECT_THAT(handle.Parent(), HasParent(std::string(kConsume) + " sent"));
    // The reply goes out below what its sender does, although the request's field was copied.
    EXPECT_THAT(tree.FindRun("got " + text).Parent().Parent(), HasParent("handle " + text)) << tree;
    EXPECT_THAT(service_.carried,
                ::testing::Contains(std::string(handle.Parent().Parent()->context.dotted_order())));
  }
  for (const RunInTree& run : tree.FindRuns(std::string(kConsume) + " received")) {
    EXPECT_TRUE(run->end.has_value());
    EXPECT_TRUE(run->AllMetadata().contains("rpc.message.id"));
  }
}

TEST_F(TraceField, OfAnotherTraceIsALink) {
  constexpr char kOther[] = "20260102T030405000000Z019b7a00-0000-7000-8000-000000000001";
  Send({Of("a", kOther), Of("b", "no dotted order")});
  const RunTree tree = Runs();
  const auto sent = tree.FindRuns(std::string(kConsume) + " sent");
  const auto linked = [](const RunInTree& run) {
    return run->AllMetadata().contains("weft_links")
               ? boost::json::serialize(run->AllMetadata().at("weft_links"))
               : std::string();
  };
  EXPECT_EQ(std::count_if(sent.begin(), sent.end(),
                          [&](const auto& run) { return !linked(run).empty(); }),
            1);
  for (const RunInTree& run : tree.FindRuns(kConsume)) {
    if (!IsOfClient(run)) continue;
    EXPECT_THAT(linked(run), HasSubstr("019b7a00-0000-7000-8000-000000000001"));
  }
  EXPECT_THAT(tree.Roots(), SizeIs(1)) << tree;
}

TEST(MessageContextTest, IsTheCurrentOneElsewhere) {
  constexpr static ContextKey<int> kKey;
  const ContextScope scope(Context::Current().With(kKey, 7));
  EXPECT_EQ(MessageContext(), Context::Current());
  EXPECT_EQ(MessageContext(Item()), Context::Current());
  EXPECT_EQ(MessageContext(grpc::ByteBuffer()), Context::Current());
}

}  // namespace
}  // namespace weft::echo_test
