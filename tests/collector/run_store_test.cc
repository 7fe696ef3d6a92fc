// SPDX-License-Identifier: Apache-2.0
#include <weft/collector/run_store.h>

#include <algorithm>
#include <atomic>
#include <fstream>
#include <future>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zstd.h>

#include "fold_support.h"
#include "run_store_index.h"
#include "run_store_reader.h"
#include "storage_support.h"

namespace weft::collector {
namespace {

namespace json = boost::json;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::IsEmpty;

constexpr seconds kPatience{60};

// A log and a store; both can be closed and opened again.
class RunStoreTest : public testing::Test {
 protected:
  RunStoreTest() { Open(); }

  void Open() {
    absl::StatusOr<std::unique_ptr<Log>> log = Log::Open(SmallLog(directory_.path()));
    ASSERT_TRUE(log.ok()) << log.status();
    log_ = *std::move(log);
    store_ = RunStore::Start(log_, options_);
  }
  void Reopen() {
    store_.reset();
    log_.reset();
    Open();
  }

  // Appends what was put into `builder_` and `ops_` as one record.
  void Flush(bool compressed = false) {
    RecordHeader header = HeaderFor(builder_.payload);
    header.received_us += ++flushes_;
    header.ops = std::move(ops_);
    std::string payload = std::move(builder_.payload);
    if (compressed) {
      std::string packed(ZSTD_compressBound(payload.size()), '\0');
      packed.resize(ZSTD_compress(packed.data(), packed.size(), payload.data(), payload.size(), 1));
      header.coding = PayloadCoding::kZstd;
      payload = std::move(packed);
    }
    absl::StatusOr<Position> at = AppendNow(*log_, std::move(header), std::move(payload));
    ASSERT_TRUE(at.ok()) << at.status();
    ops_.clear();
    builder_ = {};
  }
  void Settle() { ASSERT_TRUE(store_->WaitUntilIndexed(kPatience)); }

  void Op(OpKind kind, RunId run, RunId trace, std::string object, std::string project = {}) {
    ops_.push_back(
        builder_.Op(kind, run, trace, {{PartField::kRun, std::move(object)}}, std::move(project)));
  }
  void Post(std::uint64_t run, std::uint64_t trace, std::string object, std::string project = {}) {
    Op(OpKind::kPost, IdOf(run), IdOf(trace), std::move(object), std::move(project));
  }
  void Patch(std::uint64_t run, std::uint64_t trace, std::string object) {
    Op(OpKind::kPatch, IdOf(run), IdOf(trace), std::move(object));
  }

  json::object Run(std::uint64_t id) {
    absl::StatusOr<StoredRun> run = store_->FindRun(IdOf(id));
    EXPECT_TRUE(run.ok()) << id << " " << run.status();
    return run.ok() ? ParseObject(run->json) : json::object();
  }
  std::vector<std::string> Names(const absl::StatusOr<std::vector<StoredRun>>& runs) {
    std::vector<std::string> names;
    for (const StoredRun& run : *runs) names.push_back(run.name);
    return names;
  }
  std::vector<std::string> Listed(TraceQuery query) { return Names(store_->ListTraces(query)); }

  // Traces with one run, numbered from `first`; each record is a sixth of a segment.
  void ManyTraces(std::uint64_t first, std::uint64_t count) {
    for (std::uint64_t i = first; i < first + count; ++i) {
      std::string name = "t" + std::to_string(i);
      Post(i, i, R"({"name":")" + name + R"(","fill":")" + std::string(10'000, 'x') + R"("})",
           "many");
      Flush();
    }
  }

