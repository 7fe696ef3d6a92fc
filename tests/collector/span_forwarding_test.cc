// SPDX-License-Identifier: Apache-2.0
// Spans that go to where runs are wanted.
#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <boost/json.hpp>

#include <weft/collector/run_store.h>
#include <weft/testing/fake_langsmith.h>

#include "destination_support.h"
#include "destinations/finished_runs.h"
#include "destinations/placed_spans.h"
#include "destinations/span_places.h"
#include "otlp/trace_request.h"
#include "tracing/otlp_spans.h"

namespace weft::collector {
namespace {

using boost::json::value;
using otlp_test::Request;
using std::chrono::milliseconds;
using ::testing::ElementsAre;
using testing::FakeLangSmith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr char kTraceText[] = "01010101-0101-0101-0101-010101010101";
constexpr std::uint64_t kSecond = 1'767'323'045;  // 2026-01-02T03:04:05Z

struct TestSpan {
  char id = 'r';
  char parent = 0;  ///< None.
  int start_s = 0;
  std::vector<std::pair<std::string, std::string>> attributes{};
  char trace = 1;
};

std::string SpanText(char id) { return std::string(7, '\0') + id; }

// The run id of the span: zeros and the span's.
std::string Padded(char id) {
  char text[40];
  std::snprintf(text, sizeof text, "00000000-0000-0000-0000-0000000000%02x",
                static_cast<unsigned>(id));
  return text;
}

std::string Part(int second, const std::string& id) {
  char text[40];
  std::snprintf(text, sizeof text, "20260102T0304%02d000000Z", 5 + second);
  return text + id;
}

class SpanForwardingTest : public DestinationTest {
 protected:
  void SetUp() override {
    DestinationTest::SetUp();
    langsmith_ = FakeLangSmith::Start();
  }

  DestinationOptions Patient() {
    DestinationOptions options = Options();
    options.trace_grace = std::chrono::hours(1);
    options.orphan_wait = std::chrono::hours(1);
    return options;
  }

  void Start(DestinationOptions options) {
    DestinationConfig config;
    config.kind = DestinationConfig::Kind::kLangSmith;
    config.target = langsmith_->url();
    StartDestination(config, std::move(options));
  }

