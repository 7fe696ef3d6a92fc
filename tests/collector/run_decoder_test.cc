// SPDX-License-Identifier: Apache-2.0
#include "langsmith/run_decoder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "langsmith/json_scanner.h"
#include "langsmith/run_query.h"

namespace weft::collector {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

const std::string kRootId = "01a0b35e-7a0d-7000-8000-00000000000d";
const std::string kChildId = "01a0b35e-7a0e-7000-8000-00000000000e";
const std::string kOtherId = "01a0b35e-7a0f-7000-8000-00000000000f";
const std::string kRootPart = "20260910T002640013001Z" + kRootId;
const std::string kChildPart = "20260910T002640014002Z" + kChildId;

std::string Member(std::string_view name, std::string_view value) {
  return "\"" + std::string(name) + "\":\"" + std::string(value) + "\"";
}

std::string Object(std::initializer_list<std::string> members) {
  std::string text = "{";
  for (const std::string& member : members) text += (text.size() > 1 ? "," : "") + member;
  return text + "}";
}

const std::string kRoot = Object({Member("id", kRootId), Member("trace_id", kRootId),
                                  Member("dotted_order", kRootPart), Member("session_name", "p")});
const std::string kChild =
    Object({Member("id", kChildId), Member("trace_id", kRootId), Member("parent_run_id", kRootId),
            Member("dotted_order", kRootPart + "." + kChildPart)});

/// The bytes that parts are slices of.
struct Decoded {
  DecodedRuns runs;
  std::string payload;

