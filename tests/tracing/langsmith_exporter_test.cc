// SPDX-License-Identifier: Apache-2.0
#include <weft/tracing/langsmith_exporter.h>

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <limits>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <weft/testing/fake_langsmith.h>
#include <weft/tracing/internal/http_client.h>
#include <weft/tracing/run.h>

#include "export_records.h"
#include "temporary_folder.h"

namespace weft {
namespace {

namespace fs = std::filesystem;
using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::Contains;
using ::testing::ElementsAre;
using testing::FakeLangSmith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;
using Exporting = std::shared_ptr<LangSmithExporter>;
using Request = FakeLangSmith::Request;

Json ParsePart(const Request& request, const std::string& name) {
  const auto part = request.Find(name);
  return part ? boost::json::parse(*part) : Json();
}

class LangSmithExporterTest : public ::testing::Test {
 protected:
  Exporting Make(LangSmithExporterOptions options = {}) {
    options.endpoint = fake_->url();
    if (options.flush_interval == milliseconds(200)) options.flush_interval = milliseconds(5);
    return LangSmithExporter::Create(std::move(options)).value();
  }

  static std::vector<std::string> Export(LangSmithExporter& exporter, int runs) {
    std::vector<std::string> ids;
    for (int i = 0; i < runs; ++i) {
      RunRecord record = MakeRecord("run " + std::to_string(i));
      ids.push_back(record.context.id().ToString());
      exporter.Export(std::move(record));
    }
    return ids;
  }

  void ExpectArrived(std::vector<std::string> ids) {
    std::vector<std::string> arrived = fake_->RunIds();
    std::sort(arrived.begin(), arrived.end());
    std::sort(ids.begin(), ids.end());
    EXPECT_EQ(arrived, ids);
  }

  void GoDown() { fake_->SetDefault({.status = 503}); }
  void ComeBack() { fake_->SetDefault({}); }

