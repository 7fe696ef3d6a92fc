// SPDX-License-Identifier: Apache-2.0
#include <weft/async/cq_scheduler.h>

#include <grpcpp/alarm.h>
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <boost/fiber/barrier.hpp>
#include <boost/fiber/fiber.hpp>
#include <boost/fiber/future.hpp>
#include <boost/fiber/operations.hpp>
#include <boost/fiber/pooled_fixedsize_stack.hpp>

#include <weft/context/context_scope.h>

namespace weft {
namespace {

namespace fibers = boost::fibers;

constexpr ContextKey<int> kNumberKey;

int CurrentNumber() {
  const int* const number = Context::View().Find(kNumberKey);
  return number != nullptr ? *number : 0;
}

std::chrono::system_clock::time_point Soon() {
  return std::chrono::system_clock::now() + std::chrono::seconds(20);
}

grpc::ByteBuffer ToBytes(const std::string& text) {
  const grpc::Slice slice(text);
  return {&slice, 1};
}

std::string ToText(const grpc::ByteBuffer& bytes) {
  std::vector<grpc::Slice> slices;
  EXPECT_TRUE(bytes.Dump(&slices).ok());
  std::string text;
  for (const grpc::Slice& slice : slices) text.append(slice.begin(), slice.end());
  return text;
}

// A generic unary server whose calls are fibers of one thread.
class FiberServer {
 public:
  using Handler = std::function<std::string(FiberServer&, const std::string&)>;

  FiberServer(int calls, Handler handler) : handler_(std::move(handler)) {
    grpc::ServerBuilder builder;
    builder.RegisterAsyncGenericService(&service_);
    queue_ = builder.AddCompletionQueue();
    server_ = builder.BuildAndStart();
    channel_ = server_->InProcessChannel({});
    thread_ = std::jthread([this, calls] {
      CqScheduler scheduler(queue_.get());
      std::vector<fibers::fiber> serving;
      for (int i = 0; i < calls; ++i) serving.emplace_back([this] { ServeCalls(); });
      for (fibers::fiber& fiber : serving) fiber.join();
      stopped_.get_future().wait();
    });
  }
  ~FiberServer() {
    server_->Shutdown(Soon());
    stopped_.set_value();
  }

  void Shutdown() { server_->Shutdown(std::chrono::system_clock::now()); }

  // From the thread of the test: the answer comes as a future.
  std::future<std::pair<grpc::Status, std::string>> Ask(const std::string& text) {
    // Owned here: the last reference to a channel must not go in one of its own callbacks.
    asked_.push_back(std::make_unique<Question>());
    Question& question = *asked_.back();
    question.context.set_deadline(Soon());
    question.request = ToBytes(text);
    auto answer = std::make_shared<std::promise<std::pair<grpc::Status, std::string>>>();
    grpc::GenericStub(channel_).UnaryCall(
        &question.context, "/a.B/C", {}, &question.request, &question.response,
        [answer, &question](const grpc::Status& status) {
          answer->set_value({status, status.ok() ? ToText(question.response) : ""});
        });
    return answer->get_future();
  }

  // From a fiber of the server: blocks the fiber.
  std::string AskInFiber(const std::string& text) {
    grpc::ClientContext context;
    context.set_deadline(Soon());
    grpc::ByteBuffer response;
    grpc::Status status;
    auto call = grpc::GenericStub(channel_).PrepareUnaryCall(&context, "/a.B/C", ToBytes(text),
                                                             queue_.get());
    call->StartCall();
    FiberOperation finish;
    call->Finish(&response, &status, finish.tag());
    finish.Await();
    return status.ok() ? ToText(response) : status.error_message();
  }

 private:
  struct Question {
    grpc::ClientContext context;
    grpc::ByteBuffer request;
    grpc::ByteBuffer response;
  };

  void ServeCalls() {
    while (ServeCall()) {
    }
  }

  bool ServeCall() {
    grpc::GenericServerContext context;
    grpc::GenericServerAsyncReaderWriter stream(&context);
    FiberOperation operation;
    service_.RequestCall(&context, &stream, queue_.get(), queue_.get(), operation.tag());
    if (!operation.Await()) return false;
    grpc::ByteBuffer request;
    stream.Read(&request, operation.tag());
    const std::string answer = operation.Await() ? handler_(*this, ToText(request)) : "";
    stream.WriteAndFinish(ToBytes(answer), {}, grpc::Status::OK, operation.tag());
    operation.Await();
    return true;
  }

