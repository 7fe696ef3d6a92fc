// SPDX-License-Identifier: Apache-2.0
#include <weft/async/call.h>
#include <weft/async/stream.h>

#include <echo.grpc.pb.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include <boost/fiber/barrier.hpp>
#include <boost/fiber/fiber.hpp>
#include <boost/fiber/operations.hpp>

#include <weft/async/cq_scheduler.h>
#include <weft/context/async.h>

namespace weft {
namespace {

namespace fibers = boost::fibers;
using echo::Echo;
using echo::Message;
using Stub = Echo::Stub;

constexpr ContextKey<int> kNumberKey;

int CurrentNumber() {
  const int* const number = Context::View().Find(kNumberKey);
  return number != nullptr ? *number : 0;
}

Message Text(const std::string& text) {
  Message message;
  message.set_text(text);
  return message;
}

// "fail" fails, "wait" waits for its own cancellation, "meet" for a second caller.
class EchoService final : public Echo::Service {
 public:
  std::atomic<int> waiting = 0;
  std::atomic<int> cancelled = 0;

 private:
  grpc::Status Handle(grpc::ServerContext* context, const std::string& text) {
    if (text == "fail") return {grpc::StatusCode::NOT_FOUND, "nothing here"};
    if (text == "wait") {
      ++waiting;
      while (!context->IsCancelled()) std::this_thread::yield();
      ++cancelled;
    }
    if (text == "meet") {
      ++waiting;
      while (waiting < 2) std::this_thread::yield();
    }
    return grpc::Status::OK;
  }
  grpc::Status Unary(grpc::ServerContext* context, const Message* request,
                     Message* response) override {
    response->set_text(request->text() + "!");
    return Handle(context, request->text());
  }
  grpc::Status ClientStream(grpc::ServerContext* context, grpc::ServerReader<Message>* reader,
                            Message* response) override {
    Message request;
    while (reader->Read(&request)) response->set_text(response->text() + request.text());
    return Handle(context, response->text());
  }
  grpc::Status ServerStream(grpc::ServerContext* context, const Message* request,
                            grpc::ServerWriter<Message>* writer) override {
    for (const char c : request->text()) writer->Write(Text({c}));
    return Handle(context, request->text());
  }
  grpc::Status Bidi(grpc::ServerContext* context,
                    grpc::ServerReaderWriter<Message, Message>* stream) override {
    Message request;
    while (stream->Read(&request)) {
      const grpc::Status status = Handle(context, request.text());
      if (!status.ok()) return status;
      stream->Write(request);
    }
    return grpc::Status::OK;
  }
};

static_assert(!std::is_move_constructible_v<UnaryCall<Message>>);

enum class Where { kThread, kFiber, kInheritingFiber };

class CallTest : public ::testing::TestWithParam<Where> {
 protected:
  // Runs `body` on a thread, or in a fiber around a queue.
  static void Run(const std::function<void()>& body) {
    if (GetParam() == Where::kThread) return body();
    std::jthread([&] {
      grpc::CompletionQueue queue;
      const CqScheduler scheduler(&queue, GetParam() == Where::kFiber
                                              ? CqScheduler::Fibers::kPlain
                                              : CqScheduler::Fibers::kInheriting);
      EXPECT_EQ(CqScheduler::Current(), &scheduler);
      fibers::fiber(body).join();
    }).join();
  }
  static void SetDeadline(grpc::ClientContext& context) {
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
  }

