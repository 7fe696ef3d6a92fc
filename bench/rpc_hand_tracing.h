// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include <grpcpp/client_context.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/status.h>

namespace bench {

/// What one writes who traces calls by hand in the manner of OpenTelemetry, in the code of the
/// client and in the handler: no interceptors, and nothing of weft. It says about a call what
/// weft's runs say.
struct HandSpan {
  using Value = std::variant<bool, std::int64_t, double, std::string>;

  std::string name;
  std::array<std::uint64_t, 2> trace_id{};
  std::uint64_t span_id = 0;
  std::uint64_t parent_id = 0;
  std::chrono::system_clock::time_point start;
  std::chrono::system_clock::time_point end;
  bool failed = false;
  std::vector<std::pair<std::string, Value>> attributes;

  void Set(std::string_view key, Value value) {
    attributes.emplace_back(std::string(key), std::move(value));
  }
};

/// Spans go into a queue, and a thread takes them out in batches for an exporter that drops them.
class HandTracer {
 public:
  HandTracer();
  ~HandTracer();
  HandTracer(const HandTracer&) = delete;
  HandTracer& operator=(const HandTracer&) = delete;

  /// Starts the span of a call and writes it into the call's headers.
  std::unique_ptr<HandSpan> StartClient(std::string_view service, std::string_view method,
                                        std::string_view kind, grpc::ClientContext& context) const;
  /// Starts the span of a handler, as a child of the one in the call's headers.
  std::unique_ptr<HandSpan> StartServer(std::string_view service, std::string_view method,
                                        std::string_view kind,
                                        const grpc::ServerContextBase& context) const;
  void End(std::unique_ptr<HandSpan> span, const grpc::Status& status);

 private:
  void Run();

  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<std::unique_ptr<HandSpan>> queue_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace bench
