// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <weft/testing/in_memory_exporter.h>
#include <weft/testing/manual_clock.h>
#include <weft/testing/run_matchers.h>
#include <weft/testing/seeded_ids.h>
#include <weft/tracing/run.h>
#include <weft/tracing/tracer.h>

namespace weft {

/// A tracer that keeps its runs, on a clock and ids of its own.
class TracingTest : public ::testing::Test {
 protected:
  using Run = weft::Run;  // Not GoogleTest's Test::Run.
  using Runs = std::vector<RunRecord>;

  std::shared_ptr<Tracer> MakeTracer(TracerOptions options = {}) {
    options.exporters = {exporter_};
    options.clock = clock_;
    options.ids = ids_;
    return Tracer::Create(std::move(options)).value();
  }

  testing::RunTree Tree() const { return exporter_->Tree(); }

  /// The only run.
  RunRecord Only() const {
    const Runs runs = exporter_->Runs();
    EXPECT_EQ(runs.size(), 1u);
    return runs.empty() ? RunRecord{} : runs.front();
  }

  const std::shared_ptr<testing::ManualClock> clock_ = std::make_shared<testing::ManualClock>();
  const std::shared_ptr<testing::SeededIds> ids_ = std::make_shared<testing::SeededIds>();
  const std::shared_ptr<testing::InMemoryExporter> exporter_ =
      std::make_shared<testing::InMemoryExporter>();
};

/// Headers of a run in another process, with the project `A-project`, the tag `far` and the
/// metadata `{"user_id": "u-1"}`.
inline ParsedHeaders RemoteParent() {
  return TraceHeaders{
      .langsmith_trace = "20260102T030400000000Z019b7c5a-7a00-7a11-9a22-0123456789ab",
      .baggage =
          "langsmith-metadata=%7B%22user_id%22%3A%20%22u-1%22%7D,langsmith-tags=far,"
          "langsmith-project=A-project"}
      .Parse();
}

}  // namespace weft
