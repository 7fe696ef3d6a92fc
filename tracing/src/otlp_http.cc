// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <string_view>
#include <utility>
#include <vector>

#include <absl/status/status.h>
#include <absl/strings/str_cat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include <weft/tracing/internal/http_client.h>
#include <weft/tracing/internal/otlp_transport.h>

#include "base_url.h"
#include "otlp_answer.h"
#include "otlp_json.h"

namespace weft {
inline namespace v0 {
namespace internal {
namespace {

constexpr char kDefaultUrl[] = "http://localhost:4318/v1/traces";

/// `body` in gzip's format; empty: zlib has no memory.
std::string Gzip(std::string_view body) {
  constexpr int kGzipWindow = 15 + 16;
  constexpr int kMemory = 8;
  z_stream stream{};
  if (deflateInit2(&stream, Z_BEST_SPEED, Z_DEFLATED, kGzipWindow, kMemory, Z_DEFAULT_STRATEGY) !=
      Z_OK) {
    return {};
  }
  std::string out(deflateBound(&stream, body.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(body.data()));
  stream.avail_in = static_cast<uInt>(body.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  const bool done = deflate(&stream, Z_FINISH) == Z_STREAM_END;
  out.resize(done ? stream.total_out : 0);
  deflateEnd(&stream);
  return out;
}

/// `body` as a frame of zstd; empty: there is no memory.
std::string Zstd(std::string_view body) {
  constexpr int kLevel = 1;
  std::string out(ZSTD_compressBound(body.size()), '\0');
  const std::size_t size = ZSTD_compress(out.data(), out.size(), body.data(), body.size(), kLevel);
  out.resize(ZSTD_isError(size) ? 0 : size);
  return out;
}

class HttpTransport final : public OtlpTransport {
 public:
  explicit HttpTransport(const OtlpExporterOptions& options)
      : compression_(options.compression), json_(options.protocol == OtlpProtocol::kHttpJson) {
    request_.url = options.endpoint.empty() ? kDefaultUrl : options.endpoint;
    // Of libcurl, too, zero means that there is no limit.
    request_.timeout = options.timeout;
    request_.tls = {.ca_file = options.certificate,
                    .certificate_file = options.client_certificate,
                    .key_file = options.client_key};
    request_.headers.emplace_back(json_ ? "Content-Type: application/json"
                                        : "Content-Type: application/x-protobuf");
    for (const auto& [name, value] : options.headers) {
      // In libcurl's words, `Name;` is a header without a value.
      request_.headers.push_back(value.empty() ? name + ";" : name + ": " + value);
    }
  }

  SendResult Send(std::string body, std::size_t spans, const std::atomic<bool>& abort) override {
    if (json_) body = OtlpJson(body);
    IncomingReply reply = SendCoded(body, abort);
    // Receivers do not say beforehand what they take, and some say 400 then.
    if (compression_ == OtlpCompression::kZstd && (reply.status == 415 || reply.status == 400)) {
      compression_ = OtlpCompression::kGzip;
      const IncomingReply again = SendCoded(body, abort);
      if (again.status == reply.status) compression_ = OtlpCompression::kZstd;
      reply = again;
    }
    return ReadOtlpReply(reply, spans);
  }

 private:
  IncomingReply SendCoded(std::string_view body, const std::atomic<bool>& abort) {
    OutgoingRequest request = request_;
    const bool zstd = compression_ == OtlpCompression::kZstd;
    std::string packed;
    if (compression_ != OtlpCompression::kNone) packed = zstd ? Zstd(body) : Gzip(body);
    if (!packed.empty()) {
      request.headers.emplace_back(zstd ? "Content-Encoding: zstd" : "Content-Encoding: gzip");
    }
    request.body = packed.empty() ? body : packed;
    return client_.Send(request, abort);
  }

  OtlpCompression compression_;
  const bool json_;
  OutgoingRequest request_;
  HttpClient client_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<OtlpTransport>> MakeOtlpHttp(const OtlpExporterOptions& options) {
  const std::string& url = options.endpoint;
  if (!url.empty() && !url.starts_with("http://") && !url.starts_with("https://")) {
    return absl::InvalidArgumentError(
        absl::StrCat("endpoint: \"", ShownUrl(url), "\" is no http:// or https:// URL"));
  }
  const std::pair<const char*, const std::string*> files[] = {
      {"certificate", &options.certificate},
      {"client_certificate", &options.client_certificate},
      {"client_key", &options.client_key}};
  for (const auto& [name, path] : files) {
    if (!path->empty() && access(path->c_str(), R_OK) != 0) {
      return absl::InvalidArgumentError(absl::StrCat(name, ": \"", *path, "\" cannot be read"));
    }
  }
  return std::make_unique<HttpTransport>(options);
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
