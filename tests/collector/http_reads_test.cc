// SPDX-License-Identifier: Apache-2.0
// Reading over HTTP what was written over HTTP, with the real log and store.
#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <boost/json.hpp>

#include <weft/collector/http_server.h>
#include <weft/collector/keys.h>
#include <weft/collector/log.h>
#include <weft/collector/run_store.h>

#include "http_test_util.h"

namespace weft::collector {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

const Headers kJson = {{"Content-Type", "application/json"}};

std::string Id(int trace, int run) {
  char text[40];
  std::snprintf(text, sizeof text, "01a0b35e-7a0d-7000-8%03d-%012d", trace, run);
  return text;
}

std::string Order(int trace, int run) {
  char time[32];
  std::snprintf(time, sizeof time, "20260910T0026%02d%06dZ", trace % 60, run);
  return time + Id(trace, run);
}

std::string StartTime(int trace, int run) {
  char time[40];
  std::snprintf(time, sizeof time, "2026-09-10T00:26:%02d.%06dZ", trace % 60, run);
  return time;
}

/// A run of a trace; run 0 is the root and the parent of the others.
std::string RunJson(int trace, int run, std::string_view project, std::string_view more = "") {
  std::string text = R"({"id":")" + Id(trace, run) + R"(","trace_id":")" + Id(trace, 0) +
                     R"(","start_time":")" + StartTime(trace, run) + R"(","name":"n)" +
                     std::to_string(run) + R"(","run_type":")" + (run == 0 ? "chain" : "llm") +
                     R"(","session_name":")" + std::string(project) + R"(","dotted_order":")";
  text += Order(trace, 0);
  if (run > 0) text += "." + Order(trace, run) + R"(","parent_run_id":")" + Id(trace, 0);
  return text + "\"" + std::string(more) + "}";
}

class HttpReadsTest : public ::testing::Test {
 protected:
  HttpReadsTest() {
    const auto* test = ::testing::UnitTest::GetInstance()->current_test_info();
    data_ = fs::path(::testing::TempDir()) /
            (std::string("http_reads_") + test->name() + std::to_string(::getpid()));
    fs::remove_all(data_);
    LogOptions log_options;
    log_options.directory = data_;
    log_ = *Log::Open(log_options);
    keys_ = *KeyRing::Open(data_);
    ingest_ = *Ingest::Create({.log = log_, .keys = keys_, .parked_file = data_ / "parked.jsonl"});
    store_ = RunStore::Start(log_, {});
    HttpServerOptions options;
    options.address = "127.0.0.1:0";
    server_ = *HttpServer::Start(options, {.ingest = ingest_.get(), .store = store_.get()});
    address_ = server_->address();
  }
  ~HttpReadsTest() override {
    server_->Stop(std::chrono::seconds(5));
    store_->Stop();
    log_->Close();
    fs::remove_all(data_);
  }

  void Send(const std::vector<std::string>& runs) {
    std::string body = R"({"post":[)";
    for (const std::string& run : runs) body += (run == runs.front() ? "" : ",") + run;
    ASSERT_EQ(Fetch(address_, "POST", "/runs/batch", kJson, body + "]}").status, 202);
  }
  HttpResponse Get(const std::string& path) { return Fetch(address_, "GET", path); }
  json::value GetJson(const std::string& path) { return json::parse(Get(path).body); }
  HttpResponse Query(const std::string& body) {
    return Fetch(address_, "POST", "/runs/query", kJson, body);
  }
  /// The names of the runs of all pages.
  std::vector<std::string> Names(json::object query, int* pages = nullptr) {
    std::vector<std::string> names;
    for (int page = 1; page < 100; ++page) {
      if (pages != nullptr) *pages = page;
      const HttpResponse response = Query(json::serialize(query));
      EXPECT_EQ(response.status, 200) << response.body;
      const json::value answer = json::parse(response.body);
      for (const json::value& run : answer.at("runs").get_array()) {
        names.emplace_back(run.at("name").get_string().c_str());
      }
      if (answer.at("cursors").at("next").is_null()) break;
      query["cursor"] = answer.at("cursors").at("next");
    }
    return names;
  }

