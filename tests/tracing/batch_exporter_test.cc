// SPDX-License-Identifier: Apache-2.0
#include "batch_exporter.h"

#include <sys/wait.h>
#include <unistd.h>

#include <future>
#include <semaphore>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "export_queue.h"
#include "export_records.h"
#include "scripted_sink.h"

namespace weft {
namespace {

using internal::BatchExporter;
using internal::BatchExporterOptions;
using internal::Verdict;
using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using Names = SinkScript::Names;

class BatchExporterTest : public ::testing::Test {
 protected:
  std::unique_ptr<BatchExporter> Make(BatchExporterOptions options = {}) {
    options.destination = "the test";
    if (options.flush_interval == milliseconds(200)) options.flush_interval = milliseconds(5);
    if (options.pauses.first_backoff == milliseconds(200)) {
      options.pauses.first_backoff = milliseconds(1);
      options.pauses.max_backoff = milliseconds(5);
    }
    return std::make_unique<BatchExporter>(options, std::make_unique<ScriptedSink>(&script_));
  }

  static void Export(BatchExporter& exporter, int runs, int first = 0) {
    for (int i = first; i < first + runs; ++i) exporter.Export(MakeRecord(std::to_string(i)));
  }

  static Names Numbers(int end, int first = 0) {
    Names names;
    for (int i = first; i < end; ++i) names.push_back(std::to_string(i));
    return names;
  }