  const std::unique_ptr<FakeLangSmith> fake_ = FakeLangSmith::Start();
};

TEST_F(LangSmithExporterTest, SendsARunInParts) {
  const Exporting exporter =
      Make({.api_key = "key-1", .workspace_id = "w-1", .flush_interval = hours(1)});
  RunRecord record = MakeRecord("whole");
  const std::string id = record.context.id().ToString();
  record.inputs = {{"q", "\xff"}};
  record.outputs = JsonObject{{"a", 1}};
  record.error = "broken";
  record.events.push_back({"e", record.start, {}});
  record.attachments.push_back({"pic\"\r\n", "image/png", std::string("\0\r\n--\1", 6)});
  exporter->Export(std::move(record));
  ASSERT_TRUE(exporter->Flush(seconds(20)));
  ASSERT_THAT(fake_->Requests(), SizeIs(1));
  const Request request = fake_->Requests()[0];
  EXPECT_EQ(request.target, "/runs/multipart");
  EXPECT_EQ(request.Header("x-api-key"), "key-1");
  EXPECT_EQ(request.Header("x-tenant-id"), "w-1");
  EXPECT_EQ(request.Header("content-encoding"), "zstd");
  EXPECT_EQ(ParsePart(request, "post." + id).at("name").as_string(), "whole");
  EXPECT_EQ(request.Find("post." + id + ".inputs"), "{\"q\":\"\xEF\xBF\xBD\"}");
  EXPECT_EQ(request.Find("post." + id + ".outputs"), "{\"a\":1}");
  EXPECT_EQ(request.Find("post." + id + ".error"), "\"broken\"");
  EXPECT_TRUE(ParsePart(request, "post." + id + ".events").is_array());
  EXPECT_TRUE(ParsePart(request, "post." + id + ".extra").is_object());
  EXPECT_EQ(request.Find("attachment." + id + ".pic%22%0D%0A"), std::string("\0\r\n--\1", 6));
  EXPECT_EQ(request.parts.back().content_type, "image/png");
  EXPECT_EQ(exporter->Stats().acknowledged, 1u);
}

TEST_F(LangSmithExporterTest, CompressesOnlyWhereItMay) {
  const Exporting plain = Make({.compress = false});
  Export(*plain, 1);
  ASSERT_TRUE(plain->Flush(seconds(20)));
  fake_->SetInfo(R"({"instance_flags":{"zstd_compression_enabled":false}})");
  const Exporting asking = Make();
  Export(*asking, 1);
  ASSERT_TRUE(asking->Flush(seconds(20)));
  for (const Request& request : fake_->Requests()) {
    EXPECT_EQ(request.Header("content-encoding"), "");
  }
}

TEST_F(LangSmithExporterTest, FoldsTheEndIntoTheBeginning) {
  const Exporting exporter = Make({.flush_interval = hours(1)});
  RunRecord begin = MakeRecord("long");
  begin.end.reset();
  begin.inputs = {{"q", 1}};
  begin.attachments.push_back({"a", "text/plain", "A"});
  RunRecord end = begin;
  const std::string id = begin.context.id().ToString();
  end.operation = RunRecord::Operation::kPatch;
  end.inputs.clear();
  end.attachments.clear();
  end.outputs = JsonObject{{"a", 2}};
  end.end = end.start;
  RunRecord late = end;
  exporter->Export(std::move(begin));
  exporter->Export(std::move(end));
  ASSERT_TRUE(exporter->Flush(seconds(20)));
  exporter->Export(std::move(late));
  ASSERT_TRUE(exporter->Flush(seconds(20)));
  ASSERT_THAT(fake_->Requests(), SizeIs(2));
  const Request both = fake_->Requests()[0];
  EXPECT_EQ(both.Find("post." + id + ".inputs"), "{\"q\":1}");
  EXPECT_EQ(both.Find("post." + id + ".outputs"), "{\"a\":2}");
  EXPECT_TRUE(ParsePart(both, "post." + id).as_object().contains("end_time"));
  EXPECT_EQ(both.Find("attachment." + id + ".a"), "A");
  EXPECT_FALSE(both.Find("patch." + id));
  EXPECT_TRUE(fake_->Requests()[1].Find("patch." + id));
  EXPECT_FALSE(fake_->Requests()[1].Find("patch." + id + ".inputs"));
  EXPECT_EQ(exporter->Stats().acknowledged, 3u);
}

TEST_F(LangSmithExporterTest, LosesNothingToATargetThatComesAndGoes) {
  // A success now and then, for the pauses double.
  fake_->Script({{.status = 429},
                 {},
                 {.status = 429, .retry_after = seconds(1)},
                 {.status = 500},
                 {},
                 {.status = 502},
                 {.reset = true},
                 {},
                 {.status = 504},
                 {.status = 408},
                 {},
                 {.status = 401},
                 {},
                 {.status = 200, .content_type = "text/html"}});
  const Exporting exporter = Make({.batch_runs = 10});
  const auto ids = Export(*exporter, 95);
  EXPECT_TRUE(exporter->Flush(seconds(60)));
  ExpectArrived(ids);
  const ExporterStats stats = exporter->Stats();
  EXPECT_EQ(stats.acknowledged, 95u);
  EXPECT_EQ(stats.sent, 95u);
  EXPECT_EQ(stats.dropped(), 0u);
}

TEST_F(LangSmithExporterTest, AnAnswerCannotMakeItWaitForNoTimeOrForEver) {
  internal::HttpClient client;
  const std::atomic<bool> abort{false};
  const std::pair<std::int64_t, seconds> kSaid[] = {
      {1, seconds(1)}, {std::numeric_limits<std::int64_t>::max(), hours(24)}};
  for (const auto& [said, taken] : kSaid) {
    fake_->Script({{.status = 503, .retry_after = seconds(said)}});
    const auto reply =
        client.Send({.url = fake_->url() + "/runs", .headers = {}, .body = {}}, abort);
    EXPECT_EQ(reply.status, 503);
    EXPECT_EQ(reply.retry_after, taken);
  }
}

TEST_F(LangSmithExporterTest, TakesAConflictForSuccess) {
  fake_->SetDefault({.status = 409});
  const Exporting exporter = Make();
  Export(*exporter, 2);
  EXPECT_TRUE(exporter->Flush(seconds(20)));
  EXPECT_EQ(exporter->Stats().acknowledged, 2u);
}

TEST_F(LangSmithExporterTest, DropsOnlyTheRunThatIsRefused) {
  const Exporting exporter = Make({.flush_interval = hours(1)});
  RunRecord bad = MakeRecord("bad");
  const std::string bad_part = "post." + bad.context.id().ToString();
  fake_->SetHandler([=](const Request& request) -> std::optional<FakeLangSmith::Reply> {
    if (!request.Find(bad_part)) return std::nullopt;
    return FakeLangSmith::Reply{.status = 422, .body = "no"};
  });
  std::vector<std::string> ids = Export(*exporter, 20);
  exporter->Export(std::move(bad));
  for (std::string& id : Export(*exporter, 20)) ids.push_back(std::move(id));
  EXPECT_TRUE(exporter->Flush(seconds(20)));
  ExpectArrived(ids);
  EXPECT_EQ(exporter->Stats().acknowledged, 40u);
  EXPECT_EQ(exporter->Stats().dropped_rejected, 1u);
}

TEST_F(LangSmithExporterTest, ShortensWhatIsTooLarge) {
  fake_->SetHandler([](const Request& request) -> std::optional<FakeLangSmith::Reply> {
    if (request.body.size() < 1'000'000) return std::nullopt;
    return FakeLangSmith::Reply{.status = 413};
  });
  const Exporting exporter = Make({.flush_interval = hours(1)});
  std::vector<std::string> ids = Export(*exporter, 3);
  RunRecord large = MakeRecord("large");
  const std::string id = large.context.id().ToString();
  ids.push_back(id);
  large.inputs = {{"text", std::string(900'000, 'x')}};
  large.attachments.push_back({"film", "video/mp4", std::string(900'000, 'y')});
  exporter->Export(std::move(large));
  EXPECT_TRUE(exporter->Flush(seconds(20)));
  ExpectArrived(ids);
  const Request last = fake_->Requests().back();
  EXPECT_TRUE(ParsePart(last, "post." + id + ".inputs").as_object().contains("weft_truncated"));
  EXPECT_FALSE(last.Find("attachment." + id + ".film"));
  EXPECT_EQ(ParsePart(last, "post." + id + ".extra").at("metadata").at("weft_attachments_left_out"),
            (boost::json::array{"film"}));
  EXPECT_EQ(exporter->Stats().acknowledged, 4u);
}

TEST_F(LangSmithExporterTest, FallsBackToBatches) {
  fake_->SetHandler([](const Request& request) -> std::optional<FakeLangSmith::Reply> {
    if (!request.target.ends_with("/multipart")) return std::nullopt;
    return FakeLangSmith::Reply{.status = 404};
  });
  const Exporting exporter = Make({.flush_interval = hours(1)});
  RunRecord record = MakeRecord("r");
  record.inputs = {{"q", 1}};
  record.error = "e";
  exporter->Export(std::move(record));
  ASSERT_TRUE(exporter->Flush(seconds(20)));
  const Request request = fake_->Requests().back();
  EXPECT_EQ(request.target, "/runs/batch");
  const auto run = boost::json::parse(request.body).at("post").at(0);
  EXPECT_EQ(run.at("name").as_string(), "r");
  EXPECT_EQ(run.at("inputs").at("q").as_int64(), 1);
  EXPECT_EQ(run.at("error").as_string(), "e");
  EXPECT_TRUE(run.at("extra").is_object());
  Export(*exporter, 1);
  ASSERT_TRUE(exporter->Flush(seconds(20)));
  EXPECT_THAT(fake_->Requests(), SizeIs(3));
}

TEST_F(LangSmithExporterTest, ObeysTheLimitsOfTheTarget) {
  fake_->SetInfo(R"({"batch_ingest_config":{"size_limit":3,"size_limit_bytes":3000}})");
  const Exporting exporter = Make({.flush_interval = hours(1)});
  const auto ids = Export(*exporter, 20);
  EXPECT_TRUE(exporter->Flush(seconds(20)));
  ExpectArrived(ids);
  for (const Request& request : fake_->Requests()) EXPECT_LE(request.body.size(), 3000u);
}

TEST_F(LangSmithExporterTest, AStalledTargetDelaysNoOther) {
  const auto healthy = FakeLangSmith::Start();
  fake_->SetDefault({.hold = true});
  const Exporting stalled = Make();
  const Exporting other =
      LangSmithExporter::Create({.endpoint = healthy->url(), .flush_interval = milliseconds(5)})
          .value();
  const auto tracer = Tracer::Create({.exporters = {stalled, other}}).value();
  for (int i = 0; i < 250; ++i) weft::Run run("run", {.tracer = tracer});
  EXPECT_TRUE(healthy->WaitUntil([](const auto& fake) { return fake.RunIds().size() == 250; },
                                 seconds(20)));
  EXPECT_FALSE(tracer->Flush(milliseconds(100)));
  EXPECT_EQ(other->Stats().acknowledged, 250u);
  { weft::Run run("last", {.tracer = tracer}); }
  EXPECT_FALSE(tracer->Shutdown(milliseconds(500)));
  EXPECT_EQ(other->Stats().acknowledged, 251u);
  EXPECT_EQ(stalled->Stats().dropped_expired, 251u);
  fake_->Release();
}

TEST_F(LangSmithExporterTest, KeepsWhatItCannotDeliverAndSendsItAtTheNextStart) {
  const Folder folder;
  GoDown();
  Exporting exporter = Make({.api_key = "key-canary", .spill_dir = folder.path()});
  const auto ids = Export(*exporter, 150);
  EXPECT_FALSE(exporter->Shutdown(milliseconds(50)));
  ExporterStats stats = exporter->Stats();
  EXPECT_EQ(stats.spilled, 150u);
  EXPECT_EQ(stats.queued, 150u);
  EXPECT_EQ(stats.dropped(), 0u);
  ASSERT_THAT(folder.Files(), Not(IsEmpty()));
  for (const fs::path& file : folder.Files()) {
    EXPECT_EQ(fs::status(file).permissions(), fs::perms::owner_read | fs::perms::owner_write);
    EXPECT_TRUE(file.filename().string().starts_with("trace_"));
    EXPECT_EQ(file.extension(), ".json");
    const Json saved = boost::json::parse(ReadFile(file));
    EXPECT_EQ(saved.at("version").as_int64(), 1);
    EXPECT_EQ(saved.at("endpoint").as_string(), "runs/multipart");
    EXPECT_THAT(std::string(saved.at("headers").at("Content-Type").as_string()),
                HasSubstr("multipart/form-data; boundary="));
    EXPECT_TRUE(saved.at("body_base64").is_string());
    EXPECT_THAT(ReadFile(file), Not(HasSubstr("key-canary")));
  }
  ComeBack();
  exporter = Make({.api_key = "key-canary", .spill_dir = folder.path()});
  EXPECT_TRUE(
      fake_->WaitUntil([](const auto& fake) { return fake.RunIds().size() == 150; }, seconds(20)));
  ExpectArrived(ids);
  EXPECT_TRUE(exporter->Shutdown(seconds(20)));
  EXPECT_EQ(fake_->Requests().back().Header("x-api-key"), "key-canary");
}

TEST_F(LangSmithExporterTest, SendsWhatItKeptOnceTheTargetIsBack) {
  const Folder folder;
  GoDown();
  const Exporting exporter = Make({.spill_dir = folder.path(), .retry_for = milliseconds(30)});
  auto ids = Export(*exporter, 5);
  EXPECT_TRUE(exporter->Flush(seconds(20)));
  EXPECT_EQ(exporter->Stats().spilled, 5u);
  ComeBack();
  for (std::string& id : Export(*exporter, 1)) ids.push_back(std::move(id));
  EXPECT_TRUE(
      fake_->WaitUntil([](const auto& fake) { return fake.RunIds().size() == 6; }, seconds(20)));
  ExpectArrived(ids);
}

TEST_F(LangSmithExporterTest, PutsWhatComesInExcessOnDisk) {
  const Folder folder;
  fake_->SetDefault({.hold = true});
  const Exporting exporter = Make({.spill_dir = folder.path(), .queue_bytes = 50'000});
  const auto ids = Export(*exporter, 500);
  fake_->WaitUntil([](const auto& fake) { return !fake.Requests().empty(); }, seconds(20));
  EXPECT_FALSE(exporter->Shutdown(milliseconds(50)));
  const ExporterStats stats = exporter->Stats();
  EXPECT_EQ(stats.spilled, 500u);
  EXPECT_EQ(stats.queued, 500u);
  EXPECT_EQ(stats.dropped() + stats.pending, 0u);
  fake_->Release();
  fake_->SetDefault({});
  const Exporting next = Make({.spill_dir = folder.path()});
  EXPECT_TRUE(
      fake_->WaitUntil([](const auto& fake) { return fake.RunIds().size() == 500; }, seconds(20)));
  ExpectArrived(ids);
}

TEST_F(LangSmithExporterTest, FillsTheFolderNoFurtherThanItMay) {
  const Folder folder;
  GoDown();
  const Exporting exporter =
      Make({.spill_dir = folder.path(), .spill_bytes = 30'000, .batch_runs = 1});
  for (int i = 0; i < 20; ++i) {
    RunRecord record = MakeRecord("r");
    record.attachments.push_back({"a", "text/plain", std::string(3'000, 'x')});
    exporter->Export(std::move(record));
  }
  EXPECT_FALSE(exporter->Shutdown(milliseconds(1)));
  const ExporterStats stats = exporter->Stats();
  EXPECT_GT(stats.spilled, 0u);
  EXPECT_GT(stats.dropped_expired, 0u);
  EXPECT_EQ(stats.spilled + stats.dropped_expired, 20u);
  std::uintmax_t bytes = 0;
  for (const fs::path& file : folder.Files()) bytes += fs::file_size(file);
  EXPECT_LE(bytes, 30'000u);
}

TEST_F(LangSmithExporterTest, RemovesFilesThatNobodyWillFinish) {
  const Folder folder;
  const auto save = [&](const std::string& name, hours age) {
    const fs::path path = folder.path() / name;
    std::ofstream(path) << R"({"version": 1,)";
    fs::last_write_time(path, fs::file_time_type::clock::now() - age);
  };
  save("trace_1.0_aa.tmp", hours(2));
  save("trace_2.0_aa.tmp", hours(0));  // Of a process that is at it.
  save("notes.tmp", hours(2));
  const Exporting exporter = Make({.spill_dir = folder.path()});
  EXPECT_THAT(folder.Files(), ::testing::UnorderedElementsAre(folder.path() / "trace_2.0_aa.tmp",
                                                              folder.path() / "notes.tmp"));
}

TEST_F(LangSmithExporterTest, TakesUpWhatAnSdkLeftAndNothingForOthers) {
  const Folder folder;
  const auto save = [&](const std::string& name, const std::string& endpoint,
                        const std::string& more) {
    std::ofstream(folder.path() / name)
        << R"({"version": 1, "endpoint": ")" << endpoint
        << R"(", "headers": {"Content-Type": "application/json", "Host": "evil"})" << more
        << R"(, "body_base64": "eyJwb3N0IjogW3siaWQiOiAib25lIn1dfQ=="})";
  };
  save("trace_1.0_aa.json", "runs/batch", "");
  save("trace_2.0_aa.json", "http://evil/runs/batch", "");
  save("trace_3.0_aa.json", "runs/batch", R"(, "target": "http://elsewhere")");
  std::ofstream(folder.path() / "trace_4.0_aa.json") << "{broken";
  const Exporting exporter = Make({.api_key = "k", .spill_dir = folder.path()});
  EXPECT_TRUE(
      fake_->WaitUntil([](const auto& fake) { return !fake.RunIds().empty(); }, seconds(20)));
  EXPECT_THAT(fake_->RunIds(), ElementsAre("one"));
  Export(*exporter, 1);  // Behind it.
  EXPECT_TRUE(exporter->Shutdown(seconds(20)));
  ASSERT_THAT(fake_->Requests(), SizeIs(2));
  EXPECT_EQ(fake_->Requests()[0].target, "/runs/batch");
  EXPECT_THAT(fake_->Requests()[0].Header("host"), Not(HasSubstr("evil")));
  EXPECT_THAT(folder.Files(), SizeIs(3));
}

TEST_F(LangSmithExporterTest, SetsAsideWhatIsRefusedWhenItIsSentAgain) {
  const Folder folder;
  std::ofstream(folder.path() / "trace_1.0_aa.json")
      << R"({"version":1,"endpoint":"runs/batch","headers":{"Content-Type":"application/json"},)"
      << R"("body_base64":"e30="})";
  fake_->Script({{.status = 422}});
  const Exporting exporter = Make({.spill_dir = folder.path()});
  EXPECT_TRUE(
      fake_->WaitUntil([](const auto& fake) { return !fake.Requests().empty(); }, seconds(20)));
  Export(*exporter, 1);  // Behind it.
  EXPECT_TRUE(exporter->Shutdown(seconds(20)));
  ASSERT_THAT(folder.Files(), SizeIs(1));
  EXPECT_EQ(folder.Files()[0].extension(), ".refused");
}

TEST_F(LangSmithExporterTest, GivesAReplicaItsOwnIdsAndProject) {
  const Exporting exporter = Make({.project = "mirror", .flush_interval = hours(1)});
  auto baggage = std::make_shared<TraceBaggage>();
  baggage->project = "home";
  RunRecord record = MakeRecord("r");
  record.context = RunContext::Remote(
      "20260910T002640000000Z01a0b35e-7a00-7000-8000-000000000001."
      "20260910T002640001000Z01a0b35e-7a00-7000-8000-000000000002",
      baggage);
  exporter->Export(std::move(record));
  ASSERT_TRUE(exporter->Flush(seconds(20)));
  const Json run = ParsePart(fake_->Requests()[0], "post.01a0b35e-7a00-725c-91f0-e617c6ae0b03");
  ASSERT_TRUE(run.is_object());
  EXPECT_EQ(run.at("id").as_string(), "01a0b35e-7a00-725c-91f0-e617c6ae0b03");
  EXPECT_EQ(run.at("trace_id").as_string(), "01a0b35e-7a00-7c9a-8f69-8032394b49e6");
  EXPECT_EQ(run.at("parent_run_id").as_string(), "01a0b35e-7a00-7c9a-8f69-8032394b49e6");
  EXPECT_EQ(run.at("session_name").as_string(), "mirror");
  EXPECT_EQ(run.at("dotted_order").as_string(),
            "20260910T002640000000Z01a0b35e-7a00-7c9a-8f69-8032394b49e6."
            "20260910T002640001000Z01a0b35e-7a00-725c-91f0-e617c6ae0b03");
}

TEST_F(LangSmithExporterTest, ShowsNoSecretToTheTargetNorToTheDisk) {
  constexpr char kSecret[] = "canary-5f3a";
  const Folder folder;
  const auto trace = [&](const Exporting& exporter) {
    const auto tracer = Tracer::Create({.redaction = {.rules = {{.value = "canary-[0-9a-f]+"}}},
                                        .exporters = {exporter}})
                            .value();
    weft::Run run("run", {.inputs = {{"in", kSecret}}, .tags = {kSecret}, .tracer = tracer});
    run.SetOutputs({{"out", kSecret}});
    run.AddMetadata({{"meta", kSecret}});
    run.AddEvent("event", {{"kw", kSecret}});
    run.SetError(std::string("failed: ") + kSecret);
    run.End();
    tracer->Shutdown(milliseconds(500));
  };
  trace(Make({.compress = false}));
  ASSERT_THAT(fake_->RunIds(), SizeIs(1));
  for (const Request& request : fake_->Requests()) {
    EXPECT_THAT(request.body, Not(HasSubstr(kSecret)));
  }
  GoDown();
  trace(Make({.compress = false, .spill_dir = folder.path()}));
  ASSERT_THAT(folder.Files(), SizeIs(1));
  ComeBack();
  const Exporting again = Make({.spill_dir = folder.path()});
  EXPECT_TRUE(
      fake_->WaitUntil([](const auto& fake) { return fake.RunIds().size() == 2; }, seconds(20)));
  for (const Request& request : fake_->Requests()) {
    EXPECT_THAT(request.body, Not(HasSubstr(kSecret)));
  }
}

TEST_F(LangSmithExporterTest, DropsEverythingInAForkedProcess) {
  const Folder folder;
  const Exporting exporter = Make({.spill_dir = folder.path()});
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
  EXPECT_THAT(folder.Files(), IsEmpty());
  EXPECT_THAT(fake_->RunIds(), SizeIs(1));
}

TEST(LangSmithExporterOptionsTest, AreRefusedByName) {
  const auto refusal = [](LangSmithExporterOptions options) {
    return std::string(LangSmithExporter::Create(std::move(options)).status().message());
  };
  for (const char* const bad :
       {"", "host", "ftp://host", "http:///x", "http://a b", "http://host?x"}) {
    EXPECT_THAT(refusal({.endpoint = bad}), HasSubstr(std::string("endpoint: \"") + bad)) << bad;
  }
  EXPECT_THAT(refusal({.endpoint = "http://name:word@host"}),
              HasSubstr("endpoint: \"http://***@host\""));
  EXPECT_THAT(refusal({.api_key = "a\nb"}), HasSubstr("api_key"));
  EXPECT_THAT(refusal({.api_key = "a\nb"}), Not(HasSubstr("a\nb")));
  EXPECT_THAT(refusal({.workspace_id = "a\nb"}), HasSubstr("workspace_id"));
  EXPECT_THAT(refusal({.spill_dir = "/proc/weft"}), HasSubstr("spill_dir: \"/proc/weft\""));
  EXPECT_THAT(refusal({.queue_bytes = 0}), HasSubstr("queue_bytes"));
  EXPECT_THAT(refusal({.batch_runs = 0}), HasSubstr("batch_runs"));
  EXPECT_THAT(refusal({.batch_bytes = 0}), HasSubstr("batch_bytes"));
  EXPECT_THAT(refusal({.flush_interval = milliseconds(-1)}), HasSubstr("flush_interval: -1"));
  EXPECT_THAT(refusal({.retry_for = milliseconds(0)}), HasSubstr("retry_for: 0"));
}

}  // namespace
}  // namespace weft
