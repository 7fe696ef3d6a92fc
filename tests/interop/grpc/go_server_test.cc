// SPDX-License-Identifier: Apache-2.0
// gRPC's interop cases: intercepted clients against the server of grpc-go.
#include <chrono>
#include <string>

#include <weft/async/call.h>
#include <weft/async/stream.h>
#include <weft/testing/run_matchers.h>

#include "go_server_fixture.h"

namespace weft::interop {
namespace {

using Stub = pb::TestService::Stub;

constexpr char kSpecialMessage[] =
    "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n";
constexpr char kInitialKey[] = "x-grpc-test-echo-initial";
constexpr char kInitialValue[] = "test_initial_metadata_value";
constexpr char kTrailingKey[] = "x-grpc-test-echo-trailing-bin";
constexpr char kTrailingValue[] = "\x0a\x0b\x0a\x0b\x0a\x0b";

void AddMetadata(grpc::ClientContext& context) {
  context.AddMetadata(kInitialKey, kInitialValue);
  context.AddMetadata(kTrailingKey, kTrailingValue);
}

void ExpectMetadata(const grpc::ClientContext& context) {
  const auto expect = [](const auto& map, const char* key, const char* value) {
    ASSERT_EQ(map.count(key), 1U) << key;
    const grpc::string_ref found = map.find(key)->second;
    EXPECT_EQ(std::string(found.data(), found.size()), value);
  };
  expect(context.GetServerInitialMetadata(), kInitialKey, kInitialValue);
  expect(context.GetServerTrailingMetadata(), kTrailingKey, kTrailingValue);
}

INSTANTIATE_TEST_SUITE_P(All, GoServerTest, ::testing::Bool(),
                         [](const auto& test) { return test.param ? "Gzip" : "Plain"; });

TEST_P(GoServerTest, EmptyUnary) {
  pb::Empty response;
  EXPECT_TRUE(stub_->EmptyCall(&context_, {}, &response).ok());
  EXPECT_EQ(Finish(), "EmptyCall OK");
}

TEST_P(GoServerTest, LargeUnary) {
  pb::SimpleRequest request;
  request.set_response_size(kLargeResponse);
  request.mutable_payload()->set_body(Zeros(kLargeRequest));
  pb::SimpleResponse response;
  EXPECT_TRUE(stub_->UnaryCall(&context_, request, &response).ok());
  EXPECT_EQ(response.payload().body(), Zeros(kLargeResponse));
  EXPECT_EQ(Finish(), "UnaryCall OK");
}

TEST_P(GoServerTest, ClientStreaming) {
  pb::StreamingInputCallResponse response;
  const auto stream = stub_->StreamingInputCall(&context_, &response);
  pb::StreamingInputCallRequest request;
  for (const int size : kRequestSizes) {
    request.mutable_payload()->set_body(Zeros(size));
    EXPECT_TRUE(stream->Write(request));
  }
  stream->WritesDone();
  EXPECT_TRUE(stream->Finish().ok());
  EXPECT_EQ(response.aggregated_payload_size(), 74922);
  EXPECT_EQ(Finish(), "StreamingInputCall OK 1/4");
}

TEST_P(GoServerTest, ServerStreaming) {
  pb::StreamingOutputCallRequest request;
  for (const int size : kResponseSizes) request.add_response_parameters()->set_size(size);
  const auto stream = stub_->StreamingOutputCall(&context_, request);
  pb::StreamingOutputCallResponse response;
  for (const int size : kResponseSizes) {
    EXPECT_TRUE(stream->Read(&response));
    EXPECT_EQ(response.payload().body(), Zeros(size));
  }
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_TRUE(stream->Finish().ok());
  EXPECT_EQ(Finish(), "StreamingOutputCall OK 4/1");
}

TEST_P(GoServerTest, PingPong) {
  const auto stream = stub_->FullDuplexCall(&context_);
  pb::StreamingOutputCallResponse response;
  for (std::size_t i = 0; i < kRequestSizes.size(); ++i) {
    EXPECT_TRUE(stream->Write(OutputRequest(kRequestSizes[i], kResponseSizes[i])));
    EXPECT_TRUE(stream->Read(&response));
    EXPECT_EQ(response.payload().body(), Zeros(kResponseSizes[i]));
  }
  stream->WritesDone();
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_TRUE(stream->Finish().ok());
  EXPECT_EQ(Finish(), "FullDuplexCall OK 4/4");
}

TEST_P(GoServerTest, EmptyStream) {
  const auto stream = stub_->FullDuplexCall(&context_);
  stream->WritesDone();
  pb::StreamingOutputCallResponse response;
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_TRUE(stream->Finish().ok());
  EXPECT_EQ(Finish(), "FullDuplexCall OK 0/0");
}

TEST_P(GoServerTest, TimeoutOnSleepingServer) {
  context_.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(1));
  const auto stream = stub_->FullDuplexCall(&context_);
  pb::StreamingOutputCallRequest request;
  request.mutable_payload()->set_body(Zeros(kRequestSizes[0]));
  stream->Write(request);
  pb::StreamingOutputCallResponse response;
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_THAT(Finish(), ::testing::StartsWith("FullDuplexCall DEADLINE_EXCEEDED 0/"));
}

TEST_P(GoServerTest, CancelAfterBegin) {
  pb::StreamingInputCallResponse response;
  const auto stream = stub_->StreamingInputCall(&context_, &response);
  context_.TryCancel();
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::CANCELLED);
  EXPECT_EQ(Finish(), "StreamingInputCall CANCELLED 0/0");
}

