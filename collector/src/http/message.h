// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <absl/status/status.h>

namespace weft::collector {

/// What the collector looks at in a request, besides its body.
struct HttpRequest {
  std::string method;
  std::string target;
  std::string host;
  std::string origin;
  bool has_origin = false;
  std::string api_key;        ///< `x-api-key`.
  std::string authorization;  ///< Looked at only where `x-api-key` is absent.
  std::string content_type;
  std::string content_encoding;
  std::string project;       ///< `Langsmith-Project`.
  bool is_loopback = false;  ///< The caller is on this machine.
};

/// An answer.
struct HttpReply {
  int status = 200;
  std::string content_type = "application/json";
  std::string body;
  std::vector<std::pair<std::string_view, std::string>> headers;
  std::string message;         ///< Of an error; stands in the body, too.
  std::string reason_counted;  ///< For the metrics of refused requests; empty = not refused data.
};

/// `{"detail": message}` with the status, and Retry-After where the status invites to come again.
HttpReply ErrorReply(int status, std::string_view message, std::string_view reason_counted = {});

/// The answer that a failed call deserves; `OK` must not be passed.
HttpReply ErrorReply(const absl::Status& status);

/// The reply on the wire. HEAD leaves the body out.
std::string Serialize(const HttpReply& reply, bool keep_alive, bool is_head);

/// A JSON string with its quotes; bytes that are not UTF-8 become U+FFFD.
std::string JsonQuoted(std::string_view text);

}  // namespace weft::collector
