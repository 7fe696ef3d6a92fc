// SPDX-License-Identifier: Apache-2.0
#include <weft/collector/http_server.h>

#include <zlib.h>

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "http_server_fixture.h"

namespace weft::collector {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::Pair;
using ::testing::SizeIs;

using HttpServerTest = HttpServerFixture;

std::string Zlib(std::string_view text, int window_bits) {
  z_stream stream{};
  deflateInit2(&stream, 6, Z_DEFLATED, window_bits, 8, Z_DEFAULT_STRATEGY);
  std::string out(deflateBound(&stream, text.size()) + 64, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  out.resize(out.size() - stream.avail_out);
  deflateEnd(&stream);
  return out;
}

TEST_F(HttpServerTest, AnswersOnlyAfterIngestSaysDurable) {
  Start();
  ingest_.Hold();
  HttpClient client(address_);
  client.Send(RequestText("POST", "/runs/multipart", FormHeaders(), Form()));
  ASSERT_TRUE(ingest_.WaitForHeld(1));
  EXPECT_EQ(Get("/live").status, 200);  // Nothing is blocked meanwhile.
  ingest_.Release();
  EXPECT_EQ(client.Read().status, 202);
}

TEST_F(HttpServerTest, ReadsChunkedBodies) {
  Start();
  HttpClient client(address_);
  std::string text =
      "POST /runs/multipart HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
      "Content-Type: multipart/form-data; boundary=B\r\n\r\n";
  const std::string body = Form();
  for (std::size_t at = 0; at < body.size(); at += 7) {
    const std::string piece = body.substr(at, 7);
    text += std::to_string(piece.size()) + ";x=y\r\n" + piece + "\r\n";
  }
  text += "0\r\n\r\n" + RequestText("GET", "/live", {});
  client.Send(text);
  EXPECT_EQ(client.Read().status, 202);
  EXPECT_EQ(client.Read().status, 200);
  const auto batches = ingest_.TakeBatches();
  ASSERT_THAT(batches, SizeIs(1));
  EXPECT_EQ(batches[0].payload, body);
}

TEST_F(HttpServerTest, AsksForTheBodyThatAClientHoldsBack) {
  Start();
  HttpClient client(address_);
  Headers headers = FormHeaders();
  headers.emplace_back("Expect", "100-continue");
  headers.emplace_back("Content-Length", std::to_string(Form().size()));
  client.Send(RequestText("POST", "/runs/multipart", headers));
  EXPECT_EQ(client.Read().status, 100);
  client.Send(Form());
  EXPECT_EQ(client.Read().status, 202);
}

TEST_F(HttpServerTest, TakesEveryCodingAndKeepsZstdAsItCame) {
  Start();
  const std::string big = Form(std::string(kRun.substr(0, kRun.size() - 1)) + R"(,"x":")" +
                               std::string(5000, 'x') + "\"}");
  const std::string zstd = Zstd(big);
  for (const auto& [coding, body] : std::vector<std::pair<std::string, std::string>>{
           {"", big},
           {"identity", big},
           {"gzip", Zlib(big, 15 + 16)},
           {"gzip", Zlib(big.substr(0, 99), 31) + Zlib(big.substr(99), 31)},
           {"deflate", Zlib(big, 15)},
           {"deflate", Zlib(big, -15)},
           {"ZSTD", zstd},
           {"zstd", Zstd(big.substr(0, 99)) + Zstd(big.substr(99))}}) {
    EXPECT_EQ(Post("/runs/multipart", FormHeaders(coding), body).status, 202) << coding;
    const auto batches = ingest_.TakeBatches();
    ASSERT_THAT(batches, SizeIs(1)) << coding;
    EXPECT_EQ(batches[0].header.coding, PayloadCoding::kZstd);
    EXPECT_EQ(batches[0].header.decoded_size, big.size());
    EXPECT_TRUE(body != zstd || batches[0].payload == zstd);
  }
}

TEST_F(HttpServerTest, RefusesDamagedBodiesAndGoesOn) {
  Start();
  for (const auto& [coding, body] :
       std::vector<std::pair<std::string, std::string>>{{"gzip", "no gzip"},
                                                        {"gzip", Zlib(Form(), 31).substr(0, 60)},
                                                        {"deflate", "\x01\x02\x03\x04"},
                                                        {"zstd", "no zstd"},
                                                        {"zstd", Zstd(Form()).substr(0, 60)},
                                                        {"zstd", Zstd(Form()) + "rest"},
                                                        {"", "nothing"},
                                                        {"", Form().substr(0, 150)},
                                                        {"", "--B\r\n\r\n\r\n--B--"},
                                                        {"", Form("{\"id\":")}}) {
    EXPECT_EQ(Post("/runs/multipart", FormHeaders(coding), body).status, 400) << body;
  }
  EXPECT_EQ(Post("/runs/batch", kJson, R"({"post":[)").status, 400);
  EXPECT_EQ(Post("/runs/batch", kJson, "[]").status, 400);
  EXPECT_EQ(Post("/runs", kJson, "17").status, 400);
  EXPECT_EQ(Fetch(address_, "PATCH", "/runs/no-uuid", kJson, kRun).status, 400);
  ExpectStillServes();
  EXPECT_THAT(ingest_.refused(), Contains("unreadable"));
}

TEST_F(HttpServerTest, StopsInflatingAtTheLimit) {
  options_.max_decoded_bytes = 1 << 20;
  Start();
  const std::string bomb(64 << 20, 'a');
  for (const auto& [coding, body] :
       std::vector<std::pair<std::string, std::string>>{{"gzip", Zlib(bomb, 31)},
                                                        {"deflate", Zlib(bomb, 15)},
                                                        {"zstd", Zstd(bomb)},
                                                        {"", std::string((1 << 20) + 1, 'a')}}) {
    const HttpResponse response = Post("/runs/multipart", FormHeaders(coding), body);
    EXPECT_EQ(response.status, 413) << coding;
    EXPECT_THAT(response.headers, Not(Contains(Pair("retry-after", ::testing::_))));
  }
  ExpectStillServes();
}

TEST_F(HttpServerTest, RefusesBodiesThatAreTooLargeOnTheWire) {
  options_.max_wire_bytes = 100'000;
  Start();
  const std::string large(200'000, 'x');
  EXPECT_EQ(Post("/runs/multipart", FormHeaders(), large).status, 413);
  HttpClient chunked(address_);
  std::string text =
      "POST /runs/multipart HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
      "Content-Type: multipart/form-data; boundary=B\r\n\r\n30d40\r\n" +
      large + "\r\n0\r\n\r\n";
  chunked.Send(text);
  const HttpResponse response = chunked.Read();
  EXPECT_EQ(response.status, 413);
  EXPECT_EQ(response.headers.at("connection"), "close");
  ExpectStillServes();
}

TEST_F(HttpServerTest, NamesTypesAndCodingsItDoesNotKnow) {
  Start();
  const HttpResponse coding = Post("/runs/multipart", FormHeaders("br"), Form());
  EXPECT_EQ(coding.status, 415);
  EXPECT_THAT(coding.body, HasSubstr("'br'"));
  const HttpResponse type = Post("/runs/multipart", {{"Content-Type", "text/plain"}}, Form());
  EXPECT_EQ(type.status, 415);
  EXPECT_THAT(type.body, HasSubstr("text/plain"));
  EXPECT_EQ(Post("/runs/batch", {{"Content-Type", "application/xml"}}, "<a/>").status, 415);
  EXPECT_EQ(Post("/runs/multipart", {{"Content-Type", "multipart/form-data"}}, Form()).status, 400);
}

TEST_F(HttpServerTest, RefusesWithRetryAfterWhenTheBudgetIsUsedUp) {
  options_.max_inflight_bytes = 1000;
  Start();
  ingest_.Hold();
  HttpClient first(address_);
  first.Send(RequestText("POST", "/runs/multipart", FormHeaders(), Form()));
  ASSERT_TRUE(ingest_.WaitForHeld(1));
  const std::string body(900, 'x');
  const HttpResponse refused = Post("/runs/multipart", FormHeaders(), body);
  EXPECT_EQ(refused.status, 503);
  EXPECT_THAT(refused.headers, Contains(Pair("retry-after", ::testing::_)));
  ingest_.Release();
  EXPECT_EQ(first.Read().status, 202);
  EXPECT_EQ(Post("/runs/multipart", FormHeaders(), body).status, 400);  // Read again.
  EXPECT_EQ(server_->stats().inflight_bytes, 0u);
}

TEST_F(HttpServerTest, PassesTheLogsRefusalOn) {
  Start();
  for (const absl::Status& status :
       {absl::UnavailableError("disk low"), absl::ResourceExhaustedError("too much pending")}) {
    ingest_.AnswerWith(status);
    const HttpResponse response = Post("/runs", kJson, kRun);
    EXPECT_EQ(response.status, 503);
    EXPECT_THAT(response.body, HasSubstr(std::string(status.message())));
    const int after = std::stoi(response.headers.at("retry-after"));
    EXPECT_TRUE(after >= 1 && after <= 5) << after;
  }
}

TEST_F(HttpServerTest, KeepsValidRunsBesideInvalidOnes) {
  Start();
  const std::string body = R"({"post":[)" + std::string(kRun) + R"(,{"id":"nonsense"},7]})";
  const HttpResponse response = Post("/runs/batch", kJson, body);
  EXPECT_EQ(response.status, 202);
  EXPECT_THAT(response.body, HasSubstr("post[1]: id"));
  const auto batches = ingest_.TakeBatches();
  ASSERT_THAT(batches, SizeIs(1));
  EXPECT_THAT(batches[0].header.ops, SizeIs(1));
  ASSERT_THAT(batches[0].rejected, SizeIs(2));
  EXPECT_EQ(batches[0].rejected[0].index, 1u);
  EXPECT_EQ(batches[0].rejected[0].bytes, R"({"id":"nonsense"})");
}

}  // namespace
}  // namespace weft::collector
