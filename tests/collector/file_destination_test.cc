// SPDX-License-Identifier: Apache-2.0
#include <set>
#include <string>

#include <gmock/gmock.h>
#include <boost/json.hpp>

#include "destination_support.h"

namespace weft::collector {
namespace {

class FileDestinationTest : public DestinationTest {
 protected:
  void Start() {
    StartDestination({DestinationConfig::Kind::kFile, Path().string(), ""}, Options());
  }
  std::filesystem::path Path() { return directory_.path() / "runs.jsonl"; }

  std::set<std::string> RunIds(const std::filesystem::path& path) {
    std::set<std::string> ids;
    for (const std::string& line : Lines(path)) {
      ids.emplace(boost::json::parse(line).at("run_id").as_string().c_str());
    }
    return ids;
  }
};

TEST_F(FileDestinationTest, WritesOneLineForEachOperationWithItsPartsMerged) {
  RunOp op;
  std::string payload;
  op.kind = OpKind::kPatch;
  op.run_id = IdOf(1);
  op.trace_id = IdOf(2);
  AddPart(op, payload, PartField::kRun,
          "{\n  \"id\": \"x\",\n  \"big\": 1.00000000000000000001\n}");
  AddPart(op, payload, PartField::kOutputs, "{\"a\":\r\n[1]}");
  AddPart(op, payload, PartField::kAttachment, std::string("\0\1", 2), "image", "image/png");
  AppendRecord({op}, payload);
  Start();
  ASSERT_TRUE(WaitForDelivered(1));
  const auto lines = Lines(Path());
  ASSERT_EQ(lines.size(), 1u);
  const boost::json::value line = boost::json::parse(lines[0]);
  EXPECT_EQ(line.at("op"), "patch");
  EXPECT_EQ(line.at("run_id"), IdOf(1).ToString().c_str());
  EXPECT_EQ(line.at("trace_id"), IdOf(2).ToString().c_str());
  EXPECT_EQ(line.at("seq"), 1);
  EXPECT_EQ(line.at("received"), "2023-11-14T22:13:20.000000Z");
  EXPECT_EQ(line.at("run").at("outputs").at("a").at(0), 1);
  EXPECT_THAT(lines[0], testing::HasSubstr("1.00000000000000000001"));
  EXPECT_EQ(line.at("attachments").at(0).at("base64"), "AAE=");
}

TEST_F(FileDestinationTest, WritesFeedbackAsSuch) {
  RunOp op;
  std::string payload;
  op.kind = OpKind::kFeedback;
  op.run_id = IdOf(1);
  AddPart(op, payload, PartField::kFeedback, "{\"id\":\"f\",\"score\":1}");
  AppendRecord({op}, payload);
  Start();
  ASSERT_TRUE(WaitForDelivered(1));
  const boost::json::value line = boost::json::parse(Lines(Path()).at(0));
  EXPECT_EQ(line.at("op"), "feedback");
  EXPECT_EQ(line.at("feedback").at("score"), 1);
  EXPECT_TRUE(line.at("trace_id").is_null());
}

TEST_F(FileDestinationTest, GoesOnWhereItStoppedAndCountsTheBacklog) {
  AppendRuns(0, 10);
  Start();
  ASSERT_TRUE(WaitForDelivered(10));
  destination_.reset();
  AppendRuns(10, 5);
  OpenLog();
  Start();
  ASSERT_TRUE(WaitForDelivered(5));
  AppendRuns(15, 5);
  ASSERT_TRUE(WaitForDelivered(10));
  EXPECT_EQ(destination_->Stats().available, 10u);
  EXPECT_EQ(Lines(Path()).size(), 20u);
  EXPECT_EQ(RunIds(Path()).size(), 20u);
}

TEST_F(FileDestinationTest, StartsAnewWhenTheLogWasDeletedUnderItsCursor) {
  AppendRuns(1, 1);
  AppendRuns(2, 1);
  Start();
  ASSERT_TRUE(WaitForDelivered(2));
  destination_.reset();
  log_.reset();
  std::filesystem::remove_all(directory_.path() / "log");
  OpenLog();
  AppendRuns(3, 1);
  Start();
  ASSERT_TRUE(WaitForDelivered(1));
  EXPECT_TRUE(RunIds(Path()).contains(IdOf(3).ToString()));
}

TEST_F(FileDestinationTest, RepairsALineThatACrashLeftUnfinished) {
  std::ofstream(Path()) << "{\"run_id\":\"whole\"}\n{\"run_id\":\"to";
  AppendRuns(0, 1);
  Start();
  ASSERT_TRUE(WaitForDelivered(1));
  EXPECT_EQ(Lines(Path()).size(), 2u);
  EXPECT_TRUE(RunIds(Path()).contains("whole"));
}

TEST_F(FileDestinationTest, WritesToANewFileAfterAReload) {
  AppendRuns(0, 3);
  Start();
  ASSERT_TRUE(WaitForDelivered(3));
  const std::filesystem::path rotated = directory_.path() / "runs.1.jsonl";
  std::filesystem::rename(Path(), rotated);
  auto commit = destination_->PrepareReload({DestinationConfig::Kind::kFile, Path().string(), ""});
  ASSERT_TRUE(commit.ok());
  (*commit)();
  AppendRuns(3, 2);
  ASSERT_TRUE(WaitForDelivered(5));
  EXPECT_EQ(Lines(rotated).size(), 3u);
  EXPECT_EQ(Lines(Path()).size(), 2u);
}

TEST_F(FileDestinationTest, AReloadThatCannotOpenTheFileChangesNothing) {
  AppendRuns(0, 1);
  Start();
  ASSERT_TRUE(WaitForDelivered(1));
  EXPECT_FALSE(
      destination_->PrepareReload({DestinationConfig::Kind::kFile, "/does/not/exist/runs", ""})
          .ok());
  AppendRuns(1, 1);
  ASSERT_TRUE(WaitForDelivered(2));
  EXPECT_EQ(Lines(Path()).size(), 2u);
}

TEST_F(FileDestinationTest, APathThatCannotBeOpenedIsAnErrorAtTheStart) {
  const auto destination = Destination::Start(
      {DestinationConfig::Kind::kFile, "/does/not/exist/runs.jsonl", ""}, Options());
  ASSERT_FALSE(destination.ok());
  EXPECT_THAT(std::string(destination.status().message()),
              testing::HasSubstr("/does/not/exist/runs.jsonl"));
}

TEST_F(FileDestinationTest, AFullDeviceMakesRunsWaitInTheLog) {
  if (!std::filesystem::exists("/dev/full")) GTEST_SKIP() << "this system has no /dev/full";
  AppendRuns(0, 2);
  StartDestination({DestinationConfig::Kind::kFile, "/dev/full", ""}, Options());
  ASSERT_TRUE(WaitFor([](const DestinationStats& stats) { return stats.errors.contains("file"); }));
  EXPECT_EQ(destination_->Stats().sent, 0u);
  EXPECT_EQ(destination_->Stats().lag, 2u);
}

TEST_F(FileDestinationTest, PutsAFullFileAside) {
  DestinationConfig config;
  config.kind = DestinationConfig::Kind::kFile;
  config.target = (directory_.path() / "rotated.jsonl").string();
  config.rotation = {.size = 1500, .age = {}, .keep = 2};
  StartDestination(config, Options());
  for (std::uint64_t i = 0; i < 5; ++i) {
    AppendRuns(i * 10, 3);
    ASSERT_TRUE(WaitForDelivered((i + 1) * 3));
  }
  EXPECT_EQ(Lines(config.target).size(), 3u);
  EXPECT_EQ(Lines(config.target + ".1").size(), 3u);
  EXPECT_EQ(Lines(config.target + ".2").size(), 3u);
  EXPECT_FALSE(std::filesystem::exists(config.target + ".3"));
}

}  // namespace
}  // namespace weft::collector