TEST_P(GoServerTest, CancelAfterFirstResponse) {
  const auto stream = stub_->FullDuplexCall(&context_);
  EXPECT_TRUE(stream->Write(OutputRequest(kRequestSizes[0], kResponseSizes[0])));
  pb::StreamingOutputCallResponse response;
  EXPECT_TRUE(stream->Read(&response));
  context_.TryCancel();
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::CANCELLED);
  EXPECT_EQ(Finish(), "FullDuplexCall CANCELLED 1/1");
}

TEST_P(GoServerTest, StatusCodeAndMessage) {
  pb::EchoStatus wanted;
  wanted.set_code(grpc::StatusCode::UNKNOWN);
  wanted.set_message("test status message");
  pb::SimpleRequest request;
  *request.mutable_response_status() = wanted;
  pb::SimpleResponse response;
  const grpc::Status unary = stub_->UnaryCall(&context_, request, &response);
  EXPECT_EQ(unary.error_code(), grpc::StatusCode::UNKNOWN);
  EXPECT_EQ(unary.error_message(), "test status message");

  grpc::ClientContext context;
  const auto stream = stub_->FullDuplexCall(&context);
  pb::StreamingOutputCallRequest stream_request;
  *stream_request.mutable_response_status() = wanted;
  EXPECT_TRUE(stream->Write(stream_request));
  stream->WritesDone();
  pb::StreamingOutputCallResponse stream_response;
  EXPECT_FALSE(stream->Read(&stream_response));
  const grpc::Status streamed = stream->Finish();
  EXPECT_EQ(streamed.error_code(), grpc::StatusCode::UNKNOWN);
  EXPECT_EQ(streamed.error_message(), "test status message");
  EXPECT_EQ(Finish(), "FullDuplexCall UNKNOWN 0/1, UnaryCall UNKNOWN");
}

TEST_P(GoServerTest, SpecialStatusMessage) {
  pb::SimpleRequest request;
  request.mutable_response_status()->set_code(grpc::StatusCode::UNKNOWN);
  request.mutable_response_status()->set_message(kSpecialMessage);
  pb::SimpleResponse response;
  const grpc::Status status = stub_->UnaryCall(&context_, request, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNKNOWN);
  EXPECT_EQ(status.error_message(), kSpecialMessage);
  EXPECT_EQ(Finish(), "UnaryCall UNKNOWN");
  EXPECT_THAT(exporter_->Tree().FindRun("grpc.testing.TestService/UnaryCall"),
              weft::testing::HasError(::testing::HasSubstr(kSpecialMessage)));
}

TEST_P(GoServerTest, CustomMetadata) {
  AddMetadata(context_);
  pb::SimpleRequest request;
  request.set_response_size(1);
  request.mutable_payload()->set_body(Zeros(1));
  pb::SimpleResponse response;
  EXPECT_TRUE(stub_->UnaryCall(&context_, request, &response).ok());
  ExpectMetadata(context_);

  grpc::ClientContext context;
  AddMetadata(context);
  const auto stream = stub_->FullDuplexCall(&context);
  EXPECT_TRUE(stream->Write(OutputRequest(1, 1)));
  pb::StreamingOutputCallResponse stream_response;
  EXPECT_TRUE(stream->Read(&stream_response));
  stream->WritesDone();
  EXPECT_FALSE(stream->Read(&stream_response));
  EXPECT_TRUE(stream->Finish().ok());
  ExpectMetadata(context);
  EXPECT_EQ(Finish(), "FullDuplexCall OK 1/1, UnaryCall OK");
}

