// SPDX-License-Identifier: Apache-2.0
#include <weft/tracing/traceable.h>

#include <coroutine>
#include <exception>
#include <future>
#include <map>
#include <stdexcept>
#include <string>
#include <thread>

#include <boost/fiber/all.hpp>

#include <weft/collector/v1/collector.pb.h>
#include <weft/tracing/tracing_context.h>

#include "tracing_fixture.h"

namespace weft {
namespace {

using testing::HasError;
using testing::HasMetadata;
using testing::HasNoError;
using testing::HasParent;
using ::testing::HasSubstr;
using testing::HasTag;
using ::testing::IsEmpty;
using testing::IsInProject;

int Double(int n) { return 2 * n; }

struct Shop {
  int stock = 3;
  int Take(int n) { return stock -= n; }
};

class TraceableTest : public TracingTest {
 protected:
  const std::shared_ptr<Tracer> tracer_ = MakeTracer();
  const TracingContext context_{TracingContextOptions{.tracer = tracer_}};
};

TEST_F(TraceableTest, MakesARunOfEachCallOfAFunction) {
  auto traced = Traceable("double", {.run_type = RunType::kTool}, Double);
  EXPECT_EQ(traced(4), 8);
  EXPECT_EQ(traced(5), 10);
  const auto runs = exporter_->Runs();
  ASSERT_EQ(runs.size(), 2u);
  EXPECT_EQ(runs[0].DisplayName(), "double");
  EXPECT_EQ(runs[0].type, RunType::kTool);
  EXPECT_EQ(runs[0].inputs, (JsonObject{{"args", {4}}}));
  EXPECT_EQ(runs[0].outputs, (JsonObject{{"output", 8}}));
}

TEST_F(TraceableTest, NamesTheArguments) {
  auto traced =
      Traceable("f", {.arguments = {"question", "k"}},
                [](const std::string& question, int k, bool) { return question.size() + k; });
  EXPECT_EQ(traced("why", 8, true), 11u);
  EXPECT_EQ(Only().inputs, (JsonObject{{"question", "why"}, {"k", 8}, {"args", {true}}}));
}

TEST_F(TraceableTest, TakesAFunctionWithoutOptionsOrArguments) {
  auto traced = Traceable("nothing", [] {});
  static_assert(std::is_void_v<decltype(traced())>);
  traced();
  EXPECT_THAT(Only().inputs, IsEmpty());
  EXPECT_EQ(Only().outputs, std::nullopt);
  EXPECT_TRUE(Only().end);
}

TEST_F(TraceableTest, TakesAMemberFunction) {
  Shop shop;
  auto traced = Traceable("take", {.arguments = {"n"}}, &Shop::Take);
  EXPECT_EQ(traced(shop, 1), 2);
  EXPECT_EQ(Only().inputs, (JsonObject{{"n", 1}}));
}

TEST_F(TraceableTest, TakesWhatCanOnlyBeMoved) {
  auto traced = Traceable(
      "move", [owned = std::make_unique<int>(7)](std::unique_ptr<int> n) { return *owned + *n; });
  auto moved = std::move(traced);
  EXPECT_EQ(moved(std::make_unique<int>(1)), 8);
  EXPECT_EQ(Only().inputs, (JsonObject{{"args", {1}}}));
}

TEST_F(TraceableTest, KeepsStateOfTheCallableAndIsCallableWhenConst) {
  auto counter = Traceable("count", [n = 0]() mutable { return ++n; });
  counter();
  EXPECT_EQ(counter(), 2);
  const auto constant = Traceable("constant", [] { return 1; });
  EXPECT_EQ(constant(), 1);
  static_assert(!std::is_invocable_v<const decltype(counter)>);
  const std::function<int()> erased = constant;
  EXPECT_EQ(erased(), 1);
}

TEST_F(TraceableTest, ReturnsReferencesAsReferences) {
  int value = 1;
  auto traced = Traceable("ref", [&value]() -> int& { return value; });
  static_assert(std::is_same_v<decltype(traced()), int&>);
  traced() = 5;
  EXPECT_EQ(value, 5);
}

TEST_F(TraceableTest, ReturnsWhatCanNeitherBeCopiedNorShown) {
  struct Opaque {
    std::unique_ptr<int> value;
  };
  auto traced = Traceable("opaque", [] { return Opaque{std::make_unique<int>(3)}; });
  EXPECT_EQ(*traced().value, 3);
  EXPECT_THAT(std::string(Only().outputs->at("type").as_string()), HasSubstr("Opaque"));
}

TEST_F(TraceableTest, IsTheParentOfWhatItCalls) {
  auto inner = Traceable("inner", [] {});
  auto outer = Traceable("outer", [&] { inner(); });
  outer();
  EXPECT_THAT(Tree().FindRun("inner"), HasParent("outer"));
}

TEST_F(TraceableTest, PassesExceptionsOnAndRecordsThem) {
  auto traced = Traceable("throws", [](int) -> int { throw std::out_of_range("too far"); });
  EXPECT_THROW(traced(1), std::out_of_range);
  EXPECT_THAT(Tree().FindRun("throws"), HasError("std::out_of_range: too far"));
  EXPECT_FALSE(CurrentRun());
}

TEST_F(TraceableTest, TakesAFailedStatusAsTheError) {
  auto status = Traceable("status", [](bool fine) {
    return fine ? absl::OkStatus() : absl::UnavailableError("closed");
  });
  EXPECT_FALSE(status(false).ok());
  EXPECT_THAT(Tree().FindRun("status"), HasError("UNAVAILABLE: closed"));
  exporter_->Clear();
  EXPECT_TRUE(status(true).ok());
  EXPECT_THAT(Tree().FindRun("status"), HasNoError());
}

TEST_F(TraceableTest, TakesTheValueOrTheErrorOfAStatusOr) {
  auto traced = Traceable("or", [](int n) -> absl::StatusOr<std::string> {
    if (n < 0) return absl::InvalidArgumentError("negative");
    return std::string("fine");
  });
  EXPECT_EQ(*traced(1), "fine");
  EXPECT_EQ(Only().outputs, (JsonObject{{"output", "fine"}}));
  exporter_->Clear();
  EXPECT_FALSE(traced(-1).ok());
  EXPECT_THAT(Tree().FindRun("or"), HasError("INVALID_ARGUMENT: negative"));
}

TEST_F(TraceableTest, ShowsAProtobufMessageAsItsFields) {
  auto traced =
      Traceable("message", [](const collector::v1::BatchResult& result) { return result; });
  collector::v1::BatchResult message;
  message.set_code(3);
  message.set_message("hello");
  traced(message);
  EXPECT_EQ(Only().inputs, (JsonObject{{"code", 3}, {"message", "hello"}}));
  EXPECT_EQ(Only().outputs, (JsonObject{{"code", 3}, {"message", "hello"}}));
}

TEST_F(TraceableTest, LetsFunctionsReplaceInputsAndOutputs) {
  auto traced = Traceable("secret",
                          {.arguments = {"password"},
                           .inputs =
                               [](JsonObject inputs) {
                                 inputs["password"] = "***";
                                 return inputs;
                               },
                           .outputs =
                               [](JsonObject) {
                                 return JsonObject{{"hidden", true}};
                               }},
                          [](std::string password) { return password + "!"; });
  EXPECT_EQ(traced("x"), "x!");
  EXPECT_EQ(Only().inputs, (JsonObject{{"password", "***"}}));
  EXPECT_EQ(Only().outputs, (JsonObject{{"hidden", true}}));
}

struct Unwilling {};
[[maybe_unused]] void tag_invoke(boost::json::value_from_tag, Json&, const Unwilling&) {
  throw std::runtime_error("no");
}

TEST_F(TraceableTest, LetsNoErrorOfItsOwnReachTheCaller) {
  auto conversion = Traceable("conversion", [](Unwilling) { return 1; });
  EXPECT_EQ(conversion(Unwilling{}), 1);
  auto replacement =
      Traceable("replacement",
                {.inputs = [](JsonObject) -> JsonObject { throw std::runtime_error("replaced"); }},
                [] { return 2; });
  EXPECT_EQ(replacement(), 2);
  EXPECT_EQ(Tree().FindRun("conversion")->inputs, (JsonObject{{"args", {{{"weft_error", "no"}}}}}));
  EXPECT_EQ(Tree().FindRun("replacement")->inputs, (JsonObject{{"weft_error", "replaced"}}));
}

TEST_F(TraceableTest, TakesOptionsForOneCall) {
  auto traced = Traceable("f", {.tags = {"always"}, .metadata = {{"a", 1}}}, Double);
  EXPECT_EQ(traced.With({.parent = RemoteParent(), .tags = {"once"}, .metadata = {{"b", 2}}})(3),
            6);
  traced(1);
  const auto runs = Tree().FindRuns("f");
  ASSERT_EQ(runs.size(), 2u);
  EXPECT_THAT(runs[0], IsInProject("A-project"));
  EXPECT_THAT(runs[0], HasTag("once"));
  EXPECT_THAT(runs[0], HasTag("always"));
  EXPECT_THAT(runs[0], HasMetadata("b", 2));
  EXPECT_THAT(runs[1], ::testing::Not(HasTag("once")));
  EXPECT_THAT(runs[1], HasMetadata("a", 1));
}

TEST_F(TraceableTest, TakesOptionsForOneCallWhenItIsConst) {
  const auto traced = Traceable("f", Double);
  EXPECT_EQ(traced.With({.tags = {"once"}})(3), 6);
  EXPECT_THAT(Tree().FindRun("f"), HasTag("once"));
}

TEST_F(TraceableTest, LastsUntilAFutureIsReady) {
  std::promise<int> promise;
  auto traced = Traceable("future", [&] { return promise.get_future(); });
  std::future<int> future = traced();
  EXPECT_FALSE(CurrentRun());
  EXPECT_THAT(exporter_->Records(), IsEmpty());
  promise.set_value(9);
  EXPECT_EQ(future.get(), 9);
  EXPECT_EQ(Only().outputs, (JsonObject{{"output", 9}}));
}

TEST_F(TraceableTest, TakesTheExceptionOfAFuture) {
  auto traced = Traceable("future", [] {
    return std::async(std::launch::async, []() -> int { throw std::runtime_error("later"); });
  });
  EXPECT_THROW(traced().get(), std::runtime_error);
  EXPECT_THAT(Tree().FindRun("future"), HasError("std::runtime_error: later"));
}

TEST_F(TraceableTest, LeavesADeferredFutureDeferred) {
  bool ran = false;
  auto traced =
      Traceable("deferred", [&] { return std::async(std::launch::deferred, [&] { ran = true; }); });
  std::future<void> future = traced();
  EXPECT_EQ(future.wait_for(std::chrono::seconds(0)), std::future_status::deferred);
  EXPECT_FALSE(ran);
  future.get();
  EXPECT_TRUE(ran);
  EXPECT_TRUE(Only().end);
}

TEST_F(TraceableTest, LastsUntilAFutureOfAFiberIsReady) {
  auto traced = Traceable("fiber", [](int n) {
    return boost::fibers::async([n] {
      boost::this_fiber::yield();
      return n + 1;
    });
  });
  boost::fibers::future<int> future = traced(1);
  EXPECT_THAT(exporter_->Records(), IsEmpty());
  EXPECT_EQ(future.get(), 2);
  EXPECT_EQ(Only().outputs, (JsonObject{{"output", 2}}));
}

TEST_F(TraceableTest, IsCurrentWhileACallMakesItsFuture) {
  auto traced = Traceable("future", [] {
    const Context inside = Context::Current();
    return std::async(std::launch::async, [inside] {
      const ContextScope scope(inside);
      Run run("work");
    });
  });
  traced().get();
  EXPECT_THAT(Tree().FindRun("work"), HasParent("future"));
}

TEST_F(TraceableTest, ConvertsNothingWhenTracingIsOff) {
  const TracingContext off({.enabled = false});
  int conversions = 0;
  auto traced = Traceable("off",
                          {.inputs =
                               [&](JsonObject inputs) {
                                 ++conversions;
                                 return inputs;
                               }},
                          Double);
  EXPECT_EQ(traced(2), 4);
  EXPECT_EQ(conversions, 0);
  EXPECT_THAT(exporter_->Records(), IsEmpty());
}

/// The least that is a generator.
template <typename T>
class Generator {
 public:
  struct promise_type {
    Generator get_return_object() { return Generator(Handle::from_promise(*this)); }
    std::suspend_always initial_suspend() noexcept { return {}; }
    std::suspend_always final_suspend() noexcept { return {}; }
    std::suspend_always yield_value(T& given) noexcept {
      value = &given;
      return {};
    }
    std::suspend_always yield_value(T&& given) noexcept { return yield_value(given); }
    void return_void() noexcept {}
    void unhandled_exception() { throw; }
    T* value = nullptr;
  };
  using Handle = std::coroutine_handle<promise_type>;

