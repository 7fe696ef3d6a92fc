// SPDX-License-Identifier: Apache-2.0
#include "http_client.h"

#include <array>
#include <cstdlib>
#include <memory>

#include <curl/curl.h>

#include "text.h"

namespace weft::cli {
namespace {

constexpr long kConnectTimeoutMs = 5'000;
constexpr long kTimeoutMs = 60'000;
/// A page of a hundred runs of the largest size is far below this.
constexpr std::size_t kMaxReplyBytes = std::size_t{4} << 30;

using Curl = std::unique_ptr<CURL, decltype(&curl_easy_cleanup)>;
using Headers = std::unique_ptr<curl_slist, decltype(&curl_slist_free_all)>;

std::size_t Append(char* data, std::size_t size, std::size_t count, void* target) {
  auto& body = *static_cast<std::string*>(target);
  if (body.size() + size * count > kMaxReplyBytes) return 0;
  body.append(data, size * count);
  return size * count;
}

void AddHeader(Headers& headers, const std::string& line) {
  curl_slist* grown = curl_slist_append(headers.get(), line.c_str());
  if (grown == nullptr) return;
  static_cast<void>(headers.release());
  headers.reset(grown);
}

absl::Status Unreachable(const std::string& endpoint, CURLcode code) {
  return absl::UnavailableError(
      "no collector answers at " + endpoint + " (" + curl_easy_strerror(code) +
      "); start one with `weft collect`, or name another with --endpoint or WEFT_ENDPOINT");
}

}  // namespace

HttpClient::HttpClient(std::string endpoint) : endpoint_(std::move(endpoint)) {
  static const CURLcode initialised = curl_global_init(CURL_GLOBAL_DEFAULT);
  static_cast<void>(initialised);
}

absl::StatusOr<HttpResponse> HttpClient::Get(std::string_view path) const {
  return Send(path, nullptr);
}

absl::StatusOr<HttpResponse> HttpClient::Post(std::string_view path,
                                              const std::string& json) const {
  return Send(path, &json);
}

absl::StatusOr<HttpResponse> HttpClient::Send(std::string_view path,
                                              const std::string* json) const {
  const Curl curl(curl_easy_init(), curl_easy_cleanup);
  if (!curl) return absl::InternalError("libcurl cannot be initialised");
  const std::string url = endpoint_ + std::string(path);
  HttpResponse response;
  Headers headers(nullptr, curl_slist_free_all);
  AddHeader(headers, "Accept: application/json");
  if (const char* key = std::getenv("WEFT_API_KEY"); key != nullptr && *key != '\0') {
    AddHeader(headers, std::string("x-api-key: ") + key);
  }
  curl_easy_setopt(curl.get(), CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl.get(), CURLOPT_PROTOCOLS_STR, "http,https");
  // A proxy of the environment is for the Internet, not for the collector on this machine.
  curl_easy_setopt(curl.get(), CURLOPT_NOPROXY, "localhost,127.0.0.1,::1");
  curl_easy_setopt(curl.get(), CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl.get(), CURLOPT_ACCEPT_ENCODING, "");
  curl_easy_setopt(curl.get(), CURLOPT_CONNECTTIMEOUT_MS, kConnectTimeoutMs);
  curl_easy_setopt(curl.get(), CURLOPT_TIMEOUT_MS, kTimeoutMs);
  if (const char* roots = std::getenv("SSL_CERT_FILE"); roots != nullptr && *roots != '\0') {
    curl_easy_setopt(curl.get(), CURLOPT_CAINFO, roots);
  }
  curl_easy_setopt(curl.get(), CURLOPT_WRITEFUNCTION, &Append);
  curl_easy_setopt(curl.get(), CURLOPT_WRITEDATA, &response.body);
  if (json != nullptr) {
    AddHeader(headers, "Content-Type: application/json");
    curl_easy_setopt(curl.get(), CURLOPT_POSTFIELDS, json->c_str());
    curl_easy_setopt(curl.get(), CURLOPT_POSTFIELDSIZE_LARGE,
                     static_cast<curl_off_t>(json->size()));
  }
  curl_easy_setopt(curl.get(), CURLOPT_HTTPHEADER, headers.get());
  const CURLcode code = curl_easy_perform(curl.get());
  if (code == CURLE_WRITE_ERROR) {
    return absl::ResourceExhaustedError("the reply of " + endpoint_ + " is too large");
  }
  if (code != CURLE_OK) return Unreachable(endpoint_, code);
  curl_easy_getinfo(curl.get(), CURLINFO_RESPONSE_CODE, &response.status);
  return response;
}

absl::StatusOr<std::string> ChooseEndpoint(const std::string& flag) {
  std::string source = "--endpoint";
  std::string endpoint = flag;
  if (endpoint.empty()) {
    const char* variable = std::getenv("WEFT_ENDPOINT");
    source = "WEFT_ENDPOINT";
    endpoint = variable == nullptr || *variable == '\0' ? "http://127.0.0.1:1984" : variable;
  }
  if (!endpoint.starts_with("http://") && !endpoint.starts_with("https://")) {
    return absl::InvalidArgumentError(source + " needs a URL like http://127.0.0.1:1984, not '" +
                                      EscapeControls(endpoint) + "'");
  }
  while (endpoint.ends_with('/')) endpoint.pop_back();
  return endpoint;
}

std::string UrlEncode(std::string_view text) {
  constexpr std::string_view digits = "0123456789ABCDEF";
  constexpr std::string_view plain = "-._~";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (letter || plain.find(c) != plain.npos) {
      out += c;
    } else {
      out += {'%', digits[byte >> 4], digits[byte & 15]};
    }
  }
  return out;
}

}  // namespace weft::cli