  fs::path data_;
  std::shared_ptr<Log> log_;
  std::shared_ptr<KeyRing> keys_;
  std::unique_ptr<Ingest> ingest_;
  std::unique_ptr<RunStore> store_;
  std::unique_ptr<HttpServer> server_;
  std::string address_;
};

TEST_F(HttpReadsTest, GivesARunAsItWasSent) {
  Send({RunJson(1, 0, "p", R"(,"unknown":{"n":123456789012345678901234567890})")});
  const HttpResponse run = Get("/api/v1/runs/" + Id(1, 0));
  EXPECT_EQ(run.status, 200);
  EXPECT_THAT(run.body, HasSubstr("123456789012345678901234567890"));
  EXPECT_EQ(Get("/runs/" + Id(2, 0)).status, 404);
  EXPECT_EQ(Get("/runs/no-uuid").status, 400);
  const HttpResponse head = Fetch(address_, "HEAD", "/runs/" + Id(1, 0));
  EXPECT_EQ(head.status, 200);
  EXPECT_EQ(head.headers.at("content-length"), std::to_string(run.body.size()));
}

TEST_F(HttpReadsTest, GivesATraceInPagesOfAHundred) {
  std::vector<std::string> runs, names;
  for (int i = 0; i < 250; ++i) {
    runs.push_back(RunJson(1, i, "p"));
    names.push_back("n" + std::to_string(i));
  }
  Send(runs);
  int pages = 0;
  EXPECT_EQ(Names({{"trace", Id(1, 0)}}, &pages), names);
  EXPECT_EQ(pages, 3);
  EXPECT_EQ(Names({{"trace", Id(1, 0)}, {"limit", 5000}}, &pages), names);
  EXPECT_EQ(pages, 1);
  EXPECT_THAT(Names({{"trace", Id(1, 0)}, {"is_root", true}}), ElementsAre("n0"));
  EXPECT_THAT(Names({{"trace", Id(1, 0)}, {"is_root", false}}), SizeIs(249));
  EXPECT_THAT(Names({{"trace", Id(1, 0)}, {"run_type", "chain"}}), ElementsAre("n0"));
  EXPECT_THAT(Names({{"parent_run", Id(1, 0)}}), SizeIs(249));
  EXPECT_THAT(Names({{"trace", Id(1, 0)}, {"start_time", "2026-09-10T00:26:01.000248+00:00"}}),
              ElementsAre("n248", "n249"));
  names.clear();
  for (int i = 249; i >= 0; --i) names.push_back("n" + std::to_string(i));
  EXPECT_EQ(Names({{"trace", Id(1, 0)}, {"order", "desc"}, {"limit", 7}}), names);
  EXPECT_EQ(Query(R"({"trace":")" + Id(9, 9) + "\"}").body,
            R"({"runs":[],"cursors":{"next":null}})");
}

TEST_F(HttpReadsTest, EndsAPageWhenItIsLarge) {
  const std::string large = R"(,"inputs":{"text":")" + std::string(9u << 20, 'x') + "\"}";
  for (int i = 0; i < 3; ++i) Send({RunJson(1, i, "p", large)});
  int pages = 0;
  EXPECT_THAT(Names({{"trace", Id(1, 0)}}, &pages), ElementsAre("n0", "n1", "n2"));
  EXPECT_EQ(pages, 2);
}

TEST_F(HttpReadsTest, FiltersMoreTracesThanAPageHolds) {
  std::vector<std::string> runs;
  for (int i = 1; i <= 350; ++i) {
    runs.push_back(RunJson(i, 0, "p", i % 120 == 0 ? R"(,"error":"x")" : ""));
  }
  Send(runs);
  int pages = 0;
  EXPECT_THAT(Names({{"is_root", true}}, &pages), SizeIs(350));
  EXPECT_EQ(pages, 4);
  EXPECT_THAT(Names({{"error", true}, {"limit", 1}}, &pages), SizeIs(2));
  EXPECT_EQ(pages, 2);
}

