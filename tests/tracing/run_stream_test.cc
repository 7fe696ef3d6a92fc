// SPDX-License-Identifier: Apache-2.0
#include <weft/tracing/run_stream.h>

#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include <weft/tracing/traceable.h>

#include "tracing_fixture.h"

namespace weft {
namespace {

JsonObject Joined(const std::vector<std::string>& pieces) {
  std::string text;
  for (const std::string& piece : pieces) text += piece;
  return {{"text", text}};
}

class RunStreamTest : public TracingTest {
 protected:
  const std::shared_ptr<Tracer> tracer_ = MakeTracer();
};

TEST_F(RunStreamTest, ReducesThePiecesToTheOutputs) {
  {
    Run run("answer", {.tracer = tracer_});
    RunStream<std::string> tokens(run.Ref(), Joined);
    tokens.Add("one ");
    tokens.Add("tree");
  }
  EXPECT_EQ(Only().outputs, (JsonObject{{"text", "one tree"}}));
}

TEST_F(RunStreamTest, MakesAnEventOfTheFirstPieceAlone) {
  const auto start = clock_->Now();
  {
    Run run("answer", {.tracer = tracer_});
    RunStream<std::string> tokens(run.Ref());
    clock_->Advance(std::chrono::milliseconds(30));
    tokens.Add("a");
    clock_->Advance(std::chrono::milliseconds(30));
    tokens.Add("b");
  }
  ASSERT_EQ(Only().events.size(), 1u);
  EXPECT_EQ(Only().events[0].name, "new_token");
  EXPECT_EQ(Only().events[0].time - start, std::chrono::milliseconds(30));
  EXPECT_EQ(Only().outputs, (JsonObject{{"output", {"a", "b"}}}));
}

TEST_F(RunStreamTest, WorksForTheRunOfATraceable) {
  Traceable("answer", {.tracer = tracer_}, [] {
    RunStream<int> numbers(CurrentRun());
    for (int i = 0; i < 3; ++i) numbers.Add(i);
  })();
  EXPECT_EQ(Only().outputs, (JsonObject{{"output", {0, 1, 2}}}));
}

// A generator as one writes it by hand: the run lasts as long as it gives something.
class Countdown {
 public:
  Countdown(int from, Run run) : left_(from), numbers_(std::move(run)) {}
  std::optional<int> Next() {
    if (left_ == 0) {
      numbers_.Finish();
      return std::nullopt;
    }
    numbers_.Add(left_);
    return left_--;
  }

 private:
  int left_;
  RunStream<int> numbers_;
};

TEST_F(RunStreamTest, KeepsTheRunOfAGeneratorOpenToItsEnd) {
  Countdown countdown(2, Run("countdown", {.tracer = tracer_, .make_current = false}));
  EXPECT_EQ(countdown.Next(), 2);
  Countdown moved(std::move(countdown));
  EXPECT_EQ(moved.Next(), 1);
  EXPECT_TRUE(exporter_->Runs().empty());
  EXPECT_EQ(moved.Next(), std::nullopt);
  EXPECT_EQ(Only().outputs, (JsonObject{{"output", {2, 1}}}));
  EXPECT_TRUE(Only().end);
}

TEST_F(RunStreamTest, KeepsThePiecesOfAGeneratorThatNobodyFinishes) {
  { Countdown(5, Run("countdown", {.tracer = tracer_, .make_current = false})).Next(); }
  EXPECT_EQ(Only().outputs, (JsonObject{{"output", {5}}}));
}

TEST_F(RunStreamTest, KeepsThePiecesBesideAnError) {
  {
    RunStream<int> numbers(Run("numbers", {.tracer = tracer_}));
    numbers.Add(1);
    numbers.SetError("cut off");
  }
  EXPECT_EQ(Only().error, "cut off");
  EXPECT_EQ(Only().outputs, (JsonObject{{"output", {1}}}));
}

TEST_F(RunStreamTest, LetsNoErrorOfAReducerReachTheCaller) {
  {
    RunStream<int> numbers(
        Run("numbers", {.tracer = tracer_}),
        [](const std::vector<int>&) -> JsonObject { throw std::runtime_error("cannot reduce"); });
    numbers.Add(1);
  }
  EXPECT_EQ(Only().outputs, (JsonObject{{"weft_error", "cannot reduce"}}));
}

TEST_F(RunStreamTest, KeepsNothingWhenTracingIsOff) {
  bool reduced = false;
  {
    RunStream<int> numbers(Run("numbers"), [&](const std::vector<int>&) {
      reduced = true;
      return JsonObject();
    });
    numbers.Add(1);
  }
  EXPECT_FALSE(reduced);
}

}  // namespace
}  // namespace weft
