// SPDX-License-Identifier: Apache-2.0
#include "destinations/http_client.h"

#include <algorithm>
#include <array>
#include <memory>

#include <curl/curl.h>

#include <weft/version.h>

namespace weft::collector {
namespace {

constexpr long kConnectTimeoutMs = 5'000;
constexpr std::size_t kMaxReplyBytes = 64 << 10;

std::size_t OnBody(char* data, std::size_t size, std::size_t count, void* user) {
  auto* const body = static_cast<std::string*>(user);
  const std::size_t room = kMaxReplyBytes - std::min(kMaxReplyBytes, body->size());
  body->append(data, std::min(room, size * count));
  return size * count;
}

int OnProgress(void* user, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  return static_cast<const std::atomic<bool>*>(user)->load() ? 1 : 0;
}

}  // namespace

HttpClient::HttpClient() {
  static const CURLcode initialised = curl_global_init(CURL_GLOBAL_DEFAULT);
  (void)initialised;
}

HttpClient::~HttpClient() {
  for (void* handle : idle_) curl_easy_cleanup(handle);
}

void* HttpClient::Take() {
  std::lock_guard lock(mutex_);
  if (idle_.empty()) return curl_easy_init();
  void* const handle = idle_.back();
  idle_.pop_back();
  return handle;
}

void HttpClient::Give(void* handle) {
  curl_easy_reset(handle);
  std::lock_guard lock(mutex_);
  idle_.push_back(handle);
}

IncomingReply HttpClient::Send(const OutgoingRequest& request, const std::atomic<bool>& abort) {
  IncomingReply reply;
  CURL* const curl = Take();
  if (curl == nullptr) {
    reply.error = "libcurl gives no handle";
    return reply;
  }
  std::unique_ptr<curl_slist, decltype(&curl_slist_free_all)> headers(nullptr,
                                                                      &curl_slist_free_all);
  const auto add = [&headers](const char* header) {
    curl_slist* const longer = curl_slist_append(headers.get(), header);
    if (longer != nullptr) (void)headers.release();
    if (longer != nullptr) headers.reset(longer);
  };
  for (const std::string& header : request.headers) add(header.c_str());
  add("Expect:");  // Waiting for `100 Continue` costs a second where nobody sends it.
  std::array<char, CURL_ERROR_SIZE> error{};
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl, CURLOPT_URL, request.url.c_str());
  curl_easy_setopt(curl, CURLOPT_USERAGENT, "weft/" WEFT_VERSION);
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers.get());
  curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, error.data());
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, kConnectTimeoutMs);
  curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, static_cast<long>(request.timeout.count()));
  curl_easy_setopt(curl, CURLOPT_TCP_KEEPALIVE, 1L);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, &OnBody);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &reply.body);
  curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
  curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, &OnProgress);
  curl_easy_setopt(curl, CURLOPT_XFERINFODATA, &abort);
  if (request.method != "GET") {
    curl_easy_setopt(curl, CURLOPT_POST, 1L);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE,
                     static_cast<curl_off_t>(request.body.size()));
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, request.body.data());
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, request.method.c_str());
  }
  const CURLcode code = curl_easy_perform(curl);
  if (code == CURLE_OK) {
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &reply.status);
    curl_off_t seconds = 0;
    curl_easy_getinfo(curl, CURLINFO_RETRY_AFTER, &seconds);
    if (seconds > 0) reply.retry_after = std::chrono::seconds(seconds);
    const char* type = nullptr;
    curl_easy_getinfo(curl, CURLINFO_CONTENT_TYPE, &type);
    if (type != nullptr) reply.content_type = type;
  } else {
    reply.error = error[0] != '\0' ? error.data() : curl_easy_strerror(code);
  }
  Give(curl);
  return reply;
}

}  // namespace weft::collector
