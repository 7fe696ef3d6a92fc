// SPDX-License-Identifier: Apache-2.0
// What LangSmith's own SDKs wrote and read (tests/vectors/langsmith) against what weft does.
#include <algorithm>
#include <chrono>
#include <fstream>
#include <iterator>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include <weft/tracing/sampling.h>
#include <weft/tracing/trace_headers.h>

namespace weft {
namespace {

Json ReadVectors(const std::string& name) {
  std::ifstream file(std::string(WEFT_SOURCE_DIR) + "/tests/vectors/langsmith/" + name);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  std::optional<Json> json = ParseJson(text);
  EXPECT_TRUE(json.has_value()) << name;
  return json ? *std::move(json) : Json(JsonObject());
}

const JsonObject& NpmVectors() {
  static const Json vectors = ReadVectors("headers.json");
  return vectors.as_object();
}

const JsonObject& PythonVectors() {
  static const Json vectors = ReadVectors("headers.python.json");
  return vectors.as_object();
}

std::string Text(const Json& value) { return std::string(std::string_view(value.as_string())); }

const Json& Named(const JsonArray& cases, const Json& name) {
  const auto found = std::find_if(cases.begin(), cases.end(),
                                  [&](const Json& one) { return one.at("name") == name; });
  if (found == cases.end()) ADD_FAILURE() << "no case " << name;
  return *found;
}

std::string Lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  return text;
}

// Absent, null and (for a project) empty are the same; so is the default that an SDK filled in.
std::optional<std::string> Project(const Json& run) {
  const Json& project = run.at("project_name");
  if (!project.is_string() || project.as_string().empty() || project.as_string() == "default") {
    return std::nullopt;
  }
  return Text(project);
}

std::set<std::string> Tags(const Json& run) {
  std::set<std::string> tags;
  if (!run.at("tags").is_array()) return tags;
  for (const Json& tag : run.at("tags").as_array()) tags.insert(Text(tag));
  return tags;
}

// What a reader takes from baggage, in a form that compares.
struct Reading {
  std::optional<std::string> project;
  std::set<std::string> tags;
  Json metadata = JsonObject();

  friend bool operator==(const Reading&, const Reading&) = default;
  friend std::ostream& operator<<(std::ostream& out, const Reading& reading) {
    out << "project " << reading.project.value_or("(none)") << ", tags";
    for (const std::string& tag : reading.tags) out << " [" << tag << "]";
    return out << ", metadata " << reading.metadata;
  }
};

Reading ReadingOf(const TraceBaggage& baggage) {
  return {baggage.project, {baggage.tags.begin(), baggage.tags.end()}, baggage.metadata};
}

Reading ReadingOf(const Json& run) { return {Project(run), Tags(run), run.at("metadata")}; }

TraceHeaders Received(const JsonObject& headers) {
  TraceHeaders received;
  for (const auto& header : headers)
    received.Add(std::string_view(header.key()), Text(header.value()));
  return received;
}

TraceBaggage BaggageOf(const Json& run) {
  TraceBaggage baggage;
  if (run.at("project_name").is_string()) baggage.project = Text(run.at("project_name"));
  if (run.at("tags").is_array()) {
    for (const Json& tag : run.at("tags").as_array()) baggage.tags.push_back(Text(tag));
  }
  baggage.metadata = run.at("metadata").as_object();
  return baggage;
}

std::chrono::system_clock::time_point Micros(const Json& value) {
  return std::chrono::system_clock::time_point(
      std::chrono::microseconds(value.to_number<std::int64_t>()));
}

std::vector<std::string> KeysOf(std::string_view baggage) {
  std::vector<std::string> keys;
  while (!baggage.empty()) {
    const std::size_t comma = std::min(baggage.find(','), baggage.size());
    const std::string_view member = baggage.substr(0, comma);
    keys.emplace_back(member.substr(0, member.find('=')));
    baggage.remove_prefix(std::min(comma + 1, baggage.size()));
  }
  return keys;
}

// Only what encodeURIComponent and urllib.parse.quote both leave alone, and complete escapes.
bool IsPortable(std::string_view baggage) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  for (std::size_t i = 0; i < baggage.size(); ++i) {
    const char c = baggage[i];
    if (c == '%') {
      if (i + 2 >= baggage.size() || kHex.find(baggage[i + 1]) == kHex.npos ||
          kHex.find(baggage[i + 2]) == kHex.npos) {
        return false;
      }
      i += 2;
    } else if (!std::isalnum(static_cast<unsigned char>(c)) &&
               std::string_view("-_.~,=").find(c) == std::string_view::npos) {
      return false;
    }
  }
  return true;
}