  const Handler handler_;
  grpc::AsyncGenericService service_;
  std::unique_ptr<grpc::ServerCompletionQueue> queue_;
  std::unique_ptr<grpc::Server> server_;
  std::shared_ptr<grpc::Channel> channel_;
  std::vector<std::unique_ptr<Question>> asked_;
  fibers::promise<void> stopped_;
  std::jthread thread_;
};

TEST(CqSchedulerTest, AHandlerBlocksOnlyItsFiber) {
  constexpr int kCalls = 8;
  fibers::barrier all_arrived(kCalls);
  FiberServer server(kCalls, [&](FiberServer&, const std::string& text) {
    all_arrived.wait();  // for ever, unless all calls are handled at a time
    return text + "!";
  });
  std::vector<std::future<std::pair<grpc::Status, std::string>>> answers;
  for (int i = 0; i < kCalls; ++i) answers.push_back(server.Ask(std::to_string(i)));
  for (int i = 0; i < kCalls; ++i) {
    const auto [status, answer] = answers[static_cast<std::size_t>(i)].get();
    EXPECT_TRUE(status.ok()) << status.error_message();
    EXPECT_EQ(answer, std::to_string(i) + "!");
  }
}

TEST(CqSchedulerTest, HandlersThatCallOtherHandlersKeepTheirContexts) {
  std::atomic<int> wrong = 0;
  std::atomic<int> next = 1;
  FiberServer server(40, [&](FiberServer& self, const std::string& text) {
    wrong += CurrentNumber() != 0;
    const int own = next++;
    ContextScope scope(Context().With(kNumberKey, own));
    std::string answer = text;
    if (text.size() < 4) answer = self.AskInFiber(text + "+");
    wrong += CurrentNumber() != own;
    boost::this_fiber::yield();
    wrong += CurrentNumber() != own;
    return answer;
  });
  for (int round = 0; round < 20; ++round) {
    std::vector<std::future<std::pair<grpc::Status, std::string>>> answers;
    for (int i = 0; i < 10; ++i) answers.push_back(server.Ask(std::to_string(i)));
    for (int i = 0; i < 10; ++i) {
      EXPECT_EQ(answers[static_cast<std::size_t>(i)].get().second, std::to_string(i) + "+++");
    }
  }
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(next, 801);
}

TEST(CqSchedulerTest, ASpinningFiberDoesNotStarveTheQueue) {
  std::atomic<bool> spinning = false;
  std::atomic<bool> stop = false;
  FiberServer server(2, [&](FiberServer&, const std::string& text) {
    if (text == "stop") {
      stop = true;
    } else {
      spinning = true;
      while (!stop) boost::this_fiber::yield();
    }
    return text;
  });
  auto spin = server.Ask("spin");
  while (!spinning) std::this_thread::yield();
  EXPECT_EQ(server.Ask("stop").get().second, "stop");
  EXPECT_EQ(spin.get().second, "spin");
}

TEST(CqSchedulerTest, CallsInFlightEndWhenTheServerIsShutDown) {
  fibers::promise<void> release;
  const fibers::shared_future<void> released = release.get_future().share();
  std::promise<void> arrived;
  FiberServer server(4, [&](FiberServer&, const std::string& text) {
    arrived.set_value();
    released.wait();
    return text;
  });
  auto answer = server.Ask("late");
  arrived.get_future().wait();
  std::jthread shutdown([&] { server.Shutdown(); });
  EXPECT_FALSE(answer.get().first.ok());
  release.set_value();
}

// A thread with a scheduler around a queue that has no other events.
template <typename Body>
void RunIdle(Body body) {
  grpc::CompletionQueue queue;
  std::jthread([&] {
    CqScheduler scheduler(&queue);
    fibers::fiber([&] { body(); }).join();
  }).join();
}

TEST(CqSchedulerTest, AnotherThreadWakesAFiberWhileTheQueueIsIdle) {
  constexpr int kRounds = 500;
  struct Round {
    fibers::promise<int> ping;
    std::promise<int> pong;
  };
  std::vector<Round> rounds(kRounds);
  std::jthread other([&] {
    for (int i = 0; i < kRounds; ++i) {
      Round& round = rounds[static_cast<std::size_t>(i)];
      round.ping.set_value(i);
      EXPECT_EQ(round.pong.get_future().get(), i);
    }
  });
  int received = 0;
  RunIdle([&] {
    for (Round& round : rounds) {
      round.pong.set_value(round.ping.get_future().get());
      ++received;
    }
  });
  EXPECT_EQ(received, kRounds);
}

// Wakes that arrive while the thread polls between ready fibers must not be lost.
TEST(CqSchedulerTest, WakesAreNotLostWhileOtherFibersAreBusy) {
  constexpr int kRounds = 2000;
  std::vector<fibers::promise<int>> promises(kRounds);
  std::atomic<int> awaited = -1;
  std::jthread other([&] {
    for (int i = 0; i < kRounds; ++i) {
      while (awaited < i) std::this_thread::yield();
      promises[static_cast<std::size_t>(i)].set_value(i);
    }
  });
  int received = 0;
  RunIdle([&] {
    for (int i = 0; i < kRounds; ++i) {
      fibers::fiber busy([i] {
        for (int turn = 0; turn < i % 200; ++turn) boost::this_fiber::yield();
      });
      auto future = promises[static_cast<std::size_t>(i)].get_future();
      awaited = i;
      received += future.get() == i;
      busy.join();
    }
  });
  EXPECT_EQ(received, kRounds);
}

TEST(CqSchedulerTest, TimersOfFibersEndTheWaitInAnIdleQueue) {
  fibers::promise<void> never;
  fibers::future_status status = fibers::future_status::ready;
  RunIdle([&] { status = never.get_future().wait_for(std::chrono::milliseconds(2)); });
  EXPECT_EQ(status, fibers::future_status::timeout);
}

// In the dispatcher of the thread, whose context is nobody else's.
TEST(CqSchedulerTest, ACallbackOfTheQueueBeginsAtTheRootAndLeavesNothing) {
  struct Callback final : CompletionHandler {
    void Complete(bool) noexcept override {
      in_dispatcher = fibers::context::active()->is_context(fibers::type::dispatcher_context);
      seen.push_back(CurrentNumber());
      const ContextScope scope(kept);
      seen.push_back(CurrentNumber());
      if (--left == 0) done.set_value();
    }
    Context kept;
    int left = 2;
    bool in_dispatcher = false;
    std::vector<int> seen;
    fibers::promise<void> done;
  };
  grpc::CompletionQueue queue;
  Callback callback;
  int fiber_sees = 0;
  int main_sees = 0;
  std::jthread([&] {
    const CqScheduler scheduler(&queue);
    const ContextScope scope(Context().With(kNumberKey, 1));
    fibers::fiber([&] {
      const ContextScope own(Context().With(kNumberKey, 2));
      callback.kept = Context().With(kNumberKey, 3);
      grpc::Alarm first;
      grpc::Alarm second;
      first.Set(&queue, gpr_time_0(GPR_CLOCK_REALTIME), callback.tag());
      second.Set(&queue, gpr_time_0(GPR_CLOCK_REALTIME), callback.tag());
      callback.done.get_future().wait();
      fiber_sees = CurrentNumber();
    }).join();
    main_sees = CurrentNumber();
  }).join();
  EXPECT_TRUE(callback.in_dispatcher);
  EXPECT_EQ(callback.seen, (std::vector<int>{0, 3, 0, 3}));
  EXPECT_EQ(fiber_sees, 2);
  EXPECT_EQ(main_sees, 1);
}

TEST(CqSchedulerTest, AFiberMadeByACallbackInheritsWhereverItsStackWasBefore) {
  struct Callback final : CompletionHandler {
    void Complete(bool) noexcept override {
      const ContextScope scope(Context().With(kNumberKey, 3));
      fibers::fiber(fibers::launch::post, std::allocator_arg, stacks, [this] {
        seen = CurrentNumber();
        done.set_value();
      }).detach();
    }
    fibers::pooled_fixedsize_stack stacks{64 * 1024};
    int seen = 99;
    fibers::promise<void> done;
  };
  grpc::CompletionQueue queue;
  Callback callback;
  std::jthread([&] {
    const CqScheduler scheduler(&queue, CqScheduler::Fibers::kInheriting);
    grpc::Alarm alarm;
    fibers::fiber(fibers::launch::post, std::allocator_arg, callback.stacks, [&] {
      alarm.Set(&queue, gpr_time_0(GPR_CLOCK_REALTIME), callback.tag());
    }).detach();
    callback.done.get_future().wait();
  }).join();
  EXPECT_EQ(callback.seen, 3);
}

TEST(CqSchedulerTest, FibersStillRunAfterTheScheduler) {
  grpc::CompletionQueue queue;
  fibers::promise<int> from_outside;
  std::promise<void> without_queue;
  std::jthread setter([&] {
    without_queue.get_future().wait();
    from_outside.set_value(7);
  });
  int received = 0;
  fibers::future_status timed_out = fibers::future_status::ready;
  std::jthread([&] {
    std::optional<CqScheduler> scheduler(std::in_place, &queue);
    scheduler.reset();
    fibers::fiber([&] {
      fibers::promise<void> never;
      timed_out = never.get_future().wait_for(std::chrono::milliseconds(2));
      without_queue.set_value();
      received = from_outside.get_future().get();
    }).join();
  }).join();
  EXPECT_EQ(received, 7);
  EXPECT_EQ(timed_out, fibers::future_status::timeout);
}

TEST(FiberOperationTest, CanBeCompletedFirstOnAnyThreadAndUsedAgain) {
  FiberOperation operation;
  operation.Complete(true);
  EXPECT_TRUE(operation.Await());
  for (int round = 0; round < 200; ++round) {
    const bool ok = round % 2 == 0;
    std::jthread completer([&operation, ok] { operation.Complete(ok); });
    EXPECT_EQ(operation.Await(), ok);
  }
}

}  // namespace
}  // namespace weft
