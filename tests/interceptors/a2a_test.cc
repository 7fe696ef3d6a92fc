// SPDX-License-Identifier: Apache-2.0
// What runs of the A2A protocol say.
#include <memory>
#include <string>
#include <utility>

#include <gmock/gmock.h>
#include <grpcpp/server_builder.h>
#include <gtest/gtest.h>

#include <weft/interceptors/a2a.h>
#include <weft/interceptors/create_channel.h>
#include <weft/interceptors/guard.h>
#include <weft/interceptors/intercept_server.h>
#include <weft/testing/in_memory_exporter.h>
#include <weft/testing/run_matchers.h>
#include <weft/tracing/run.h>
#include <weft/tracing/tracing_context.h>

#include "a2a.grpc.pb.h"
#include "a2a_v1.grpc.pb.h"

namespace weft {
namespace {

namespace v03 = ::a2a::v1;
namespace v10 = ::lf::a2a::v1;

using ::testing::AllOf;
using testing::HasMetadata;
using ::testing::Not;
using testing::RunInTree;
using testing::RunTree;
using ::testing::SizeIs;

MATCHER_P(Has, key, "") { return arg && arg->AllMetadata().contains(key); }

class Agent03 final : public v03::A2AService::Service {
 public:
  grpc::Status SendMessage(grpc::ServerContext*, const v03::SendMessageRequest* request,
                           v03::SendMessageResponse* reply) override {
    const Run think("think");
    if (request->request().message_id() == "just talk") {
      reply->mutable_msg()->set_message_id("theirs");
      reply->mutable_msg()->set_context_id("context-1");
      return grpc::Status::OK;
    }
    Fill(*reply->mutable_task(), v03::TASK_STATE_COMPLETED);
    auto& said = *reply->mutable_task()->add_history();
    said.set_context_id("not this");
    said.set_message_id("nor this");
    return grpc::Status::OK;
  }
  grpc::Status SendStreamingMessage(grpc::ServerContext*, const v03::SendMessageRequest*,
                                    grpc::ServerWriter<v03::StreamResponse>* writer) override {
    const Run think("think");
    v03::StreamResponse response;
    Fill(*response.mutable_task(), v03::TASK_STATE_SUBMITTED);
    writer->Write(response);
    for (const auto state : {v03::TASK_STATE_WORKING, v03::TASK_STATE_FAILED}) {
      auto& update = *response.mutable_status_update();
      update.set_task_id("task-1");
      update.set_context_id("context-1");
      update.mutable_status()->set_state(state);
      writer->Write(response);
    }
    return grpc::Status::OK;
  }
  grpc::Status GetTask(grpc::ServerContext*, const v03::GetTaskRequest*, v03::Task* task) override {
    task->mutable_status()->set_state(v03::TASK_STATE_WORKING);
    return grpc::Status::OK;
  }

 private:
  static void Fill(v03::Task& task, v03::TaskState state) {
    task.set_id("task-1");
    task.set_context_id("context-1");
    task.mutable_status()->set_state(state);
  }
};

class Agent10 final : public v10::A2AService::Service {
 public:
  grpc::Status SendMessage(grpc::ServerContext*, const v10::SendMessageRequest*,
                           v10::SendMessageResponse* reply) override {
    reply->mutable_task()->set_id("task-2");
    reply->mutable_task()->set_context_id("context-2");
    reply->mutable_task()->mutable_status()->set_state(v10::TASK_STATE_INPUT_REQUIRED);
    return grpc::Status::OK;
  }
  grpc::Status GetTask(grpc::ServerContext*, const v10::GetTaskRequest* request,
                       v10::Task* task) override {
    task->set_id(request->id());
    return grpc::Status::OK;
  }
};

// With services of RegisterService, and with those of the builder.
class A2a : public ::testing::TestWithParam<bool> {
 protected:
  A2a() {
    tracer_ =
        Tracer::Create({.open_run_delay = std::chrono::hours(1), .exporters = {exporter_}}).value();
    int port = 0;
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    for (grpc::Service* const service :
         {static_cast<grpc::Service*>(&agent03_), static_cast<grpc::Service*>(&agent10_)}) {
      if (GetParam()) {
        EXPECT_TRUE(RegisterService(builder, service).ok());
      } else {
        builder.RegisterService(service);
      }
    }
    EXPECT_TRUE(InterceptServer(builder, {.tracer = tracer_, .tracing = A2aTracing()}).ok());
    server_ = builder.BuildAndStart();
    channel_ =
        weft::CreateChannel("127.0.0.1:" + std::to_string(port), grpc::InsecureChannelCredentials(),
                            {.tracer = tracer_, .tracing = A2aTracing()});
  }

