// SPDX-License-Identifier: Apache-2.0
#include "replica.h"

#include <fstream>
#include <sstream>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <weft/tracing/json.h>

namespace weft {
namespace {

using internal::Replica;
using internal::ReplicaId;

constexpr char kOrder[] =
    "20260910T002640000000Z01a0b35e-7a00-7000-8000-000000000001."
    "20260910T002640001000Z01a0b35e-7a00-7000-8000-000000000002";

RunContext InProject(std::optional<std::string> project) {
  auto baggage = std::make_shared<TraceBaggage>();
  baggage->project = std::move(project);
  baggage->tags = {"t"};
  return RunContext::Remote(kOrder, std::move(baggage));
}

TEST(ReplicaTest, MapsIdsAsLangSmithsSdksDo) {
  std::ifstream file(WEFT_SOURCE_DIR "/tests/vectors/langsmith/headers.json");
  std::stringstream text;
  text << file.rdbuf();
  const auto vectors = boost::json::parse(text.str()).at("replica_ids").as_array();
  ASSERT_GE(vectors.size(), 4u);
  for (const auto& vector : vectors) {
    const auto id = RunId::Parse(std::string_view(vector.at("run_id").as_string()));
    ASSERT_TRUE(id);
    EXPECT_EQ(ReplicaId(*id, vector.at("project_name").as_string(), 1).ToString(),
              vector.at("remapped").as_string());
  }
}

TEST(ReplicaTest, GivesIdsOfOtherVersionsTheTimeOfTheirRun) {
  const RunId id = *RunId::Parse("0f8fad5b-d9cb-469f-a165-70867728950e");
  EXPECT_EQ(ReplicaId(id, "p", 0x01a0b35e7a00).ToString().substr(0, 15), "01a0b35e-7a00-7");
  EXPECT_EQ(ReplicaId(id, "p", 5), ReplicaId(id, "p", 5));
}

TEST(ReplicaTest, MapsEverySegment) {
  const auto mapped = Replica("mirror", std::nullopt).Map(InProject("home"));
  ASSERT_TRUE(mapped);
  EXPECT_EQ(mapped->dotted_order(),
            "20260910T002640000000Z01a0b35e-7a00-7c9a-8f69-8032394b49e6."
            "20260910T002640001000Z01a0b35e-7a00-725c-91f0-e617c6ae0b03");
  EXPECT_EQ(mapped->trace_id().ToString(), "01a0b35e-7a00-7c9a-8f69-8032394b49e6");
  EXPECT_EQ(mapped->parent_id(), mapped->trace_id());
  EXPECT_EQ(mapped->baggage().project, "mirror");
  EXPECT_EQ(mapped->baggage().tags, std::vector<std::string>{"t"});
}

TEST(ReplicaTest, KeepsWhatStaysInItsProject) {
  EXPECT_FALSE(Replica("home", std::nullopt).Map(InProject("home")));
  EXPECT_FALSE(Replica("", std::nullopt).Map(InProject("home")));
  EXPECT_FALSE(Replica("default", std::nullopt).Map(InProject(std::nullopt)));
  EXPECT_TRUE(Replica("", std::nullopt).ChangesNothing());
  EXPECT_TRUE(Replica("", true).ChangesNothing());
  EXPECT_FALSE(Replica("", false).ChangesNothing());
}

TEST(ReplicaTest, GivesThePrimaryTheSameIds) {
  const auto mapped = Replica("mirror", true).Map(InProject("home"));
  ASSERT_TRUE(mapped);
  EXPECT_EQ(mapped->dotted_order(), kOrder);
  EXPECT_EQ(mapped->baggage().project, "mirror");
}

TEST(ReplicaTest, MapsByTheOwnProjectWhereItIsNotThePrimary) {
  const auto mapped = Replica("", false).Map(InProject("mirror"));
  ASSERT_TRUE(mapped);
  EXPECT_EQ(mapped->id().ToString(), "01a0b35e-7a00-725c-91f0-e617c6ae0b03");
  EXPECT_EQ(mapped->baggage().project, "mirror");
}

}  // namespace
}  // namespace weft