  // One request with the spans.
  void AppendSpans(const std::vector<TestSpan>& spans) {
    Request request;
    auto* const scope = request.add_resource_spans()->add_scope_spans();
    for (const TestSpan& wanted : spans) {
      auto* const span = scope->add_spans();
      span->set_trace_id(std::string(16, wanted.trace));
      span->set_span_id(SpanText(wanted.id));
      if (wanted.parent != 0) span->set_parent_span_id(SpanText(wanted.parent));
      span->set_name(std::string(1, wanted.id));
      const auto start = kSecond + static_cast<std::uint64_t>(wanted.start_s);
      span->set_start_time_unix_nano(start * 1'000'000'000);
      span->set_end_time_unix_nano((start + 1) * 1'000'000'000);
      for (const auto& [key, text] : wanted.attributes) {
        auto* const attribute = span->add_attributes();
        attribute->set_key(key);
        attribute->mutable_value()->set_string_value(text);
      }
    }
    AppendRequest(request);
  }

  void AppendRequest(const Request& request) {
    std::string payload = request.SerializeAsString();
    auto decoded = DecodeTraceRequest("shop", &payload);
    ASSERT_TRUE(decoded.ok());
    ASSERT_THAT(decoded->rejected, IsEmpty());
    RecordHeader header = HeaderFor(payload);
    header.receiver = Receiver::kOtlp;
    header.ops = decoded->ops;
    ASSERT_TRUE(AppendNow(*log_, std::move(header), payload).ok());
    logged_ += decoded->ops.size();
  }

  // Every run object that arrived, under `post.NAME` or `patch.NAME`, in order.
  std::vector<std::pair<std::string, value>> Arrived() {
    std::vector<std::pair<std::string, value>> runs;
    for (const FakeLangSmith::Request& request : langsmith_->Requests()) {
      for (const auto& part : request.parts) {
        if (std::count(part.name.begin(), part.name.end(), '.') != 1) continue;
        const value run = boost::json::parse(part.content);
        const std::string kind = part.name.substr(0, part.name.find('.') + 1);
        runs.emplace_back(kind + std::string(run.at("name").as_string()), run);
      }
    }
    return runs;
  }
  std::map<std::string, value> Runs() {
    const auto arrived = Arrived();
    return {arrived.begin(), arrived.end()};
  }

  static std::string Text(const value& run, const char* key) {
    const value* const found = run.as_object().if_contains(key);
    return found != nullptr && found->is_string() ? found->as_string().c_str() : "";
  }

  std::unique_ptr<FakeLangSmith> langsmith_;
};

TEST_F(SpanForwardingTest, ChildrenWaitForTheirParentsAndGetTheirPlace) {
  Start(Patient());
  AppendSpans({{.id = 'c', .parent = 'b', .start_s = 2}});
  AppendSpans({{.id = 'b', .parent = 'r', .start_s = 1}});
  ASSERT_TRUE(WaitFor([](const DestinationStats& stats) { return stats.lag == 2; }));
  EXPECT_THAT(langsmith_->Requests(), IsEmpty());
  AppendSpans({{.id = 'r'}});
  ASSERT_TRUE(WaitForDelivered(3));
  auto runs = Runs();
  ASSERT_THAT(runs, SizeIs(3));
  const std::string root = Part(0, kTraceText);
  EXPECT_EQ(Text(runs["post.r"], "dotted_order"), root);
  EXPECT_EQ(Text(runs["post.r"], "id"), kTraceText);
  EXPECT_EQ(Text(runs["post.b"], "dotted_order"), root + "." + Part(1, Padded('b')));
  EXPECT_EQ(Text(runs["post.b"], "parent_run_id"), kTraceText);
  EXPECT_EQ(Text(runs["post.b"], "trace_id"), kTraceText);
  EXPECT_EQ(Text(runs["post.b"], "session_name"), "shop");
  EXPECT_EQ(Text(runs["post.c"], "dotted_order"),
            root + "." + Part(1, Padded('b')) + "." + Part(2, Padded('c')));
  EXPECT_EQ(Text(runs["post.c"], "parent_run_id"), Padded('b'));
}

TEST_F(SpanForwardingTest, TracesOfWhichSpansWaitAreOpen) {
  const auto open = [](std::uint64_t traces) {
    return [traces](const DestinationStats& stats) { return stats.open_traces == traces; };
  };
  Start(Patient());
  AppendSpans({{.id = 'c', .parent = 'b'}, {.id = 'b', .parent = 'r'}});
  AppendSpans({{.id = 'c', .parent = 'b', .trace = 2}});
  AppendSpans({{.id = 'r', .trace = 3}});
  EXPECT_TRUE(WaitFor(open(2)));
  AppendSpans({{.id = 'r'}});
  EXPECT_TRUE(WaitFor(open(1)));
  AppendSpans({{.id = 'r', .trace = 2}, {.id = 'b', .parent = 'r', .trace = 2}});
  EXPECT_TRUE(WaitFor(open(0)));
  EXPECT_TRUE(WaitForDelivered(7));
}

// A proxy for LangSmith takes spans for noise by the beginnings of their names, and by attributes
// that it has dropped before: calls of models that were named after their class never arrived.
TEST_F(SpanForwardingTest, NoSpanIsLeftOutForItsNameOrItsAttributes) {
  Start(Patient());
  Request request;
  auto* const scope = request.add_resource_spans()->add_scope_spans();
  const std::vector<std::string> names = {"root",
                                          "ChatOpenAI",
                                          "openai.chat",
                                          "LangChain.task",
                                          "GET /health",
                                          "http send",
                                          "grpc.health.v1.Health/Check",
                                          "chat gpt-4o"};
  for (std::size_t i = 0; i < names.size(); ++i) {
    auto* const span = scope->add_spans();
    span->set_trace_id(std::string(16, 1));
    span->set_span_id(SpanText(static_cast<char>('a' + i)));
    if (i > 0) span->set_parent_span_id(SpanText('a'));
    span->set_name(names[i]);
    span->set_start_time_unix_nano(kSecond * 1'000'000'000);
    span->set_end_time_unix_nano(kSecond * 1'000'000'000 + 1);
    if (i % 2 == 0) continue;
    auto* const attribute = span->add_attributes();
    attribute->set_key("gen_ai.request.model");
    attribute->mutable_value()->set_string_value("gpt-4o");
  }
  AppendRequest(request);
  ASSERT_TRUE(WaitForDelivered(names.size()));
  const auto runs = Runs();
  for (const std::string& name : names) EXPECT_TRUE(runs.contains("post." + name)) << name;
  EXPECT_EQ(destination_->Stats().filtered, 0u);
}

// Behind a balancer that cannot see a trace's id.
TEST_F(SpanForwardingTest, ATraceThatSeveralCollectorsHavePartsOfIsOneTrace) {
  Start(Patient());
  AppendSpans({{.id = 'r'}, {.id = 'b', .parent = 'r', .start_s = 1}});
  ASSERT_TRUE(WaitForDelivered(2));
  const std::string order = Part(0, kTraceText) + "." + Part(1, Padded('b'));

  const TemporaryDirectory other;
  destination_.reset();
  log_ = std::shared_ptr<Log>(Log::Open(SmallLog(other.path())).value());
  logged_ = 0;
  DestinationOptions options = Patient();
  options.data = other.path();
  options.orphan_wait = milliseconds(1);
  Start(std::move(options));
  AppendSpans(
      {{.id = 'c', .parent = 'r', .start_s = 1},
       {.id = 'd', .parent = 'b', .start_s = 2},
       {.id = 'e',
        .parent = 'b',
        .start_s = 2,
        .attributes = {{"langsmith.span.id", Padded('e')},
                       {"langsmith.span.dotted_order", order + "." + Part(2, Padded('e'))}}}});
  ASSERT_TRUE(WaitForDelivered(3));
  auto runs = Runs();
  for (const char* const name : {"post.r", "post.b", "post.c", "post.d", "post.e"}) {
    ASSERT_TRUE(runs.contains(name)) << name;
    EXPECT_EQ(Text(runs[name], "trace_id"), kTraceText) << name;
  }
  EXPECT_EQ(Text(runs["post.c"], "parent_run_id"), kTraceText);
  EXPECT_EQ(Text(runs["post.c"], "id"), Padded('c'));
  // Whose parent is at another collector goes below the root, and where the root is as well, what
  // stands for it has its id.
  EXPECT_EQ(Text(runs["post.d"], "parent_run_id"), kTraceText);
  EXPECT_EQ(Text(runs["post.(missing root)"], "id"), Text(runs["post.r"], "id"));
  // Who tells where it belongs is there.
  EXPECT_EQ(Text(runs["post.e"], "parent_run_id"), Padded('b'));
  EXPECT_EQ(Text(runs["post.e"], "dotted_order"), order + "." + Part(2, Padded('e')));
}

TEST_F(SpanForwardingTest, OneRequestMayHaveThemInAnyOrder) {
  Start(Patient());
  AppendSpans({{.id = 'd', .parent = 'c', .start_s = 3},
               {.id = 'c', .parent = 'b', .start_s = 2},
               {.id = 'r'},
               {.id = 'b', .parent = 'r', .start_s = 1}});
  ASSERT_TRUE(WaitForDelivered(4));
  EXPECT_EQ(destination_->Stats().sent, 4u);
  EXPECT_EQ(Text(Runs()["post.d"], "parent_run_id"), Padded('c'));
}

TEST_F(SpanForwardingTest, AChildThatBeganBeforeItsParentKeepsTheOrder) {
  Start(Patient());
  AppendSpans({{.id = 'r', .start_s = 10}, {.id = 'b', .parent = 'r', .start_s = 4}});
  ASSERT_TRUE(WaitForDelivered(2));
  auto runs = Runs();
  EXPECT_EQ(Text(runs["post.b"], "dotted_order"),
            Part(10, kTraceText) + "." + Part(10, Padded('b')));
  EXPECT_THAT(Text(runs["post.b"], "start_time"), HasSubstr("03:04:09"));
  bool flagged = false;
  for (const auto& request : langsmith_->Requests()) {
    flagged |= request.body.find("weft_clock_fixed") != std::string::npos;
  }
  EXPECT_TRUE(flagged);
}

TEST_F(SpanForwardingTest, AnOrphanGoesBelowTheRootOnceTheTraceIsComplete) {
  DestinationOptions options = Patient();
  options.trace_grace = milliseconds(1);
  Start(std::move(options));
  AppendSpans({{.id = 'c', .parent = 'x', .start_s = 2}, {.id = 'd', .parent = 'c', .start_s = 3}});
  ASSERT_TRUE(WaitFor([](const DestinationStats& stats) { return stats.lag == 2; }));
  AppendSpans({{.id = 'r'}});
  ASSERT_TRUE(WaitForDelivered(3));
  auto runs = Runs();
  EXPECT_EQ(Text(runs["post.c"], "parent_run_id"), kTraceText);
  EXPECT_EQ(Text(runs["post.d"], "parent_run_id"), Padded('c'));
  EXPECT_EQ(destination_->Stats().orphans, 1u) << "c; d's parent came";
}

TEST_F(SpanForwardingTest, ATraceWithoutARootGetsOneThatTheRealOneReplaces) {
  DestinationOptions options = Patient();
  options.orphan_wait = milliseconds(1);
  Start(std::move(options));
  AppendSpans({{.id = 'b', .parent = 'r', .start_s = 1}, {.id = 'c', .parent = 'x', .start_s = 2}});
  ASSERT_TRUE(WaitForDelivered(2));
  auto runs = Runs();
  ASSERT_TRUE(runs.contains("post.(missing root)"));
  const value made_up = runs["post.(missing root)"];
  EXPECT_EQ(Text(made_up, "id"), kTraceText);
  EXPECT_EQ(Text(made_up, "dotted_order"), Part(1, kTraceText)) << "the earliest start";
  EXPECT_EQ(Text(made_up, "session_name"), "shop");
  EXPECT_EQ(made_up.at("extra").at("metadata").at("weft_synthetic"), true);
  EXPECT_EQ(Text(runs["post.b"], "parent_run_id"), kTraceText);
  EXPECT_EQ(Text(runs["post.c"], "parent_run_id"), kTraceText);
  EXPECT_EQ(destination_->Stats().sent, 2u) << "what was made up is not counted";
  EXPECT_EQ(destination_->Stats().orphans, 2u);

  AppendSpans({{.id = 'r'}, {.id = 'e', .parent = 'r', .start_s = 3}});
  ASSERT_TRUE(WaitForDelivered(4));
  runs = Runs();
  ASSERT_TRUE(runs.contains("patch.r"));
  EXPECT_EQ(Text(runs["patch.r"], "dotted_order"), Part(1, kTraceText)) << "children have it";
  EXPECT_EQ(Text(runs["post.e"], "dotted_order"), Part(1, kTraceText) + "." + Part(3, Padded('e')));
  EXPECT_EQ(std::count_if(runs.begin(), runs.end(),
                          [](const auto& run) { return run.first.ends_with("(missing root)"); }),
            1);
}

TEST_F(SpanForwardingTest, APlaceThatTheSpanTellsIsUsedAsItIs) {
  const std::string id = "019b7ca9-8c88-7001-8000-000000000002";
  const std::string parent = "019b7ca9-8c88-7000-8000-000000000001";
  const std::string order = "20260102T030405000000Z" + parent + ".20260102T030406000000Z" + id;
  Start(Patient());
  AppendSpans({{.id = 'b',
                .parent = 'x',
                .start_s = 1,
                .attributes = {{"langsmith.span.id", id},
                               {"langsmith.trace.id", parent},
                               {"langsmith.span.parent_id", parent},
                               {"langsmith.span.dotted_order", order}}},
               {.id = 'c', .parent = 'b', .start_s = 2}});
  ASSERT_TRUE(WaitForDelivered(2));
  auto runs = Runs();
  EXPECT_EQ(Text(runs["post.b"], "dotted_order"), order);
  EXPECT_EQ(Text(runs["post.c"], "dotted_order"), order + "." + Part(2, Padded('c')));
  EXPECT_EQ(Text(runs["post.c"], "trace_id"), parent);
}

TEST_F(SpanForwardingTest, WaitingSpansOutliveARestart) {
  Start(Patient());
  AppendSpans({{.id = 'c', .parent = 'r', .start_s = 2}, {.id = 'q', .trace = 2}});
  ASSERT_TRUE(WaitFor([](const DestinationStats& stats) { return stats.sent == 1; }));
  destination_->Stop(std::chrono::seconds(5));
  destination_.reset();
  OpenLog();
  Start(Patient());
  ASSERT_TRUE(WaitFor([](const DestinationStats& stats) { return stats.available == 1; }));
  AppendSpans({{.id = 'r'}});
  ASSERT_TRUE(WaitForDelivered(2));
  const auto arrived = Arrived();
  EXPECT_THAT(arrived, SizeIs(3)) << "none twice";
  EXPECT_EQ(Text(Runs()["post.c"], "parent_run_id"), kTraceText);
}

TEST_F(SpanForwardingTest, FindsAParentThatWentOutBeforeARestart) {
  AppendSpans({{.id = 'r'}, {.id = 'b', .parent = 'r', .start_s = 1}});
  Start(Patient());
  ASSERT_TRUE(WaitForDelivered(2));
  destination_->Stop(std::chrono::seconds(5));
  destination_.reset();
  OpenLog();
  const auto store = RunStore::Start(log_, {});
  ASSERT_TRUE(store->WaitUntilIndexed(std::chrono::seconds(20)));
  DestinationOptions options = Patient();
  options.orphan_wait = milliseconds(1);
  options.store = store.get();
  Start(std::move(options));
  AppendSpans({{.id = 'c', .parent = 'b', .start_s = 2}});
  ASSERT_TRUE(WaitForDelivered(1));
  EXPECT_EQ(Text(Runs()["post.c"], "dotted_order"),
            Part(0, kTraceText) + "." + Part(1, Padded('b')) + "." + Part(2, Padded('c')));
  EXPECT_FALSE(Runs().contains("post.(missing root)"));
  destination_.reset();
  store->Stop();
}

TEST_F(SpanForwardingTest, CostsAreComputedByPricesForTargetsAndReaders) {
  const auto prices = std::make_shared<Prices>();
  prices->Set({{.model = "small", .input = 3}});
  DestinationOptions options = Patient();
  options.prices = prices;
  Start(std::move(options));
  const auto store = RunStore::Start(log_, {.prices = prices});
  AppendSpans({{.id = 'r',
                .attributes = {{"gen_ai.request.model", "small"},
                               {"gen_ai.usage.input_tokens", "500000"}}}});
  ASSERT_TRUE(WaitForDelivered(1));
  const auto cost_of = [](const value& extra) {
    return extra.at("metadata").at("usage_metadata").at("total_cost").to_number<double>();
  };
  std::vector<double> sent;
  for (const FakeLangSmith::Request& request : langsmith_->Requests()) {
    for (const auto& part : request.parts) {
      if (part.name.ends_with(".extra")) sent.push_back(cost_of(boost::json::parse(part.content)));
    }
  }
  EXPECT_THAT(sent, ElementsAre(1.5));
  ASSERT_TRUE(store->WaitUntilIndexed(std::chrono::seconds(20)));
  const auto stored = store->FindRun(*RunId::Parse(kTraceText));
  ASSERT_TRUE(stored.ok()) << stored.status();
  EXPECT_EQ(cost_of(boost::json::parse(stored->json).at("extra")), 1.5);
  destination_.reset();
  store->Stop();
}

TEST_F(SpanForwardingTest, FilesGetRunsToo) {
  AppendSpans({{.id = 'b', .parent = 'r', .start_s = 1}, {.id = 'r'}});
  DestinationConfig config;
  config.kind = DestinationConfig::Kind::kFile;
  config.target = (directory_.path() / "runs.jsonl").string();
  StartDestination(config, Patient());
  ASSERT_TRUE(WaitForDelivered(2));
  const std::vector<std::string> lines = Lines(config.target);
  ASSERT_THAT(lines, SizeIs(2));
  const value line = boost::json::parse(lines[1]);
  EXPECT_EQ(line.at("op"), "post");
  EXPECT_EQ(line.at("run_id"), Padded('b').c_str());
  EXPECT_EQ(line.at("run").at("parent_run_id"), kTraceText);
}

SpanIds Ids(SpanId span, SpanId parent, std::uint64_t trace = 1) {
  SpanIds ids;
  ids.otel_trace_id = ids.trace_id = IdOf(trace);
  ids.span_id = span;
  ids.parent_span_id = parent;
  ids.is_root = parent == 0;
  ids.run_id = ids.is_root ? ids.trace_id : PaddedRunId(span);
  ids.start_unix_ns = kSecond * 1'000'000'000;
  return ids;
}

// Has a stage take a record that waits, then deletes that, and asks what became of it.
Round ExpireWhatWaits(const RecordHeader& header, const std::string& payload, Log& log,
                      Stage& stage, std::uint64_t& now) {
  Round round;
  const auto take = [&](RecordHeader wanted, std::string bytes) {
    const auto at = AppendNow(log, std::move(wanted), std::move(bytes));
    ASSERT_TRUE(at.ok()) << at.status();
    Round::Loaded loaded;
    loaded.record = log.Read(*at).value();
    loaded.payload = loaded.record.payload;
    stage.Take(std::move(loaded), round);
  };
  take(header, payload);
  EXPECT_EQ(stage.waiting(), 1u);
  // More than a stage keeps at hand, and than the log keeps.
  for (int i = 0; i < 3; ++i) {
    RecordHeader large = HeaderFor("");
    large.receiver = header.receiver;
    large.decoded_size = 9 << 20;
    take(large, std::string(large.decoded_size, 'x'));
  }
  EXPECT_TRUE(absl::IsNotFound(log.Read({1, 64, 1}).status()));
  now += 3'600'000'000'000;
  stage.Release(round);
  EXPECT_EQ(stage.waiting(), 0u);
  return round;
}

TEST_F(SpanForwardingTest, ARecordStaysAtHandUntilNoneOfItIsLeft) {
  AppendRuns(1, 3);
  Round::Loaded loaded;
  loaded.record = log_->Read(log_->Begin()).value();
  const Position position = loaded.record.position;
  RecordCache cache(log_);
  const RecordCache::Entry added = cache.Add(std::move(loaded));
  cache.Spend(position, 0);
  cache.Spend(position, 2);
  EXPECT_EQ(cache.Find(position), added);
  cache.Spend(position, 1);
  const RecordCache::Entry again = cache.Find(position);
  ASSERT_NE(again, nullptr);
  EXPECT_NE(again, added) << "it was read again";
  EXPECT_EQ(again->record.header, added->record.header);
  cache.Spend(position, 5);
  EXPECT_NE(cache.Find(position), again);
}

TEST_F(SpanForwardingTest, WhatRetentionDeletesWhileItWaitsIsExpired) {
  LogOptions options = SmallLog(directory_.path() / "small");
  options.retention_bytes = 1 << 20;
  std::uint64_t now = 1;
  const auto clock = [&now] { return now; };
  {
    std::shared_ptr<Log> log = Log::Open(options).value();
    FinishedRuns stage({.log = log, .now = clock});
    RunOp op;
    op.run_id = op.trace_id = IdOf(1);
    std::string payload;
    AddPart(op, payload, PartField::kRun, RunText(IdOf(1), IdOf(1)));
    RecordHeader header = HeaderFor(payload);
    header.ops = {op};
    const Round round = ExpireWhatWaits(header, payload, *log, stage, now);
    EXPECT_EQ(round.expired, 1u);
    EXPECT_EQ(round.filtered, 0u);
  }
  options.directory = directory_.path() / "spans";
  std::shared_ptr<Log> log = Log::Open(options).value();
  PlacedSpans stage({.log = log, .now = clock});
  Request request;
  auto* const span = request.add_resource_spans()->add_scope_spans()->add_spans();
  span->set_trace_id(std::string(16, 1));
  span->set_span_id(SpanText('a'));
  span->set_parent_span_id(SpanText('p'));
  std::string payload = request.SerializeAsString();
  RecordHeader header = HeaderFor(payload);
  header.receiver = Receiver::kOtlp;
  header.ops = DecodeTraceRequest("", &payload).value().ops;
  const Round round = ExpireWhatWaits(header, payload, *log, stage, now);
  EXPECT_EQ(round.expired, 1u);
  EXPECT_EQ(round.filtered, 0u);
}

TEST(SpanPlacesTest, MemoryIsBoundedAndWhatWaitsIsNotForgotten) {
  SpanPlaces places({.max_bytes = 100'000});
  places.Wait(Ids(7, 6, 999'999), {}, 0);
  for (std::uint64_t trace = 0; trace < 10'000; ++trace) {
    ASSERT_TRUE(places.Settle(Ids(1, 0, trace), 0));
    ASSERT_TRUE(places.Settle(Ids(2, 1, trace), 0));
    ASSERT_LE(places.bytes(), 102'000u);
  }
  EXPECT_EQ(places.waiting(), 1u);
  ASSERT_TRUE(places.Settle(Ids(6, 0, 999'999), 0));
  EXPECT_THAT(places.TakeFreed(), SizeIs(1));
}

TEST(SpanPlacesTest, WhenWhatWaitsFillsTheMemoryItWaitsNoLonger) {
  SpanPlaces places({.max_bytes = 10'000});
  for (SpanId span = 10; span < 1'000; ++span) places.Wait(Ids(span, 5), {}, 0);
  const auto missing = places.NextMissing(0);
  ASSERT_TRUE(missing);
  EXPECT_THAT(missing->parents, ::testing::ElementsAre(5u));
  EXPECT_TRUE(places.Adopt(*missing, 5));
  EXPECT_THAT(places.TakeFreed(), SizeIs(990));
}

TEST(SpanPlacesTest, SpansInACircleGoBelowTheRoot) {
  SpanPlaces places;
  places.Wait(Ids(1, 2), {}, 0);
  places.Wait(Ids(2, 1), {}, 0);
  EXPECT_FALSE(places.NextMissing(1'000));
  const auto missing = places.NextMissing(60'000'000);
  ASSERT_TRUE(missing);
  ASSERT_THAT(missing->parents, SizeIs(1));
  EXPECT_TRUE(places.Adopt(*missing, missing->parents[0]));
  EXPECT_THAT(places.TakeFreed(), SizeIs(1));
  EXPECT_TRUE(places.Settle(Ids(missing->parents[0] == 2 ? 1 : 2, missing->parents[0]), 0));
}

}  // namespace
}  // namespace weft::collector