  SinkScript script_;
};

TEST_F(BatchExporterTest, DeliversInOrderAndCounts) {
  const auto exporter = Make({.batch_runs = 7});
  Export(*exporter, 100);
  EXPECT_TRUE(exporter->Flush(seconds(20)));
  EXPECT_EQ(script_.sent(), Numbers(100));
  const ExporterStats stats = exporter->Stats();
  EXPECT_EQ(stats.queued, 100u);
  EXPECT_EQ(stats.sent, 100u);
  EXPECT_EQ(stats.acknowledged, 100u);
  EXPECT_EQ(stats.pending, 0u);
}

TEST_F(BatchExporterTest, SendsAFullBatchWithoutWaiting) {
  const auto exporter = Make({.batch_runs = 10, .flush_interval = hours(1)});
  Export(*exporter, 25);
  ASSERT_TRUE(script_.WaitForBatches(2));
  EXPECT_TRUE(exporter->Flush(seconds(20)));
  EXPECT_EQ(script_.batches().back().back(), "24");
}

TEST_F(BatchExporterTest, CutsBatchesByBytes) {
  const auto exporter = Make({.batch_bytes = 10'000, .flush_interval = hours(1)});
  for (int i = 0; i < 4; ++i) {
    RunRecord record = MakeRecord(std::to_string(i));
    record.inputs = {{"text", std::string(8'000, 'x')}};
    exporter->Export(std::move(record));
  }
  EXPECT_TRUE(exporter->Flush(seconds(20)));
  for (const Names& batch : script_.batches()) EXPECT_LE(batch.size(), 2u);
  EXPECT_EQ(script_.sent(), Numbers(4));
}

TEST_F(BatchExporterTest, TriesAgainUntilTheTargetTakesIt) {
  script_.answers = {{.verdict = Verdict::kRetry, .code = "503"},
                     {.verdict = Verdict::kRetry, .code = "429", .retry_after = milliseconds(1)},
                     {.verdict = Verdict::kDenied, .code = "401"},
                     {.verdict = Verdict::kRetry, .code = "connection", .unreachable = true}};
  const auto exporter = Make();
  Export(*exporter, 3);
  EXPECT_TRUE(exporter->Flush(seconds(20)));
  EXPECT_EQ(script_.sent(), Numbers(3));
  EXPECT_EQ(exporter->Stats().sent, 3u);
  EXPECT_EQ(exporter->Stats().acknowledged, 3u);
}

TEST_F(BatchExporterTest, WaitsAsLongAsItWasTold) {
  script_.answers = {{.verdict = Verdict::kRetry, .code = "503", .retry_after = hours(1)}};
  const auto exporter = Make();
  Export(*exporter, 1);
  ASSERT_TRUE(script_.WaitForBatches(1));
  EXPECT_FALSE(exporter->Flush(milliseconds(50)));
  EXPECT_THAT(script_.batches(), SizeIs(1));
  EXPECT_EQ(exporter->Stats().pending, 1u);
}

TEST_F(BatchExporterTest, TriesAtOnceForWhoWaits) {
  script_.answers = {{.verdict = Verdict::kRetry, .code = "503"}};
  const auto exporter = Make({.pauses = {.first_backoff = hours(1), .max_backoff = hours(1)}});
  Export(*exporter, 1);
  ASSERT_TRUE(script_.WaitForBatches(1));
  EXPECT_TRUE(exporter->Flush(seconds(20)));
}

TEST_F(BatchExporterTest, FindsTheRunThatIsWrong) {
  script_.bad = "37";
  const auto exporter = Make({.batch_runs = 100, .flush_interval = hours(1)});
  Export(*exporter, 100);
  EXPECT_TRUE(exporter->Flush(seconds(20)));
  Names others = Numbers(37);
  for (const std::string& name : Numbers(100, 38)) others.push_back(name);
  EXPECT_EQ(script_.sent(), others);
  EXPECT_EQ(exporter->Stats().dropped_rejected, 1u);
  EXPECT_EQ(exporter->Stats().acknowledged, 99u);
  EXPECT_LE(script_.batches().size(), 16u);
}

TEST_F(BatchExporterTest, GoesOnHalvingAfterAFailure) {
  script_.bad = "1";
  script_.answers = {{.verdict = Verdict::kRefused, .code = "422"},
                     {.verdict = Verdict::kRetry, .code = "503"}};
  const auto exporter = Make({.batch_runs = 4, .flush_interval = hours(1)});
  Export(*exporter, 4);
  EXPECT_TRUE(exporter->Flush(seconds(20)));
  EXPECT_THAT(script_.batches(),
              ElementsAre(SizeIs(4), SizeIs(2), SizeIs(2), SizeIs(1), SizeIs(1), SizeIs(2)));
  EXPECT_EQ(script_.sent(), (Names{"0", "2", "3"}));
}

TEST_F(BatchExporterTest, ShortensARunThatIsTooLargeAlone) {
  script_.bad = "1";
  script_.bad_verdict = Verdict::kTooLarge;
  const auto exporter = Make({.batch_runs = 4, .flush_interval = hours(1)});
  Export(*exporter, 4);
  EXPECT_TRUE(exporter->Flush(seconds(20)));
  EXPECT_EQ(script_.sent(), Numbers(4));
  EXPECT_THAT(script_.shortened(), ElementsAre(Names{"1"}));
}

TEST_F(BatchExporterTest, RejectsARunThatIsTooLargeEvenShortened) {
  script_.answers = {{.verdict = Verdict::kTooLarge}, {.verdict = Verdict::kTooLarge}};
  const auto exporter = Make();
  Export(*exporter, 1);
  EXPECT_TRUE(exporter->Flush(seconds(20)));
  EXPECT_EQ(exporter->Stats().dropped_rejected, 1u);
}

TEST_F(BatchExporterTest, CountsWhatASentBatchLost) {
  script_.answers = {{.code = "partial", .reason = "two", .rejected = 2}};
  const auto exporter = Make({.flush_interval = hours(1)});
  Export(*exporter, 5);
  EXPECT_TRUE(exporter->Flush(seconds(20)));
  EXPECT_EQ(exporter->Stats().acknowledged, 3u);
  EXPECT_EQ(exporter->Stats().dropped_rejected, 2u);
}

TEST_F(BatchExporterTest, DropsTheNewestWhenTheQueueIsFull) {
  script_.answers = {{.verdict = Verdict::kRetry, .retry_after = hours(1)}};
  const auto exporter = Make({.queue_bytes = 20'000});
  Export(*exporter, 1000);
  const ExporterStats stats = exporter->Stats();
  EXPECT_GT(stats.dropped_queue_full, 900u);
  EXPECT_GT(stats.pending, 5u);
  EXPECT_EQ(stats.queued, stats.pending + stats.dropped());
  RunRecord record = MakeRecord("later");
  EXPECT_FALSE(exporter->TryExport(record));
  EXPECT_EQ(record.name, "later");
  EXPECT_EQ(exporter->Stats().queued, 1000u);
}

TEST_F(BatchExporterTest, GivesUpAfterAWhile) {
  script_.answers = {{.verdict = Verdict::kRetry, .retry_after = hours(1)}};
  const auto exporter = Make({.retry_for = milliseconds(30)});
  Export(*exporter, 3);
  EXPECT_TRUE(exporter->Flush(seconds(20)));
  EXPECT_EQ(exporter->Stats().dropped_expired, 3u);
}

TEST_F(BatchExporterTest, HasTheSinkKeepWhatItCannotDeliver) {
  script_.keeps = true;
  script_.answers = {{.verdict = Verdict::kRetry, .retry_after = hours(1)}};
  const auto exporter = Make({.batch_runs = 2, .flush_interval = hours(1)});
  Export(*exporter, 5);
  ASSERT_TRUE(script_.WaitForBatches(1));
  EXPECT_FALSE(exporter->Shutdown(milliseconds(1)));
  EXPECT_THAT(script_.kept(), ElementsAre(Numbers(2), Numbers(4, 2), Names{"4"}));
  const ExporterStats stats = exporter->Stats();
  EXPECT_EQ(stats.spilled, 5u);
  EXPECT_EQ(stats.queued, 5u);
  EXPECT_EQ(stats.dropped() + stats.pending, 0u);
}

TEST_F(BatchExporterTest, BreaksOffASendThatTakesTooLong) {
  script_.holds = true;
  const auto exporter = Make();
  Export(*exporter, 1);
  ASSERT_TRUE(script_.WaitForBatches(1));
  EXPECT_FALSE(exporter->Shutdown(milliseconds(1)));
  EXPECT_EQ(exporter->Stats().dropped_expired, 1u);
  Export(*exporter, 1);
  EXPECT_EQ(exporter->Stats().dropped_expired, 2u);
  EXPECT_TRUE(exporter->Shutdown(milliseconds(1)));
}

TEST_F(BatchExporterTest, DoesTheSinksOwnWorkWhenNothingWaits) {
  script_.idle_steps = 3;
  const auto exporter = Make();
  EXPECT_TRUE(script_.WaitForIdleSteps(3));
}

TEST_F(BatchExporterTest, ShutdownLetsTheSinksOwnWorkEndInItsTime) {
  script_.idle_steps = 1;
  script_.idle_step_takes = milliseconds(50);
  const auto exporter = Make();
  ASSERT_TRUE(script_.WaitForIdleSteps(1));
  EXPECT_TRUE(exporter->Shutdown(seconds(20)));
  EXPECT_EQ(script_.broken_idle_steps, 0);
}

TEST_F(BatchExporterTest, ShutdownBreaksOffTheSinksOwnWorkWhenItTakesTooLong) {
  script_.idle_steps = 1;
  script_.idle_step_takes = hours(1);
  const auto exporter = Make();
  ASSERT_TRUE(script_.WaitForIdleSteps(1));
  EXPECT_TRUE(exporter->Shutdown(milliseconds(1)));
  EXPECT_EQ(script_.broken_idle_steps, 1);
}

TEST_F(BatchExporterTest, AStalledOneDelaysNoOther) {
  SinkScript other;
  script_.holds = true;
  const auto stalled = Make();
  BatchExporter healthy({.destination = "the other", .flush_interval = milliseconds(5)},
                        std::make_unique<ScriptedSink>(&other));
  for (int i = 0; i < 500; ++i) {
    stalled->Export(MakeRecord("x"));
    healthy.Export(MakeRecord(std::to_string(i)));
  }
  EXPECT_TRUE(healthy.Flush(seconds(20)));
  EXPECT_EQ(other.sent(), Numbers(500));
  EXPECT_EQ(stalled->Stats().acknowledged, 0u);
}

TEST_F(BatchExporterTest, LosesNothingOfManyThreads) {
  script_.bad = "none";
  for (int i = 0; i < 20; ++i) script_.answers.push_back({.verdict = Verdict::kRetry});
  const auto exporter = Make({.batch_runs = 13});
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) threads.emplace_back([&, t] { Export(*exporter, 500, t * 500); });
  for (std::thread& thread : threads) thread.join();
  EXPECT_TRUE(exporter->Flush(seconds(20)));
  EXPECT_EQ(exporter->Stats().acknowledged, 2000u);
  EXPECT_THAT(script_.sent(), ::testing::UnorderedElementsAreArray(Numbers(2000)));
}

TEST_F(BatchExporterTest, WakesUpForARunAfterItWasIdle) {
  const auto exporter = Make({.flush_interval = milliseconds(1)});
  for (std::size_t i = 1; i <= 20; ++i) {
    Export(*exporter, 1);
    ASSERT_TRUE(script_.WaitForBatches(i));
    ASSERT_TRUE(exporter->Flush(seconds(20)));
  }
}

TEST_F(BatchExporterTest, DropsEverythingInAForkedProcess) {
  const auto exporter = Make();
  Export(*exporter, 1);
  ASSERT_TRUE(exporter->Flush(seconds(20)));
  const pid_t child = fork();
  if (child == 0) {
    Export(*exporter, 1);
    const bool quiet = !exporter->Flush(seconds(1)) && !exporter->Shutdown(seconds(1)) &&
                       exporter->Stats().queued == 0;
    _exit(quiet ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST(ExportQueueTest, WakesTheSenderForWhatFillsItsBatch) {
  int wakes = 0;
  internal::ExportQueue queue({.bytes = 1 << 20, .batch_runs = 10, .batch_bytes = 1 << 20},
                              [&wakes] { ++wakes; });
  const auto push = [&queue](int runs) {
    for (int i = 0; i < runs; ++i) queue.Push(RunRecord());
  };
  push(4);
  queue.Take({}, {.wake_seen = false, .may_sleep = false});
  push(5);
  EXPECT_EQ(wakes, 0);
  push(1);
  EXPECT_EQ(wakes, 1);
  queue.Take({}, {.wake_seen = true, .may_sleep = false, .runs = 3, .bytes = 100});
  push(1);
  EXPECT_EQ(wakes, 2);
}

TEST(ExportQueueTest, ALookLeavesWhatDoesNotFillABatchWhereItIs) {
  int wakes = 0;
  internal::ExportQueue queue({.bytes = 1 << 20, .batch_runs = 10, .batch_bytes = 1 << 20},
                              [&wakes] { ++wakes; });
  const auto push = [&queue](int runs) {
    for (int i = 0; i < runs; ++i) queue.Push(RunRecord());
  };
  const internal::ExportQueue::Waiting look = {
      .wake_seen = false, .may_sleep = false, .only_full = true};
  push(9);
  EXPECT_TRUE(queue.Take({}, look).runs.empty());
  EXPECT_EQ(wakes, 0);
  push(1);
  EXPECT_EQ(wakes, 1);
  const internal::ExportQueue::Orders full = queue.Take({}, look);
  EXPECT_EQ(full.runs.size(), 10U);
  EXPECT_EQ(full.bytes, 10 * full.runs[0].size);
  push(1);
  EXPECT_EQ(queue.Take({}, {.wake_seen = true, .may_sleep = false}).runs.size(), 1U);
}

TEST(ExportQueueTest, WhoFlushesReturnsOnceWhatWasThereIsSettled) {
  std::binary_semaphore woken(0);
  internal::ExportQueue queue({.bytes = 1 << 20, .batch_runs = 100, .batch_bytes = 1 << 20},
                              [&woken] { woken.release(); });
  const auto flush = [&queue] {
    return queue.Flush(std::chrono::steady_clock::now() + std::chrono::seconds(60));
  };
  queue.Push(RunRecord());
  queue.Push(RunRecord());
  std::future<bool> first = std::async(std::launch::async, flush);
  woken.acquire();
  queue.Take({}, {.wake_seen = true, .may_sleep = false});
  queue.Push(RunRecord());
  std::future<bool> second = std::async(std::launch::async, flush);
  woken.acquire();
  queue.Settle(1);
  queue.Settle(2);
  EXPECT_TRUE(first.get());
  EXPECT_EQ(second.wait_for(std::chrono::seconds(0)), std::future_status::timeout);
  queue.Settle(3);
  EXPECT_TRUE(second.get());
}

}  // namespace
}  // namespace weft