  std::string Text(const Part& part) const { return payload.substr(part.offset, part.length); }
  std::string Run(std::size_t op = 0) const { return Text(runs.ops.at(op).parts.at(0)); }
  std::string Reason(std::size_t i = 0) const { return runs.rejected.at(i).reason; }
};

Decoded Finish(std::string body, absl::StatusOr<DecodedRuns> runs) {
  EXPECT_TRUE(runs.ok()) << runs.status();
  Decoded decoded;
  if (runs.ok()) decoded.runs = *std::move(runs);
  decoded.payload = body + decoded.runs.appended;
  return decoded;
}

std::string FormText(std::initializer_list<std::pair<std::string, std::string>> parts) {
  std::string body;
  for (const auto& [name, content] : parts) {
    body += "--B\r\nContent-Disposition: form-data; name=\"" + name +
            "\"\r\nContent-Type: application/json; length=" + std::to_string(content.size()) +
            "\r\n\r\n" + content + "\r\n";
  }
  return body + "--B--\r\n";
}

Decoded Form(std::initializer_list<std::pair<std::string, std::string>> parts) {
  const std::string body = FormText(parts);
  return Finish(body, DecodeMultipartRuns({.text = body}, "B"));
}

Decoded Single(const std::string& body, OpKind kind = OpKind::kPost, RunId id = {}) {
  return Finish(body, DecodeSingleRun({.text = body}, kind, id));
}

TEST(RunDecoderTest, ReadsIdsProjectAndPartsOfAForm) {
  const auto decoded = Form({{"post." + kRootId, kRoot},
                             {"post." + kRootId + ".inputs", R"({"q":1})"},
                             {"post." + kRootId + ".error", R"("Boom")"},
                             {"attachment." + kRootId + ".pic.png", "\xff\x00"},
                             {"patch." + kChildId, kChild}});
  ASSERT_THAT(decoded.runs.ops, SizeIs(2));
  const RunOp& post = decoded.runs.ops[0];
  EXPECT_EQ(post.kind, OpKind::kPost);
  EXPECT_EQ(post.run_id.ToString(), kRootId);
  EXPECT_EQ(post.trace_id.ToString(), kRootId);
  EXPECT_TRUE(post.is_root);
  EXPECT_TRUE(post.has_error);
  EXPECT_EQ(post.project, "p");
  ASSERT_THAT(post.parts, SizeIs(4));
  EXPECT_EQ(decoded.Text(post.parts[0]), kRoot);
  EXPECT_EQ(post.parts[1].field, PartField::kInputs);
  EXPECT_EQ(decoded.Text(post.parts[1]), R"({"q":1})");
  EXPECT_EQ(post.parts[3].name, "pic.png");
  EXPECT_EQ(post.parts[3].mime_type, "application/json");
  EXPECT_EQ(decoded.runs.ops[1].kind, OpKind::kPatch);
  EXPECT_FALSE(decoded.runs.ops[1].is_root);
  EXPECT_THAT(decoded.runs.appended, IsEmpty());
  EXPECT_EQ(decoded.runs.repaired_parts, 0u);
}

TEST(RunDecoderTest, FindsTheRunOfAnAttachmentThatComesFirst) {
  const auto decoded = Form({{"attachment." + kRootId + ".a", "x"}, {"post." + kRootId, kRoot}});
  ASSERT_THAT(decoded.runs.ops, SizeIs(1));
  EXPECT_THAT(decoded.runs.ops[0].parts, SizeIs(2));
}

TEST(RunDecoderTest, RejectsOnlyTheOperationThatIsInvalid) {
  const auto decoded = Form({{"post." + kRootId, kRoot},
                             {"post." + kChildId, kChild},
                             {"post." + kChildId + ".inputs", R"({"q":)"},
                             {"attachment." + kOtherId + ".a", "x"},
                             {"mystery", "{}"},
                             {"post.no-uuid", "{}"},
                             {"patch." + kOtherId + ".outputs", "{}"}});
  EXPECT_THAT(decoded.runs.ops, SizeIs(1));
  ASSERT_THAT(decoded.runs.rejected, SizeIs(5));
  EXPECT_THAT(decoded.Reason(0), HasSubstr("post." + kChildId + ".inputs: byte 5"));
  EXPECT_THAT(decoded.runs.rejected[0].bytes, HasSubstr(kChild));
  EXPECT_THAT(decoded.runs.rejected[0].bytes, HasSubstr(R"({"q":)"));
  EXPECT_THAT(decoded.Reason(1), HasSubstr("mystery"));
  EXPECT_THAT(decoded.Reason(4), HasSubstr("not in the request"));
  EXPECT_FALSE(decoded.runs.nothing_readable);
}

TEST(RunDecoderTest, SaysWhenNothingCouldBeRead) {
  EXPECT_TRUE(Form({{"post." + kRootId, "{"}}).runs.nothing_readable);
  EXPECT_FALSE(Form({{"post." + kRootId, "{}"}, {"post." + kChildId, "{"}}).runs.nothing_readable);
}

TEST(RunDecoderTest, ReadsBatches) {
  const std::string body =
      R"( {"other":[1],"post":[)" + kRoot + " , " + kChild + R"(],"patch":[ )" + kRoot + " ]} ";
  const auto decoded = Finish(body, DecodeRunBatch({.text = body}));
  ASSERT_THAT(decoded.runs.ops, SizeIs(3));
  EXPECT_EQ(decoded.Run(0), kRoot);
  EXPECT_EQ(decoded.Run(1), kChild);
  EXPECT_EQ(decoded.runs.ops[2].kind, OpKind::kPatch);
  EXPECT_EQ(decoded.Run(2), kRoot);
}

TEST(RunDecoderTest, RefusesBatchesThatAreNone) {
  for (const char* body : {"", "[]", "{}", R"({"post":7})", R"({"post":[{])", "{\"post\":[]} x"}) {
    EXPECT_FALSE(DecodeRunBatch({.text = body}).ok()) << body;
  }
  EXPECT_TRUE(DecodeRunBatch({.text = R"({"post":null,"patch":[]})"}).ok());
}

// Some hundred kilobytes, and next to none when packed, would take gigabytes.
TEST(RunDecoderTest, ABatchHasAtMostAHundredThousandRuns) {
  const auto runs = [](std::size_t count) {
    std::string list;
    for (std::size_t i = 0; i < count; ++i) list += i > 0 ? ",{}" : "{}";
    return "[" + list + "]";
  };
  const auto decode = [](const std::string& body) { return DecodeRunBatch({.text = body}); };
  const auto most = decode(R"({"post":)" + runs(50'000) + R"(,"patch":)" + runs(50'000) + "}");
  ASSERT_TRUE(most.ok()) << most.status();
  EXPECT_THAT(most->rejected, SizeIs(100'000));
  for (const std::string& more :
       {R"({"post":)" + runs(100'001) + "}",
        R"({"post":)" + runs(50'000) + R"(,"patch":)" + runs(50'001) + "}"}) {
    EXPECT_TRUE(absl::IsResourceExhausted(decode(more).status())) << decode(more).status();
  }
}

TEST(RunDecoderTest, TakesTheIdOfAPatchFromThePath) {
  const auto decoded =
      Single(R"({"end_time":1,"parent_run_id":null})", OpKind::kPatch, *RunId::Parse(kRootId));
  ASSERT_THAT(decoded.runs.ops, SizeIs(1));
  EXPECT_EQ(decoded.runs.ops[0].run_id.ToString(), kRootId);
  EXPECT_TRUE(decoded.runs.ops[0].trace_id.IsNil());
  EXPECT_FALSE(decoded.runs.ops[0].is_root);
  EXPECT_THAT(decoded.Run(), HasSubstr(Member("id", kRootId)));
}

TEST(RunDecoderTest, ConcludesTheTraceOfARootThatNamesNone) {
  const auto decoded = Single(Object({Member("id", kRootId), Member("name", "n")}));
  ASSERT_THAT(decoded.runs.ops, SizeIs(1));
  EXPECT_EQ(decoded.runs.ops[0].trace_id.ToString(), kRootId);
  EXPECT_TRUE(decoded.runs.ops[0].is_root);
}

TEST(RunDecoderTest, FillsInTheParentThatTheDottedOrderNames) {
  const std::string body =
      Object({Member("id", kChildId), "\"parent_run_id\":null", "\"big\":123456789012345678901234",
              Member("dotted_order", kRootPart + "." + kChildPart)});
  const auto decoded = Single(body);
  ASSERT_THAT(decoded.runs.ops, SizeIs(1));
  EXPECT_EQ(decoded.runs.ops[0].trace_id.ToString(), kRootId);
  EXPECT_FALSE(decoded.runs.ops[0].is_root);
  EXPECT_EQ(decoded.Run(), Object({Member("id", kChildId), "\"big\":123456789012345678901234",
                                   Member("dotted_order", kRootPart + "." + kChildPart),
                                   Member("parent_run_id", kRootId)}));
  // A PATCH need not repeat it.
  EXPECT_EQ(Single(body, OpKind::kPatch).Run(), body);
}

struct BreachCase {
  std::string run;
  std::string reason;
};

TEST(RunDecoderTest, RejectsRunsThatContradictThemselves) {
  const std::string id = Member("id", kChildId), trace = Member("trace_id", kRootId),
                    parent = Member("parent_run_id", kRootId);
  const auto order = [](const std::string& text) { return Member("dotted_order", text); };
  for (const auto& [run, reason] : std::vector<BreachCase>{
           {Object({trace}), "id: missing"},
           {Object({"\"id\":7"}), "id: 7 is not a UUID"},
           {Object({Member("id", "xyz")}), "id: \"xyz\""},
           {Object({id, Member("trace_id", "xyz")}), "trace_id"},
           {Object({id, trace, Member("parent_run_id", "xyz")}), "parent_run_id"},
           {Object({id, trace}), "trace_id: a run without parent_run_id"},
           {Object({id, Member("trace_id", kChildId), parent}), "parent_run_id is set"},
           {Object({id, trace, parent, order(kRootPart + "." + kRootPart)}), "last part names"},
           {Object({id, trace, parent, order(kChildPart + "." + kChildPart)}), "first part names"},
           {Object({id, parent, order(kChildPart)}), "has one part"},
           {Object({id, Member("parent_run_id", kOtherId), order(kRootPart + "." + kChildPart)}),
            "last part but one"},
           {Object({id, trace, parent, order("garbage")}), "dotted_order: part 1"},
           {Object({id, trace, parent, order(kRootPart + ".")}), "dotted_order: part 2"},
           {Object({id, trace, parent, order(kRootPart + "..")}), "dotted_order: part 2"},
           {Object({id, trace, parent, "\"dotted_order\":[]"}), "dotted_order"}}) {
    const auto decoded = Single(run);
    ASSERT_THAT(decoded.runs.rejected, SizeIs(1)) << run;
    EXPECT_THAT(decoded.Reason(), HasSubstr(reason)) << run;
    EXPECT_EQ(decoded.runs.rejected[0].bytes, run);
  }
}

TEST(RunDecoderTest, TheNameOfAProjectIsShort) {
  const auto named = [](std::size_t size) {
    return Single(Object({Member("id", kRootId), Member("session_name", std::string(size, 'p'))}));
  };
  EXPECT_THAT(named(1024).runs.ops, SizeIs(1));
  ASSERT_THAT(named(1025).runs.rejected, SizeIs(1));
  EXPECT_THAT(named(1025).Reason(), HasSubstr("session_name"));
}

TEST(RunDecoderTest, AcceptsTimesWithOneToSixDigitsAndIdsInAnyCase) {
  for (const char* time : {"20260910T0026400Z", "20260910T002640013Z", "20260910T002640013001Z"}) {
    EXPECT_THAT(Single(Object({Member("id", "01A0B35E-7A0D-7000-8000-00000000000D"),
                               Member("dotted_order", time + kRootId)}))
                    .runs.ops,
                SizeIs(1))
        << time;
  }
}

TEST(RunDecoderTest, LooksAtEveryDigitOfATime) {
  const std::string digits = "20260910T002640013001";
  const auto is_taken = [](const std::string& time) {
    const auto decoded =
        Single(Object({Member("id", kRootId), Member("dotted_order", time + kRootId)}));
    return decoded.runs.ops.size() == 1;
  };
  for (std::size_t size = 0; size <= digits.size() + 1; ++size) {
    const std::string time = (digits + "9").substr(0, size);
    EXPECT_EQ(is_taken(time + "Z"), size >= 16 && size <= digits.size()) << time;
    if (size < 16 || size > digits.size()) continue;
    EXPECT_FALSE(is_taken(time + "z")) << time;
    for (std::size_t at = 0; at < size; ++at) {
      for (const char wrong : {'/', ':', 'T', '0', ' ', '\x7f', 'p'}) {
        std::string text = time;
        text[at] = wrong;
        const bool valid = at == 8 ? wrong == 'T' : wrong == '0';
        EXPECT_EQ(is_taken(text + "Z"), valid) << text;
      }
    }
  }
}

TEST(RunDecoderTest, ReadsADottedOrderWithEscapes) {
  const auto decoded = Single(
      Object({Member("id", kRootId), Member("dotted_order", "2\\u003026" + kRootPart.substr(4))}));
  ASSERT_THAT(decoded.runs.ops, SizeIs(1)) << decoded.Reason();
  EXPECT_TRUE(decoded.runs.ops[0].is_root);
}

TEST(RunDecoderTest, TakesAnAgentsAddressForTheProject) {
  const auto decoded = Single(Object(
      {Member("id", kRootId), Member("address", "lrn:agents/my-bot/environments/Production")}));
  ASSERT_THAT(decoded.runs.ops, SizeIs(1));
  EXPECT_EQ(decoded.runs.ops[0].project, "my-bot/production");
}

TEST(RunDecoderTest, RepairsOnlyThePartThatNeedsIt) {
  const std::string run =
      Object({Member("id", kRootId), Member("name", "caf\xE9 \\ud83d!"), "\"score\":NaN"});
  const auto decoded = Form({{"post." + kRootId, run},
                             {"post." + kRootId + ".inputs", R"({"a":[Infinity,-Infinity]})"},
                             {"post." + kRootId + ".outputs", R"({"b":"fine"})"}});
  ASSERT_THAT(decoded.runs.ops, SizeIs(1));
  EXPECT_EQ(decoded.runs.repaired_parts, 2u);
  EXPECT_EQ(decoded.Run(), Object({Member("id", kRootId),
                                   Member("name", "caf\xEF\xBF\xBD \\ufffd!"), "\"score\":null"}));
  EXPECT_EQ(decoded.Text(decoded.runs.ops[0].parts[1]), R"({"a":[null,null]})");
  EXPECT_EQ(decoded.Text(decoded.runs.ops[0].parts[2]), R"({"b":"fine"})");
}

TEST(RunDecoderTest, RepairsBatches) {
  const std::string bad = Object({Member("id", kChildId), "\"x\":NaN"});
  const std::string body = R"({"post":[)" + kRoot + "," + bad + "]}";
  const auto decoded = Finish(body, DecodeRunBatch({.text = body}));
  ASSERT_THAT(decoded.runs.ops, SizeIs(2));
  EXPECT_EQ(decoded.Run(0), kRoot);
  EXPECT_EQ(decoded.Run(1), Object({Member("id", kChildId), "\"x\":null"}));
}

TEST(RunDecoderTest, PutsFieldsOfLaterSdksBackIntoTheRun) {
  const auto decoded =
      Form({{"post." + kRootId, kRoot}, {"post." + kRootId + ".novelty", R"({"n":1})"}});
  ASSERT_THAT(decoded.runs.ops, SizeIs(1));
  EXPECT_THAT(decoded.Run(), HasSubstr(R"("novelty":{"n":1})"));
}

TEST(RunDecoderTest, KeepsFeedback) {
  const std::string feedback = Object({Member("id", kOtherId), Member("run_id", kChildId),
                                       Member("trace_id", kRootId), "\"score\":1"});
  const auto decoded =
      Form({{"feedback." + kOtherId, feedback}, {"feedback." + kOtherId, R"({"run_id":"x"})"}});
  ASSERT_THAT(decoded.runs.ops, SizeIs(1));
  const RunOp& op = decoded.runs.ops[0];
  EXPECT_EQ(op.kind, OpKind::kFeedback);
  EXPECT_EQ(op.run_id.ToString(), kChildId);
  EXPECT_EQ(op.trace_id.ToString(), kRootId);
  EXPECT_EQ(op.parts[0].field, PartField::kFeedback);
  EXPECT_EQ(decoded.Run(), feedback);
  EXPECT_THAT(decoded.Reason(), HasSubstr("run_id"));
}

TEST(JsonScannerTest, AgreesWithSimdjsonAboutWhatIsJson) {
  const std::string deep(256, '['), deep_end(256, ']');
  for (const std::string& text : {std::string("{}"),
                                  std::string("[]"),
                                  std::string(" [1, -0.5e+3, true, null, \"\\u00e9\"] "),
                                  std::string("\"\\ud83d\\ude00\""),
                                  std::string("01"),
                                  std::string("1."),
                                  std::string("-"),
                                  std::string("[1,]"),
                                  std::string("{\"a\":1,}"),
                                  std::string("{\"a\"}"),
                                  std::string("tru"),
                                  std::string("\"\x01\""),
                                  std::string("\"\\x\""),
                                  std::string("1 2"),
                                  std::string(""),
                                  std::string("\"open"),
                                  std::string("{\"a\":1}}"),
                                  std::string("[}"),
                                  deep + deep_end,
                                  "[" + deep + deep_end + "]",
                                  std::string("1e999"),
                                  std::string(400, '9')}) {
    std::string error;
    const std::string padded = text + std::string(64, ' ');
    const JsonState fast = CheckJson(std::string_view(padded).substr(0, text.size()), 64, &error);
    const JsonState slow = CheckJson(text, 0, &error);
    EXPECT_EQ(fast, slow) << text;
  }
}

TEST(JsonScannerTest, FindsWhatEndsPlainTextAtEveryPlace) {
  for (std::size_t before = 0; before < 40; ++before) {
    for (const std::size_t after : {0, 1, 7, 8, 15, 16, 17, 40}) {
      for (int c = 0; c < 256; ++c) {
        const std::string start = "\"" + std::string(before, 'a');
        const std::string text = start + static_cast<char>(c) + std::string(after, 'z') + "\"";
        std::string error;
        const JsonState state = CheckJson(text, 0, &error);
        const std::string byte = "byte " + std::to_string(start.size());
        if (c == '\\') {
          EXPECT_EQ(state, JsonState::kInvalid);
        } else if (c == '"') {
          EXPECT_EQ(error.substr(0, error.find(':')), "byte " + std::to_string(start.size() + 1));
        } else if (c < 0x20) {
          EXPECT_EQ(error, byte + ": control character in a string");
        } else {
          EXPECT_EQ(state, c < 0x80 ? JsonState::kValid : JsonState::kRepairable) << c;
        }
      }
    }
  }
}

TEST(JsonScannerTest, HoldsDepthAndNamesTheByte) {
  std::string error;
  EXPECT_EQ(CheckJson(std::string(256, '[') + std::string(256, ']'), 0, &error), JsonState::kValid);
  EXPECT_EQ(CheckJson(std::string(10'000, '['), 0, &error), JsonState::kInvalid);
  EXPECT_EQ(error, "byte 256: nested deeper than 256");
  EXPECT_EQ(CheckJson(R"({"a":tru})", 0, &error), JsonState::kInvalid);
  EXPECT_EQ(error, "byte 5: expected a value");
}

TEST(JsonScannerTest, FindsTheEndOfWhatIsTooDeepWhenAskedTo) {
  std::string error;
  const std::string deep = std::string(500, '[') + R"("]\"", {"a":NaN})" + std::string(500, ']');
  EXPECT_EQ(CheckJsonOfAnyDepth("[" + deep + ",1]", &error), JsonState::kValid) << error;
  EXPECT_EQ(CheckJsonOfAnyDepth("[" + deep + ",NaN]", &error), JsonState::kRepairable);
  EXPECT_EQ(RepairJson("[" + deep + ",NaN]", JsonDepth::kAny), "[" + deep + ",null]");
  EXPECT_EQ(CheckJsonOfAnyDepth("[" + deep, &error), JsonState::kInvalid);
  EXPECT_EQ(CheckJsonOfAnyDepth("[" + deep.substr(0, 700), &error), JsonState::kInvalid);
  EXPECT_EQ(CheckJsonOfAnyDepth(std::string(10'000, '['), &error), JsonState::kInvalid);
  EXPECT_EQ(CheckJsonOfAnyDepth("[" + deep + " 1]", &error), JsonState::kInvalid);
}

TEST(JsonScannerTest, ReplacesEachInvalidSequenceOnce) {
  for (const auto& [broken, repaired] : std::vector<std::pair<std::string, std::string>>{
           {"\"\xFF\"", "\"\xEF\xBF\xBD\""},
           {"\"\xE2\x82\"", "\"\xEF\xBF\xBD\""},
           {"\"\xC0\xAF\"", "\"\xEF\xBF\xBD\xEF\xBF\xBD\""},
           {"\"\xF0\x9F\x98\x80\"", "\"\xF0\x9F\x98\x80\""},
           {"\"\\udc00\\ud83d\"", "\"\\ufffd\\ufffd\""}}) {
    EXPECT_EQ(RepairJson(broken), repaired);
  }
}

TEST(RunQueryTest, NamesWhatItCannotFilterBy) {
  for (const char* member : {"filter", "trace_filter", "tree_filter", "query", "anything"}) {
    const auto query = RunQuery::Parse("{\"" + std::string(member) + "\":\"eq(x, 1)\"}");
    EXPECT_THAT(std::string(query.status().message()), HasSubstr(member));
    EXPECT_TRUE(RunQuery::Parse("{\"" + std::string(member) + "\":null}").ok());
  }
  for (const char* body :
       {"[]", "", R"({"limit":0})", R"({"limit":"x"})", R"({"trace":"x"})", R"({"id":[7]})",
        R"({"is_root":1})", R"({"order":"up"})", R"({"cursor":"x"})", R"({"start_time":"soon"})"}) {
    EXPECT_FALSE(RunQuery::Parse(body).ok()) << body;
  }
}

TEST(RunQueryTest, ReadsTimesOfAnyUsualForm) {
  for (const char* text : {"2026-09-10T00:26:40.017000Z", "2026-09-10T00:26:40.017",
                           "2026-09-10 02:26:40.017+02:00", "2026-09-09T19:26:40,017000123-0500"}) {
    EXPECT_EQ(NormalTime(text), "2026-09-10T00:26:40.017000Z") << text;
  }
  EXPECT_EQ(NormalTime("2026-09-10"), "2026-09-10T00:00:00.000000Z");
  EXPECT_EQ(NormalTime("2026-13-10"), std::nullopt);
  EXPECT_EQ(NormalTime("yesterday"), std::nullopt);
}

}  // namespace
}  // namespace weft::collector
