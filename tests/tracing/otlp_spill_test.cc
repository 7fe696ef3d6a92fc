// SPDX-License-Identifier: Apache-2.0
// Spans that a receiver of OTLP did not take, on disk.
#include <fstream>
#include <set>
#include <string>
#include <utility>

#include <absl/strings/escaping.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <boost/json.hpp>

#include <weft/testing/fake_langsmith.h>
#include <weft/tracing/langsmith_exporter.h>
#include <weft/tracing/otlp_exporter.h>

#include "export_records.h"
#include "otlp_receiver.h"
#include "temporary_folder.h"

namespace weft::otlp_test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::FakeLangSmith;
using ::testing::Ge;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;
using Exporting = std::shared_ptr<OtlpExporter>;

class OtlpSpillTest : public ::testing::Test {
 protected:
  OtlpSpillTest() { ComeBack(); }

  Exporting Make(OtlpExporterOptions options = {}) {
    options.endpoint = http_->url() + "/v1/traces";
    options.headers = {{"api-key", "canary"}};
    options.spill_dir = folder_.path();
    options.flush_interval = milliseconds(5);
    return OtlpExporter::Create(std::move(options)).value();
  }
  static void Export(OtlpExporter& exporter, int runs) {
    for (int i = 0; i < runs; ++i) exporter.Export(MakeRecord("run"));
  }
  void GoDown() { http_->SetDefault({.status = 503}); }
  void ComeBack() {
    http_->SetDefault({.status = 200, .body = "", .content_type = "application/x-protobuf"});
  }
  /// The ids of the spans that were taken.
  std::set<std::string> Taken(const FakeLangSmith& fake) const {
    std::set<std::string> ids;
    for (const auto& request : fake.Requests()) {
      if (request.status != 200) continue;
      opentelemetry::proto::collector::trace::v1::ExportTraceServiceRequest spans;
      EXPECT_TRUE(spans.ParseFromString(request.body));
      for (const Span& span : SpansOf(spans)) ids.insert(span.span_id());
    }
    return ids;
  }
  bool WaitForTaken(std::size_t runs) {
    return http_->WaitUntil([&](const auto& fake) { return Taken(fake).size() == runs; },
                            seconds(20));
  }

  bool WaitForAnswer(int status) {
    return http_->WaitUntil(
        [&](const auto& fake) {
          const auto requests = fake.Requests();
          return !requests.empty() && requests.back().status == status;
        },
        seconds(20));
  }

  const Folder folder_;
  const std::unique_ptr<FakeLangSmith> http_ = FakeLangSmith::Start();
};

TEST_F(OtlpSpillTest, WhatIsLeftAtTheEndIsSentAtTheNextStart) {
  GoDown();
  Exporting exporter = Make({.batch_runs = 100});
  Export(*exporter, 150);
  EXPECT_FALSE(exporter->Shutdown(milliseconds(50)));
  const ExporterStats stats = exporter->Stats();
  EXPECT_EQ(stats.spilled, 150u);
  EXPECT_EQ(stats.dropped() + stats.pending, 0u);
  ASSERT_THAT(folder_.Files(), SizeIs(Ge(2)));  // 100 a batch at most
  for (const auto& file : folder_.Files()) {
    const Json saved = boost::json::parse(ReadFile(file));
    EXPECT_EQ(saved.at("endpoint").as_string(), "v1/traces");
    EXPECT_EQ(saved.at("headers").at("Content-Type").as_string(), "application/x-protobuf");
    EXPECT_THAT(std::string(saved.at("target").as_string()), HasSubstr(http_->url()));
    EXPECT_THAT(ReadFile(file), Not(HasSubstr("canary")));
  }
  ComeBack();
  exporter = Make();
  EXPECT_TRUE(WaitForTaken(150));
  EXPECT_EQ(http_->Requests().back().Header("api-key"), "canary");
  exporter->Shutdown(seconds(20));
  EXPECT_THAT(folder_.Files(), IsEmpty());
}

TEST_F(OtlpSpillTest, WhatWasTriedForTooLongIsSentOnceTheReceiverIsBack) {
  GoDown();
  const Exporting exporter = Make({.retry_for = milliseconds(30)});
  Export(*exporter, 5);
  EXPECT_TRUE(exporter->Flush(seconds(20)));
  EXPECT_EQ(exporter->Stats().spilled, 5u);
  ComeBack();
  Export(*exporter, 1);
  EXPECT_TRUE(WaitForTaken(6));
}

