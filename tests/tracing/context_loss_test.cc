// SPDX-License-Identifier: Apache-2.0
// Runs that start without a context while a call is in flight. What a call is, is the interceptors'
// business: tests/interceptors/context_loss_test.cc.
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include <weft/context/bind.h>
#include <weft/context/spawn.h>
#include <weft/tracing/internal/call_in_flight.h>
#include <weft/tracing/traceable.h>
#include <weft/tracing/tracing_context.h>

#include "tracing_fixture.h"

namespace weft {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;

class ContextLossTest : public TracingTest {
 protected:
  void TearDown() override { SetGlobalTracer(nullptr); }

  void Detect(bool on = true) {
    tracer_ = MakeTracer({.detect_context_loss = on});
    SetGlobalTracer(tracer_);
  }

  static internal::CallInFlight Handle(const std::string& method) {
    return internal::CallInFlight(std::make_shared<const RunTemplate>(method, RunType::kChain));
  }

  static void OnPlainThread(const std::function<void()>& work) { std::thread(work).join(); }

  /// The mark of the only run; null: none.
  Json Mark() const {
    const RunRecord run = Only();
    const Json* const mark = run.metadata.if_contains("weft_context_lost");
    return mark != nullptr ? *mark : Json();
  }

  static std::string Source(const Json& mark) {
    return std::string(std::string_view(mark.at("source").as_string()));
  }

  std::shared_ptr<Tracer> tracer_;
};

TEST_F(ContextLossTest, MarksARunOnAThreadWithoutAContext) {
  Detect();
  const auto call = Handle("shop.Cart/Add");
  const unsigned line = __LINE__ + 1;
  OnPlainThread([] { Run run("lost"); });
  EXPECT_EQ(Mark().at("method"), Json("shop.Cart/Add"));
  EXPECT_THAT(Source(Mark()), EndsWith("context_loss_test.cc:" + std::to_string(line)));
  EXPECT_EQ(tracer_->Stats().context_lost, 1u);
}

TEST_F(ContextLossTest, SaysWhereATraceableWasMade) {
  Detect();
  const auto call = Handle("shop.Cart/Add");
  const unsigned line = __LINE__ + 1;
  OnPlainThread([] { Traceable("lost", [] {})(); });
  EXPECT_THAT(Source(Mark()), EndsWith("context_loss_test.cc:" + std::to_string(line)));
}

TEST_F(ContextLossTest, MarksOnlyTheRunThatHasNoParent) {
  Detect();
  const auto call = Handle("shop.Cart/Add");
  OnPlainThread([] {
    const Run lost("lost");
    const Run below("below");
  });
  EXPECT_EQ(tracer_->Stats().context_lost, 1u);
  for (const RunRecord& run : exporter_->Runs()) {
    EXPECT_EQ(run.metadata.contains("weft_context_lost"), run.name == "lost");
  }
}

TEST_F(ContextLossTest, NamesAllThatIsHandledAtTheTime) {
  Detect();
  const auto first = Handle("a/B");
  const auto second = Handle("c/D");
  const auto again = Handle("a/B");
  std::optional<internal::CallInFlight> ended(Handle("e/F"));
  ended.reset();
  Run("lost").End();
  EXPECT_EQ(Mark().at("method"), Json("a/B, c/D"));
}

TEST_F(ContextLossTest, MarksNothingWhileNoCallIsHandled) {
  Detect();
  { const auto call = Handle("a/B"); }
  OnPlainThread([] { Run run("root"); });
  EXPECT_TRUE(Mark().is_null());
  EXPECT_EQ(tracer_->Stats().context_lost, 0u);
}

TEST_F(ContextLossTest, MarksNoRootThatWasAskedFor) {
  Detect();
  const auto call = Handle("a/B");
  OnPlainThread([] { Run run("root", {.parent = kNoParent}); });
  OnPlainThread([] {
    const TracingContext in({.parent = kNoParent});
    Run run("root");
  });
  OnPlainThread(Detached([] { Run run("root"); }));
  OnPlainThread(Detached([] { Spawn([] { Run run("root"); }).join(); }));
  OnPlainThread([] { Run run("child", {.parent = RemoteParent()}); });
  EXPECT_EQ(exporter_->Runs().size(), 5u);
  for (const RunRecord& run : exporter_->Runs()) {
    EXPECT_FALSE(run.metadata.contains("weft_context_lost")) << run.name;
  }
  EXPECT_EQ(tracer_->Stats().context_lost, 0u);
}

TEST_F(ContextLossTest, MarksNothingThatInherits) {
  Detect();
  const auto call = Handle("a/B");
  const Run handler("handler", {.parent = kNoParent});
  OnPlainThread(Bind([] { Run run("bound"); }));
  Spawn([] { Run run("spawned"); }).join();
  EXPECT_EQ(tracer_->Stats().context_lost, 0u);
}

TEST_F(ContextLossTest, IsOffWhenItIsToldSo) {
  Detect(false);
  const auto call = Handle("a/B");
  OnPlainThread([] { Run run("lost"); });
  EXPECT_TRUE(Mark().is_null());
  EXPECT_EQ(tracer_->Stats().context_lost, 0u);
}

TEST_F(ContextLossTest, CountsRunsThatAreOutOfTheSample) {
  tracer_ = MakeTracer({.sampling_rate = 0, .error_promotion = false, .detect_context_loss = true});
  SetGlobalTracer(tracer_);
  const auto call = Handle("a/B");
  OnPlainThread([] { Run run("lost"); });
  EXPECT_EQ(tracer_->Stats().context_lost, 1u);
}

}  // namespace
}  // namespace weft
