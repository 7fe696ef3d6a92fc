// SPDX-License-Identifier: Apache-2.0
#include <weft/tracing/internal/http_client.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <memory>
#include <utility>

#include <curl/curl.h>

#include <weft/version.h>

namespace weft {
inline namespace v0 {
namespace internal {
namespace {

constexpr long kConnectTimeoutMs = 5'000;
// A target that moves is followed this soon; by itself libcurl keeps on with the old address for a
// minute. Connections that are kept need no address.
constexpr long kAddressLastsS = 2;
constexpr int kAbortLookMs = 100;
// Handed to the kernel at once: a batch of a hundred runs. libcurl's 64 KiB made five calls of it.
constexpr long kUploadBytes = 256 << 10;
constexpr std::size_t kMaxReplyBytes = 64 << 10;
constexpr curl_off_t kMaxRetryAfter = 86'400;  // Seconds; who waits has a lower limit of its own.

using HeaderList = std::unique_ptr<curl_slist, decltype(&curl_slist_free_all)>;

std::size_t OnBody(char* data, std::size_t size, std::size_t count, void* user) {
  auto* const body = static_cast<std::string*>(user);
  const std::size_t room = kMaxReplyBytes - std::min(kMaxReplyBytes, body->size());
  body->append(data, std::min(room, size * count));
  return size * count;
}

HeaderList ListOf(const std::vector<std::string>& headers) {
  HeaderList list(nullptr, &curl_slist_free_all);
  const auto add = [&list](const char* header) {
    curl_slist* const longer = curl_slist_append(list.get(), header);
    if (longer == nullptr) return;
    (void)list.release();
    list.reset(longer);
  };
  for (const std::string& header : headers) add(header.c_str());
  add("Expect:");  // Waiting for `100 Continue` costs a second where nobody sends it.
  return list;
}

void SetTls(CURL* curl, const TlsFiles& tls, const std::string& default_ca_file) {
  const std::pair<CURLoption, const std::string*> files[] = {
      {CURLOPT_CAINFO, tls.ca_file.empty() ? &default_ca_file : &tls.ca_file},
      {CURLOPT_SSLCERT, &tls.certificate_file},
      {CURLOPT_SSLKEY, &tls.key_file}};
  for (const auto& [option, file] : files) {
    if (!file->empty()) curl_easy_setopt(curl, option, file->c_str());
  }
}

void SetOptions(CURL* curl, const OutgoingRequest& request, curl_slist* headers, char* error,
                std::string* reply_body) {
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_QUICK_EXIT, 1L);  // A stuck name server holds up nobody.
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl, CURLOPT_URL, request.url.c_str());
  curl_easy_setopt(curl, CURLOPT_USERAGENT, "weft/" WEFT_VERSION);
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
  curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, error);
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, kConnectTimeoutMs);
  curl_easy_setopt(curl, CURLOPT_DNS_CACHE_TIMEOUT, kAddressLastsS);
  curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, static_cast<long>(request.timeout.count()));
  curl_easy_setopt(curl, CURLOPT_TCP_KEEPALIVE, 1L);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, &OnBody);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, reply_body);
  if (request.method == "GET") return;
  curl_easy_setopt(curl, CURLOPT_UPLOAD_BUFFERSIZE, kUploadBytes);
  curl_easy_setopt(curl, CURLOPT_POST, 1L);
  curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.body.size()));
  curl_easy_setopt(curl, CURLOPT_POSTFIELDS, request.body.data());
  curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, request.method.c_str());
}

std::string CaFileOfEnvironment() {
  const char* const file = std::getenv("SSL_CERT_FILE");
  return file != nullptr ? file : "";
}

void ReadAnswer(CURL* curl, IncomingReply& reply) {
  curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &reply.status);
  curl_off_t seconds = 0;
  curl_easy_getinfo(curl, CURLINFO_RETRY_AFTER, &seconds);
  if (seconds > 0) reply.retry_after = std::chrono::seconds(std::min(seconds, kMaxRetryAfter));
  const char* type = nullptr;
  curl_easy_getinfo(curl, CURLINFO_CONTENT_TYPE, &type);
  if (type != nullptr) reply.content_type = type;
}

}  // namespace

// The multi interface, because only its waits can be ended early.
struct HttpClient::Handle {
  Handle() : easy(curl_easy_init()), multi(curl_multi_init()) {}
  ~Handle() {
    curl_easy_cleanup(easy);
    curl_multi_cleanup(multi);
  }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;

  CURLcode Perform(const std::atomic<bool>& abort) {
    if (curl_multi_add_handle(multi, easy) != CURLM_OK) return CURLE_FAILED_INIT;
    CURLcode result = CURLE_ABORTED_BY_CALLBACK;
    int running = 1;
    while (running > 0 && !abort) {
      if (curl_multi_perform(multi, &running) != CURLM_OK) break;
      if (running > 0) curl_multi_poll(multi, nullptr, 0, kAbortLookMs, nullptr);
    }
    int left = 0;
    while (const CURLMsg* const message = curl_multi_info_read(multi, &left)) {
      if (message->msg == CURLMSG_DONE) result = message->data.result;
    }
    curl_multi_remove_handle(multi, easy);
    return result;
  }

  CURL* const easy;
  CURLM* const multi;
  std::uint64_t generation = 0;
};

// libcurl has a file of its own in the place of the one that OpenSSL would take from there.
HttpClient::HttpClient() : ca_file_(CaFileOfEnvironment()) {
  static const CURLcode initialised = curl_global_init(CURL_GLOBAL_DEFAULT);
  (void)initialised;
}

HttpClient::~HttpClient() {
  for (const Handle* handle : idle_) delete handle;
}

HttpClient::Handle* HttpClient::Take() {
  std::uint64_t generation = 0;
  {
    const std::lock_guard lock(mutex_);
    generation = generation_;
    if (!idle_.empty()) {
      Handle* const handle = idle_.back();
      idle_.pop_back();
      return handle;
    }
  }
  auto made = std::make_unique<Handle>();
  made->generation = generation;
  return made->easy != nullptr && made->multi != nullptr ? made.release() : nullptr;
}

void HttpClient::Give(Handle* handle) {
  curl_easy_reset(handle->easy);
  std::unique_ptr<Handle> old(handle);
  const std::lock_guard lock(mutex_);
  if (handle->generation == generation_) idle_.push_back(old.release());
}

void HttpClient::Renew() {
  std::vector<Handle*> old;
  {
    const std::lock_guard lock(mutex_);
    ++generation_;
    old.swap(idle_);
  }
  for (const Handle* handle : old) delete handle;
}

IncomingReply HttpClient::Send(const OutgoingRequest& request, const std::atomic<bool>& abort) {
  IncomingReply reply;
  Handle* const handle = Take();
  if (handle == nullptr) {
    reply.error = "libcurl gives no handle";
    return reply;
  }
  const HeaderList headers = ListOf(request.headers);
  std::array<char, CURL_ERROR_SIZE> error{};
  SetOptions(handle->easy, request, headers.get(), error.data(), &reply.body);
  SetTls(handle->easy, request.tls, ca_file_);
  const CURLcode code = handle->Perform(abort);
  if (code == CURLE_OK) {
    ReadAnswer(handle->easy, reply);
  } else {
    reply.error = error[0] != '\0' ? error.data() : curl_easy_strerror(code);
  }
  Give(handle);
  return reply;
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
