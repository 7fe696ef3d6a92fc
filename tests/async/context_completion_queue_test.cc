// SPDX-License-Identifier: Apache-2.0
#include <weft/async/context_completion_queue.h>

#include <echo.grpc.pb.h>
#include <grpcpp/alarm.h>
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace weft {
namespace {

constexpr ContextKey<int> kNumberKey;

int CurrentNumber() {
  const int* const number = Context::View().Find(kNumberKey);
  return number != nullptr ? *number : 0;
}
Context Numbered(int number) { return Context().With(kNumberKey, number); }

gpr_timespec AtOnce() { return gpr_time_0(GPR_CLOCK_REALTIME); }

class EchoService final : public echo::Echo::Service {
  grpc::Status Unary(grpc::ServerContext*, const echo::Message* request,
                     echo::Message* response) override {
    response->set_text(request->text());
    return grpc::Status::OK;
  }
};

// One call after another, each in a context of its own.
struct Call {
  int number = 0;
  int left = 0;
  std::unique_ptr<grpc::ClientContext> context;
  std::unique_ptr<grpc::ClientAsyncResponseReader<echo::Message>> reader;
  echo::Message response;
  grpc::Status status;

  void Start(echo::Echo::Stub& stub, ContextCompletionQueue<Call>& queue) {
    context = std::make_unique<grpc::ClientContext>();
    context->set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    reader = stub.AsyncUnary(context.get(), {}, queue.queue());
    const ContextScope scope(Numbered(++number));
    reader->Finish(&response, &status, queue.Tag(this));
  }
};

class PollersTest : public ::testing::TestWithParam<int> {};

TEST_P(PollersTest, EveryCompletionRunsInTheContextOfItsOperation) {
  constexpr int kCalls = 32;
  constexpr int kRounds = 100;
  EchoService service;
  const auto server = grpc::ServerBuilder().RegisterService(&service).BuildAndStart();
  echo::Echo::Stub stub(server->InProcessChannel({}));
  ContextCompletionQueue<Call> queue;
  std::array<Call, kCalls> calls;
  std::atomic<int> open = kCalls;
  std::atomic<int> wrong = 0;
  std::atomic<int> failed = 0;
  for (int i = 0; i < kCalls; ++i) {
    calls[i].number = i * 1000;
    calls[i].left = kRounds;
    calls[i].Start(stub, queue);
  }
  std::vector<std::jthread> pollers;
  for (int i = 0; i < GetParam(); ++i) {
    pollers.emplace_back([&] {
      queue.Run([&](Call* call, bool ok) {
        wrong += CurrentNumber() != call->number;
        failed += !ok || !call->status.ok();
        if (--call->left > 0) return call->Start(stub, queue);
        if (--open == 0) queue.Shutdown();
      });
      wrong += CurrentNumber() != 0;
    });
  }
  pollers.clear();
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(failed, 0);
  for (const Call& call : calls) EXPECT_EQ(call.number % 1000, kRounds);
}

INSTANTIATE_TEST_SUITE_P(, PollersTest, ::testing::Values(1, 2));

TEST(ContextCompletionQueueTest, TheContextIsThatOfTheStartNotOfTheObject) {
  ContextCompletionQueue<int> queue;
  grpc::Alarm alarm;
  int operation = 0;
  const ContextScope outer(Numbered(1));
  {
    const ContextScope scope(Numbered(2));
    alarm.Set(queue.queue(), AtOnce(), queue.Tag(&operation));
  }
  ContextCompletionQueue<int>::Event event;
  ASSERT_TRUE(queue.Next(&event));
  EXPECT_EQ(event.operation, &operation);
  EXPECT_TRUE(event.ok);
  EXPECT_EQ(CurrentNumber(), 1);
  const ContextScope scope(event.context);
  EXPECT_EQ(CurrentNumber(), 2);
}

TEST(ContextCompletionQueueTest, AnOperationStartedAtTheRootHidesTheContextOfThePoller) {
  ContextCompletionQueue<int> queue;
  grpc::Alarm alarm;
  int operation = 0;
  alarm.Set(queue.queue(), AtOnce(), queue.Tag(&operation));
  int seen = 99;
  const ContextScope scope(Numbered(1));
  queue.Run([&](int*, bool) {
    seen = CurrentNumber();
    queue.Shutdown();
  });
  EXPECT_EQ(seen, 0);
  EXPECT_EQ(CurrentNumber(), 1);
}

TEST(ContextCompletionQueueTest, FunctionsSmallLargeAndMoveOnlyRunInTheirContext) {
  ContextCompletionQueue<void> queue;
  std::array<grpc::Alarm, 3> alarms;
  std::multiset<std::string> ran;
  const auto note = [&ran](const std::string& who, bool ok) {
    ran.insert(who + std::to_string(CurrentNumber()) + (ok ? "" : " failed"));
  };
  {
    const ContextScope scope(Numbered(7));
    alarms[0].Set(queue.queue(), AtOnce(), queue.Tag([&](bool ok) { note("small", ok); }));
    alarms[1].Set(queue.queue(), AtOnce(), queue.Tag([&, large = std::array<char, 500>{}](bool ok) {
      note("large", ok && large[499] == 0);
    }));
    alarms[2].Set(queue.queue(), AtOnce(), queue.Tag([&, box = std::make_unique<int>(5)](bool ok) {
      note("move-only", ok && *box == 5);
    }));
  }
  using Status = grpc::CompletionQueue::NextStatus;
  ContextCompletionQueue<void>::Event event;
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(queue.AsyncNext(&event, gpr_inf_future(GPR_CLOCK_REALTIME)), Status::GOT_EVENT);
    EXPECT_EQ(event.operation, nullptr);
  }
  EXPECT_EQ(queue.AsyncNext(&event, AtOnce()), Status::TIMEOUT);
  EXPECT_EQ(ran, (std::multiset<std::string>{"small7", "large7", "move-only7"}));
}

TEST(ContextCompletionQueueTest, AFunctionMayStartTheNextOperation) {
  ContextCompletionQueue<void> queue;
  grpc::Alarm alarm;
  int runs = 0;
  struct Chain {
    ContextCompletionQueue<void>& queue;
    grpc::Alarm& alarm;
    int& runs;
    void operator()(bool) const {
      EXPECT_EQ(CurrentNumber(), runs);
      if (++runs == 1000) return queue.Shutdown();
      const ContextScope scope(Numbered(runs));
      alarm.Set(queue.queue(), AtOnce(), queue.Tag(*this));
    }
  };
  alarm.Set(queue.queue(), AtOnce(), queue.Tag(Chain{queue, alarm, runs}));
  ContextCompletionQueue<void>::Event event;
  EXPECT_FALSE(queue.Next(&event));
  EXPECT_EQ(runs, 1000);
}

TEST(ContextCompletionQueueTest, TheDestructorDropsWhatIsLeftAndItsContexts) {
  const auto held = std::make_shared<int>(1);
  static constexpr ContextKey<std::shared_ptr<int>> kHeldKey;
  bool ran = false;
  {
    std::optional<ContextCompletionQueue<int>> queue(std::in_place);
    grpc::Alarm first;
    grpc::Alarm second;
    int operation = 0;
    const ContextScope scope(Context().With(kHeldKey, held));
    first.Set(queue->queue(), AtOnce(), queue->Tag(&operation));
    second.Set(queue->queue(), AtOnce(), queue->Tag([&ran](bool) { ran = true; }));
    queue.reset();
  }
  EXPECT_TRUE(ran);
  EXPECT_EQ(held.use_count(), 1);
}

TEST(ContextCompletionQueueTest, ServesTheQueueOfAServer) {
  grpc::ServerBuilder builder;
  grpc::AsyncGenericService service;
  builder.RegisterAsyncGenericService(&service);
  ContextServerCompletionQueue<int> queue(builder.AddCompletionQueue());
  const auto server = builder.BuildAndStart();
  grpc::GenericServerContext context;
  grpc::GenericServerAsyncReaderWriter stream(&context);
  int requested = 0;
  service.RequestCall(&context, &stream, queue.queue(), queue.queue(), queue.Tag(&requested));
  server->Shutdown();
  ContextServerCompletionQueue<int>::Event event;
  ASSERT_TRUE(queue.Next(&event));
  EXPECT_EQ(event.operation, &requested);
  EXPECT_FALSE(event.ok);
}

}  // namespace
}  // namespace weft
