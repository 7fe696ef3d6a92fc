// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include <gtest/gtest.h>
#include <zstd.h>

#include <weft/collector/http_server.h>

#include "http_test_util.h"

namespace weft::collector {

inline constexpr std::string_view kId = "01a0b35e-7a0d-7000-8000-00000000000d";
inline constexpr std::string_view kRun =
    R"({"id":"01a0b35e-7a0d-7000-8000-00000000000d","name":"root","run_type":"chain",)"
    R"("trace_id":"01a0b35e-7a0d-7000-8000-00000000000d",)"
    R"("dotted_order":"20260910T002640013001Z01a0b35e-7a0d-7000-8000-00000000000d"})";
inline const Headers kJson = {{"Content-Type", "application/json"}};

inline std::string Form(std::string_view run = kRun) {
  return "--B\r\nContent-Disposition: form-data; name=\"post." + std::string(kId) +
         "\"\r\nContent-Type: application/json\r\n\r\n" + std::string(run) + "\r\n--B--\r\n";
}

inline Headers FormHeaders(std::string_view coding = "") {
  Headers headers = {{"Content-Type", "multipart/form-data; boundary=B"}};
  if (!coding.empty()) headers.emplace_back("Content-Encoding", coding);
  return headers;
}

inline std::string Zstd(std::string_view text, int level = 1) {
  std::string out(ZSTD_compressBound(text.size()), '\0');
  out.resize(ZSTD_compress(out.data(), out.size(), text.data(), text.size(), level));
  return out;
}

// A server on a free port, in front of a FakeIngest.
class HttpServerFixture : public ::testing::Test {
 protected:
  void Start() {
    options_.address = "127.0.0.1:0";
    services_.ingest = &ingest_;
    auto server = HttpServer::Start(options_, services_);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    address_ = server_->address();
  }
  HttpResponse Get(std::string_view target, const Headers& headers = {},
                   std::string_view host = "localhost") {
    return Fetch(address_, "GET", target, headers, {}, host);
  }
  HttpResponse Post(std::string_view target, const Headers& headers, std::string_view body) {
    return Fetch(address_, "POST", target, headers, body);
  }
  void ExpectStillServes() { EXPECT_EQ(Post("/runs", kJson, kRun).status, 202); }

  FakeIngest ingest_;
  HttpServerOptions options_;
  HttpServices services_;
  std::unique_ptr<HttpServer> server_;
  std::string address_;
};

}  // namespace weft::collector