// However often a run is asked for, it is there once: a list of one large run would take all
// memory.
TEST_F(HttpReadsTest, FindsEachRunOfAListOnce) {
  std::vector<std::string> ids, runs;
  for (const char* const number : {"1", "2", "3"}) {
    ids.push_back("01a0b35e-7a0d-7000-8000-00000000000" + std::string(number));
    runs.push_back(R"({"id":")" + ids.back() + R"(","name":")" + number +
                   R"(","start_time":"2026-01-02T03:04:0)" + number + R"(Z"})");
  }
  Send(runs);
  const json::array wanted = {json::string(ids[2]), json::string(ids[0]), json::string(ids[2]),
                              "01a0b35e-7a0d-7000-8000-00000000000f", json::string(ids[1])};
  EXPECT_THAT(Names({{"id", wanted}}), ElementsAre("3", "1", "2"));
  EXPECT_THAT(Names({{"id", wanted}, {"order", "asc"}, {"limit", 2}}), ElementsAre("1", "2", "3"));
  json::array many;
  for (int i = 10'000; i < 12'001; ++i) {
    many.push_back(json::string("01a0b35e-7a0d-7000-8000-0000000" + std::to_string(i)));
  }
  EXPECT_EQ(Query(json::serialize(json::object{{"id", many}})).status, 400);
  many.pop_back();
  EXPECT_EQ(Query(json::serialize(json::object{{"id", many}})).status, 200);
}

TEST_F(HttpReadsTest, RefusesACursorThatWasNotGivenOut) {
  Send({RunJson(1, 0, "p")});
  for (const std::string seen : {"18446744073709551515", "99999999999999", "-1", "x", ""}) {
    const HttpResponse refused = Query(R"({"cursor":")" + seen + ":" + Id(1, 0) + "\"}");
    EXPECT_EQ(refused.status, 400) << seen;
    EXPECT_THAT(refused.body, HasSubstr("cursor")) << seen;
  }
}

TEST_F(HttpReadsTest, ListsTheRootsOfAProjectNewestFirst) {
  Send({RunJson(1, 0, "a"), RunJson(2, 0, "b"), RunJson(3, 0, "a", R"(,"error":"x")"),
        RunJson(3, 1, "a")});
  const json::value sessions = GetJson("/sessions?name=a");
  ASSERT_EQ(sessions.get_array().size(), 1u);
  const json::value session = sessions.at(0).at("id");
  const auto ids = [&](json::object query) {
    std::vector<std::string> found;
    const json::value answer = json::parse(Query(json::serialize(query)).body);
    for (const json::value& run : answer.at("runs").get_array()) {
      found.emplace_back(run.at("id").get_string().c_str());
    }
    return found;
  };
  EXPECT_THAT(ids({{"session", json::array{session}}, {"is_root", true}}),
              ElementsAre(Id(3, 0), Id(1, 0)));
  EXPECT_THAT(ids({{"is_root", true}}), ElementsAre(Id(3, 0), Id(2, 0), Id(1, 0)));
  EXPECT_THAT(ids({{"session", json::array{session}}, {"error", true}}), ElementsAre(Id(3, 0)));
  EXPECT_THAT(ids({{"session", json::array{session}}, {"is_root", false}}), ElementsAre(Id(3, 1)));
  EXPECT_THAT(ids({{"id", json::array{Id(2, 0), Id(8, 8)}}}), ElementsAre(Id(2, 0)));
  EXPECT_THAT(ids({{"session", json::array{Id(7, 7)}}}), IsEmpty());
}

