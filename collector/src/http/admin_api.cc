// SPDX-License-Identifier: Apache-2.0
#include "http/admin_api.h"

#include <utility>

namespace weft::collector {
namespace {

constexpr std::size_t kMaxBody = 4u << 20;

int StatusOf(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
      return 400;
    case absl::StatusCode::kNotFound:
      return 404;
    case absl::StatusCode::kUnimplemented:
      return 405;
    default:
      return 503;
  }
}

}  // namespace

HttpReply AdminApi::Answer(const HttpRequest& request, const Target& target,
                           const std::string& body) const {
  const auto handler = target.path.empty() ? handlers_.end() : handlers_.find(target.path.front());
  if (handler == handlers_.end()) {
    return ErrorReply(404, "path: nothing is at '" + request.target + "'");
  }
  if (body.size() > kMaxBody) return ErrorReply(413, "body: larger than 4 MiB");
  // A page elsewhere can make a browser send a form, but not JSON without asking first.
  if (request.method == "POST" && !request.content_type.starts_with("application/json")) {
    return ErrorReply(415, "Content-Type: '" + request.content_type + "' is not application/json");
  }
  AdminRequest admin;
  admin.method = request.method == "HEAD" ? "GET" : request.method;
  admin.path.assign(target.path.begin() + 1, target.path.end());
  admin.parameters = target.Parameters();
  admin.body = body;
  absl::StatusOr<std::string> answer = handler->second(admin);
  if (!answer.ok()) {
    return ErrorReply(StatusOf(answer.status()), std::string(answer.status().message()));
  }
  HttpReply reply;
  reply.body = *std::move(answer);
  return reply;
}

}  // namespace weft::collector
