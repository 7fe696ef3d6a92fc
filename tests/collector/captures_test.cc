// SPDX-License-Identifier: Apache-2.0
// Sends the server what the real SDKs sent, byte for byte, and compares what it understood and what
// it gives back with what an independent decoder found (tests/vectors/langsmith/README.md).
#include <openssl/evp.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <boost/json.hpp>

#include <weft/collector/http_server.h>
#include <weft/collector/keys.h>
#include <weft/collector/log.h>
#include <weft/collector/run_store.h>

#include "http_test_util.h"
#include "langsmith/run_query.h"

namespace weft::collector {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;

std::string ReadFile(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file) << path;
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string Sha256(std::string_view bytes) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  EVP_Digest(bytes.data(), bytes.size(), digest, &size, EVP_sha256(), nullptr);
  std::string hex;
  for (unsigned i = 0; i < size; ++i) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    hex += kDigits[digest[i] >> 4];
    hex += kDigits[digest[i] & 15];
  }
  return hex;
}

std::string Text(const json::value& value) {
  return {value.get_string().data(), value.get_string().size()};
}

struct Capture {
  fs::path directory;
  json::value requests;
  json::value expected;
};

std::vector<fs::path> CaptureDirectories() {
  std::vector<fs::path> found;
  const fs::path root = fs::path(WEFT_SOURCE_DIR) / "tests/vectors/langsmith/captures";
  for (const char* sdk : {"js", "python"}) {
    for (const auto& entry : fs::directory_iterator(root / sdk)) found.push_back(entry.path());
  }
  std::sort(found.begin(), found.end());
  return found;
}

/// The request as the SDK sent it. Chunk sizes were not recorded: any must do.
std::string Replayed(const json::object& request, const std::string& body) {
  std::string text = Text(request.at("method")) + " " + Text(request.at("path")) + " HTTP/1.1\r\n";
  bool chunked = false;
  for (const json::value& header : request.at("headers").get_array()) {
    const std::string name = Text(header.at(0)), value = Text(header.at(1));
    chunked |= name == "transfer-encoding";
    text += name + ": " + value + "\r\n";
  }
  text += "\r\n";
  if (!chunked) return text + body;
  for (std::size_t at = 0, size = 1; at < body.size(); at += size, size = size * 3 + 1) {
    size = std::min(size, body.size() - at);
    char length[32];
    std::snprintf(length, sizeof length, "%zx\r\n", size);
    text += length + body.substr(at, size) + "\r\n";
  }
  return text + "0\r\n\r\n";
}

/// Part names as the SDK gave them -> type of attachments, SHA-256.
using PartDigests = std::set<std::vector<std::string>>;

PartDigests Digests(const IngestBatch& batch, const std::string& decoded) {
  PartDigests digests;
  for (const RunOp& op : batch.header.ops) {
    for (const Part& part : op.parts) {
      const std::string content = decoded.substr(part.offset, part.length);
      std::string id = op.run_id.ToString(), type;
      std::string name = op.kind == OpKind::kPost ? "post." : "patch.";
      if (part.field == PartField::kAttachment) name = "attachment.", type = part.mime_type.str();
      if (part.field == PartField::kFeedback) {
        name = "feedback.";
        id = Text(json::parse(content).at("id"));
      }
      name += id;
      if (part.field == PartField::kAttachment) name += "." + part.name.str();
      const std::string_view field = PartFieldName(part.field);
      if (part.field >= PartField::kInputs && part.field <= PartField::kSerialized) {
        name.append(".").append(field);
      }
      digests.insert({name, type, Sha256(content)});
    }
  }
  return digests;
}

PartDigests ExpectedDigests(const json::array& parts) {
  PartDigests digests;
  for (const json::value& part : parts) {
    const std::string name = Text(part.at("name"));
    digests.insert({name, name.starts_with("attachment.") ? Text(part.at("content_type")) : "",
                    Text(part.at("sha256"))});
  }
  return digests;
}

class CapturesTest : public ::testing::TestWithParam<fs::path> {
 protected:
  void SetUp() override {
    capture_.directory = GetParam();
    capture_.requests = json::parse(ReadFile(GetParam() / "requests.json"));
    capture_.expected = json::parse(ReadFile(GetParam() / "expected.json"));
  }

  void Start(Ingest* ingest, const RunStore* store) {
    auto server = HttpServer::Start({.address = "127.0.0.1:0"}, {.ingest = ingest, .store = store});
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }

  HttpResponse Replay(const json::value& request) {
    const std::string body = ReadFile(capture_.directory / Text(request.at("body_file")));
    HttpClient client(server_->address());
    client.Send(Replayed(request.get_object(), body));
    return client.Read();
  }

  Capture capture_;
  std::unique_ptr<HttpServer> server_;
};