TEST_F(OtlpSpillTest, WhatComesInExcessGoesToDisk) {
  http_->SetDefault({.hold = true});
  const Exporting exporter = Make({.queue_bytes = 50'000});
  Export(*exporter, 500);
  EXPECT_FALSE(exporter->Shutdown(milliseconds(50)));
  EXPECT_EQ(exporter->Stats().spilled, 500u);
  EXPECT_EQ(exporter->Stats().queued, 500u);
  http_->Release();
  ComeBack();
  const Exporting next = Make();
  EXPECT_TRUE(WaitForTaken(500));
}

TEST_F(OtlpSpillTest, WhatTheReceiverRefusesIsSetAsideAndWhatItForbidsWaits) {
  GoDown();
  Exporting exporter = Make();
  Export(*exporter, 1);
  EXPECT_FALSE(exporter->Shutdown(milliseconds(20)));
  ASSERT_THAT(folder_.Files(), SizeIs(1));
  ComeBack();
  http_->Script({{.status = 401}});
  exporter = Make();
  EXPECT_TRUE(WaitForAnswer(401));
  Export(*exporter, 1);  // Behind it.
  EXPECT_TRUE(exporter->Shutdown(seconds(20)));
  ASSERT_THAT(folder_.Files(), SizeIs(1));
  EXPECT_EQ(folder_.Files()[0].extension(), ".json");
  http_->Script({{.status = 400}});
  exporter = Make();
  EXPECT_TRUE(WaitForAnswer(400));
  Export(*exporter, 1);
  EXPECT_TRUE(exporter->Shutdown(seconds(20)));
  ASSERT_THAT(folder_.Files(), SizeIs(1));
  EXPECT_EQ(folder_.Files()[0].extension(), ".refused");
}

TEST_F(OtlpSpillTest, OverGrpcToo) {
  GrpcReceiver receiver;
  const auto make = [&] {
    return OtlpExporter::Create({.protocol = OtlpProtocol::kGrpc,
                                 .endpoint = receiver.target(),
                                 .spill_dir = folder_.path(),
                                 .flush_interval = milliseconds(5)})
        .value();
  };
  receiver.AnswerNext({.silence = true});
  Exporting exporter = make();
  Export(*exporter, 3);
  EXPECT_TRUE(receiver.WaitForRequests(1));
  EXPECT_FALSE(exporter->Shutdown(milliseconds(1)));
  EXPECT_EQ(exporter->Stats().spilled, 3u);
  exporter = make();
  EXPECT_TRUE(receiver.WaitForRequests(2));
  Export(*exporter, 1);  // Behind it.
  EXPECT_TRUE(exporter->Flush(seconds(20)));
  EXPECT_THAT(receiver.Spans(), SizeIs(4));
}

TEST_F(OtlpSpillTest, SharesTheFolderWithOthers) {
  GoDown();
  Exporting exporter = Make();
  Export(*exporter, 2);
  EXPECT_FALSE(exporter->Shutdown(milliseconds(20)));
  const auto langsmith = FakeLangSmith::Start();
  const auto other = LangSmithExporter::Create({.endpoint = langsmith->url(),
                                                .spill_dir = folder_.path(),
                                                .flush_interval = milliseconds(5)})
                         .value();
  other->Export(MakeRecord("run"));
  EXPECT_TRUE(other->Shutdown(seconds(20)));
  EXPECT_THAT(langsmith->RunIds(), SizeIs(1));
  EXPECT_THAT(folder_.Files(), SizeIs(1));
  ComeBack();
  exporter = Make();
  EXPECT_TRUE(WaitForTaken(2));
}

TEST_F(OtlpSpillTest, AFolderThatCannotBeMadeIsAnError) {
  std::ofstream(folder_.path() / "file") << "x";
  const auto exporter = OtlpExporter::Create({.spill_dir = folder_.path() / "file" / "below"});
  EXPECT_THAT(std::string(exporter.status().message()), HasSubstr("spill_dir"));
}

}  // namespace
}  // namespace weft::otlp_test