class EmitTest : public testing::TestWithParam<const JsonObject& (*)()> {};

TEST_P(EmitTest, SaysWhatTheSdkSaysInTheSameOrder) {
  for (const Json& one : GetParam()().at("emit").as_array()) {
    SCOPED_TRACE(one.at("name"));
    const Json& run = one.at("runs").as_array().back();
    const std::string theirs = Text(one.at("headers").at("baggage"));
    const std::string ours = EncodeBaggage(BaggageOf(run));
    EXPECT_TRUE(IsPortable(ours)) << ours;
    EXPECT_EQ(KeysOf(ours), KeysOf(theirs));
    const ParsedHeaders read = TraceHeaders{.baggage = ours}.Parse();
    EXPECT_EQ(ReadingOf(*read.baggage),
              ReadingOf(*TraceHeaders{.baggage = theirs}.Parse().baggage));
    EXPECT_TRUE(read.problems.empty());
  }
}

TEST_P(EmitTest, ReadsWhatTheSdkWrote) {
  for (const Json& one : GetParam()().at("emit").as_array()) {
    SCOPED_TRACE(one.at("name"));
    const Json& run = one.at("runs").as_array().back();
    const ParsedHeaders read = Received(one.at("headers").as_object()).Parse();
    ASSERT_TRUE(read.parent);
    EXPECT_TRUE(read.problems.empty());
    EXPECT_EQ(read.parent.id().ToString(), Text(run.at("id")));
    EXPECT_EQ(read.parent.trace_id().ToString(), Text(run.at("trace_id")));
    EXPECT_EQ(read.parent.dotted_order(), Text(run.at("dotted_order")));
    // A tag with a comma arrives as two.
    if (one.at("name") == "tag-with-comma") continue;
    Reading theirs = ReadingOf(run);
    if (read.baggage->project == "default") theirs.project = "default";
    EXPECT_EQ(ReadingOf(*read.baggage), theirs);
  }
}

INSTANTIATE_TEST_SUITE_P(Sdks, EmitTest, testing::Values(&NpmVectors, &PythonVectors),
                         [](const auto& sdk) { return sdk.index == 0 ? "Npm" : "Python"; });

TEST(HeaderVectorsTest, DottedOrdersAreThoseOfPython) {
  for (const Json& one : PythonVectors().at("emit").as_array()) {
    SCOPED_TRACE(one.at("name"));
    const Json& root = one.at("input").at("run");
    RunContext run = RunContext::Root(*RunId::Parse(Text(root.at("id"))),
                                      Micros(root.at("start_time_us")), nullptr);
    for (const Json& child : one.at("input").at("children").as_array()) {
      run = run.Child(*RunId::Parse(Text(child.at("id"))), Micros(child.at("start_time_us")));
    }
    EXPECT_EQ(TraceHeaders::Of(run).langsmith_trace, Text(one.at("headers").at("langsmith-trace")));
  }
}

// Cases in which the SDKs agree and weft follows W3C Baggage instead: blanks around members and
// around `=` do not count, and properties are no part of the value.
const std::set<std::string_view> kFollowsW3c = {
    "baggage-space-after-comma", "baggage-space-around-equals", "baggage-properties"};

// Cases in which the SDKs disagree, or in which both do what weft does not: what weft reads.
struct Decision {
  std::string_view rule;
  Reading reading;
};