  TemporaryDirectory directory_;
  RunStoreOptions options_;
  std::shared_ptr<Log> log_;
  std::unique_ptr<RunStore> store_;
  PayloadBuilder builder_;
  std::vector<RunOp> ops_;
  std::uint64_t flushes_ = 0;
};

TEST_F(RunStoreTest, ReadsARunFromManyRecords) {
  Patch(2, 1, R"({"name":"child","outputs":{"a":1},"end_time":"2026-01-01T00:00:01Z"})");
  Flush(true);
  Post(1, 1, R"({"name":"root"})", "research");
  Post(2, 1, R"({"name":"early","inputs":{"q":1},"parent_run_id":")" + IdOf(1).ToString() + "\"}");
  Flush();
  Settle();
  json::object run = Run(2);
  EXPECT_EQ(run["name"], "child");
  EXPECT_EQ(run["inputs"], json::parse(R"({"q":1})"));
  EXPECT_EQ(run["outputs"], json::parse(R"({"a":1})"));
  EXPECT_EQ(run["status"], "success");
  EXPECT_EQ(run["session_name"], "research") << "the root's";
  EXPECT_EQ(Run(1)["status"], "pending");
  EXPECT_TRUE(absl::IsNotFound(store_->FindRun(IdOf(3)).status()));
}

TEST_F(RunStoreTest, ReadsATraceInItsOrder) {
  Post(3, 1, R"({"name":"b","dotted_order":"1.3"})");
  Post(2, 1, R"({"name":"a","dotted_order":"1.2"})");
  Flush();
  Post(4, 9, R"({"name":"other"})");
  Post(1, 1, R"({"name":"root","dotted_order":"1"})", "p");
  Flush();
  Settle();
  absl::StatusOr<std::vector<StoredRun>> trace = store_->FindTrace(IdOf(1));
  EXPECT_THAT(Names(trace), ElementsAre("root", "a", "b"));
  for (const StoredRun& run : *trace) EXPECT_EQ(run.session_name, "p");
  EXPECT_THAT(Names(store_->FindTrace(IdOf(77))), IsEmpty());
}

TEST_F(RunStoreTest, APatchWithoutATraceFindsItsRun) {
  for (bool patch_first : {false, true}) {
    const std::uint64_t trace = patch_first ? 10 : 1;
    const std::uint64_t child = trace + 1;
    Post(trace, trace, R"({"name":"root"})");
    Flush();
    if (!patch_first) Post(child, trace, R"({"name":"child","inputs":{"q":1}})");
    if (!patch_first) Flush();
    Op(OpKind::kPatch, IdOf(child), {}, R"({"outputs":{"a":1}})");
    Op(OpKind::kPatch, IdOf(trace), {}, R"({"outputs":{"root":1}})");
    Flush();
    if (patch_first) {
      Settle();
      EXPECT_EQ(Run(child)["outputs"], json::parse(R"({"a":1})")) << "before its POST";
      Post(child, trace, R"({"name":"child","inputs":{"q":1}})");
      Flush();
    }
    Settle();
    json::object run = Run(child);
    EXPECT_EQ(run["name"], "child");
    EXPECT_EQ(run["outputs"], json::parse(R"({"a":1})"));
    EXPECT_EQ(run["trace_id"], json::value(IdOf(trace).ToString()));
    EXPECT_EQ(Run(trace)["outputs"], json::parse(R"({"root":1})"));
    absl::StatusOr<std::vector<StoredRun>> runs = store_->FindTrace(IdOf(trace));
    ASSERT_EQ(runs->size(), 2u);
    for (const StoredRun& of_trace : *runs) {
      EXPECT_TRUE(ParseObject(of_trace.json).contains("outputs")) << of_trace.json;
    }
  }
}

TEST_F(RunStoreTest, RunsOfTwoTracesMayShareAnId) {
  Post(1, 1, R"({"name":"root one"})");
  Post(5, 1, R"({"name":"child of one"})");
  Post(2, 2, R"({"name":"root two"})");
  Post(5, 2, R"({"name":"child of two"})");
  Flush();
  Settle();
  EXPECT_THAT(Names(store_->FindTrace(IdOf(1))),
              testing::UnorderedElementsAre("root one", "child of one"));
  EXPECT_THAT(Names(store_->FindTrace(IdOf(2))),
              testing::UnorderedElementsAre("root two", "child of two"));
}

TEST_F(RunStoreTest, ListsTracesNewestFirst) {
  Post(1, 1, R"({"name":"old","start_time":"2026-01-01T00:00:00Z"})", "a");
  Post(2, 2, R"({"name":"new","start_time":"2026-01-03T00:00:00Z"})", "a");
  Post(3, 3, R"({"name":"mid","start_time":"2026-01-02T00:00:00Z"})", "b");
  Post(4, 3, R"({"name":"child","start_time":"2026-01-09T00:00:00Z"})", "b");
  Post(5, 5, R"({"name":"nowhere","start_time":"2025-01-01T00:00:00Z"})");
  Flush();
  Settle();
  EXPECT_THAT(Listed({}), ElementsAre("new", "mid", "old", "nowhere"));
  EXPECT_THAT(Listed({.project = "a"}), ElementsAre("new", "old"));
  EXPECT_THAT(Listed({.project = "default"}), ElementsAre("nowhere"));
  EXPECT_THAT(Listed({.project = "c"}), IsEmpty());
  EXPECT_EQ(Listed({.project = {}, .limit = 2}).size(), 2u);
}

TEST_F(RunStoreTest, ListsATraceWhoseRootNeverCame) {
  Post(3, 1, R"({"name":"b","start_time":"2026-01-02T00:00:01Z"})", "a");
  Post(4, 1, R"({"name":"a","start_time":"2026-01-02T00:00:00Z"})", "a");
  Post(2, 2, R"({"name":"whole","start_time":"2026-01-01T00:00:00Z"})", "a");
  Post(7, 6, R"({"name":"nowhere"})");
  Op(OpKind::kPatch, IdOf(8), {}, R"({"name":"of no trace"})");
  Op(OpKind::kFeedback, IdOf(9), IdOf(10), R"({"score":1})");
  Flush();
  Settle();
  EXPECT_THAT(Listed({.project = "a"}), ElementsAre("(missing root)", "whole"));
  EXPECT_THAT(Listed({.project = "default"}), ElementsAre("(missing root)"));
  EXPECT_EQ(Listed({}).size(), 3u);
  const absl::StatusOr<std::vector<StoredRun>> listed = store_->ListTraces({.project = "a"});
  const StoredRun& made_up = listed->front();
  EXPECT_EQ(made_up.id, IdOf(1));
  EXPECT_TRUE(made_up.parent_run_id.IsNil());
  EXPECT_EQ(made_up.start_time, "2026-01-02T00:00:00.000000Z");
  EXPECT_EQ(made_up.session_name, "a");
  EXPECT_EQ(ParseObject(made_up.json).at("extra").at("metadata").at("weft_synthetic"), true);
  EXPECT_THAT(Names(store_->FindTrace(IdOf(1))), testing::UnorderedElementsAre("a", "b"));
  // It came after all.
  Post(1, 1, R"({"name":"root","start_time":"2026-01-02T00:00:00Z"})", "a");
  Flush();
  Settle();
  EXPECT_THAT(Listed({.project = "a"}), ElementsAre("root", "whole"));
}

TEST_F(RunStoreTest, KnowsTheProjects) {
  Post(1, 1, "{}", "a");
  Post(2, 2, "{}", "lrn:agents/planner/environments/local");
  Flush();
  Post(3, 3, "{}", "a");
  Flush();
  Settle();
  std::vector<Project> projects = store_->Projects();
  ASSERT_EQ(projects.size(), 2u);
  EXPECT_EQ(projects[0].name, "a");
  EXPECT_EQ(projects[0].id, ProjectId("a"));
  EXPECT_EQ(projects[0].last_seen_us - projects[0].first_seen_us, 1u);
  EXPECT_EQ(projects[1].name, "planner/local");
}

TEST_F(RunStoreTest, FindsAttachments) {
  Post(1, 1, "{}");
  ops_.back().parts.push_back(builder_.Attachment("a.b", "image/png", std::string("\0\r\n", 3)));
  Flush(true);
  Settle();
  absl::StatusOr<AttachmentContent> found = store_->FindAttachment(IdOf(1), "a.b");
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(found->mime_type, "image/png");
  EXPECT_EQ(found->content, std::string("\0\r\n", 3));
  EXPECT_TRUE(absl::IsNotFound(store_->FindAttachment(IdOf(1), "c").status()));
  EXPECT_TRUE(absl::IsNotFound(store_->FindAttachment(IdOf(2), "a.b").status()));
}

TEST_F(RunStoreTest, IsRebuiltFromTheLog) {
  ManyTraces(100, 20);
  Post(2, 1, R"({"name":"child"})");
  Flush();
  Settle();
  Reopen();
  Settle();
  EXPECT_EQ(store_->lag_records(), 0u);
  EXPECT_EQ(Run(100)["name"], "t100");
  EXPECT_EQ(Run(2)["name"], "child");
  EXPECT_EQ(Listed({.project = "many"}).size(), 20u);
  ManyTraces(120, 1);
  Settle();
  EXPECT_EQ(Listed({.project = "many"}).size(), 21u);
}

// A log whose older segments cannot be read for a while.
class HeldLog final : public Log {
 public:
  explicit HeldLog(std::shared_ptr<Log> log)
      : log_(std::move(log)), held_before_(log_->Segments().back().begin) {}

