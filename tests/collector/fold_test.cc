// SPDX-License-Identifier: Apache-2.0
#include "fold.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <numeric>
#include <random>
#include <set>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fold_json.h"
#include "fold_support.h"
#include "storage_support.h"

namespace weft::collector {
namespace {

namespace json = boost::json;
using testing::HasSubstr;
using testing::Not;

constexpr auto kPost = OpKind::kPost;
constexpr auto kPatch = OpKind::kPatch;

TEST(KeyHashTest, TellsKeysApartThatWereMadeToCollide) {
  // All the same to std::hash of libstdc++, which has no seed. Hundreds of thousands fit into a
  // run.
  const std::string_view made[] = {"0000059f}/GRfS}W", "00000ae5clw-X~&;", "00000b14{M[ZRMMp",
                                   "00000c449+x=vVr=", "00001e2f[oam~~2R", "000033e6 iGYFMbJ"};
  std::set<std::size_t> hashes;
  for (const std::string_view key : made) hashes.insert(KeyHash()(key));
  EXPECT_EQ(hashes.size(), std::size(made));
}

// Operations on run 2 of trace 1, numbered in the order of their arrival.
class FoldTest : public testing::Test {
 protected:
  void Add(OpKind kind, const PayloadBuilder::Fields& parts, std::string project = {}) {
    ops_.push_back(builder_.Op(kind, IdOf(2), IdOf(1), parts, std::move(project)));
  }
  void Add(OpKind kind, const std::string& run) { Add(kind, {{PartField::kRun, run}}); }

  StoredRun Fold(std::string_view trace_project = {}) {
    return FoldRun(IdOf(2), IdOf(1), Arrived(), trace_project);
  }
  json::object Folded() { return ParseObject(Fold().json); }

  std::vector<FoldOp> Arrived() {
    std::vector<FoldOp> arrived;
    for (std::size_t i = 0; i < ops_.size(); ++i) {
      arrived.push_back({.seq = 10 + i, .index = 0, .op = &ops_[i], .payload = builder_.payload});
    }
    return arrived;
  }