const std::map<std::string_view, Decision>& Decisions() {
  static const auto* const kDecisions = new std::map<std::string_view, Decision>{
      {"baggage-space-after-comma", {"blanks around members", {"px", {"t1"}, {{"a", 1}}}}},
      {"baggage-space-around-equals", {"blanks around =", {"px", {"t1"}}}},
      {"baggage-properties", {"properties are cut", {"px", {"t1"}}}},
      {"baggage-foreign-without-equals", {"only that member is lost", {"px", {}}}},
      {"baggage-foreign-bad-percent", {"a bad escape is kept", {"px", {}}}},
      {"baggage-unencoded-equals-in-value", {"the first = separates", {"a=b=c", {}}}},
      {"baggage-raw-json-with-comma", {"no JSON: metadata is lost", {}}},
      {"baggage-truncated-percent", {"a bad escape is kept", {"abc%2", {}}}},
      {"baggage-invalid-utf8",
       {"U+FFFD",
        {"a\xEF\xBF\xBD"
         "b",
         {}}}},
      {"baggage-metadata-bad-json", {"only metadata is lost", {"px", {"t1"}}}},
      {"baggage-metadata-array", {"no object: metadata is lost", {}}},
      {"baggage-metadata-string", {"no object: metadata is lost", {}}},
      {"baggage-metadata-empty-value", {"no JSON: metadata is lost", {}}},
      {"baggage-project-empty-value", {"an empty project is none", {}}},
      {"replicas-two-primaries", {"replicas are ignored", {}}},
      {"replicas-not-a-list", {"replicas are ignored", {"after", {}}}},
  };
  return *kDecisions;
}

bool SameParent(const Json& a, const Json& b) {
  return Lower(Text(a.at("id"))) == Lower(Text(b.at("id"))) &&
         Lower(Text(a.at("trace_id"))) == Lower(Text(b.at("trace_id"))) &&
         a.at("dotted_order") == b.at("dotted_order");
}

// A parent is what both SDKs read alike, and what one reads where the other throws over baggage.
const Json* AgreedRun(const Json& npm, const Json& python) {
  const bool npm_run = npm.at("result") == "run";
  const bool python_run = python.at("result") == "run";
  if (npm_run && python_run) {
    return SameParent(npm.at("run"), python.at("run")) ? &python.at("run") : nullptr;
  }
  const bool baggage_throws = npm.at("headers").as_object().contains("baggage");
  if (!baggage_throws) return nullptr;
  return npm_run ? &npm.at("run") : python_run ? &python.at("run") : nullptr;
}

TEST(HeaderVectorsTest, TakesTheParentThatBothSdksTake) {
  const JsonArray& python_cases = PythonVectors().at("parse").as_array();
  std::size_t parents = 0;
  for (const Json& npm : NpmVectors().at("parse").as_array()) {
    SCOPED_TRACE(npm.at("name"));
    // A header's name is found in any case: gRPC and HTTP make no difference.
    if (npm.at("name") == "mixed-case-header-name") continue;
    const Json& python = Named(python_cases, npm.at("name"));
    const ParsedHeaders read = Received(npm.at("headers").as_object()).Parse();
    const bool both_throw = npm.at("result") == "throws" && python.at("result") == "throws";
    if (const Json* const run = AgreedRun(npm, python); run != nullptr) {
      ASSERT_TRUE(read.parent);
      ++parents;
      EXPECT_EQ(read.parent.id().ToString(), Lower(Text(run->at("id"))));
      EXPECT_EQ(read.parent.trace_id().ToString(), Lower(Text(run->at("trace_id"))));
      EXPECT_EQ(read.parent.dotted_order(), Text(run->at("dotted_order")));
    } else if (!both_throw) {
      EXPECT_FALSE(read.parent);
      const bool absent = npm.at("result") == "none" && python.at("result") == "none";
      EXPECT_EQ(read.problems.empty(), absent);
    } else {
      EXPECT_TRUE(read.parent) << "baggage costs no parent";
    }
  }
  EXPECT_GT(parents, 40u);
}

