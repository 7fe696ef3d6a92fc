// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <vector>

#include <weft/testing/run_tree.h>
#include <weft/tracing/exporter.h>

namespace weft {
inline namespace v0 {
namespace testing {

/// Keeps runs for a test to look at.
///
///     auto exporter = std::make_shared<weft::testing::InMemoryExporter>();
///     auto tracer = weft::Tracer::Create({.exporters = {exporter}}).value();
///     ...
///     EXPECT_TRUE(exporter->WaitFor(3));
///     EXPECT_THAT(exporter->Tree().FindRun("rerank"), HasParent("answer"));
///
/// Threads: any.
class InMemoryExporter : public Exporter {
 public:
  void Export(RunRecord&& record) noexcept override;
  bool Flush(std::chrono::steady_clock::duration) noexcept override { return true; }
  bool Shutdown(std::chrono::steady_clock::duration) noexcept override { return true; }
  ExporterStats Stats() const noexcept override;

  /// The operations as they came.
  std::vector<RunRecord> Records() const;

  /// One record per run: a later patch is laid over the post. In the order of their first records.
  std::vector<RunRecord> Runs() const;

  RunTree Tree() const { return RunTree(Runs()); }

  /// Waits until `count` runs have ended. False: not in time.
  bool WaitFor(std::size_t count,
               std::chrono::steady_clock::duration timeout = std::chrono::seconds(10)) const;

  /// Waits until `count` operations have come. False: not in time.
  bool WaitForRecords(std::size_t count,
                      std::chrono::steady_clock::duration timeout = std::chrono::seconds(10)) const;

  void Clear();

 private:
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  std::vector<RunRecord> records_;
  std::size_t ended_ = 0;
};

}  // namespace testing
}  // namespace v0
}  // namespace weft