  void Release() { release_.set_value(); }

  absl::StatusOr<Record> ReadHeader(Position position) const override {
    if (position < held_before_) released_.wait();
    return log_->ReadHeader(position);
  }
  void Append(RecordHeader header, std::string payload, Done done) override {
    log_->Append(std::move(header), std::move(payload), std::move(done));
  }
  absl::Status Ready() const override { return log_->Ready(); }
  absl::StatusOr<Record> Read(Position position) const override { return log_->Read(position); }
  Position Begin() const override { return log_->Begin(); }
  Position DurableEnd() const override { return log_->DurableEnd(); }
  std::vector<SegmentInfo> Segments() const override { return log_->Segments(); }
  const std::filesystem::path& directory() const override { return log_->directory(); }
  bool WaitForRecord(Position position, std::chrono::milliseconds timeout) const override {
    return log_->WaitForRecord(position, timeout);
  }
  void SetRequired(const std::string& reader, Position position) override {
    log_->SetRequired(reader, position);
  }
  void Close() override { log_->Close(); }
  LogStats Stats() const override { return log_->Stats(); }

 private:
  const std::shared_ptr<Log> log_;
  const Position held_before_;
  std::promise<void> release_;
  std::shared_future<void> released_ = release_.get_future().share();
};

TEST_F(RunStoreTest, WhatOldSegmentsHoldIsNoLag) {
  ManyTraces(100, 20);
  Settle();
  store_.reset();
  const auto held = std::make_shared<HeldLog>(log_);
  store_ = RunStore::Start(held, options_);
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (store_->lag().count() > 0 && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::yield();
  }
  EXPECT_EQ(store_->lag().count(), 0);
  EXPECT_GT(store_->lag_records(), 0u);
  held->Release();
  Settle();
  EXPECT_EQ(store_->lag_records(), 0u);
  EXPECT_EQ(Listed({.project = "many"}).size(), 20u);
}

TEST_F(RunStoreTest, TheLagIsTheAgeOfWhatIsReadNext) {
  EXPECT_EQ(store_->lag().count(), 0);
  store_->Stop();
  Post(1, 1, "{}");
  Flush();
  EXPECT_GT(store_->lag(), std::chrono::hours(1)) << "it is said to have come in 2023";
}

TEST_F(RunStoreTest, ATraceIsFullWhenItHasAsManyRunsAsItMay) {
  options_.max_trace_runs = 3;
  Reopen();
  Post(1, 1, R"({"name":"root"})");
  Post(2, 1, R"({"name":"child"})");
  Flush();
  Settle();
  EXPECT_FALSE(store_->has_full_traces());
  Patch(2, 1, R"({"end_time":0})");  // no other run
  Flush();
  Settle();
  EXPECT_FALSE(store_->has_full_traces());
  Post(3, 1, R"({"name":"last"})");
  Flush();
  Settle();
  const auto expect_full = [&] {
    EXPECT_TRUE(store_->has_full_traces());
    EXPECT_TRUE(store_->IsFull(IdOf(1), IdOf(4), 3));
    EXPECT_FALSE(store_->IsFull(IdOf(1), IdOf(3), 3)) << "it is one of them";
    EXPECT_FALSE(store_->IsFull(IdOf(1), IdOf(1), 3));
    EXPECT_FALSE(store_->IsFull(IdOf(9), IdOf(4), 3));
    EXPECT_FALSE(store_->IsFull(IdOf(1), IdOf(4), 4)) << "a tenant may have more";
  };
  expect_full();
  Reopen();
  Settle();
  expect_full();
}

// With room for a few traces only, everything is still found.
class SmallIndexTest : public RunStoreTest {
 protected:
  SmallIndexTest() {
    options_.max_index_bytes = 1200;
    Reopen();
  }
};

TEST_F(SmallIndexTest, FindsWhatTheIndexNoLongerHolds) {
  Post(2, 1, R"({"name":"child"})");
  Post(1, 1, R"({"name":"root"})", "early");
  Flush();
  Op(OpKind::kPatch, IdOf(2), {}, R"({"outputs":{"a":1}})");
  Flush();
  ManyTraces(100, 60);
  Patch(2, 1, R"({"end_time":0})");  // the trace comes back into the index, without its past
  Flush();
  Op(OpKind::kPatch, IdOf(1), {}, R"({"end_time":0})");
  Flush();
  ManyTraces(160, 20);
  Settle();
  auto expect_all = [&](const char* when) {
    SCOPED_TRACE(when);
    EXPECT_LE(store_->index_bytes(), 1200u);
    json::object child = Run(2);
    EXPECT_EQ(child["name"], "child");
    EXPECT_EQ(child["status"], "success");
    EXPECT_EQ(child["outputs"], json::parse(R"({"a":1})"));
    EXPECT_EQ(child["session_name"], "early");
    absl::StatusOr<std::vector<StoredRun>> trace = store_->FindTrace(IdOf(1));
    ASSERT_EQ(trace->size(), 2u);
    for (const StoredRun& run : *trace) EXPECT_EQ(run.status, "success") << run.json;
    for (std::uint64_t id : {100, 131, 179}) {
      EXPECT_EQ(Run(id)["name"], json::value("t" + std::to_string(id)));
    }
    EXPECT_TRUE(absl::IsNotFound(store_->FindRun(IdOf(99)).status()));
    EXPECT_THAT(Names(store_->FindTrace(IdOf(99))), IsEmpty());
    EXPECT_THAT(Listed({.project = "early"}), ElementsAre("root"));
    EXPECT_EQ(Listed({.project = "many", .limit = 70}).size(), 70u);
  };
  expect_all("while it runs");
  EXPECT_EQ(store_->Projects().size(), 2u);
  Reopen();
  Settle();
  expect_all("after a start with summaries");
  EXPECT_EQ(store_->Projects().size(), 2u);
  store_.reset();
  for (const auto& entry : std::filesystem::directory_iterator(directory_.path() / "index")) {
    std::ofstream(entry.path(), std::ios::trunc) << "WEFTSUM1 but not more";
  }
  Reopen();
  expect_all("while the summaries are made again");
  Settle();
  expect_all("after a start without summaries");
  EXPECT_EQ(store_->Projects().size(), 2u);
}

TEST_F(SmallIndexTest, FindsEveryRunWhileTracesLeaveTheIndex) {
  constexpr std::uint64_t kTraces = 200;
  std::atomic<std::uint64_t> there{0};
  std::thread reader([&] {
    while (there < kTraces) {
      const std::uint64_t last = there;
      for (std::uint64_t i = last - std::min<std::uint64_t>(last, 20); i < last; ++i) {
        EXPECT_TRUE(store_->FindRun(IdOf(1000 + i)).ok()) << i << " of " << last;
        EXPECT_TRUE(store_->FindRun(IdOf(5000 + i)).ok()) << i << " of " << last;
        EXPECT_EQ(store_->FindTrace(IdOf(1000 + i))->size(), 2u) << i << " of " << last;
      }
      EXPECT_GE(Listed({.project = {}, .limit = 30}).size(), std::min<std::uint64_t>(last, 30));
    }
  });
  for (std::uint64_t i = 0; i < kTraces; ++i) {
    Post(1000 + i, 1000 + i, R"({"name":"root"})");
    Post(5000 + i, 1000 + i, R"({"name":"child"})");
    Flush();
    Settle();
    there = i + 1;
  }
  reader.join();
}

TEST_F(SmallIndexTest, FindsRunsFromBeforeAStartInTheMiddleOfASegment) {
  Post(1, 1, R"({"name":"root"})", "early");
  Post(2, 1, R"({"name":"child"})");
  Flush();
  Settle();
  const Position begin = log_->Segments().back().begin;
  Reopen();
  Post(3, 3, R"({"name":"after"})");
  Flush();
  ManyTraces(100, 60);  // They fill the segment and many more, and take the index.
  Settle();
  ASSERT_NE(log_->Segments().back().begin, begin);
  for (const char* const when : {"while it runs", "after one more start"}) {
    SCOPED_TRACE(when);
    EXPECT_EQ(Run(1)["name"], "root");
    EXPECT_EQ(Run(2)["name"], "child");
    EXPECT_EQ(Run(2)["session_name"], "early");
    EXPECT_EQ(Run(3)["name"], "after");
    EXPECT_THAT(Names(store_->FindTrace(IdOf(1))), testing::UnorderedElementsAre("root", "child"));
    EXPECT_THAT(Listed({.project = "early"}), ElementsAre("root"));
    Reopen();
    Settle();
  }
}

// Between two looks of a question the index may come to hold what it did not, and the other way
// round. Here it does so all the time, and most questions are asked across a change.
TEST_F(RunStoreTest, AQuestionHasItsAnswerWhateverTheIndexHoldsMeanwhile) {
  Post(1, 1, R"({"name":"root"})", "p");
  Flush();
  Op(OpKind::kPatch, IdOf(2), {}, R"({"outputs":{"a":1}})");
  Flush();
  Post(2, 1, R"({"name":"child"})");
  Flush();
  std::vector<Record> records;
  for (Position at = log_->Begin(); at < log_->DurableEnd(); at = records.back().next) {
    absl::StatusOr<Record> record = log_->ReadHeader(at);
    ASSERT_TRUE(record.ok()) << record.status();
    records.push_back(*std::move(record));
  }
  std::shared_mutex mutex;
  std::optional<TraceIndex> index(std::in_place, 1 << 20, log_->DurableEnd());
  std::jthread changer([&](const std::stop_token& stop) {
    for (bool full = true; !stop.stop_requested(); full = !full) {
      std::unique_lock lock(mutex);
      index.emplace(1 << 20, full ? log_->Begin() : log_->DurableEnd());
      for (std::size_t i = 0; full && i < records.size(); ++i) index->Add(records[i], false);
    }
  });
  constexpr int kQuestions = 1000;
  for (int i = 0; i < kQuestions; ++i) {
    StoreReader reader(*log_, *index, mutex);
    ASSERT_TRUE(reader.Run(IdOf(1)).ok()) << i;
    absl::StatusOr<StoredRun> child = reader.Run(IdOf(2));
    ASSERT_TRUE(child.ok()) << i;
    ASSERT_TRUE(ParseObject(child->json).contains("outputs")) << i << " " << child->json;
    ASSERT_EQ(child->session_name, "p") << i;
    ASSERT_EQ(reader.Trace(IdOf(1)).size(), 2u) << i;
    ASSERT_EQ(reader.Traces({.project = "p"}).size(), 1u) << i;
  }
}

TEST_F(RunStoreTest, ManyReadWhileItIndexes) {
  std::atomic<bool> done{false};
  std::vector<std::thread> readers;
  for (int i = 0; i < 3; ++i) {
    readers.emplace_back([&] {
      while (!done) {
        auto roots = store_->ListTraces({.project = "many", .limit = 5});
        for (const StoredRun& root : *roots) {
          EXPECT_EQ(store_->FindTrace(root.trace_id)->size(), 1u);
        }
      }
    });
  }
  ManyTraces(1, 100);
  Settle();
  done = true;
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(Listed({.project = {}, .limit = 200}).size(), 100u);
}

TEST_F(RunStoreTest, StopsAtOnceAndTwice) {
  store_->Stop();
  store_->Stop();
  Post(1, 1, "{}");
  Flush();
  EXPECT_FALSE(store_->WaitUntilIndexed(kPatience));
}

TEST(TraceIndexTest, IsAboutAHundredBytesForARun) {
  TraceIndex index(1ull << 30, {1, 64, 1});
  Record record;
  for (std::uint64_t seq = 1; seq <= 100; ++seq) {
    record.position = {1, 64 * seq, seq};
    record.header.ops.clear();
    for (std::uint64_t i = 0; i < 100; ++i) {
      RunOp op;
      op.run_id = op.trace_id = IdOf(seq * 1000 + i);
      record.header.ops.push_back(op);
    }
    index.Add(record, false);
  }
  EXPECT_LE(index.bytes() / 10'000, 100u);
  EXPECT_EQ(index.Newest(std::nullopt, 3, 0),
            (std::vector<RunId>{IdOf(100'099), IdOf(100'098), IdOf(100'097)}));
}

TEST(TraceIndexTest, ListsATraceWithoutARootOnlyAfterAWhile) {
  TraceIndex index(1 << 20, {1, 64, 1});
  Record record;
  record.position = {1, 64, 1};
  record.header.received_us = 5'000'000;
  RunOp child;
  child.run_id = IdOf(2);
  child.trace_id = IdOf(1);
  record.header.ops = {child};
  index.Add(record, false);
  EXPECT_THAT(index.Newest(std::nullopt, 10, 6), IsEmpty());
  EXPECT_THAT(index.Newest(std::nullopt, 10, 8), ElementsAre(IdOf(1)));
  EXPECT_THAT(index.Newest(std::nullopt, 10, 4), ElementsAre(IdOf(1))) << "a clock set back";
}

// Runs are looked up some at a time, before those in front of them are added.
TEST(TraceIndexTest, CountsARunOnceThatARecordNamesTwice) {
  constexpr std::uint64_t kChildren = 50;
  TraceIndex index(1 << 20, {1, 64, 1}, kChildren + 1);
  Record record;
  record.position = {1, 64, 1};
  for (std::uint64_t i = 1; i <= kChildren; ++i) {
    RunOp child;
    child.run_id = IdOf(i);
    child.trace_id = IdOf(1000);
    child.project = i < 30 ? "first" : "second";
    record.header.ops.insert(record.header.ops.end(), 2, child);
  }
  record.header.ops.pop_back();
  record.header.ops.pop_back();
  index.Add(record, false);
  EXPECT_EQ(index.full_traces(), 0u);
  EXPECT_THAT(index.Find(IdOf(1000), false), ElementsAre(record.position));
  for (std::uint64_t i = 1; i < kChildren; ++i) EXPECT_EQ(index.TraceOf(IdOf(i)), IdOf(1000));
  EXPECT_EQ(index.TraceOf(IdOf(kChildren)), std::nullopt);
  EXPECT_EQ(index.Projects().size(), 2u);
}

TEST(TraceIndexTest, PromisesOnlyWhatItHolds) {
  TraceIndex index(5000, {1, 64, 1});
  Record record;
  for (std::uint64_t seq = 1; seq <= 200; ++seq) {
    record.position = {1, 64 * seq, seq};
    RunOp root, child;
    root.run_id = root.trace_id = child.trace_id = IdOf(seq);
    child.run_id = IdOf(10'000 + seq);
    record.header.ops = {root, child};
    index.Add(record, false);
    ASSERT_LE(index.bytes(), 5000u);
    for (std::uint64_t kept = index.complete_from(); kept <= seq; ++kept) {
      ASSERT_THAT(index.Find(IdOf(kept), false), ElementsAre(Position{1, 64 * kept, kept}));
      ASSERT_EQ(index.TraceOf(IdOf(10'000 + kept)), IdOf(kept));
    }
  }
  EXPECT_GT(index.complete_from(), 100u);
  EXPECT_LT(index.complete_from(), 195u);
  EXPECT_THAT(index.Find(IdOf(1), false), IsEmpty());
  EXPECT_EQ(index.TraceOf(IdOf(10'001)), std::nullopt);
}

}  // namespace
}  // namespace weft::collector
