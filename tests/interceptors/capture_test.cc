// SPDX-License-Identifier: Apache-2.0
#include <memory>
#include <sstream>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>
#include <gtest/gtest.h>

#include <weft/testing/run_matchers.h>
#include <weft/tracing/run.h>

#include "echo.grpc.pb.h"
#include "echo_client.h"
#include "fixture.h"

namespace weft::echo_test {
namespace {

using ::testing::Combine;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::Values;

const JsonObject kPing = {{"text", "ping"}};
const JsonObject kPong = {{"text", "pong"}};

class CaptureTest : public EchoTest {
 protected:
  InterceptorOptions Capturing(Capture capture) const {
    capture.messages = true;
    return {.tracer = tracer_, .tracing = {.capture = std::move(capture)}};
  }
  void ServeCapturing(Flavour flavour, const Capture& capture = {}) {
    Serve(flavour, Capturing(capture), Capturing(capture));
    server_->progress().reply_text = "pong";
  }
  grpc::Status Call(RpcKind kind, const std::string& text = "ping",
                    ClientApi api = ClientApi::kSync) {
    grpc::ClientContext context;
    return CallEcho(api, kind, channel_, context, text);
  }
  /// The client's run of the only call, and the server's.
  std::vector<RunRecord> Finish(RpcKind kind) {
    channel_.reset();
    server_->Shutdown();
    std::vector<RunRecord> runs;
    for (const auto& run : exporter_->Tree().FindRuns(RunNameOf(kind))) runs.push_back(*run);
    EXPECT_THAT(runs, SizeIs(2));
    runs.resize(2);
    return runs;
  }
};

/// The messages of a stream in `direction`.
std::vector<JsonObject> Messages(const RunRecord& run, const char* direction) {
  std::vector<JsonObject> messages;
  for (const RunEvent& event : run.events) {
    if (event.name != "message" || event.kwargs.at("type") != Json(direction)) continue;
    EXPECT_EQ(event.kwargs.at("id"), Json(messages.size() + 1));
    messages.push_back(event.kwargs.at("message").as_object());
  }
  return messages;
}

/// That `run` shows the requests and replies of a call of `kind`, of which the handler said
/// `reply`.
void ExpectMessages(const RunRecord& run, RpcKind kind, bool is_client) {
  const char* const request = is_client ? "SENT" : "RECEIVED";
  const char* const reply = is_client ? "RECEIVED" : "SENT";
  if (kind == RpcKind::kUnary || kind == RpcKind::kServerStream) {
    EXPECT_EQ(run.inputs, kPing);
    EXPECT_THAT(Messages(run, request), IsEmpty());
  } else {
    EXPECT_THAT(run.inputs, IsEmpty());
    EXPECT_THAT(Messages(run, request), ElementsAre(kPing, kPing));
  }
  if (kind == RpcKind::kUnary || kind == RpcKind::kClientStream) {
    EXPECT_EQ(run.outputs, kPong);
    EXPECT_THAT(Messages(run, reply), IsEmpty());
  } else {
    EXPECT_FALSE(run.outputs.has_value());
    const JsonObject& expected = kind == RpcKind::kBidiStream ? kPing : kPong;
    EXPECT_THAT(Messages(run, reply), ElementsAre(expected, expected));
  }
}

const auto kKinds =
    Values(RpcKind::kUnary, RpcKind::kClientStream, RpcKind::kServerStream, RpcKind::kBidiStream);

template <typename Param>
std::string NameOf(const ::testing::TestParamInfo<std::tuple<Param, RpcKind>>& param) {
  std::ostringstream name;
  name << std::get<0>(param.param) << '_' << RpcKindName(std::get<1>(param.param));
  return name.str();
}

class ServerCapture : public CaptureTest,
                      public ::testing::WithParamInterface<std::tuple<Flavour, RpcKind>> {};

TEST_P(ServerCapture, ShowsRequestsAndReplies) {
  const auto& [flavour, kind] = GetParam();
  ServeCapturing(flavour);
  EXPECT_TRUE(Call(kind).ok());
  const auto runs = Finish(kind);
  ExpectMessages(runs[0], kind, true);
  ExpectMessages(runs[1], kind, false);
}

INSTANTIATE_TEST_SUITE_P(All, ServerCapture,
                         Combine(Values(Flavour::kSync, Flavour::kCallback, Flavour::kCq,
                                        Flavour::kGenericCq, Flavour::kGenericCallback,
                                        Flavour::kFiber),
                                 kKinds),
                         NameOf<Flavour>);

class ClientCapture : public CaptureTest,
                      public ::testing::WithParamInterface<std::tuple<ClientApi, RpcKind>> {};

TEST_P(ClientCapture, ShowsRequestsAndReplies) {
  const auto& [api, kind] = GetParam();
  ServeCapturing(Flavour::kSync);
  EXPECT_TRUE(Call(kind, "ping", api).ok());
  ExpectMessages(Finish(kind)[0], kind, true);
}

INSTANTIATE_TEST_SUITE_P(All, ClientCapture,
                         Combine(Values(ClientApi::kSync, ClientApi::kCallback, ClientApi::kCq),
                                 kKinds),
                         NameOf<ClientApi>);

TEST_F(CaptureTest, OfAGenericStubIsToldThatItsMessagesAreBytes) {
  auto client = Capturing({});
  client.byte_buffers = "/echo.Echo/*";
  Serve(Flavour::kSync, {.tracer = tracer_}, std::move(client));
  server_->progress().reply_text = "pong";
  EXPECT_TRUE(Call(RpcKind::kUnary, "ping", ClientApi::kGenericCq).ok());
  ExpectMessages(Finish(RpcKind::kUnary)[0], RpcKind::kUnary, true);
}

TEST_F(CaptureTest, OfAGenericStubShowsNothingThatItDoesNotKnow) {
  ServeCapturing(Flavour::kSync);
  EXPECT_TRUE(Call(RpcKind::kUnary, "ping", ClientApi::kGenericCq).ok());
  const auto runs = Finish(RpcKind::kUnary);
  EXPECT_EQ(runs[0].inputs, kPing);
  EXPECT_EQ(runs[0].outputs, (JsonObject{{"weft_unknown_message", true}}));
}

TEST_F(CaptureTest, FindsMethodsWithoutGeneratedCodeInAPool) {
  google::protobuf::FileDescriptorProto file;
  file.set_name("shop.proto");
  file.set_package("shop");
  auto& item = *file.add_message_type();
  item.set_name("Item");
  auto& name = *item.add_field();
  name.set_name("item_name");
  name.set_number(1);
  name.set_type(google::protobuf::FieldDescriptorProto::TYPE_STRING);
  name.set_label(google::protobuf::FieldDescriptorProto::LABEL_OPTIONAL);
  auto& service = *file.add_service();
  service.set_name("Cart");
  auto& method = *service.add_method();
  method.set_name("Add");
  method.set_input_type(".shop.Item");
  method.set_output_type(".shop.Item");
  const auto pool = std::make_shared<google::protobuf::DescriptorPool>();
  ASSERT_NE(pool->BuildFile(file), nullptr);
  ServeCapturing(Flavour::kGenericCallback, {.descriptors = pool});
  grpc::ClientContext context;
  EXPECT_TRUE(CallMethod("/shop.Cart/Add", channel_, context, "ping").ok());
  channel_.reset();
  server_->Shutdown();
  const auto runs = exporter_->Tree().FindRuns("shop.Cart/Add");
  ASSERT_THAT(runs, SizeIs(2));
  for (const auto& run : runs) EXPECT_EQ(run->inputs, (JsonObject{{"itemName", "ping"}}));
}

TEST_F(CaptureTest, IsOffUnlessItIsAskedFor) {
  Serve(Flavour::kSync);
  EXPECT_TRUE(Call(RpcKind::kUnary).ok());
  for (const RunRecord& run : Finish(RpcKind::kUnary)) {
    EXPECT_THAT(run.inputs, IsEmpty());
    EXPECT_FALSE(run.outputs.has_value());
  }
}

TEST_F(CaptureTest, IsDecidedByMethod) {
  ServeCapturing(Flavour::kSync, {.selector = "/*/Bidi"});
  EXPECT_TRUE(Call(RpcKind::kUnary).ok());
  for (const RunRecord& run : Finish(RpcKind::kUnary)) EXPECT_THAT(run.inputs, IsEmpty());
}

TEST_F(CaptureTest, CutsWhatIsTooLarge) {
  ServeCapturing(Flavour::kSync, {.max_bytes = 100});
  EXPECT_TRUE(Call(RpcKind::kUnary, std::string(1000, 'x')).ok());
  for (const RunRecord& run : Finish(RpcKind::kUnary)) {
    const JsonObject& cut = run.inputs;
    EXPECT_EQ(cut.at("weft_truncated").at("bytes"), Json(1003));
    EXPECT_THAT(std::string(cut.at("text").as_string()), ::testing::MatchesRegex("x{90,100}"));
    EXPECT_EQ(run.outputs, kPong);
  }
}

class LongStreams : public CaptureTest {
 protected:
  /// A stream of the messages "0", "1" ... each way.
  void Exchange(int count) {
    grpc::ClientContext context;
    const auto stub = ::echo::Echo::NewStub(channel_);
    auto call = stub->Bidi(&context);
    ::echo::Message message;
    for (int i = 0; i < count; ++i) {
      message.set_text(std::to_string(i));
      ASSERT_TRUE(call->Write(message) && call->Read(&message));
    }
    call->WritesDone();
    EXPECT_TRUE(call->Finish().ok());
  }
  static std::vector<std::string> Said(const RunRecord& run, const char* direction) {
    std::vector<std::string> said;
    for (const RunEvent& event : run.events) {
      if (event.kwargs.at("type") != Json(direction)) continue;
      said.push_back(event.name == "message"
                         ? event.kwargs.at("message").at("text").as_string().c_str()
                         : std::to_string(event.kwargs.at("count").to_number<int>()) + " of " +
                               std::to_string(event.kwargs.at("bytes").to_number<int>()));
    }
    return said;
  }
};

TEST_F(LongStreams, ShowTheFirstMessagesAndTheLast) {
  ServeCapturing(Flavour::kSync, {.max_messages = 5});
  Exchange(9);
  for (const RunRecord& run : Finish(RpcKind::kBidiStream)) {
    for (const char* direction : {"SENT", "RECEIVED"}) {
      EXPECT_THAT(Said(run, direction), ElementsAre("0", "1", "2", "4 of 12", "7", "8"));
    }
  }
}

TEST_F(LongStreams, ShowAsManyBytesAsTheyMay) {
  ServeCapturing(Flavour::kSync, {.max_bytes = 12});
  Exchange(9);
  for (const RunRecord& run : Finish(RpcKind::kBidiStream)) {
    EXPECT_THAT(Said(run, "SENT"), ElementsAre("0", "1", "5 of 15", "7", "8"));
  }
}

TEST_F(LongStreams, ThatShowNoMessagesCountThem) {
  ServeCapturing(Flavour::kSync, {.max_messages = 0});
  Exchange(3);
  for (const RunRecord& run : Finish(RpcKind::kBidiStream)) {
    EXPECT_THAT(Said(run, "SENT"), ElementsAre("3 of 9"));
  }
}

TEST_F(CaptureTest, IsHiddenWithInputsAndOutputs) {
  tracer_ = Tracer::Create({.hide_inputs = true, .exporters = {exporter_}}).value();
  ServeCapturing(Flavour::kSync);
  EXPECT_TRUE(Call(RpcKind::kServerStream).ok());
  for (const RunRecord& run : Finish(RpcKind::kServerStream)) {
    EXPECT_THAT(run.inputs, IsEmpty());
    EXPECT_THAT(run.events, SizeIs(2));
  }
}

TEST_F(CaptureTest, IsRedacted) {
  tracer_ = Tracer::Create(
                {.redaction = {.presets = {RedactionPreset::kEmail}}, .exporters = {exporter_}})
                .value();
  ServeCapturing(Flavour::kSync);
  EXPECT_TRUE(Call(RpcKind::kUnary, "mail a@b.org").ok());
  for (const RunRecord& run : Finish(RpcKind::kUnary)) {
    EXPECT_EQ(run.inputs.at("text"), Json("mail [redacted]"));
  }
}

TEST_F(CaptureTest, OfACallThatStaysOpenShowsItsRequest) {
  tracer_ =
      Tracer::Create({.open_run_delay = std::chrono::milliseconds(0), .exporters = {exporter_}})
          .value();
  ServeCapturing(Flavour::kSync);
  grpc::ClientContext context;
  context.AddMetadata(kBehaviour, kOk);
  EXPECT_TRUE(CallSync(RpcKind::kUnary, channel_, context, "ping").ok());
  const auto runs = Finish(RpcKind::kUnary);
  ExpectMessages(runs[0], RpcKind::kUnary, true);
  ExpectMessages(runs[1], RpcKind::kUnary, false);
}

TEST_F(CaptureTest, OfHeadersLeavesOutCredentials) {
  const Capture capture = {.headers = {"x-user", "authorization", "cookie", "x-api-key", "x-token",
                                       "trace-bin", "x-absent"}};
  const InterceptorOptions options = {.tracer = tracer_, .tracing = {.capture = capture}};
  Serve(Flavour::kSync, options, options);
  grpc::ClientContext context;
  for (const char* key :
       {"x-user", "authorization", "cookie", "x-api-key", "x-token", "trace-bin"}) {
    context.AddMetadata(key, "one");
  }
  context.AddMetadata("x-user", "two");
  EXPECT_TRUE(CallSync(RpcKind::kUnary, channel_, context, "ping").ok());
  for (const RunRecord& run : Finish(RpcKind::kUnary)) {
    std::vector<std::string> captured;
    for (const auto& [key, value] : run.AllMetadata()) {
      if (key.starts_with("rpc.grpc.request.metadata.")) captured.emplace_back(key);
    }
    EXPECT_THAT(captured, ElementsAre("rpc.grpc.request.metadata.x-user"));
    EXPECT_EQ(run.AllMetadata().at(captured.front()), Json("one, two"));
    EXPECT_THAT(run.inputs, IsEmpty());
  }
}

}  // namespace
}  // namespace weft::echo_test