  grpc::Status Send(const v03::Message& message) {
    grpc::ClientContext context;
    v03::SendMessageRequest request;
    *request.mutable_request() = message;
    v03::SendMessageResponse reply;
    return v03::A2AService::NewStub(channel_)->SendMessage(&context, request, &reply);
  }

  RunTree Finish() {
    channel_.reset();
    server_->Shutdown();
    server_->Wait();
    return exporter_->Tree();
  }

  std::shared_ptr<testing::InMemoryExporter> exporter_ =
      std::make_shared<testing::InMemoryExporter>();
  std::shared_ptr<Tracer> tracer_;
  Agent03 agent03_;
  Agent10 agent10_;
  std::unique_ptr<grpc::Server> server_;
  std::shared_ptr<grpc::Channel> channel_;
};

v03::Message MessageOf(const std::string& id, const std::string& context) {
  v03::Message message;
  message.set_message_id(id);
  message.set_context_id(context);
  return message;
}

TEST_P(A2a, AMessageIsARunOfItsThreadAndTask) {
  ASSERT_TRUE(Send(MessageOf("message-1", "context-1")).ok());
  const RunTree tree = Finish();
  EXPECT_EQ(tree.ToString(), "A2A SendMessage\n  A2A SendMessage\n    think\n");
  const auto runs = tree.FindRuns("A2A SendMessage");
  ASSERT_THAT(runs, SizeIs(2));
  for (const RunInTree& run : runs) {
    EXPECT_EQ(run->type, RunType::kChain);
    EXPECT_THAT(run,
                AllOf(HasMetadata("thread_id", "context-1"), HasMetadata("a2a.task_id", "task-1"),
                      HasMetadata("a2a.message_id", "message-1"),
                      HasMetadata("a2a.task_state", "TASK_STATE_COMPLETED"),
                      HasMetadata("rpc.service", "a2a.v1.A2AService")));
  }
}

TEST_P(A2a, RunsOfTheAgentAreInTheThreadThatTheRequestNames) {
  ASSERT_TRUE(Send(MessageOf("message-1", "context-1")).ok());
  const RunTree tree = Finish();
  EXPECT_THAT(tree.FindRun("think"),
              AllOf(HasMetadata("thread_id", "context-1"), Not(Has("a2a.message_id"))));
}

TEST_P(A2a, AThreadThatTheAgentOpensIsOnTheRunsOfTheCall) {
  ASSERT_TRUE(Send(MessageOf("just talk", "")).ok());
  const RunTree tree = Finish();
  const auto runs = tree.FindRuns("A2A SendMessage");
  ASSERT_THAT(runs, SizeIs(2));
  for (const RunInTree& run : runs) {
    EXPECT_THAT(run, AllOf(HasMetadata("thread_id", "context-1"),
                           HasMetadata("a2a.message_id", "just talk"), Not(Has("a2a.task_id"))));
  }
  EXPECT_THAT(tree.FindRun("think"), Not(Has("thread_id")));
}

TEST_P(A2a, AThreadOfTheCallersStaysTheirs) {
  {
    const TracingContext outer({.metadata = {{"thread_id", "theirs"}}, .tracer = tracer_});
    ASSERT_TRUE(Send(MessageOf("message-1", "context-1")).ok());
  }
  const RunTree tree = Finish();
  for (const RunInTree& run : tree.FindRuns("A2A SendMessage")) {
    EXPECT_THAT(run, HasMetadata("thread_id", "theirs"));
  }
  EXPECT_THAT(tree.FindRun("think"), HasMetadata("thread_id", "theirs"));
}

TEST_P(A2a, AStreamEndsWithTheTasksLatestState) {
  grpc::ClientContext context;
  v03::SendMessageRequest request;
  *request.mutable_request() = MessageOf("message-1", "context-1");
  const auto stub = v03::A2AService::NewStub(channel_);
  const auto reader = stub->SendStreamingMessage(&context, request);
  v03::StreamResponse response;
  while (reader->Read(&response)) continue;
  ASSERT_TRUE(reader->Finish().ok());
  const RunTree tree = Finish();
  const auto runs = tree.FindRuns("A2A SendStreamingMessage");
  ASSERT_THAT(runs, SizeIs(2));
  for (const RunInTree& run : runs) {
    EXPECT_EQ(run->type, RunType::kChain);
    EXPECT_THAT(run,
                AllOf(HasMetadata("thread_id", "context-1"), HasMetadata("a2a.task_id", "task-1"),
                      HasMetadata("a2a.task_state", "TASK_STATE_FAILED")));
  }
  EXPECT_THAT(tree.FindRun("think"), HasMetadata("thread_id", "context-1"));
}

TEST_P(A2a, AQuestionAboutATaskIsATool) {
  grpc::ClientContext context;
  v03::GetTaskRequest request;
  request.set_name("tasks/task-7");
  v03::Task task;
  ASSERT_TRUE(v03::A2AService::NewStub(channel_)->GetTask(&context, request, &task).ok());
  const RunTree tree = Finish();
  const auto runs = tree.FindRuns("A2A GetTask");
  ASSERT_THAT(runs, SizeIs(2));
  for (const RunInTree& run : runs) {
    EXPECT_EQ(run->type, RunType::kTool);
    EXPECT_THAT(run, AllOf(HasMetadata("a2a.task_id", "task-7"), Not(Has("thread_id")),
                           HasMetadata("a2a.task_state", "TASK_STATE_WORKING")));
  }
}

TEST_P(A2a, KnowsTheNamesOfVersionOne) {
  const auto stub = v10::A2AService::NewStub(channel_);
  {
    grpc::ClientContext context;
    v10::SendMessageRequest request;
    request.mutable_message()->set_message_id("message-2");
    v10::SendMessageResponse reply;
    ASSERT_TRUE(stub->SendMessage(&context, request, &reply).ok());
  }
  {
    grpc::ClientContext context;
    v10::GetTaskRequest request;
    request.set_id("task-9");
    v10::Task task;
    ASSERT_TRUE(stub->GetTask(&context, request, &task).ok());
  }
  const RunTree tree = Finish();
  for (const RunInTree& run : tree.FindRuns("A2A SendMessage")) {
    EXPECT_THAT(run,
                AllOf(HasMetadata("thread_id", "context-2"), HasMetadata("a2a.task_id", "task-2"),
                      HasMetadata("a2a.message_id", "message-2"),
                      HasMetadata("a2a.task_state", "TASK_STATE_INPUT_REQUIRED")));
  }
  for (const RunInTree& run : tree.FindRuns("A2A GetTask")) {
    EXPECT_THAT(run, HasMetadata("a2a.task_id", "task-9"));
  }
  EXPECT_EQ(tree.size(), 4u);
}

TEST_P(A2a, AnIdOfAnyLengthFailsNothing) {
  ASSERT_TRUE(Send(MessageOf("message-1", std::string(100'000, 'x'))).ok());
  const RunTree tree = Finish();
  EXPECT_THAT(tree.FindRun("think"), Not(Has("thread_id")));
}

INSTANTIATE_TEST_SUITE_P(Services, A2a, ::testing::Bool(),
                         [](const auto& param) { return param.param ? "guarded" : "plain"; });

TEST(A2aOptionsTest, OtherMethodsAreTracedAsBefore) {
  const MethodDescription other{.side = CallSide::kClient,
                                .kind = RpcKind::kServerStream,
                                .full_method = "/shop.Cart/Watch",
                                .service = "shop.Cart",
                                .method = "Watch",
                                .target = ""};
  const TracingOptions plain = A2aTracing({.client_stream_run_type = RunType::kRetriever});
  EXPECT_EQ(plain.run_type(other), RunType::kRetriever);
  EXPECT_EQ(plain.run_name(other), "");
  EXPECT_EQ(plain.message_reader(other), nullptr);
  const TracingOptions own = A2aTracing(
      {.run_type = [](const MethodDescription&) { return RunType::kLlm; },
       .run_name = [](const MethodDescription& method) { return std::string(method.method); },
       .message_reader = [](const MethodDescription&) -> MessageReader {
         return [](const MessageView&) { return MessageFacts(); };
       }});
  EXPECT_EQ(own.run_type(other), RunType::kLlm);
  EXPECT_EQ(own.run_name(other), "Watch");
  EXPECT_NE(own.message_reader(other), nullptr);
  EXPECT_TRUE(A2aCalls().Selects("/lf.a2a.v1.A2AService/GetTask"));
  EXPECT_FALSE(A2aCalls().Selects("/shop.Cart/Watch"));
}

}  // namespace
}  // namespace weft