  PayloadBuilder builder_;
  std::vector<RunOp> ops_;
};

TEST_F(FoldTest, APatchWinsOverAPostWhateverTheirOrder) {
  for (bool patch_first : {false, true}) {
    ops_.clear();
    if (patch_first) Add(kPatch, R"({"name":"patched","outputs":{"a":1}})");
    Add(kPost, R"({"name":"posted","run_type":"llm","inputs":{"q":1}})");
    if (!patch_first) Add(kPatch, R"({"name":"patched","outputs":{"a":1}})");
    json::object run = Folded();
    EXPECT_EQ(run["name"], "patched");
    EXPECT_EQ(run["run_type"], "llm");
    EXPECT_EQ(run["inputs"], json::parse(R"({"q":1})"));
    EXPECT_EQ(run["outputs"], json::parse(R"({"a":1})"));
  }
}

TEST_F(FoldTest, OfTwoPatchesTheLaterWins) {
  Add(kPatch, R"({"outputs":{"n":1},"tags":["x"]})");
  Add(kPatch, R"({"outputs":{"n":2}})");
  Add(kPost, R"({"outputs":{"n":0},"tags":[]})");
  json::object run = Folded();
  EXPECT_EQ(run["outputs"], json::parse(R"({"n":2})"));
  EXPECT_EQ(run["tags"], json::parse(R"(["x"])"));
}

TEST_F(FoldTest, NullAndTheEmptyObjectReplaceNothing) {
  Add(kPost,
      R"({"inputs":{"q":1},"error":"e","extra":{"runtime":{"sdk":"py"},"metadata":{"k":1}}})");
  Add(kPatch, R"({"inputs":{ },"error":null,"extra":{},"outputs":null})");
  Add(kPatch, R"({"extra":{"metadata":{"k":null},"runtime":null}})");
  json::object run = Folded();
  EXPECT_EQ(run["inputs"], json::parse(R"({"q":1})"));
  EXPECT_EQ(run["error"], "e");
  EXPECT_EQ(run["extra"], json::parse(R"({"runtime":{"sdk":"py"},"metadata":{"k":1}})"));
}

TEST_F(FoldTest, MetadataAndRuntimeMergeKeyByKey) {
  Add(kPatch, {{PartField::kRun, "{}"},
               {PartField::kExtra, R"({"metadata":{"b":2,"c":3},"runtime":{"v":"2"}})"}});
  Add(kPost, R"({"extra":{"metadata":{"a":1,"b":1},"runtime":{"sdk":"js"},"own":true}})");
  EXPECT_EQ(Folded()["extra"],
            json::parse(R"({"metadata":{"a":1,"b":2,"c":3},"runtime":{"sdk":"js","v":"2"},
                            "own":true})"));
}

TEST_F(FoldTest, EventsAreReplacedAsAWhole) {
  Add(kPost, R"({"events":[{"name":"start"},{"name":"token"}]})");
  Add(kPatch, {{PartField::kEvents, R"([{"name":"end"}])"}});
  EXPECT_EQ(Folded()["events"], json::parse(R"([{"name":"end"}])"));
}

TEST_F(FoldTest, APartThatWasSplitOutHasTheLastWordInItsOperation) {
  Add(kPost, {{PartField::kInputs, R"({"from":"part"})"},
              {PartField::kRun, R"({"inputs":{"from":"object"},"name":"n"})"},
              {PartField::kError, R"("broken")"}});
  json::object run = Folded();
  EXPECT_EQ(run["inputs"], json::parse(R"({"from":"part"})"));
  EXPECT_EQ(run["error"], "broken");
  EXPECT_EQ(run["status"], "error");
}

TEST_F(FoldTest, NumbersAndUnknownFieldsStayAsTheyWereWritten) {
  Add(kPost, R"({"big":123456789012345678901234567890,"exact":1.10000000000000000001,"e":1E+2,
                 "unknown":{"deep":[1.0,{"x":-0.0}]},"text":"\u0041\/"})");
  std::string text = Fold().json;
  EXPECT_THAT(text, HasSubstr(R"("big":123456789012345678901234567890)"));
  EXPECT_THAT(text, HasSubstr(R"("exact":1.10000000000000000001)"));
  EXPECT_THAT(text, HasSubstr(R"("e":1E+2)"));
  EXPECT_THAT(text, HasSubstr(R"("unknown":{"deep":[1.0,{"x":-0.0}]})"));
  EXPECT_THAT(text, HasSubstr(R"("text":"\u0041\/")"));
}

TEST_F(FoldTest, TheObjectIsOneLine) {
  Add(kPost, "{\n \"inputs\" : {\r\n  \"text\": \"a\\nb\"\n }\n}\n");
  EXPECT_THAT(Fold().json, Not(HasSubstr("\n")));
  EXPECT_EQ(Folded()["inputs"], json::parse(R"({"text":"a\nb"})"));
}

TEST_F(FoldTest, AKeyIsTheSameInEverySpelling) {
  Add(kPost, R"({"extra":{"metadata":{"\u00e9":1}},"\u006eame":"posted"})");
  Add(kPatch, R"({"extra":{"metadata":{"é":2}},"name":"patched"})");
  json::object run = Folded();
  EXPECT_EQ(run["extra"], json::parse(R"({"metadata":{"é":2}})"));
  EXPECT_EQ(run["name"], "patched");
  EXPECT_EQ(Fold().name, "patched");
}

TEST_F(FoldTest, TheStatusFollowsFromErrorAndEnd) {
  Add(kPost, R"({"status":"weird","error":null,"end_time":null})");
  EXPECT_EQ(Fold().status, "pending");
  Add(kPatch, R"({"end_time":1789000000022})");
  EXPECT_EQ(Fold().status, "success");
  EXPECT_EQ(Fold().end_time, "2026-09-10T00:26:40.022000Z");
  EXPECT_EQ(Folded()["end_time"], "2026-09-10T00:26:40.022000Z");
  Add(kPatch, R"({"error":"no"})");
  EXPECT_EQ(Fold().status, "error");
  EXPECT_EQ(Folded()["status"], "error");
}

TEST_F(FoldTest, TheProjectIsTheRunsOwnElseTheTracesElseTheDefault) {
  Add(kPatch, R"({"name":"n"})");
  EXPECT_EQ(Fold().session_name, "default");
  EXPECT_EQ(Fold("of the root").session_name, "of the root");
  Add(kPost, {{PartField::kRun, R"({"session_name":"own"})"}}, "own");
  StoredRun run = Fold("of the root");
  EXPECT_EQ(run.session_name, "own");
  EXPECT_EQ(run.session_id, ProjectId("own"));
  EXPECT_NE(ProjectId("own"), ProjectId("of the root"));
  EXPECT_EQ(Folded()["session_id"], json::value(ProjectId("own").ToString()));
}

TEST_F(FoldTest, AnAddressIsAProject) {
  Add(kPost, R"({"address":"lrn:agents/planner/environments/staging"})");
  EXPECT_EQ(Fold().session_name, "planner/staging");
  EXPECT_EQ(Folded()["address"], "lrn:agents/planner/environments/staging");
  EXPECT_EQ(ProjectName("lrn:agents/planner"), "lrn:agents/planner");
}

TEST_F(FoldTest, IdsAreThereWhateverWasSent) {
  Add(kPatch, R"({"parent_run_id":"01000000-0000-0000-0000-000000000001"})");
  StoredRun run = Fold();
  EXPECT_EQ(run.id, IdOf(2));
  EXPECT_EQ(run.parent_run_id, IdOf(1));
  json::object object = Folded();
  EXPECT_EQ(object["id"], json::value(IdOf(2).ToString()));
  EXPECT_EQ(object["trace_id"], json::value(IdOf(1).ToString()));
}

TEST_F(FoldTest, AttachmentsUniteAndAreFoundByName) {
  ops_.push_back(builder_.Op(kPost, IdOf(2), IdOf(1), {{PartField::kRun, "{}"}}));
  ops_.back().parts.push_back(builder_.Attachment("a b/ü", "text/plain", "one"));
  ops_.push_back(builder_.Op(kPatch, IdOf(2), IdOf(1), {{PartField::kRun, "{}"}}));
  ops_.back().parts.push_back(builder_.Attachment("two", "image/png; x=1", "\r\n--B"));
  ops_.back().parts.push_back(builder_.Attachment("a b/ü", "text/html", "newer"));
  std::string base = "/runs/" + IdOf(2).ToString() + "/attachments/";
  json::object urls = Folded()["s3_urls"].as_object();
  EXPECT_EQ(urls.size(), 2u);
  EXPECT_EQ(urls["attachment.a b/ü"].at("presigned_url"), json::value(base + "a%20b%2F%C3%BC"));
  EXPECT_EQ(urls["attachment.a b/ü"].at("mime_type"), "text/html");
  EXPECT_EQ(urls["attachment.two"].at("mime_type"), "image/png; x=1");
  EXPECT_EQ(FoldAttachment(Arrived(), "two")->content, "\r\n--B");
  EXPECT_EQ(FoldAttachment(Arrived(), "a b/ü")->content, "newer");
  EXPECT_FALSE(FoldAttachment(Arrived(), "three").has_value());
}

TEST_F(FoldTest, WhatIsNoObjectChangesNothing) {
  Add(kPost, R"({"name":"n"})");
  for (const char* odd : {"", "[1]", "{", R"({"name")", R"({"name":)", R"({"a":1 "name":"x"})",
                          R"({"a":"unfinished)", R"({"a":[[{"b":1})", "null", R"({"a\)"}) {
    Add(kPatch, odd);
  }
  EXPECT_EQ(Fold().name, "n");
}

TEST_F(FoldTest, EveryOrderAndAnyRepetitionGivesTheSameRun) {
  Add(kPost, R"({"name":"a","inputs":{"x":1},"tags":["p"],"extra":{"metadata":{"a":1,"z":0}}})");
  Add(kPatch, R"({"outputs":{"y":1},"end_time":"2026-01-01T00:00:00Z","extra":{}})");
  Add(kPatch, R"({"outputs":{"y":2},"error":null,"inputs":{},"extra":{"metadata":{"z":1}}})");
  std::vector<FoldOp> ops = Arrived();
  const json::object expected = Folded();
  EXPECT_EQ(expected.at("outputs"), json::parse(R"({"y":2})"));
  EXPECT_EQ(expected.at("extra"), json::parse(R"({"metadata":{"a":1,"z":1}})"));

  // The order in which they are handed over is not that of arrival.
  std::vector<std::size_t> order(ops.size());
  std::iota(order.begin(), order.end(), 0u);
  do {
    std::vector<FoldOp> shuffled;
    for (std::size_t i : order) shuffled.push_back(ops[i]);
    EXPECT_EQ(ParseObject(FoldRun(IdOf(2), IdOf(1), shuffled, {}).json), expected);
  } while (std::next_permutation(order.begin(), order.end()));

  // The POST may arrive anywhere; the same request may arrive again at once or at the end.
  for (std::uint64_t post_seq : {1, 11, 100}) {
    std::vector<FoldOp> moved = ops;
    moved[0].seq = post_seq;
    moved.push_back(moved[0]);
    moved.back().seq = 200;
    moved.push_back(moved[2]);
    moved.back().seq = 201;
    EXPECT_EQ(ParseObject(FoldRun(IdOf(2), IdOf(1), moved, {}).json), expected) << post_seq;
  }
}

TEST(IsoTimeTest, GivesSixDigitsAndZ) {
  const std::map<std::string, std::string> kCases = {
      {R"("2026-09-10T00:26:40.021001Z")", "2026-09-10T00:26:40.021001Z"},
      {R"("2026-09-10T00:26:40.021Z")", "2026-09-10T00:26:40.021000Z"},
      {R"("2026-09-10T00:26:40Z")", "2026-09-10T00:26:40.000000Z"},
      {R"("2026-09-10T00:26:40.123456789Z")", "2026-09-10T00:26:40.123456Z"},
      {R"("2026-09-10T02:26:40.021001+02:00")", "2026-09-10T00:26:40.021001Z"},
      {R"("2026-09-09T18:56:40.5-0530")", "2026-09-10T00:26:40.500000Z"},
      {R"("2026-09-10T00:26:40.021001")", "2026-09-10T00:26:40.021001Z"},
      {R"("2026-09-10 00:26:40+00")", "2026-09-10T00:26:40.000000Z"},
      {"1789000000022", "2026-09-10T00:26:40.022000Z"},
      {"1789000000022.25", "2026-09-10T00:26:40.022250Z"},
      {"1.789000000022e12", "2026-09-10T00:26:40.022000Z"},
      {"0", "1970-01-01T00:00:00.000000Z"},
      {"-1", "1969-12-31T23:59:59.999000Z"},
  };
  for (const auto& [given, expected] : kCases) EXPECT_EQ(IsoTime(given), expected) << given;
}

TEST(IsoTimeTest, AnythingElseIsNoTime) {
  for (const char* given :
       {"", "null", R"("")", R"("soon")", R"("2026-13-10T00:00:00Z")", R"("2026-02-30T00:00:00Z")",
        R"("2026-09-10")", R"("2026-09-10T25:00:00Z")", R"("2026-09-10T00:00:00.Z")",
        R"("2026-09-10T00:00:00Zx")", R"("2026-09-10T00:00:00+25:00")", "1e300", "-1e300", "{}",
        "9223372036854775807", R"("0000-01-01T00:00:00+10:00")"}) {
    EXPECT_EQ(IsoTime(given), std::nullopt) << given;
  }
}

// What the SDKs really sent, folded in every order of arrival.
class CaptureTest : public testing::Test {
 protected:
  struct Sent {
    OpKind kind;
    PayloadBuilder::Fields parts;
  };
  using Operations = std::map<std::string, std::vector<Sent>>;

  static std::string Slurp(const std::filesystem::path& path) {
    std::ostringstream out;
    out << std::ifstream(path, std::ios::binary).rdbuf();
    return out.str();
  }

  static OpKind KindOf(std::string_view word) { return word == "patch" ? kPatch : kPost; }

  static PartField FieldOf(std::string_view name) {
    for (auto field : {PartField::kInputs, PartField::kOutputs, PartField::kEvents,
                       PartField::kExtra, PartField::kError, PartField::kSerialized}) {
      if (PartFieldName(field) == name) return field;
    }
    return PartField::kRun;
  }

  static void AddParts(const json::array& parts, Operations& operations) {
    for (const json::value& part : parts) {
      std::string name(part.at("name").as_string());
      const json::value* content = part.as_object().if_contains("json");
      std::size_t first = name.find('.');
      std::string kind = name.substr(0, first);
      if (!content || (kind != "post" && kind != "patch")) continue;
      std::string id = name.substr(first + 1, 36);
      std::string field = name.size() > first + 37 ? name.substr(first + 38) : "";
      std::vector<Sent>& sent = operations[id];
      if (field.empty()) sent.push_back({KindOf(kind), {}});
      sent.back().parts.emplace_back(FieldOf(field), json::serialize(*content));
    }
  }

  static void AddBatch(const json::object& body, Operations& operations) {
    for (const char* kind : {"post", "patch"}) {
      const json::value* runs = body.if_contains(kind);
      if (!runs) continue;
      for (const json::value& run : runs->as_array()) {
        operations[std::string(run.at("id").as_string())].push_back(
            {KindOf(kind), {{PartField::kRun, json::serialize(run)}}});
      }
    }
  }

  static Operations ReadOperations(const std::filesystem::path& directory,
                                   const json::object& expected) {
    Operations operations;
    for (const json::value& request : expected.at("requests").as_array()) {
      const json::object& object = request.as_object();
      if (object.at("response_status").as_int64() != 202) continue;
      if (const json::value* parts = object.if_contains("parts")) {
        AddParts(parts->as_array(), operations);
      } else if (object.at("path") == "/runs/batch") {
        std::string file(object.at("body_file").as_string());
        AddBatch(ParseObject(Slurp(directory / file)), operations);
      }
    }
    return operations;
  }

  static void ExpectFields(const json::object& fields, const json::object& run,
                           const std::string& where) {
    for (const auto& [key, value] : fields) {
      std::string text = json::serialize(value);
      if (value.is_null() || text == "{}" || text.find("$omitted") != std::string::npos) continue;
      const json::value* got = run.if_contains(key);
      ASSERT_TRUE(got) << where << " " << key;
      if (key == "start_time" || key == "end_time") {
        EXPECT_EQ(got->as_string(), *IsoTime(text)) << where << " " << key;
      } else {
        EXPECT_EQ(*got, value) << where << " " << key;
      }
    }
  }
};

TEST_F(CaptureTest, EveryCaptureFoldsToItsFieldsInAnyOrder) {
  int runs = 0;
  const std::filesystem::path root =
      std::filesystem::path(WEFT_SOURCE_DIR) / "tests/vectors/langsmith/captures";
  for (const auto& entry : std::filesystem::recursive_directory_iterator(root)) {
    if (entry.path().filename() != "expected.json") continue;
    json::object expected = ParseObject(Slurp(entry.path()));
    Operations operations = ReadOperations(entry.path().parent_path(), expected);
    for (const auto& [id, sent] : operations) {
      const json::value* of_run = expected.at("runs").as_object().if_contains(id);
      ASSERT_TRUE(of_run) << entry.path() << " " << id;
      std::vector<std::size_t> order(sent.size());
      std::iota(order.begin(), order.end(), 0u);
      do {
        PayloadBuilder builder;
        std::vector<RunOp> ops;
        for (std::size_t i : order) {
          ops.push_back(builder.Op(sent[i].kind, *RunId::Parse(id), IdOf(1), sent[i].parts));
        }
        std::vector<FoldOp> arrived;
        for (std::size_t i = 0; i < ops.size(); ++i) {
          arrived.push_back({.seq = i, .index = 0, .op = &ops[i], .payload = builder.payload});
        }
        json::object run = ParseObject(FoldRun(*RunId::Parse(id), IdOf(1), arrived, {}).json);
        json::object fields = of_run->at("fields").as_object();
        fields.erase("trace_id");  // this test puts all runs into one trace
        ExpectFields(fields, run, entry.path().parent_path().native() + " " + id);
      } while (sent.size() <= 4 && std::next_permutation(order.begin(), order.end()));
      ++runs;
    }
  }
  EXPECT_GE(runs, 80);
}

}  // namespace
}  // namespace weft::collector
