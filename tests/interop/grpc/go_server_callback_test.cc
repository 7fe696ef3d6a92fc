// SPDX-License-Identifier: Apache-2.0
// gRPC's interop cases through the callback API: intercepted clients against the server of grpc-go.
#include <atomic>
#include <cstddef>
#include <future>
#include <string>

#include <grpcpp/support/client_callback.h>

#include "go_server_fixture.h"

namespace weft::interop {
namespace {

class GoServerCallbackTest : public GoServerTest {
 protected:
  auto* async() { return stub_->async(); }
};

INSTANTIATE_TEST_SUITE_P(All, GoServerCallbackTest, ::testing::Bool(),
                         [](const auto& test) { return test.param ? "Gzip" : "Plain"; });

/// What a call of any kind comes to.
template <typename Reactor>
class Awaited : public Reactor {
 public:
  void OnDone(const grpc::Status& status) override { done_.set_value(status); }
  grpc::Status Await() { return done_.get_future().get(); }

 private:
  std::promise<grpc::Status> done_;
};

class Upload final : public Awaited<grpc::ClientWriteReactor<pb::StreamingInputCallRequest>> {
 public:
  void Start() {
    Next();
    StartCall();
  }
  void OnWriteDone(bool ok) override {
    EXPECT_TRUE(ok);
    Next();
  }

 private:
  void Next() {
    if (written_ == kRequestSizes.size()) return StartWritesDone();
    request_.mutable_payload()->set_body(Zeros(kRequestSizes[written_++]));
    StartWrite(&request_);
  }
  pb::StreamingInputCallRequest request_;
  std::size_t written_ = 0;
};

class Download final : public Awaited<grpc::ClientReadReactor<pb::StreamingOutputCallResponse>> {
 public:
  void Start() {
    StartRead(&response_);
    StartCall();
  }
  void OnReadDone(bool ok) override {
    if (!ok) return;
    ASSERT_LT(read, kResponseSizes.size());
    EXPECT_EQ(response_.payload().body(), Zeros(kResponseSizes[read++]));
    StartRead(&response_);
  }
  std::size_t read = 0;

 private:
  pb::StreamingOutputCallResponse response_;
};

/// One request after the response to the one before; `rounds` of them.
class Conversation final
    : public Awaited<grpc::ClientBidiReactor<pb::StreamingOutputCallRequest,
                                             pb::StreamingOutputCallResponse>> {
 public:
  Conversation(std::size_t rounds, grpc::ClientContext* cancelled)
      : rounds_(rounds), cancelled_(cancelled) {}
  void Start() {
    Next();
    StartRead(&response_);
    StartCall();
  }
  void OnWriteDone(bool ok) override {
    if (ok) HalfDone();
  }
  void OnReadDone(bool ok) override {
    if (!ok) return;
    EXPECT_EQ(response_.payload().body(), Zeros(kResponseSizes[read++]));
    if (read == rounds_ && cancelled_ != nullptr) return cancelled_->TryCancel();
    HalfDone();
  }
  std::size_t read = 0;

 private:
  void Next() {
    request_ = OutputRequest(kRequestSizes[read], kResponseSizes[read]);
    halves_ = 0;
    StartWrite(&request_);
  }
  // The response can be read before the end of its request's write is told, on another thread;
  // and only one write may be under way.
  void HalfDone() {
    if (halves_.fetch_add(1) == 0) return;
    if (read < rounds_) {
      Next();
    } else {
      StartWritesDone();
    }
    StartRead(&response_);
  }
  const std::size_t rounds_;
  grpc::ClientContext* const cancelled_;  // after the last response; null: is finished
  std::atomic<int> halves_ = 0;           // of a round: its write, its read
  pb::StreamingOutputCallRequest request_;
  pb::StreamingOutputCallResponse response_;
};

TEST_P(GoServerCallbackTest, LargeUnary) {
  pb::SimpleRequest request;
  request.set_response_size(kLargeResponse);
  request.mutable_payload()->set_body(Zeros(kLargeRequest));
  pb::SimpleResponse response;
  std::promise<grpc::Status> done;
  async()->UnaryCall(&context_, &request, &response,
                     [&](const grpc::Status& status) { done.set_value(status); });
  EXPECT_TRUE(done.get_future().get().ok());
  EXPECT_EQ(response.payload().body(), Zeros(kLargeResponse));
  EXPECT_EQ(Finish(), "UnaryCall OK");
}

TEST_P(GoServerCallbackTest, ClientStreaming) {
  Upload upload;
  pb::StreamingInputCallResponse response;
  async()->StreamingInputCall(&context_, &response, &upload);
  upload.Start();
  EXPECT_TRUE(upload.Await().ok());
  EXPECT_EQ(response.aggregated_payload_size(), 74922);
  EXPECT_EQ(Finish(), "StreamingInputCall OK 1/4");
}

TEST_P(GoServerCallbackTest, ServerStreaming) {
  pb::StreamingOutputCallRequest request;
  for (const int size : kResponseSizes) request.add_response_parameters()->set_size(size);
  Download download;
  async()->StreamingOutputCall(&context_, &request, &download);
  download.Start();
  EXPECT_TRUE(download.Await().ok());
  EXPECT_EQ(download.read, kResponseSizes.size());
  EXPECT_EQ(Finish(), "StreamingOutputCall OK 4/1");
}

TEST_P(GoServerCallbackTest, PingPong) {
  Conversation conversation(kRequestSizes.size(), /*cancelled=*/nullptr);
  async()->FullDuplexCall(&context_, &conversation);
  conversation.Start();
  EXPECT_TRUE(conversation.Await().ok());
  EXPECT_EQ(conversation.read, kResponseSizes.size());
  EXPECT_EQ(Finish(), "FullDuplexCall OK 4/4");
}

TEST_P(GoServerCallbackTest, CancelAfterFirstResponse) {
  Conversation conversation(1, &context_);
  async()->FullDuplexCall(&context_, &conversation);
  conversation.Start();
  EXPECT_EQ(conversation.Await().error_code(), grpc::StatusCode::CANCELLED);
  EXPECT_EQ(Finish(), "FullDuplexCall CANCELLED 1/1");
}

TEST_P(GoServerCallbackTest, StatusCodeAndMessage) {
  pb::SimpleRequest request;
  request.mutable_response_status()->set_code(grpc::StatusCode::UNKNOWN);
  request.mutable_response_status()->set_message("test status message");
  pb::SimpleResponse response;
  std::promise<grpc::Status> done;
  async()->UnaryCall(&context_, &request, &response,
                     [&](const grpc::Status& status) { done.set_value(status); });
  const grpc::Status status = done.get_future().get();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNKNOWN);
  EXPECT_EQ(status.error_message(), "test status message");
  EXPECT_EQ(Finish(), "UnaryCall UNKNOWN");
}

}  // namespace
}  // namespace weft::interop