TEST_P(GoServerTest, UnimplementedMethod) {
  pb::Empty response;
  EXPECT_EQ(stub_->UnimplementedCall(&context_, {}, &response).error_code(),
            grpc::StatusCode::UNIMPLEMENTED);
  EXPECT_EQ(Finish(), "UnimplementedCall UNIMPLEMENTED");
}

TEST_P(GoServerTest, UnimplementedService) {
  pb::Empty response;
  EXPECT_EQ(unimplemented_->UnimplementedCall(&context_, {}, &response).error_code(),
            grpc::StatusCode::UNIMPLEMENTED);
  EXPECT_EQ(Finish(), "UnimplementedCall UNIMPLEMENTED");
}

// The same through completion queues, as fibers call.

TEST_P(GoServerTest, LargeUnaryThroughAQueue) {
  pb::SimpleRequest request;
  request.set_response_size(kLargeResponse);
  request.mutable_payload()->set_body(Zeros(kLargeRequest));
  const auto reply = CallUnary(*stub_, &Stub::PrepareAsyncUnaryCall, request, context_);
  EXPECT_TRUE(reply.ok());
  EXPECT_EQ(reply.response.payload().body(), Zeros(kLargeResponse));
  EXPECT_EQ(Finish(), "UnaryCall OK");
}

TEST_P(GoServerTest, ClientStreamingThroughAQueue) {
  auto stream = OpenStream(*stub_, &Stub::PrepareAsyncStreamingInputCall, &context_);
  pb::StreamingInputCallRequest request;
  for (const int size : kRequestSizes) {
    request.mutable_payload()->set_body(Zeros(size));
    EXPECT_TRUE(stream.Write(request));
  }
  const auto reply = stream.Finish();
  EXPECT_TRUE(reply.ok());
  EXPECT_EQ(reply.response.aggregated_payload_size(), 74922);
  EXPECT_EQ(Finish(), "StreamingInputCall OK 1/4");
}

TEST_P(GoServerTest, ServerStreamingThroughAQueue) {
  pb::StreamingOutputCallRequest request;
  for (const int size : kResponseSizes) request.add_response_parameters()->set_size(size);
  auto stream = OpenStream(*stub_, &Stub::PrepareAsyncStreamingOutputCall, request, &context_);
  pb::StreamingOutputCallResponse response;
  for (const int size : kResponseSizes) {
    EXPECT_TRUE(stream.Read(&response));
    EXPECT_EQ(response.payload().body(), Zeros(size));
  }
  EXPECT_FALSE(stream.Read(&response));
  EXPECT_TRUE(stream.Finish().ok());
  EXPECT_EQ(Finish(), "StreamingOutputCall OK 4/1");
}

TEST_P(GoServerTest, PingPongThroughAQueue) {
  auto stream = OpenStream(*stub_, &Stub::PrepareAsyncFullDuplexCall, &context_);
  pb::StreamingOutputCallResponse response;
  for (std::size_t i = 0; i < kRequestSizes.size(); ++i) {
    EXPECT_TRUE(stream.Write(OutputRequest(kRequestSizes[i], kResponseSizes[i])));
    EXPECT_TRUE(stream.Read(&response));
    EXPECT_EQ(response.payload().body(), Zeros(kResponseSizes[i]));
  }
  EXPECT_TRUE(stream.WritesDone());
  EXPECT_FALSE(stream.Read(&response));
  EXPECT_TRUE(stream.Finish().ok());
  EXPECT_EQ(Finish(), "FullDuplexCall OK 4/4");
}

TEST_P(GoServerTest, CancelAfterFirstResponseThroughAQueue) {
  auto stream = OpenStream(*stub_, &Stub::PrepareAsyncFullDuplexCall, &context_);
  EXPECT_TRUE(stream.Write(OutputRequest(kRequestSizes[0], kResponseSizes[0])));
  pb::StreamingOutputCallResponse response;
  EXPECT_TRUE(stream.Read(&response));
  stream.Cancel();
  EXPECT_EQ(stream.Finish().error_code(), grpc::StatusCode::CANCELLED);
  EXPECT_EQ(Finish(), "FullDuplexCall CANCELLED 1/1");
}

}  // namespace
}  // namespace weft::interop
