// SPDX-License-Identifier: Apache-2.0
#include "chat_client.h"

#include <cstdlib>
#include <memory>

#include <curl/curl.h>
#include <boost/json.hpp>

namespace research_team {
namespace {

constexpr long kTimeoutSeconds = 60;
constexpr std::size_t kMaxReplyBytes = 4 << 20;

std::string Variable(const char* name, const char* otherwise) {
  const char* value = std::getenv(name);
  return value == nullptr || *value == '\0' ? otherwise : value;
}

std::size_t Append(char* data, std::size_t size, std::size_t count, void* target) {
  auto& body = *static_cast<std::string*>(target);
  if (body.size() + size * count > kMaxReplyBytes) return 0;
  body.append(data, size * count);
  return size * count;
}

absl::StatusOr<std::string> Post(const std::string& url, const std::string& key,
                                 const std::string& json) {
  const std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> curl(curl_easy_init(),
                                                                 curl_easy_cleanup);
  if (curl == nullptr) return absl::InternalError("libcurl cannot be initialised");
  std::unique_ptr<curl_slist, decltype(&curl_slist_free_all)> headers(
      curl_slist_append(nullptr, "Content-Type: application/json"), curl_slist_free_all);
  if (!key.empty()) curl_slist_append(headers.get(), ("Authorization: Bearer " + key).c_str());
  std::string body;
  curl_easy_setopt(curl.get(), CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl.get(), CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl.get(), CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl.get(), CURLOPT_TIMEOUT, kTimeoutSeconds);
  curl_easy_setopt(curl.get(), CURLOPT_HTTPHEADER, headers.get());
  curl_easy_setopt(curl.get(), CURLOPT_POSTFIELDS, json.c_str());
  curl_easy_setopt(curl.get(), CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(json.size()));
  curl_easy_setopt(curl.get(), CURLOPT_WRITEFUNCTION, &Append);
  curl_easy_setopt(curl.get(), CURLOPT_WRITEDATA, &body);
  const CURLcode code = curl_easy_perform(curl.get());
  if (code != CURLE_OK) {
    return absl::UnavailableError("OPENAI_BASE_URL " + url + ": " + curl_easy_strerror(code));
  }
  long status = 0;
  curl_easy_getinfo(curl.get(), CURLINFO_RESPONSE_CODE, &status);
  if (status != 200) {
    return absl::UnavailableError(url + " answered with status " + std::to_string(status) + ": " +
                                  body.substr(0, 200));
  }
  return body;
}

}  // namespace

std::optional<ChatClient> ChatClient::FromEnvironment() {
  ChatClient client;
  client.url_ = Variable("OPENAI_BASE_URL", "");
  if (client.url_.empty()) return std::nullopt;
  client.url_ += client.url_.ends_with('/') ? "chat/completions" : "/chat/completions";
  client.key_ = Variable("OPENAI_API_KEY", "");
  client.model_ = Variable("OPENAI_MODEL", "gpt-4o-mini");
  curl_global_init(CURL_GLOBAL_DEFAULT);
  return client;
}

absl::StatusOr<ChatClient::Completion> ChatClient::Complete(const std::string& instruction,
                                                            const std::string& text) const {
  const boost::json::object request{
      {"model", model_},
      {"messages",
       {{{"role", "system"}, {"content", instruction}}, {{"role", "user"}, {"content", text}}}}};
  const absl::StatusOr<std::string> reply = Post(url_, key_, boost::json::serialize(request));
  if (!reply.ok()) return reply.status();
  boost::json::error_code error;
  const boost::json::value json = boost::json::parse(*reply, error);
  const boost::json::value* content =
      error ? nullptr : json.find_pointer("/choices/0/message/content", error);
  if (content == nullptr || !content->is_string()) {
    return absl::InternalError(url_ + " answered with no completion: " + reply->substr(0, 200));
  }
  Completion completion;
  completion.text = content->get_string().c_str();
  const auto tokens = [&json](const char* pointer) -> std::int64_t {
    boost::json::error_code absent;
    const boost::json::value* count = json.find_pointer(pointer, absent);
    return count != nullptr && count->is_int64() ? count->get_int64() : 0;
  };
  completion.input_tokens = tokens("/usage/prompt_tokens");
  completion.output_tokens = tokens("/usage/completion_tokens");
  return completion;
}

}  // namespace research_team