TEST(HeaderVectorsTest, ReadsBaggageAsBothSdksDoOrAsDecided) {
  const JsonArray& python_cases = PythonVectors().at("parse").as_array();
  std::size_t agreed = 0;
  for (const Json& npm : NpmVectors().at("parse").as_array()) {
    const std::string name = Text(npm.at("name"));
    SCOPED_TRACE(name);
    const Json& python = Named(python_cases, npm.at("name"));
    const ParsedHeaders read = Received(npm.at("headers").as_object()).Parse();
    const auto decision = Decisions().find(name);
    if (decision != Decisions().end()) {
      EXPECT_EQ(ReadingOf(*read.baggage), decision->second.reading) << decision->second.rule;
      if (!kFollowsW3c.contains(name) && !name.starts_with("baggage-project-empty") &&
          !name.starts_with("baggage-unencoded-equals")) {
        EXPECT_FALSE(read.problems.empty()) << decision->second.rule;
      }
    } else if (npm.at("result") == "run" && python.at("result") == "run") {
      const Reading theirs = ReadingOf(python.at("run"));
      ASSERT_EQ(ReadingOf(npm.at("run")), theirs) << "the SDKs disagree: needs a decision";
      EXPECT_EQ(ReadingOf(*read.baggage), theirs);
      ++agreed;
    }
  }
  EXPECT_GT(agreed, 20u);
}

TEST(HeaderVectorsTest, ChildrenOfAParsedParentAreThoseOfPython) {
  const Json& input = PythonVectors().at("child_input");
  const RunId id = *RunId::Parse(Text(input.at("id")));
  for (const Json& one : PythonVectors().at("parse").as_array()) {
    if (one.at("result") != "run") continue;
    SCOPED_TRACE(one.at("name"));
    const ParsedHeaders read = Received(one.at("headers").as_object()).Parse();
    if (!read.parent) continue;
    const RunContext child = read.parent.Child(id, Micros(input.at("start_time_us")));
    EXPECT_EQ(child.dotted_order(), Text(one.at("child").at("dotted_order")));
    EXPECT_EQ(child.parent_id()->ToString(), Text(one.at("child").at("parent_run_id")));
  }
}

TEST(HeaderVectorsTest, SamplesAsNpmDoes) {
  std::size_t checked = 0;
  for (const Json& one : NpmVectors().at("sampling").as_array()) {
    const std::string id = Text(one.at("id"));
    EXPECT_EQ(SamplingBucket(Lower(id)), one.at("bucket").to_number<std::uint32_t>()) << id;
    for (const auto& keep : one.at("keep").as_object()) {
      const double rate = std::stod(std::string(std::string_view(keep.key())));
      EXPECT_EQ(SampledByTraceId(Lower(id), rate), keep.value().as_bool()) << id << " " << rate;
      if (const auto parsed = RunId::Parse(id)) {
        EXPECT_EQ(SampledByTraceId(*parsed, rate), keep.value().as_bool()) << id << " " << rate;
      }
      ++checked;
    }
  }
  EXPECT_GT(checked, 20u);
}

std::uint32_t ModuloMillion(std::string_view hex) {
  std::uint64_t rest = 0;
  for (const char c : hex)
    rest = (rest * 16 + std::stoul(std::string(1, c), nullptr, 16)) % 1'000'000;
  return static_cast<std::uint32_t>(rest);
}

TEST(HeaderVectorsTest, HashesAsPythonDoes) {
  const JsonArray& hashes = PythonVectors().at("xxh3").as_array();
  EXPECT_GT(hashes.size(), 2u);
  for (const Json& one : hashes) {
    EXPECT_EQ(SamplingBucket(Lower(Text(one.at("id")))),
              ModuloMillion(Text(one.at("xxh3_128_hex"))));
  }
}

}  // namespace
}  // namespace weft
