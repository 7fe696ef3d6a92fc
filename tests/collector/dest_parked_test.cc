// SPDX-License-Identifier: Apache-2.0
// What people do with what is parked: /admin/parked.
#include <memory>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <boost/json.hpp>

#include <weft/collector/http_server.h>
#include <weft/tracing/internal/proto_writer.h>

#include "http_test_util.h"
#include "otlp/request_bytes.h"
#include "parked_file.h"
#include "parked_items.h"
#include "received_redrive.h"
#include "storage_support.h"

namespace weft::collector {
namespace {

using boost::json::value;
using ::testing::HasSubstr;

const Headers kJson = {{"Content-Type", "application/json"}};

class ParkedAdminTest : public ::testing::Test {
 protected:
  void SetUp() override {
    file_ = ParkedFile::Open(directory_.path() / "received.jsonl", 1 << 20).value();
    other_ = ParkedFile::Open(directory_.path() / "other.jsonl", 1 << 20).value();
    items_.Add("received", *file_, [this](const std::vector<std::uint64_t>& ids) {
      return RedriveReceived(ingest_, *file_, ids);
    });
    items_.Add("file=/x", *other_, [this](const std::vector<std::uint64_t>& ids) {
      marked_ = ids;
      return absl::StatusOr<ParkedItems::Redriven>(ParkedItems::Redriven{.accepted = ids.size()});
    });
    HttpServices services;
    services.ingest = &ingest_;
    services.may_administer = [this](std::string_view, bool is_loopback) {
      return is_loopback && may_administer_;
    };
    services.admin["parked"] = [this](const AdminRequest& request) {
      return items_.Answer(request);
    };
    HttpServerOptions options;
    options.address = "127.0.0.1:0";
    auto server = HttpServer::Start(options, services);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }

  void ParkReceived(const std::string& reason, const std::string& bytes,
                    const std::string& receiver = "langsmith") {
    ASSERT_TRUE(file_
                    ->Park({JsonObject{{"time", "2026-11-22T00:00:00.000000Z"},
                                       {"receiver", receiver},
                                       {"reason", reason},
                                       {"key", HexId(7)},
                                       {"bytes", bytes}}})
                    .ok());
  }

  HttpResponse Get(const std::string& path) { return Fetch(server_->address(), "GET", path); }
  HttpResponse Post(const std::string& path, const std::string& body) {
    return Fetch(server_->address(), "POST", path, kJson, body);
  }

  static std::string ValidRun() {
    const std::string id = IdOf(1).ToString();
    return "{\"id\":\"" + id + "\",\"trace_id\":\"" + id +
           "\",\"dotted_order\":\"20261121T130000000000Z" + id + "\",\"name\":\"n\"}";
  }