TEST_P(CapturesTest, UnderstandsEveryPart) {
  FakeIngest ingest;
  Start(&ingest, nullptr);
  const json::array& expected = capture_.expected.at("requests").get_array();
  const json::array& requests = capture_.requests.at("requests").get_array();
  ASSERT_EQ(expected.size(), requests.size());
  std::uint64_t completions = 0;
  for (std::size_t i = 0; i < requests.size(); ++i) {
    EXPECT_EQ(Replay(requests[i]).status, 202);
    std::vector<IngestBatch> batches = ingest.TakeBatches();
    ASSERT_EQ(batches.size(), 1u);
    IngestBatch& batch = batches[0];
    EXPECT_TRUE(batch.rejected.empty());
    EXPECT_EQ(batch.api_key, "test-key");
    // The TypeScript SDK's PATCH of one run names it in the path alone; the id is added.
    const bool completed = Text(requests[i].at("method")) == "PATCH" &&
                           capture_.directory.parent_path().filename() == "js";
    completions += completed;
    EXPECT_TRUE(completed || batch.header.decoded_size ==
                                 expected[i].at("decoded_bytes").to_number<std::uint64_t>());
    const Record record{
        .position = {}, .next = {}, .header = batch.header, .payload = batch.payload};
    const auto decoded = record.Decoded();
    ASSERT_TRUE(decoded.ok()) << decoded.status();
    if (const json::value* parts = expected[i].get_object().if_contains("parts")) {
      EXPECT_EQ(Digests(batch, *decoded), ExpectedDigests(parts->get_array()));
    }
  }
  EXPECT_EQ(server_->stats().repaired_parts, completions);
}

/// Whether `actual` says at least what `expected` says; what is null or empty may be left out.
void ExpectContains(const json::value& actual, const json::value& expected, const std::string& at) {
  if (!expected.is_object()) {
    EXPECT_EQ(json::serialize(actual), json::serialize(expected)) << at;
    return;
  }
  if (expected.get_object().contains("$omitted")) return;
  ASSERT_TRUE(actual.is_object()) << at;
  for (const auto& [key, value] : expected.get_object()) {
    const std::string path = at + "/" + std::string(key);
    const bool empty = value.is_null() || (value.is_object() && value.get_object().empty()) ||
                       (value.is_array() && value.get_array().empty());
    const json::value* found = actual.get_object().if_contains(key);
    if (found == nullptr) {
      EXPECT_TRUE(empty) << path << " is missing";
    } else if (!empty) {
      ExpectContains(*found, value, path);
    }
  }
}

json::value WithNormalTimes(json::value run) {
  for (const char* name : {"start_time", "end_time"}) {
    json::value* time = run.get_object().if_contains(name);
    if (time == nullptr || time->is_null()) continue;
    *time = time->is_string()
                ? *NormalTime(Text(*time))
                : TimeText(static_cast<std::uint64_t>(time->to_number<double>() * 1000));
  }
  return run;
}

TEST_P(CapturesTest, GivesBackTheRunsThatWereSent) {
  const fs::path data = fs::path(::testing::TempDir()) / ("captures" + std::to_string(::getpid()));
  fs::remove_all(data);
  LogOptions log_options;
  log_options.directory = data;
  auto opened = Log::Open(log_options);
  ASSERT_TRUE(opened.ok()) << opened.status();
  const std::shared_ptr<Log> log = *std::move(opened);
  std::shared_ptr<KeyRing> keys = *KeyRing::Open(data);
  const auto ingest =
      *Ingest::Create({.log = log, .keys = keys, .parked_file = data / "parked.jsonl"});
  const auto store = RunStore::Start(log, {});
  Start(ingest.get(), store.get());
  for (const json::value& request : capture_.requests.at("requests").get_array()) {
    if (request.at("response_status").as_int64() >= 300) continue;
    EXPECT_EQ(Replay(request).status, 202);
  }
  const std::string address = server_->address();
  for (const auto& [id, run] : capture_.expected.at("runs").get_object()) {
    const HttpResponse response = Fetch(address, "GET", "/runs/" + std::string(id));
    ASSERT_EQ(response.status, 200) << id;
    ExpectContains(json::parse(response.body), WithNormalTimes(run.at("fields")), std::string(id));
  }
  for (const auto& [id, attachments] : capture_.expected.at("attachments").get_object()) {
    for (const auto& [name, attachment] : attachments.get_object()) {
      const HttpResponse response =
          Fetch(address, "GET", "/runs/" + std::string(id) + "/attachments/" + std::string(name));
      EXPECT_EQ(response.status, 200) << name;
      EXPECT_EQ(Sha256(response.body), Text(attachment.at("sha256"))) << name;
      EXPECT_EQ(response.headers.at("content-type"), Text(attachment.at("content_type")));
    }
  }
  server_->Stop(std::chrono::seconds(5));
  store->Stop();
  log->Close();
  fs::remove_all(data);
}

INSTANTIATE_TEST_SUITE_P(, CapturesTest, ::testing::ValuesIn(CaptureDirectories()),
                         [](const auto& test) {
                           std::string name = test.param.parent_path().filename().string() + "_" +
                                              test.param.filename().string();
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace weft::collector