  class Iterator {
   public:
    using iterator_concept = std::input_iterator_tag;
    using value_type = T;
    using difference_type = std::ptrdiff_t;
    explicit Iterator(Handle handle) : handle_(handle) {}
    T& operator*() const { return *handle_.promise().value; }
    Iterator& operator++() {
      handle_.resume();
      return *this;
    }
    void operator++(int) { handle_.resume(); }
    bool operator==(std::default_sentinel_t) const { return handle_.done(); }

   private:
    Handle handle_;
  };

  explicit Generator(Handle handle) : handle_(handle) {}
  Generator(Generator&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Generator& operator=(Generator&&) = delete;
  ~Generator() {
    if (handle_) handle_.destroy();
  }
  Iterator begin() {
    handle_.resume();
    return Iterator(handle_);
  }
  std::default_sentinel_t end() const noexcept { return {}; }

 private:
  Handle handle_;
};

Generator<std::string> Tokens(int count, bool fail) {
  for (int i = 0; i < count; ++i) {
    Run step("step");
    step.End();
    co_yield "token " + std::to_string(i);
  }
  if (fail) throw std::runtime_error("out of tokens");
}

TEST_F(TraceableTest, ARunOfAGeneratorLastsUntilItIsRead) {
  auto tokens =
      Traceable("tokens", {.run_type = RunType::kLlm, .arguments = {"count", "fail"}}, Tokens);
  std::vector<std::string> read;
  {
    Run reader("reader");
    for (std::string& token : tokens(2, false)) {
      EXPECT_THAT(Tree().FindRuns("tokens"), IsEmpty());
      EXPECT_EQ(CurrentRun().context().id(), reader.context().id());
      read.push_back(std::move(token));
    }
    EXPECT_EQ(Tree().FindRuns("tokens").size(), 1u);
  }
  EXPECT_EQ(read, (std::vector<std::string>{"token 0", "token 1"}));
  EXPECT_EQ(Tree().ToString(), "reader\n  tokens\n    step\n    step\n");
  const auto run = Tree().FindRun("tokens");
  EXPECT_EQ(run->outputs, (JsonObject{{"output", {"token 0", "token 1"}}}));
  EXPECT_EQ(run->inputs, (JsonObject{{"count", 2}, {"fail", false}}));
  ASSERT_EQ(run->events.size(), 1u);
  EXPECT_EQ(run->events[0].name, "new_token");
}

TEST_F(TraceableTest, AGeneratorThatThrowsFailsItsRun) {
  auto tokens = Traceable("tokens", Tokens);
  EXPECT_THROW(
      {
        for (const std::string& token : tokens(1, true)) EXPECT_EQ(token, "token 0");
      },
      std::runtime_error);
  const auto run = Tree().FindRun("tokens");
  EXPECT_THAT(run, HasError("std::runtime_error: out of tokens"));
  EXPECT_EQ(run->outputs, (JsonObject{{"output", {"token 0"}}}));
}

TEST_F(TraceableTest, AGeneratorThatIsLeftEndsItsRun) {
  auto tokens = Traceable("tokens", Tokens);
  for (const std::string& token : tokens(9, false)) {
    if (token == "token 1") break;
  }
  { const auto unread = tokens(9, false); }
  const auto runs = Tree().FindRuns("tokens");
  ASSERT_EQ(runs.size(), 2u);
  EXPECT_EQ(runs[0]->outputs, (JsonObject{{"output", {"token 0", "token 1"}}}));
  EXPECT_EQ(runs[1]->outputs, (JsonObject{{"output", JsonArray()}}));
}

TEST_F(TraceableTest, AGeneratorIsReadAllTheSameWithTracingOff) {
  const TracingContext off({.enabled = false});
  int read = 0;
  for (const std::string& token : Traceable("tokens", Tokens)(3, false)) read += !token.empty();
  EXPECT_EQ(read, 3);
  EXPECT_THAT(exporter_->Runs(), IsEmpty());
}

}  // namespace
}  // namespace weft