  TemporaryDirectory directory_;
  FakeIngest ingest_;
  bool may_administer_ = true;
  std::unique_ptr<ParkedFile> file_, other_;
  std::vector<std::uint64_t> marked_;
  ParkedItems items_;
  std::unique_ptr<HttpServer> server_;
};

TEST_F(ParkedAdminTest, ListsShowsAndDeletes) {
  ParkReceived("run: id: missing", "{\"name\":\"a\"}");
  ParkReceived("run: id: missing", "{\"name\":\"b\"}");
  const HttpResponse list = Get("/admin/parked");
  ASSERT_EQ(list.status, 200) << list.body;
  const value parsed = boost::json::parse(list.body);
  ASSERT_EQ(parsed.at("items").as_array().size(), 2u);
  EXPECT_EQ(parsed.at("items").at(0).at("reason"), "run: id: missing");
  EXPECT_EQ(parsed.at("items").at(0).at("destination"), "received");
  EXPECT_EQ(parsed.at("places").as_array().size(), 2u);
  const std::string id = parsed.at("items").at(1).at("id").as_string().c_str();
  EXPECT_THAT(Get("/admin/parked/" + id).body, HasSubstr("\\\"name\\\":\\\"b\\\""));
  EXPECT_EQ(Fetch(server_->address(), "DELETE", "/admin/parked/" + id).status, 200);
  EXPECT_EQ(Get("/admin/parked/" + id).status, 404);
  EXPECT_EQ(file_->operations(), 1u);
  EXPECT_EQ(Post("/admin/parked/delete", "{\"all\":true}").body, "{\"deleted\":1}");
  EXPECT_EQ(file_->operations(), 0u);
}

TEST_F(ParkedAdminTest, ListsPageByPageOfOneDestination) {
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(other_->Park({{{"code", "422"}, {"n", i}}}).ok());
  const value first = boost::json::parse(Get("/admin/parked?destination=file%3D%2Fx&limit=3").body);
  ASSERT_EQ(first.at("items").as_array().size(), 3u);
  const std::string last = first.at("items").at(2).at("id").as_string().c_str();
  const value second =
      boost::json::parse(Get("/admin/parked?destination=file%3D%2Fx&after=" + last).body);
  EXPECT_EQ(second.at("items").as_array().size(), 2u);
}

TEST_F(ParkedAdminTest, SaysWhatIsWrongWithAWish) {
  EXPECT_EQ(Post("/admin/parked/delete", "{}").status, 400);
  EXPECT_EQ(Post("/admin/parked/delete", "{\"ids\":[\"xyz\"]}").status, 400);
  EXPECT_EQ(Post("/admin/parked/redrive", "{\"ids\":[\"00000000000000aa\"]}").status, 404);
  EXPECT_EQ(Get("/admin/parked?destination=nowhere").status, 404);
  EXPECT_EQ(Get("/admin/parked?limit=many").status, 400);
  EXPECT_EQ(Get("/admin/nothing").status, 404);
}

TEST_F(ParkedAdminTest, IsNotForPagesOfOthersNorForStrangers) {
  EXPECT_EQ(Fetch(server_->address(), "POST", "/admin/parked/delete",
                  {{"Content-Type", "application/json"}, {"Origin", "http://evil.example"}},
                  "{\"all\":true}")
                .status,
            403);
  EXPECT_EQ(Fetch(server_->address(), "GET", "/admin/parked", {}, "", "evil.example").status, 403);
  EXPECT_EQ(Fetch(server_->address(), "POST", "/admin/parked/delete",
                  {{"Content-Type", "text/plain"}}, "{\"all\":true}")
                .status,
            415);
  may_administer_ = false;
  EXPECT_EQ(Get("/admin/parked").status, 403);
}

TEST_F(ParkedAdminTest, TakesAgainWhatIsValidNow) {
  ParkReceived("run: name: too long", ValidRun());
  ParkReceived("run: id: missing", "{\"name\":\"b\"}");
  const HttpResponse answer = Post("/admin/parked/redrive", "{\"all\":true}");
  ASSERT_EQ(answer.status, 200) << answer.body;
  const value parsed = boost::json::parse(answer.body);
  EXPECT_EQ(parsed.at("redriving").to_number<int>(), 1);
  EXPECT_EQ(parsed.at("refused").to_number<int>(), 1);
  EXPECT_EQ(file_->operations(), 1u);
  const std::vector<IngestBatch> batches = ingest_.TakeBatches();
  ASSERT_EQ(batches.size(), 1u);
  EXPECT_TRUE(batches[0].admitted);
  EXPECT_EQ(batches[0].header.key_id, 7u);
  EXPECT_EQ(batches[0].payload, ValidRun());
}

TEST_F(ParkedAdminTest, TakesRunsOfEitherServiceThatWereTooMany) {
  const std::string label = "post." + IdOf(1).ToString();
  ParkReceived(label + ": its trace has as many runs as a trace may have",
               label + "\n" + ValidRun() + "\n" + label + ".inputs\n{\"a\":1}\n", "weft");
  ParkReceived("run: missing", "kind: KIND_POST run_id: \"\"", "weft");
  const HttpResponse answer = Post("/admin/parked/redrive", "{\"all\":true}");
  EXPECT_THAT(answer.body, HasSubstr("{\"redriving\":1,\"refused\":1"));
  const std::vector<IngestBatch> batches = ingest_.TakeBatches();
  ASSERT_EQ(batches.size(), 1u);
  ASSERT_EQ(batches[0].header.ops.size(), 1u);
  EXPECT_EQ(batches[0].header.ops[0].run_id, IdOf(1));
  EXPECT_EQ(batches[0].header.ops[0].parts.size(), 2u);
}

TEST_F(ParkedAdminTest, TakesSpansThatWereTooMany) {
  std::string span;
  internal::ProtoWriter out(span);
  out.Text(1, "\xff\1\2\3\4\5\6\7\10\11\12\13\14\15\16\17");
  out.Text(2, "\1\2\3\4\5\6\7\10");
  const std::string request = OneSpanRequest(span, "", "");
  JsonObject entry = {{"receiver", "otlp"},
                      {"reason", "span: its trace has as many runs as a trace may have"},
                      {"key", HexId(7)},
                      {"tenant", "acme"},
                      {"project", "p"}};
  JsonObject invalid = entry;
  SetBytes(entry, "bytes", request);
  SetBytes(invalid, "bytes", span);
  ASSERT_TRUE(file_->Park({entry, invalid}).ok());
  const HttpResponse answer = Post("/admin/parked/redrive", "{\"all\":true}");
  EXPECT_THAT(answer.body, HasSubstr("{\"redriving\":1,\"refused\":1"));
  const std::vector<IngestBatch> batches = ingest_.TakeBatches();
  ASSERT_EQ(batches.size(), 1u);
  EXPECT_EQ(batches[0].payload, request);
  EXPECT_EQ(batches[0].header.receiver, Receiver::kOtlp);
  EXPECT_EQ(batches[0].header.key_id, 7u);
  EXPECT_EQ(batches[0].header.tenant, "acme");
  ASSERT_EQ(batches[0].header.ops.size(), 1u);
  EXPECT_EQ(batches[0].header.ops[0].project, "p");
}

TEST_F(ParkedAdminTest, MarksWhatADestinationShallSendAgain) {
  ASSERT_TRUE(other_->Park({{{"code", "422"}}}).ok());
  const std::string id = HexId(other_->Ids().at(0));
  const HttpResponse answer = Post("/admin/parked/redrive", "{\"ids\":[\"" + id + "\"]}");
  EXPECT_EQ(answer.body, "{\"redriving\":1,\"refused\":0}");
  EXPECT_EQ(marked_, other_->Ids());
}

}  // namespace
}  // namespace weft::collector
