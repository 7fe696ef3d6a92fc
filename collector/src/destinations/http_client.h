// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <chrono>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace weft::collector {

struct OutgoingRequest {
  std::string method = "POST";
  std::string url;
  std::vector<std::string> headers;  ///< `Name: value`
  std::string_view body;
  std::chrono::milliseconds timeout{60'000};
};

struct IncomingReply {
  long status = 0;  ///< 0 = no answer; `error` says why.
  std::string error;
  std::string body;  ///< Cut at 64 KiB.
  std::string content_type;
  std::optional<std::chrono::milliseconds> retry_after;
};

/// Sends requests by libcurl and keeps connections for the next ones. Follows no redirect, so that
/// a key goes nowhere but where it was meant to go.
///
/// Threads: any; Send blocks. `abort` breaks it off within a second.
class HttpClient {
 public:
  HttpClient();
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  IncomingReply Send(const OutgoingRequest& request, const std::atomic<bool>& abort);

 private:
  void* Take();
  void Give(void* handle);

  std::mutex mutex_;
  std::vector<void*> idle_;  ///< CURL handles with their connections.
};

}  // namespace weft::collector