TEST_F(HttpReadsTest, PagesThroughManyRoots) {
  for (int batch = 0; batch < 5; ++batch) {
    std::vector<std::string> runs;
    for (int i = 0; i < 100; ++i)
      runs.push_back(RunJson(batch * 100 + i, 0, i % 2 == 0 ? "a" : "b"));
    Send(runs);
  }
  EXPECT_THAT(Names({{"is_root", true}}), SizeIs(500));
  const json::value session = GetJson("/sessions?name=b").at(0).at("id");
  EXPECT_THAT(Names({{"session", json::array{session}}, {"is_root", true}, {"limit", 30}}),
              SizeIs(250));
}

TEST_F(HttpReadsTest, GivesOnlyTheSelectedMembers) {
  Send({RunJson(1, 0, "p", R"(,"inputs":{"secret":1})")});
  const HttpResponse response =
      Query(R"({"trace":")" + Id(1, 0) + R"(","select":["name","run_type"]})");
  const json::value answer = json::parse(response.body);
  const json::value& run = answer.at("runs").at(0);
  EXPECT_EQ(run.get_object().size(), 3u);
  EXPECT_TRUE(run.get_object().contains("id"));
}

TEST_F(HttpReadsTest, FindsProjectsByNameAndId) {
  Send({RunJson(1, 0, "größe \\\"x\\\""), RunJson(2, 0, "plain")});
  EXPECT_EQ(GetJson("/sessions").get_array().size(), 2u);
  EXPECT_EQ(GetJson("/sessions?limit=1&offset=1").get_array().size(), 1u);
  EXPECT_EQ(GetJson("/sessions?name=unknown").get_array().size(), 0u);
  const json::value found = GetJson("/sessions?name=gr%C3%B6%C3%9Fe+%22x%22&include_stats=False");
  ASSERT_EQ(found.get_array().size(), 1u);
  for (const char* member : {"id", "name", "tenant_id", "start_time", "reference_dataset_id"}) {
    EXPECT_TRUE(found.at(0).get_object().contains(member)) << member;
  }
  const std::string id = found.at(0).at("id").get_string().c_str();
  EXPECT_EQ(GetJson("/sessions/" + id), found.at(0));
  EXPECT_EQ(Get("/sessions/" + Id(9, 9)).status, 404);
  EXPECT_EQ(Get("/sessions/x").status, 400);
}

TEST_F(HttpReadsTest, RefusesQueriesItCannotHonour) {
  for (const char* query : {R"({"filter":"eq"})", R"({"order":"asc"})", "[]", "{"}) {
    EXPECT_EQ(Query(query).status, 400) << query;
  }
  EXPECT_EQ(Query("[" + std::string(2 << 20, ' ') + "]").status, 413);
}

TEST_F(HttpReadsTest, DoesNotLetAnAttachmentActAsAPage) {
  const std::string part = "--B\r\nContent-Disposition: form-data; name=\"";
  const std::string body = part + "post." + Id(1, 0) + "\"\r\n\r\n" + RunJson(1, 0, "p") + "\r\n" +
                           part + "attachment." + Id(1, 0) +
                           ".a b/c\"\r\nContent-Type: text/html\r\n\r\n<script>\r\n--B--\r\n";
  ASSERT_EQ(Fetch(address_, "POST", "/runs/multipart",
                  {{"Content-Type", "multipart/form-data; boundary=B"}}, body)
                .status,
            202);
  const HttpResponse attachment = Get("/runs/" + Id(1, 0) + "/attachments/a%20b%2Fc");
  EXPECT_EQ(attachment.status, 200);
  EXPECT_EQ(attachment.body, "<script>");
  EXPECT_EQ(attachment.headers.at("content-type"), "text/html");
  EXPECT_THAT(attachment.headers.at("content-security-policy"), HasSubstr("sandbox"));
  EXPECT_EQ(attachment.headers.at("x-content-type-options"), "nosniff");
  EXPECT_EQ(Get("/runs/" + Id(1, 0) + "/attachments/other").status, 404);
  const json::value run = GetJson("/runs/" + Id(1, 0));
  const std::string url =
      run.at("s3_urls").at("attachment.a b/c").at("presigned_url").get_string().c_str();
  EXPECT_EQ(Get(url).body, "<script>");
}

}  // namespace
}  // namespace weft::collector
