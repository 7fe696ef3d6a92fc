// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include <absl/status/statusor.h>

#include <weft/tracing/json.h>
#include <weft/tracing/tracer.h>

namespace trip {

/// Sends JSON by POST to `http://ADDRESS/PATH`; the current run's headers go along, so that what
/// the server does is below it. Errors: also when the answer is not 200. Waits 30 s at most.
absl::StatusOr<weft::JsonObject> Post(const std::string& address, std::string_view path,
                                      const weft::JsonObject& body);

/// Answers a request. The run of the request is current.
using Handler = std::function<absl::StatusOr<weft::JsonObject>(const weft::JsonObject& request)>;

/// Answers POST requests with JSON in and out; each is a run below that of its caller.
///
/// Lifetime: the destructor waits for the requests that are being answered.
class HttpServer {
 public:
  /// `routes`: handler by path. `address`: `HOST:PORT`; port 0 is any free one.
  static absl::StatusOr<std::unique_ptr<HttpServer>> Start(const std::string& address,
                                                           std::map<std::string, Handler> routes,
                                                           std::shared_ptr<weft::Tracer> tracer);
  ~HttpServer();

  /// Where it listens, with the port.
  const std::string& address() const;

 private:
  class Impl;
  explicit HttpServer(std::unique_ptr<Impl> impl);

  std::unique_ptr<Impl> impl_;
};

}  // namespace trip
