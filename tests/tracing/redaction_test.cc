// SPDX-License-Identifier: Apache-2.0
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include <absl/strings/escaping.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <boost/json.hpp>

#include <weft/testing/fake_collector.h>
#include <weft/tracing/collector_exporter.h>
#include <weft/tracing/file_exporter.h>
#include <weft/tracing/langsmith_exporter.h>
#include <weft/tracing/otlp_exporter.h>
#include <weft/tracing/tracing_context.h>

#include "temporary_folder.h"
#include "tracing_fixture.h"

namespace weft {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;

class RedactionTest : public TracingTest {
 protected:
  std::shared_ptr<Tracer> Redacting(RedactionOptions redaction) {
    return MakeTracer({.redaction = std::move(redaction)});
  }
  std::shared_ptr<Tracer> Preset(RedactionPreset preset) {
    return Redacting({.presets = {preset}});
  }
  /// What becomes of `inputs`.
  JsonObject Inputs(const std::shared_ptr<Tracer>& tracer, JsonObject inputs) {
    exporter_->Clear();
    { const Run run("run", {.inputs = std::move(inputs), .tracer = tracer}); }
    return Only().inputs;
  }
  std::string Text(const std::shared_ptr<Tracer>& tracer, const std::string& text) {
    return Inputs(tracer, {{"text", text}}).at("text").as_string().c_str();
  }
  static std::string Problem(RedactionRule rule) {
    const auto made = Tracer::Create({.redaction = {.rules = {std::move(rule)}}});
    return made.ok() ? "" : std::string(made.status().message());
  }
};

/// A run with `secret` in every field.
void LeakEverywhere(const std::shared_ptr<Tracer>& tracer, const std::string& secret) {
  const TracingContext around({.tags = {"around " + secret}, .metadata = {{"around", secret}}});
  weft::Run run("run", {.inputs = {{"deep", JsonObject{{"list", JsonArray{1, secret}}}}},
                        .tags = {"own " + secret},
                        .metadata = {{"handed", secret}},
                        .tracer = tracer});
  run.SetOutputs({{secret, 1}});
  run.AddMetadata({{"late", secret}});
  run.AddAttribute("attribute", secret);
  run.AddTags({secret});
  run.AddEvent("seen " + secret, {{"by", secret}});
  run.Attach("v1.0 of " + secret, "text/plain", "kept");
  run.SetError("no " + secret + " here");
}

TEST_F(RedactionTest, LeavesNothingInAnyField) {
  const std::string secret = "bob@example.org";
  LeakEverywhere(Preset(RedactionPreset::kEmail), secret);
  const RunRecord run = Only();
  const std::string masked = "[redacted]";
  EXPECT_EQ(run.inputs.at("deep").at("list").at(1), Json(masked));
  EXPECT_TRUE(run.outputs->contains(masked));
  EXPECT_EQ(run.error, "no [redacted] here");
  EXPECT_THAT(run.AllTags(), ElementsAre("around [redacted]", "own [redacted]", masked));
  for (const char* key : {"around", "handed", "late", "attribute"}) {
    EXPECT_EQ(run.AllMetadata().at(key), Json(masked)) << key;
  }
  EXPECT_EQ(run.events.at(0).name, "seen [redacted]");
  EXPECT_EQ(run.events.at(0).kwargs.at("by"), Json(masked));
  EXPECT_EQ(run.attachments.at(0).name, "v1_0 of [redacted]");
  EXPECT_EQ(run.attachments.at(0).content, "kept");
}

TEST_F(RedactionTest, LeavesNothingOnTheWire) {
  testing::FakeCollector collector;
  auto exporter = CollectorExporter::Create({.target = collector.target()}).value();
  auto tracer =
      Tracer::Create({.redaction = {.presets = {RedactionPreset::kEmail}}, .exporters = {exporter}})
          .value();
  LeakEverywhere(tracer, "bob@example.org");
  ASSERT_TRUE(tracer->Flush(std::chrono::seconds(10)));
  ASSERT_FALSE(collector.Kept().empty());
  for (const auto& operation : collector.Kept()) {
    EXPECT_THAT(operation.SerializeAsString(), Not(HasSubstr("bob@example.org")));
    EXPECT_THAT(operation.SerializeAsString(), HasSubstr("[redacted]"));
  }
}

TEST_F(RedactionTest, LeavesNothingOnTheDisk) {
  constexpr char kNobody[] = "http://127.0.0.1:9";
  const Folder folder;
  const auto collector =
      CollectorExporter::Create({.target = "127.0.0.1:9", .spill_dir = folder.path()}).value();
  const auto langsmith =
      LangSmithExporter::Create({.endpoint = kNobody, .spill_dir = folder.path()}).value();
  const auto otlp = OtlpExporter::Create({.endpoint = kNobody, .spill_dir = folder.path()}).value();
  const auto file = FileExporter::Create({.path = folder.path() / "runs.jsonl"}).value();
  const auto tracer = Tracer::Create({.redaction = {.presets = {RedactionPreset::kEmail}},
                                      .open_run_delay = std::chrono::milliseconds(0),
                                      .exporters = {collector, langsmith, otlp, file}})
                          .value();
  LeakEverywhere(tracer, "bob@example.org");
  tracer->Shutdown(std::chrono::milliseconds(1));
  ASSERT_THAT(folder.Files(), SizeIs(4));
  for (const auto& path : folder.Files()) {
    std::string text = ReadFile(path);
    if (path.extension() == ".json") {
      const std::string encoded(boost::json::parse(text).at("body_base64").as_string());
      ASSERT_TRUE(absl::Base64Unescape(encoded, &text));
    }
    EXPECT_THAT(text, HasSubstr("[redacted]")) << path;
    EXPECT_THAT(text, Not(HasSubstr("bob@example.org"))) << path;
  }
}

TEST_F(RedactionTest, LeavesNothingInHeaders) {
  const auto tracer = Preset(RedactionPreset::kEmail);
  const TracingContext around({.tags = {"c@d.org"}, .metadata = {{"outer", "a@b.org"}}});
  const Run run("run", {.tags = {"e@f.org"}, .metadata = {{"user", "g@h.org"}}, .tracer = tracer});
  const std::string baggage = run.ToHeaders().baggage;
  EXPECT_THAT(baggage, HasSubstr("redacted"));
  EXPECT_THAT(baggage, Not(HasSubstr(".org")));
}

TEST_F(RedactionTest, LeavesNothingThatACallerHandedDown) {
  const auto tracer = Redacting({.rules = {{.key = "user_id"}, {.value = "^far$"}}});
  { const Run run("run", {.parent = RemoteParent(), .tracer = tracer}); }
  EXPECT_EQ(Only().AllMetadata().at("user_id"), Json("[redacted]"));
  EXPECT_THAT(Only().AllTags(), ElementsAre("[redacted]"));
  EXPECT_EQ(Only().context.baggage().project, "A-project");
}

TEST_F(RedactionTest, LeavesTheRunAsItIsOtherwise) {
  const auto kind = std::make_shared<const RunTemplate>("kind", RunType::kLlm,
                                                        JsonObject{{"rpc.system", "grpc"}});
  {
    Run run(kind, {.inputs = {{"n", 7}, {"half", 0.5}}, .tracer = Preset(RedactionPreset::kEmail)});
  }
  const RunRecord run = Only();
  EXPECT_EQ(run.DisplayName(), "kind");
  EXPECT_EQ(run.type, RunType::kLlm);
  EXPECT_EQ(run.AllMetadata().at("rpc.system"), Json("grpc"));
  EXPECT_EQ(run.inputs, (JsonObject{{"n", 7}, {"half", 0.5}}));
}

TEST_F(RedactionTest, KnowsKeysByTheirNames) {
  const auto tracer = Preset(RedactionPreset::kApiKeys);
  for (const char* key :
       {"password", "PASSWORD", "db_password", "api_key", "apiKey", "openaiApiKey", "client_secret",
        "Authorization", "set-cookie", "access_token", "token"}) {
    EXPECT_EQ(Inputs(tracer, {{key, "x"}}).at(key), Json("[redacted]")) << key;
  }
  for (const char* key :
       {"total_tokens", "max_tokens", "key", "author", "secretary", "tokenizer"}) {
    EXPECT_EQ(Inputs(tracer, {{key, "x"}}).at(key), Json("x")) << key;
  }
  EXPECT_EQ(Inputs(tracer, {{"secret", JsonObject{{"a", 1}}}}).at("secret"), Json("[redacted]"));
}

TEST_F(RedactionTest, KnowsKeysOfProviders) {
  const auto tracer = Preset(RedactionPreset::kApiKeys);
  for (const std::string key :
       {"sk-abcdefghijklmnop1234", "lsv2_pt_0123456789abcdef01_23456789", "AKIAABCDEFGHIJKLMNOP",
        "ghp_0123456789abcdefghijABCDEFGHIJ", "AIzaSyA-0123456789abcdefghijklmnopqrstu",
        "-----BEGIN PRIVATE KEY-----\nMIIE\xff\n-----END PRIVATE KEY-----"}) {
    EXPECT_EQ(Text(tracer, "see " + key + "."), "see [redacted].") << key;
  }
  EXPECT_EQ(Text(tracer, "ask-me-anything-you-want-now"), "ask-me-anything-you-want-now");
}

TEST_F(RedactionTest, KnowsBearerTokens) {
  const auto tracer = Preset(RedactionPreset::kBearerTokens);
  EXPECT_EQ(Text(tracer, "Bearer abcdefghijklmnopqrst-1"), "[redacted]");
  EXPECT_EQ(Text(tracer, "a eyJhbGciOiJIUzI1.eyJzdWIiOiIx.SflKxw b"), "a [redacted] b");
  EXPECT_EQ(Text(tracer, "Authorization: Basic dTpw, ok"), "[redacted], ok");
  EXPECT_EQ(Text(tracer, "a bearer of news"), "a bearer of news");
}

TEST_F(RedactionTest, KnowsCardsByTheirCheckDigit) {
  const auto tracer = Preset(RedactionPreset::kCards);
  EXPECT_EQ(Text(tracer, "4111 1111 1111 1111 and 4111111111111112"),
            "[redacted] and 4111111111111112");
  EXPECT_EQ(Inputs(tracer, {{"n", 4111111111111111}}).at("n"), Json("[redacted]"));
  EXPECT_EQ(Inputs(tracer, {{"n", 4111111111111112}}).at("n"), Json(4111111111111112));
}

TEST_F(RedactionTest, KnowsAddresses) {
  const auto tracer = Preset(RedactionPreset::kIpAddresses);
  EXPECT_EQ(Text(tracer, "ipv4:10.0.0.7:5050"), "ipv4:[redacted]:5050");
  EXPECT_EQ(Text(tracer, "from 2001:db8::1 on"), "from [redacted] on");
  EXPECT_EQ(Text(tracer, "at 13:05:00 in weft::v0"), "at 13:05:00 in weft::v0");
  EXPECT_EQ(Text(tracer, "1.51.1"), "1.51.1");
}

TEST_F(RedactionTest, FollowsPointers) {
  using enum RedactionAction;
  const auto tracer = Redacting({.rules = {{.pointer = "/inputs/messages/*/content"},
                                           {.pointer = "/inputs/**/id", .action = kDrop},
                                           {.pointer = "/inputs/list/0", .action = kDrop},
                                           {.pointer = "/inputs/a~1b"}}});
  const JsonObject inputs = Inputs(
      tracer, {{"messages", JsonArray{JsonObject{{"role", "user"}, {"content", "hi"}, {"id", 1}}}},
               {"id", 2},
               {"list", JsonArray{"first", "second"}},
               {"a/b", 1},
               {"content", "stays"}});
  EXPECT_EQ(inputs.at("messages"),
            (Json(JsonArray{JsonObject{{"role", "user"}, {"content", "[redacted]"}}})));
  EXPECT_FALSE(inputs.contains("id"));
  EXPECT_EQ(inputs.at("list"), Json(JsonArray{"second"}));
  EXPECT_EQ(inputs.at("a/b"), Json("[redacted]"));
  EXPECT_EQ(inputs.at("content"), Json("stays"));
}

TEST_F(RedactionTest, KeepsOnlyWhatIsAllowed) {
  using enum RedactionAction;
  const auto tracer =
      Redacting({.rules = {{.pointer = "/metadata/*", .allow = "ls_.*|Tier", .action = kDrop},
                           {.pointer = "/inputs/messages/*/*", .allow = "role", .action = kMask}}});
  {
    const Run run(
        "run", {.inputs = {{"messages", JsonArray{JsonObject{{"role", "user"}, {"content", "hi"}}}},
                           {"other", "stays"}},
                .metadata = {{"ls_provider", "p"}, {"tier", 1}, {"tier_2", 2}, {"mail", "m"}},
                .tracer = tracer});
  }
  const RunRecord run = Only();
  EXPECT_EQ(run.AllMetadata(), (JsonObject{{"ls_provider", "p"}, {"tier", 1}}));
  EXPECT_EQ(run.inputs.at("messages"),
            (Json(JsonArray{JsonObject{{"role", "user"}, {"content", "[redacted]"}}})));
  EXPECT_EQ(run.inputs.at("other"), Json("stays"));
}

TEST_F(RedactionTest, HidesWholeFields) {
  const auto tracer = Redacting(
      {.rules = {{.pointer = "/inputs", .action = RedactionAction::kDrop}, {.pointer = "/error"}}});
  {
    Run run("run", {.inputs = {{"a", 1}}, .tracer = tracer});
    run.SetError("broken");
  }
  EXPECT_TRUE(Only().inputs.empty());
  EXPECT_EQ(Only().error, "[redacted]");
}

TEST_F(RedactionTest, HashesSoThatEqualValuesStayEqual) {
  const RedactionRule rule = {.value = "u-\\d+", .action = RedactionAction::kHash};
  const auto tracer = Redacting({.rules = {rule}, .hash_key = "k"});
  const std::string one = Text(tracer, "u-1");
  EXPECT_THAT(one, ::testing::MatchesRegex("hmac:[0-9a-f]{32}"));
  EXPECT_EQ(Text(tracer, "from u-1 to u-2"), "from " + one + " to " + Text(tracer, "u-2"));
  EXPECT_NE(one, Text(tracer, "u-2"));
  EXPECT_NE(one, Text(Redacting({.rules = {rule}, .hash_key = "other"}), "u-1"));
}

TEST_F(RedactionTest, TruncatesBetweenCharacters) {
  const auto tracer =
      Redacting({.rules = {{.key = "text", .action = RedactionAction::kTruncate, .length = 4}}});
  EXPECT_EQ(Text(tracer, "abcdefg"), "abcd");
  EXPECT_EQ(Text(tracer, "abc\xC3\xA4xyz"), "abc");
  EXPECT_EQ(Text(tracer, "abc"), "abc");
}

TEST_F(RedactionTest, AsksTheFunctionLast) {
  const auto tracer =
      Redacting({.rules = {{.key = "a"}}, .function = [](std::string_view field, Json& value) {
                   if (field != "inputs") return;
                   value = JsonObject{{"seen", Json(value)}};
                 }});
  EXPECT_EQ(Inputs(tracer, {{"a", 1}}).at("seen"), Json(JsonObject{{"a", "[redacted]"}}));
}

TEST_F(RedactionTest, MasksWhatItCannotRedact) {
  const auto tracer = Redacting({.function = [](std::string_view field, Json&) {
    if (field == "inputs") throw std::runtime_error("no");
  }});
  {
    Run run("run", {.inputs = {{"secret", 1}}, .tracer = tracer});
    run.SetOutputs({{"fine", 1}});
  }
  EXPECT_EQ(Only().inputs, (JsonObject{{"weft_redacted", "[redacted]"}}));
  EXPECT_EQ(Only().outputs, (JsonObject{{"fine", 1}}));
  EXPECT_EQ(tracer->Stats().redacted.at("failed"), 1u);
}

TEST_F(RedactionTest, CountsByRule) {
  const auto tracer = Redacting({.presets = {RedactionPreset::kEmail},
                                 .rules = {{.name = "names", .key = "name"}, {.key = "other"}}});
  Inputs(tracer, {{"name", "x"}, {"a", "a@b.org, c@d.org"}, {"b", "a@b.org"}});
  const auto counts = tracer->Stats().redacted;
  EXPECT_EQ(counts.at("names"), 1u);
  EXPECT_EQ(counts.at("email"), 2u);
  EXPECT_EQ(counts.at("rule-1"), 0u);
  EXPECT_TRUE(MakeTracer()->Stats().redacted.empty());
}

TEST_F(RedactionTest, NamesWhatIsWrongWithARule) {
  EXPECT_THAT(Problem({}), HasSubstr("redaction.rules[0]: has no pointer, key or value"));
  EXPECT_THAT(Problem({.pointer = "inputs"}), HasSubstr("rules[0].pointer: \"inputs\""));
  EXPECT_THAT(Problem({.pointer = "/input/a"}), HasSubstr("rules[0].pointer: \"/input/a\""));
  EXPECT_THAT(Problem({.pointer = "/inputs/~2"}), HasSubstr("~2"));
  EXPECT_THAT(Problem({.key = "("}), HasSubstr("rules[0].key: \"(\": missing )"));
  EXPECT_THAT(Problem({.pointer = "/metadata/*", .allow = "("}),
              HasSubstr("rules[0].allow: \"(\""));
  EXPECT_THAT(Problem({.key = "a", .allow = "b"}), HasSubstr("rules[0].allow: needs a pointer"));
  EXPECT_THAT(Problem({.value = "["}), HasSubstr("rules[0].value: \"[\": missing ]"));
  EXPECT_THAT(Problem({.key = "a", .action = RedactionAction::kHash}),
              HasSubstr("redaction.hash_key"));
}

TEST_F(RedactionTest, ReadsBytesAsTheyAreWritten) {
  const auto tracer = Redacting({.rules = {{.value = "(?s)a.*z"}}});
  EXPECT_EQ(Text(tracer, "a\xff\xfe\nz!"), "[redacted]!");
}

}  // namespace
}  // namespace weft
