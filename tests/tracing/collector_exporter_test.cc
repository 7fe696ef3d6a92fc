// SPDX-License-Identifier: Apache-2.0
#include <weft/tracing/collector_exporter.h>

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <set>
#include <thread>

#include <gmock/gmock.h>
#include <grpcpp/support/status.h>
#include <gtest/gtest.h>

#include <weft/testing/fake_collector.h>
#include <weft/tracing/run.h>

#include "export_records.h"
#include "temporary_folder.h"

namespace weft {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::Each;
using testing::FakeCollector;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;
using Exporting = std::shared_ptr<CollectorExporter>;

void Export(CollectorExporter& exporter, int runs) {
  for (int i = 0; i < runs; ++i) exporter.Export(MakeRecord("run " + std::to_string(i)));
}

void ExpectBalance(const ExporterStats& stats) {
  EXPECT_EQ(stats.queued, stats.acknowledged + stats.dropped() + stats.pending);
}

std::vector<std::string> NamesOf(const FakeCollector::Operations& operations) {
  std::vector<std::string> names;
  for (const auto& operation : operations) {
    names.emplace_back(boost::json::parse(operation.run()).at("name").as_string());
  }
  return names;
}

class CollectorExporterTest : public ::testing::Test {
 protected:
  Exporting Make(CollectorExporterOptions options = {}) {
    options.target = collector_.target();
    if (options.flush_interval == milliseconds(200)) options.flush_interval = milliseconds(10);
    return CollectorExporter::Create(std::move(options)).value();
  }