  EchoService service_;
  const std::unique_ptr<grpc::Server> server_ =
      grpc::ServerBuilder().RegisterService(&service_).BuildAndStart();
  Stub stub_{server_->InProcessChannel({})};
};

TEST_P(CallTest, AnswersAndFailuresOfUnaryCalls) {
  Run([&] {
    EXPECT_EQ(CallUnary(stub_, &Stub::PrepareAsyncUnary, Text("hello")).response.text(), "hello!");
    const auto failed = CallUnary(stub_, &Stub::PrepareAsyncUnary, Text("fail"));
    EXPECT_FALSE(failed.ok());
    EXPECT_EQ(failed.status.error_code(), grpc::StatusCode::NOT_FOUND);
    EXPECT_EQ(failed.status.error_message(), "nothing here");
    Echo::StubInterface& mockable = stub_;
    grpc::ClientContext context;
    SetDeadline(context);
    EXPECT_TRUE(
        CallUnary(mockable, &Echo::StubInterface::PrepareAsyncUnary, Text("x"), context).ok());
  });
}

TEST_P(CallTest, TheDeadlineEndsACall) {
  Run([&] {
    const auto deadline = std::chrono::system_clock::now() + std::chrono::milliseconds(20);
    const auto result = CallUnary(stub_, &Stub::PrepareAsyncUnary, Text("wait"), deadline);
    EXPECT_EQ(result.status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  });
}

TEST_P(CallTest, AnotherThreadCancelsACall) {
  grpc::ClientContext context;
  SetDeadline(context);
  std::jthread canceller([&] {
    while (service_.waiting == 0) std::this_thread::yield();
    context.TryCancel();
  });
  Run([&] {
    const auto result = CallUnary(stub_, &Stub::PrepareAsyncUnary, Text("wait"), context);
    EXPECT_EQ(result.status.error_code(), grpc::StatusCode::CANCELLED);
  });
}

TEST_P(CallTest, OneCallerHasSeveralCallsUnderWay) {
  Run([&] {
    auto first = StartUnary(stub_, &Stub::PrepareAsyncUnary, Text("meet"));
    auto second = StartUnary(stub_, &Stub::PrepareAsyncUnary, Text("meet"));
    EXPECT_TRUE(second.Await().ok()) << "neither is answered before both have arrived";
    EXPECT_TRUE(first.Await().ok());
    EXPECT_EQ(first.Await().response.text(), "meet!") << "may be asked again";
  });
}

TEST_P(CallTest, AContainerHoldsStartedCalls) {
  Run([&] {
    std::deque<UnaryCall<Message>> calls;
    for (int i = 0; i < 20; ++i) {
      calls.emplace_back(stub_, &Stub::PrepareAsyncUnary, Text(std::to_string(i)));
    }
    for (int i = 0; i < 20; ++i) {
      EXPECT_EQ(calls[i].Await().response.text(), std::to_string(i) + "!");
    }
    EXPECT_EQ(StartUnary(stub_, &Stub::PrepareAsyncUnary, Text("x")).Await().response.text(), "x!");
  });
}

TEST_P(CallTest, AllOfSeveralCallsAreAwaited) {
  Run([&] {
    auto first = StartUnary(stub_, &Stub::PrepareAsyncUnary, Text("meet"));
    auto failed = StartUnary(stub_, &Stub::PrepareAsyncUnary, Text("fail"));
    auto second = StartUnary(stub_, &Stub::PrepareAsyncUnary, Text("meet"));
    AwaitAll(first, failed, second);
    EXPECT_EQ(service_.waiting, 2) << "both have met";
    EXPECT_EQ(first.Await().response.text(), "meet!");
    EXPECT_EQ(failed.Await().status.error_code(), grpc::StatusCode::NOT_FOUND);
    EXPECT_EQ(second.Await().response.text(), "meet!");

    std::deque<UnaryCall<Message>> calls;
    AwaitAll(calls);
    for (int i = 0; i < 20; ++i) {
      calls.emplace_back(stub_, &Stub::PrepareAsyncUnary, Text(std::to_string(i)));
    }
    AwaitAll(calls);
    for (int i = 0; i < 20; ++i) {
      EXPECT_EQ(calls[i].Await().response.text(), std::to_string(i) + "!");
    }
  });
}

TEST_P(CallTest, StartedCallsEndByDeadlineAndByCancel) {
  Run([&] {
    const auto soon = std::chrono::system_clock::now() + std::chrono::milliseconds(20);
    auto late = StartUnary(stub_, &Stub::PrepareAsyncUnary, Text("wait"), soon);
    grpc::ClientContext context;
    SetDeadline(context);
    auto cancelled = StartUnary(stub_, &Stub::PrepareAsyncUnary, Text("wait"), context);
    cancelled.Cancel();
    EXPECT_EQ(cancelled.Await().status.error_code(), grpc::StatusCode::CANCELLED);
    EXPECT_EQ(late.Await().status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  });
}

TEST_P(CallTest, AStartedCallThatIsDroppedIsCancelled) {
  Run([&] {
    const auto first = StartUnary(stub_, &Stub::PrepareAsyncUnary, Text("wait"));
    {
      const auto second = StartUnary(stub_, &Stub::PrepareAsyncUnary, Text("wait"));
      while (service_.waiting < 2) boost::this_fiber::yield();
      EXPECT_EQ(service_.cancelled, 0);
    }
    while (service_.cancelled < 1) boost::this_fiber::yield();
    EXPECT_EQ(service_.cancelled, 1) << "only the second";
  });
  while (service_.cancelled < 2) std::this_thread::yield();
  EXPECT_EQ(service_.cancelled, 2);
}

TEST_P(CallTest, ReadsAStreamOfAnswers) {
  Run([&] {
    auto stream = OpenStream(stub_, &Stub::PrepareAsyncServerStream, Text("abc"));
    std::string all;
    for (Message message; stream.Read(&message);) all += message.text();
    EXPECT_EQ(all, "abc");
    EXPECT_TRUE(stream.Finish().ok());
    EXPECT_TRUE(stream.Finish().ok()) << "may be asked again";
  });
}

TEST_P(CallTest, WritesAStreamOfRequests) {
  Run([&] {
    auto stream = OpenStream(stub_, &Stub::PrepareAsyncClientStream);
    EXPECT_TRUE(stream.Write(Text("a")));
    EXPECT_TRUE(stream.Write(Text("b")));
    const CallResult<Message> result = stream.Finish();
    EXPECT_TRUE(result.ok());
    EXPECT_EQ(result.response.text(), "ab");
  });
}

TEST_P(CallTest, TalksBothWays) {
  Run([&] {
    grpc::ClientContext context;
    SetDeadline(context);
    auto stream = OpenStream(stub_, &Stub::PrepareAsyncBidi, &context);
    Message message;
    for (int i = 0; i < 100; ++i) {
      EXPECT_TRUE(stream.Write(Text(std::to_string(i))));
      ASSERT_TRUE(stream.Read(&message));
      EXPECT_EQ(message.text(), std::to_string(i));
    }
    EXPECT_TRUE(stream.WritesDone());
    EXPECT_FALSE(stream.Read(&message));
    EXPECT_TRUE(stream.Finish().ok());
  });
}

TEST_P(CallTest, AReaderAndAWriterShareAStream) {
  constexpr int kMessages = 300;
  Run([&] {
    grpc::ClientContext context;
    SetDeadline(context);
    auto stream = OpenStream(stub_, &Stub::PrepareAsyncBidi, &context);
    int written = 0;
    int read = 0;
    const auto write = [&] {
      while (written < kMessages && stream.Write(Text(std::to_string(written)))) ++written;
      EXPECT_TRUE(stream.WritesDone());
    };
    const auto read_all = [&] {
      for (Message message; stream.Read(&message);) read += message.text() == std::to_string(read);
    };
    if (GetParam() == Where::kThread) {
      std::jthread writer(write);
      read_all();
    } else {
      fibers::fiber writer(write);
      read_all();
      writer.join();
    }
    EXPECT_TRUE(stream.Finish().ok());
    EXPECT_EQ(written, kMessages);
    EXPECT_EQ(read, kMessages);
  });
}

TEST_P(CallTest, StreamsTellWhyTheyEnded) {
  Run([&] {
    auto stream = OpenStream(stub_, &Stub::PrepareAsyncBidi);
    EXPECT_TRUE(stream.Write(Text("fail")));
    Message message;
    EXPECT_FALSE(stream.Read(&message));
    EXPECT_EQ(stream.Finish().error_code(), grpc::StatusCode::NOT_FOUND);
  });
}

TEST_P(CallTest, AStreamThatIsDroppedIsCancelled) {
  Run([&] {
    {
      auto stream = OpenStream(stub_, &Stub::PrepareAsyncBidi);
      EXPECT_TRUE(stream.Write(Text("wait")));
      while (service_.waiting == 0) boost::this_fiber::yield();
    }
    auto cancelled = OpenStream(stub_, &Stub::PrepareAsyncServerStream, Text("wait"));
    cancelled.Cancel();
    EXPECT_EQ(cancelled.Finish().error_code(), grpc::StatusCode::CANCELLED);
  });
}

TEST_P(CallTest, AContextWhoseDeadlineHasPassedStartsNoStream) {
  Run([&] {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() - std::chrono::seconds(1));
    auto stream = OpenStream(stub_, &Stub::PrepareAsyncClientStream, &context);
    stream.Write(Text("a"));
    EXPECT_EQ(stream.Finish().status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  });
}

INSTANTIATE_TEST_SUITE_P(, CallTest,
                         ::testing::Values(Where::kThread, Where::kFiber, Where::kInheritingFiber));

class FiberCallTest : public CallTest {};

TEST_P(FiberCallTest, TwoCallsOfAThreadAreUnderWayAtOnce) {
  Run([&] {
    const auto ask = [&] { return CallUnary(stub_, &Stub::PrepareAsyncUnary, Text("meet")).ok(); };
    auto first = Async(ask);  // neither is answered before both have arrived
    auto second = Async(ask);
    EXPECT_TRUE(first.get());
    EXPECT_TRUE(second.get());
  });
}

TEST_P(FiberCallTest, TheContextSurvivesEveryWait) {
  int wrong = 0;
  Run([&] {
    std::vector<fibers::fiber> callers;
    for (int number = 1; number <= 20; ++number) {
      const ContextScope scope(Context().With(kNumberKey, number));
      callers.push_back(Spawn([this, &wrong, number] {
        auto stream = OpenStream(stub_, &Stub::PrepareAsyncBidi);
        for (int i = 0; i < 50; ++i) {
          Message message;
          wrong += !CallUnary(stub_, &Stub::PrepareAsyncUnary, Text("a")).ok();
          wrong += CurrentNumber() != number;
          wrong += !stream.Write(Text("b")) || !stream.Read(&message);
          wrong += CurrentNumber() != number;
        }
      }));
    }
    for (fibers::fiber& caller : callers) caller.join();
  });
  EXPECT_EQ(wrong, 0);
}

INSTANTIATE_TEST_SUITE_P(, FiberCallTest,
                         ::testing::Values(Where::kFiber, Where::kInheritingFiber));

class InheritingCallTest : public CallTest {};

TEST_P(InheritingCallTest, AHandlerOfAnExceptionMayCall) {
  int wrong = 0;
  Run([&] {
    std::vector<fibers::fiber> callers;
    for (int number = 1; number <= 10; ++number) {
      callers.emplace_back([this, &wrong, number] {
        for (int i = 0; i < 20; ++i) {
          try {
            try {
              throw std::runtime_error(std::to_string(number));
            } catch (const std::runtime_error&) {
              wrong += !CallUnary(stub_, &Stub::PrepareAsyncUnary, Text("a")).ok();
              throw;
            }
          } catch (const std::runtime_error& error) {
            wrong += error.what() != std::to_string(number);
          }
        }
      });
    }
    for (fibers::fiber& caller : callers) caller.join();
  });
  EXPECT_EQ(wrong, 0);
}

INSTANTIATE_TEST_SUITE_P(, InheritingCallTest, ::testing::Values(Where::kInheritingFiber));

}  // namespace
}  // namespace weft