  FakeCollector collector_;
};

TEST_F(CollectorExporterTest, DeliversRunsAndCountsThemWhenAcknowledged) {
  const Exporting exporter = Make({.api_key = "key-1"});
  Export(*exporter, 3);
  ASSERT_TRUE(collector_.WaitForKept(3));
  EXPECT_TRUE(exporter->Flush(seconds(10)));
  const ExporterStats stats = exporter->Stats();
  EXPECT_EQ(stats.queued, 3u);
  EXPECT_EQ(stats.sent, 3u);
  EXPECT_EQ(stats.acknowledged, 3u);
  EXPECT_EQ(stats.pending, 0u);
  EXPECT_THAT(collector_.api_keys(), Each(std::string("key-1")));
}

TEST_F(CollectorExporterTest, SendsAnOperationWithItsFieldsSplitOut) {
  const Exporting exporter = Make();
  RunRecord record = MakeRecord("whole");
  const RunId id = record.context.id();
  record.inputs = {{"q", "\xff"}};
  record.outputs = JsonObject{{"a", 1}};
  record.error = "broken";
  record.events.push_back({"e", record.start, {}});
  record.attachments.push_back({"pic\xff", "image/png", std::string("\0\1", 2)});
  exporter->Export(std::move(record));
  ASSERT_TRUE(collector_.WaitForKept(1));
  const auto operation = collector_.Kept()[0];
  EXPECT_EQ(operation.kind(), collector::v1::RunOperation::KIND_POST);
  EXPECT_EQ(operation.run_id(), std::string(id.bytes.begin(), id.bytes.end()));
  EXPECT_EQ(operation.trace_id(), operation.run_id());
  EXPECT_EQ(boost::json::parse(operation.run()).at("id").as_string(), id.ToString());
  EXPECT_EQ(operation.inputs(), "{\"q\":\"\xEF\xBF\xBD\"}");
  EXPECT_EQ(operation.outputs(), "{\"a\":1}");
  EXPECT_EQ(operation.error(), "\"broken\"");
  EXPECT_TRUE(boost::json::parse(operation.events()).is_array());
  EXPECT_TRUE(boost::json::parse(operation.extra()).at("runtime").is_object());
  EXPECT_FALSE(operation.has_serialized());
  ASSERT_EQ(operation.attachments_size(), 1);
  EXPECT_EQ(operation.attachments(0).name(), "pic\xEF\xBF\xBD");
  EXPECT_EQ(operation.attachments(0).content(), std::string("\0\1", 2));
}

TEST_F(CollectorExporterTest, SendsAFullBatchWithoutWaiting) {
  const Exporting exporter = Make({.batch_runs = 10, .flush_interval = std::chrono::hours(1)});
  Export(*exporter, 25);
  EXPECT_TRUE(collector_.WaitForKept(20));
  EXPECT_EQ(collector_.batches(), 2u);
  EXPECT_TRUE(exporter->Flush(seconds(10)));
  EXPECT_EQ(collector_.Kept().size(), 25u);
}

TEST_F(CollectorExporterTest, CutsBatchesByBytes) {
  const Exporting exporter = Make({.batch_bytes = 10'000, .flush_interval = std::chrono::hours(1)});
  for (int i = 0; i < 4; ++i) {
    RunRecord record = MakeRecord("big");
    record.inputs = {{"text", std::string(8'000, 'x')}};
    exporter->Export(std::move(record));
  }
  EXPECT_TRUE(exporter->Flush(seconds(10)));
  EXPECT_EQ(collector_.Kept().size(), 4u);
  EXPECT_GE(collector_.batches(), 2u);
}

TEST_F(CollectorExporterTest, KeepsOrder) {
  const Exporting exporter = Make({.batch_runs = 7});
  Export(*exporter, 100);
  ASSERT_TRUE(exporter->Flush(seconds(20)));
  std::vector<std::string> wanted;
  for (int i = 0; i < 100; ++i) wanted.push_back("run " + std::to_string(i));
  EXPECT_EQ(NamesOf(collector_.Kept()), wanted);
}

TEST_F(CollectorExporterTest, LeavesNoMoreUnansweredThanTheWindow) {
  collector_.Hold();
  const Exporting exporter = Make({.batch_runs = 1});
  Export(*exporter, 20);
  ASSERT_TRUE(collector_.WaitForBatches(8));
  EXPECT_FALSE(exporter->Flush(milliseconds(50)));
  EXPECT_EQ(collector_.batches(), 8u);
  EXPECT_EQ(exporter->Stats().pending, 20u);
  ExpectBalance(exporter->Stats());
  collector_.Release();
  EXPECT_TRUE(exporter->Flush(seconds(20)));
  EXPECT_EQ(exporter->Stats().acknowledged, 20u);
}

TEST_F(CollectorExporterTest, ObeysTheWindowThatTheCollectorTells) {
  collector_.SetWindow(2);
  const Exporting exporter = Make({.batch_runs = 1});
  Export(*exporter, 1);
  ASSERT_TRUE(exporter->Flush(seconds(20)));
  collector_.Hold();
  Export(*exporter, 10);
  ASSERT_TRUE(collector_.WaitForBatches(3));
  EXPECT_FALSE(exporter->Flush(milliseconds(50)));
  EXPECT_EQ(collector_.batches(), 3u);
  collector_.Release();
  EXPECT_TRUE(exporter->Flush(seconds(20)));
}

TEST_F(CollectorExporterTest, SendsAgainWhatABrokenStreamLeftUnanswered) {
  collector_.Hold();
  const Exporting exporter = Make({.batch_runs = 5});
  Export(*exporter, 15);
  ASSERT_TRUE(collector_.WaitForBatches(3));
  collector_.Die();
  EXPECT_EQ(exporter->Stats().acknowledged, 0u);
  collector_.Release();
  collector_.Start();
  EXPECT_TRUE(exporter->Flush(seconds(20)));
  const ExporterStats stats = exporter->Stats();
  EXPECT_EQ(stats.acknowledged, 15u);
  EXPECT_EQ(stats.sent, 15u);
  std::vector<std::string> names = NamesOf(collector_.Kept());
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  EXPECT_EQ(names.size(), 15u);
}

TEST_F(CollectorExporterTest, ConnectsWhenTheCollectorComesUpLater) {
  collector_.Die();
  const Exporting exporter = Make();
  Export(*exporter, 2);
  EXPECT_FALSE(exporter->Flush(milliseconds(50)));
  collector_.Start();
  EXPECT_TRUE(exporter->Flush(seconds(20)));
  EXPECT_EQ(collector_.Kept().size(), 2u);
}

TEST_F(CollectorExporterTest, TriesAgainWhenToldTo) {
  collector_.AnswerNext({.code = grpc::StatusCode::UNAVAILABLE, .retry_after_ms = 1});
  collector_.AnswerNext({.code = grpc::StatusCode::RESOURCE_EXHAUSTED, .retry_after_ms = 1});
  collector_.AnswerNext({.code = grpc::StatusCode::INTERNAL});
  const Exporting exporter = Make();
  Export(*exporter, 1);
  EXPECT_TRUE(exporter->Flush(seconds(20)));
  EXPECT_EQ(collector_.batches(), 4u);
  EXPECT_EQ(exporter->Stats().acknowledged, 1u);
  EXPECT_EQ(exporter->Stats().sent, 1u);
}

TEST_F(CollectorExporterTest, DoesNotSendARefusedBatchAgain) {
  collector_.AnswerNext({.code = grpc::StatusCode::INVALID_ARGUMENT, .message = "bad\nbatch"});
  const Exporting exporter = Make();
  Export(*exporter, 2);
  EXPECT_TRUE(exporter->Flush(seconds(20)));
  EXPECT_EQ(exporter->Stats().dropped_rejected, 2u);
  EXPECT_EQ(collector_.batches(), 1u);
  ExpectBalance(exporter->Stats());
}

TEST_F(CollectorExporterTest, CountsSingleOperationsThatWereRefused) {
  collector_.AnswerNext({.rejected = {1}});
  const Exporting exporter = Make({.flush_interval = std::chrono::hours(1)});
  Export(*exporter, 3);
  EXPECT_TRUE(exporter->Flush(seconds(20)));
  EXPECT_EQ(exporter->Stats().acknowledged, 2u);
  EXPECT_EQ(exporter->Stats().dropped_rejected, 1u);
  EXPECT_EQ(NamesOf(collector_.Kept()), (std::vector<std::string>{"run 0", "run 2"}));
}

TEST_F(CollectorExporterTest, FindsTheBatchThatEndsEveryStream) {
  // Three batches are on the way when the stream ends for one of them; alone, the second one does
  // it again.
  collector_.Hold();
  const FakeCollector::Answer too_large{.code = grpc::StatusCode::INVALID_ARGUMENT,
                                        .end_stream = true};
  collector_.AnswerNext(too_large);
  collector_.AnswerNext({.silence = true});
  collector_.AnswerNext({.silence = true});
  collector_.AnswerNext({});
  collector_.AnswerNext(too_large);
  const Exporting exporter = Make({.batch_runs = 1});
  Export(*exporter, 3);
  ASSERT_TRUE(collector_.WaitForBatches(3));
  collector_.Release();
  EXPECT_TRUE(exporter->Flush(seconds(20)));
  EXPECT_EQ(exporter->Stats().acknowledged, 2u);
  EXPECT_EQ(exporter->Stats().dropped_rejected, 1u);
  EXPECT_EQ(NamesOf(collector_.Kept()), (std::vector<std::string>{"run 0", "run 2"}));
}

TEST_F(CollectorExporterTest, ACollectorShortOfMemoryCostsNoBatch) {
  const FakeCollector::Answer short_of_memory{.code = grpc::StatusCode::RESOURCE_EXHAUSTED,
                                              .end_stream = true};
  for (int i = 0; i < 4; ++i) collector_.AnswerNext(short_of_memory);
  const Exporting exporter = Make({.batch_runs = 1});
  Export(*exporter, 1);
  EXPECT_TRUE(exporter->Flush(seconds(20)));
  EXPECT_EQ(exporter->Stats().acknowledged, 1u);
}

TEST_F(CollectorExporterTest, ABatchThatIsTooLargeIsGivenUp) {
  const FakeCollector::Answer too_large{.code = grpc::StatusCode::RESOURCE_EXHAUSTED,
                                        .end_stream = true};
  for (int i = 0; i < 5; ++i) collector_.AnswerNext(too_large);
  const Exporting exporter = Make({.batch_runs = 1});
  for (int i = 0; i < 2; ++i) {
    Export(*exporter, 1);
    EXPECT_TRUE(exporter->Flush(seconds(20)));
  }
  EXPECT_EQ(exporter->Stats().acknowledged, 1u);
  EXPECT_EQ(exporter->Stats().dropped_rejected, 1u);
}

TEST_F(CollectorExporterTest, DropsTheNewestWhenTheQueueIsFull) {
  collector_.Die();
  const Exporting exporter = Make({.queue_bytes = 20'000});
  Export(*exporter, 1000);
  const ExporterStats stats = exporter->Stats();
  EXPECT_GT(stats.dropped_queue_full, 900u);
  EXPECT_GT(stats.pending, 5u);
  ExpectBalance(stats);
  collector_.Start();
  EXPECT_TRUE(exporter->Flush(seconds(20)));
  EXPECT_EQ(NamesOf(collector_.Kept()).front(), "run 0");
  EXPECT_EQ(collector_.Kept().size(), stats.pending);
}

TEST_F(CollectorExporterTest, TakesRunsAgainWhenTheQueueHasRoom) {
  const Exporting exporter = Make({.queue_bytes = 20'000});
  for (int round = 0; round < 20; ++round) {
    Export(*exporter, 5);
    ASSERT_TRUE(exporter->Flush(seconds(20)));
  }
  EXPECT_EQ(exporter->Stats().acknowledged, 100u);
}

TEST_F(CollectorExporterTest, GivesUpAfterAWhile) {
  collector_.Die();
  const Exporting exporter = Make({.retry_for = milliseconds(50)});
  Export(*exporter, 3);
  EXPECT_TRUE(exporter->Flush(seconds(20)));
  EXPECT_EQ(exporter->Stats().dropped_expired, 3u);
  ExpectBalance(exporter->Stats());
}

TEST_F(CollectorExporterTest, ReturnsInTimeWhenTheCollectorIsDead) {
  collector_.Die();
  const Exporting exporter = Make();
  Export(*exporter, 500);
  EXPECT_FALSE(exporter->Flush(milliseconds(1)));
  EXPECT_FALSE(exporter->Shutdown(milliseconds(1)));
  EXPECT_EQ(exporter->Stats().dropped_expired, 500u);
  Export(*exporter, 1);
  EXPECT_EQ(exporter->Stats().dropped_expired, 501u);
  ExpectBalance(exporter->Stats());
}

TEST_F(CollectorExporterTest, ReturnsInTimeWhenTheCollectorIsSilent) {
  collector_.AnswerNext({.silence = true});
  const Exporting exporter = Make();
  Export(*exporter, 1);
  ASSERT_TRUE(collector_.WaitForBatches(1));
  EXPECT_FALSE(exporter->Shutdown(milliseconds(1)));
  ExpectBalance(exporter->Stats());
}

TEST_F(CollectorExporterTest, DeliversWhatIsLeftWhenItShutsDown) {
  const Exporting exporter = Make({.flush_interval = std::chrono::hours(1)});
  Export(*exporter, 3);
  EXPECT_TRUE(exporter->Shutdown(seconds(20)));
  EXPECT_EQ(collector_.Kept().size(), 3u);
}

TEST_F(CollectorExporterTest, LosesNothingWhileManyThreadsExportAndTheCollectorComesAndGoes) {
  const Exporting exporter = Make({.batch_runs = 20});
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] { Export(*exporter, 500); });
  }
  for (int i = 0; i < 3; ++i) {
    collector_.WaitForBatches(collector_.batches() + 1);
    collector_.Die();
    collector_.Start();
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_TRUE(exporter->Flush(seconds(30)));
  EXPECT_EQ(exporter->Stats().acknowledged, 2000u);
  std::vector<std::string> ids;
  for (const auto& operation : collector_.Kept()) ids.push_back(operation.run_id());
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  EXPECT_EQ(ids.size(), 2000u);
}

class CollectorSpillTest : public CollectorExporterTest {
 protected:
  Exporting Make(CollectorExporterOptions options = {}) {
    options.api_key = "canary";
    options.spill_dir = folder_.path();
    return CollectorExporterTest::Make(std::move(options));
  }
  /// How many runs were taken, each once.
  std::size_t Arrived() const {
    std::set<std::string> ids;
    for (const auto& operation : collector_.Kept()) ids.insert(operation.run_id());
    return ids.size();
  }
  /// Once a run that comes later is acknowledged, so is what was sent before.
  void Settle(CollectorExporter& exporter) {
    Export(exporter, 1);
    EXPECT_TRUE(exporter.Flush(seconds(20)));
  }

  const Folder folder_;
};

TEST_F(CollectorSpillTest, SendsWhatIsLeftAtTheEndAtTheNextStart) {
  collector_.Die();
  Exporting exporter = Make({.batch_runs = 100});
  Export(*exporter, 250);
  EXPECT_FALSE(exporter->Shutdown(milliseconds(20)));
  const ExporterStats stats = exporter->Stats();
  EXPECT_EQ(stats.spilled, 250u);
  EXPECT_EQ(stats.dropped() + stats.pending, 0u);
  ASSERT_THAT(folder_.Files(), SizeIs(3));
  for (const auto& file : folder_.Files()) {
    const Json saved = boost::json::parse(ReadFile(file));
    EXPECT_EQ(saved.at("endpoint").as_string(), "weft.collector.v1.RunBatch");
    EXPECT_EQ(saved.at("target").as_string(), "collector " + collector_.target());
    EXPECT_THAT(ReadFile(file), Not(HasSubstr("canary")));
  }
  collector_.Start();
  exporter = Make();
  EXPECT_TRUE(collector_.WaitForKept(250));
  Settle(*exporter);
  EXPECT_EQ(Arrived(), 251u);
  EXPECT_THAT(folder_.Files(), IsEmpty());
  // What is from the disk was counted there.
  EXPECT_EQ(exporter->Stats().queued, 1u);
  EXPECT_EQ(exporter->Stats().acknowledged, 1u);
}

TEST_F(CollectorSpillTest, SendsWhatWasTriedForTooLongOnceTheCollectorIsBack) {
  collector_.Die();
  const Exporting exporter = Make({.retry_for = milliseconds(30)});
  Export(*exporter, 5);
  EXPECT_TRUE(exporter->Flush(seconds(20)));
  EXPECT_EQ(exporter->Stats().spilled, 5u);
  collector_.Start();
  EXPECT_TRUE(collector_.WaitForKept(5));  // Without a run that would come later.
  EXPECT_EQ(Arrived(), 5u);
}

TEST_F(CollectorSpillTest, TriesAgainLaterWhatItTriedInVainAtTheStart) {
  collector_.Die();
  Exporting exporter = Make();
  Export(*exporter, 3);
  EXPECT_FALSE(exporter->Shutdown(milliseconds(1)));
  exporter = Make({.retry_for = milliseconds(30)});
  Export(*exporter, 1);
  EXPECT_TRUE(exporter->Flush(seconds(20)));
  EXPECT_EQ(exporter->Stats().spilled, 1u);
  collector_.Start();
  EXPECT_TRUE(collector_.WaitForKept(4));
  EXPECT_EQ(Arrived(), 4u);
}

TEST_F(CollectorSpillTest, SendsAgainWhatWasUnansweredAtTheEnd) {
  collector_.AnswerNext({.silence = true});
  Exporting exporter = Make();
  Export(*exporter, 3);
  ASSERT_TRUE(collector_.WaitForBatches(1));
  EXPECT_FALSE(exporter->Shutdown(milliseconds(1)));
  EXPECT_EQ(exporter->Stats().spilled, 3u);
  exporter = Make();
  EXPECT_TRUE(collector_.WaitForKept(3));
}

TEST_F(CollectorSpillTest, PutsWhatComesInExcessOnDisk) {
  collector_.Die();
  Exporting exporter = Make({.queue_bytes = 50'000});
  Export(*exporter, 1000);
  EXPECT_FALSE(exporter->Shutdown(milliseconds(20)));
  const ExporterStats stats = exporter->Stats();
  EXPECT_EQ(stats.queued, 1000u);
  EXPECT_EQ(stats.spilled, 1000u);
  EXPECT_EQ(stats.dropped() + stats.pending, 0u);
  collector_.Start();
  exporter = Make();
  EXPECT_TRUE(collector_.WaitForKept(1000));
  EXPECT_EQ(Arrived(), 1000u);
}

TEST_F(CollectorSpillTest, FillsTheFolderNoFurtherThanItMay) {
  collector_.Die();
  const Exporting exporter = Make({.spill_bytes = 20'000, .batch_runs = 10});
  Export(*exporter, 500);
  EXPECT_FALSE(exporter->Shutdown(milliseconds(1)));
  const ExporterStats stats = exporter->Stats();
  EXPECT_GT(stats.spilled, 0u);
  EXPECT_GT(stats.dropped_expired, 0u);
  EXPECT_EQ(stats.spilled + stats.dropped_expired, 500u);
  std::uintmax_t bytes = 0;
  for (const auto& file : folder_.Files()) bytes += std::filesystem::file_size(file);
  EXPECT_LE(bytes, 20'000u);
}

TEST_F(CollectorSpillTest, SetsAsideWhatIsRefusedWhenItIsSentAgain) {
  collector_.Die();
  Exporting exporter = Make();
  Export(*exporter, 1);
  EXPECT_FALSE(exporter->Shutdown(milliseconds(1)));
  collector_.Start();
  collector_.AnswerNext({.code = grpc::StatusCode::INVALID_ARGUMENT, .message = "no"});
  exporter = Make();
  ASSERT_TRUE(collector_.WaitForBatches(1));
  Settle(*exporter);
  ASSERT_THAT(folder_.Files(), SizeIs(1));
  EXPECT_EQ(folder_.Files()[0].extension(), ".refused");
  EXPECT_EQ(exporter->Stats().dropped_rejected, 0u);
}

TEST_F(CollectorExporterTest, WakesUpForARunAfterItWasIdle) {
  const Exporting exporter = Make({.flush_interval = milliseconds(1)});
  for (std::size_t i = 1; i <= 20; ++i) {
    Export(*exporter, 1);
    ASSERT_TRUE(collector_.WaitForKept(i));
  }
  EXPECT_EQ(collector_.streams(), 1u);
}

TEST_F(CollectorExporterTest, DropsEverythingInAForkedProcess) {
  const Exporting exporter = Make();
  Export(*exporter, 1);
  ASSERT_TRUE(exporter->Flush(seconds(20)));
  const pid_t child = fork();
  if (child == 0) {
    Export(*exporter, 1);
    _exit(exporter->Shutdown(seconds(1)) ? 1 : 0);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST_F(CollectorExporterTest, CarriesTheRunsOfATracer) {
  const auto tracer = Tracer::Create({.exporters = {Make()}}).value();
  {
    weft::Run outer("outer", {.tracer = tracer});
    weft::Run inner("inner");
  }
  EXPECT_TRUE(tracer->Flush(seconds(20)));
  EXPECT_EQ(NamesOf(collector_.Kept()), (std::vector<std::string>{"inner", "outer"}));
}

TEST(CollectorExporterOptionsTest, AreRefusedByName) {
  const auto refusal = [](CollectorExporterOptions options) {
    return std::string(CollectorExporter::Create(std::move(options)).status().message());
  };
  EXPECT_THAT(refusal({.target = ""}), HasSubstr("target"));
  EXPECT_THAT(refusal({.api_key = "a\nb"}), HasSubstr("api_key"));
  EXPECT_THAT(refusal({.api_key = "a\nb"}), ::testing::Not(HasSubstr("a\nb")));
  EXPECT_THAT(refusal({.queue_bytes = 0}), HasSubstr("queue_bytes"));
  EXPECT_THAT(refusal({.batch_runs = 0}), HasSubstr("batch_runs"));
  EXPECT_THAT(refusal({.batch_bytes = 0}), HasSubstr("batch_bytes"));
  EXPECT_THAT(refusal({.flush_interval = milliseconds(-1)}), HasSubstr("flush_interval: -1"));
  EXPECT_THAT(refusal({.retry_for = milliseconds(0)}), HasSubstr("retry_for: 0"));
}

}  // namespace
}  // namespace weft
