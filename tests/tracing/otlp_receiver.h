// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <opentelemetry/proto/collector/trace/v1/trace_service.grpc.pb.h>

#include "otlp_spans.h"

namespace weft::otlp_test {

/// A receiver of OTLP over gRPC that keeps spans in memory and answers as a test tells it to.
///
/// Threads: any.
class GrpcReceiver final
    : public opentelemetry::proto::collector::trace::v1::TraceService::Service {
 public:
  /// What becomes of one request.
  struct Answer {
    grpc::Status status{};
    std::int64_t rejected = 0;  ///< Partial success, with `message`.
    std::string message{};
    bool silence = false;  ///< None before the call is cancelled.
  };

  explicit GrpcReceiver(int max_bytes = -1,
                        const std::shared_ptr<grpc::ServerCredentials>& credentials =
                            grpc::InsecureServerCredentials()) {
    grpc::ServerBuilder builder;
    if (max_bytes > 0) builder.SetMaxReceiveMessageSize(max_bytes);
    builder.AddListeningPort("127.0.0.1:0", credentials, &port_);
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
  }
  ~GrpcReceiver() override { server_->Shutdown(std::chrono::system_clock::now()); }

  int port() const { return port_; }
  std::string target() const { return "http://127.0.0.1:" + std::to_string(port_); }

  /// Answers of the next requests, in order; after them all are kept.
  void AnswerNext(Answer answer) {
    const std::lock_guard lock(mutex_);
    answers_.push_back(std::move(answer));
  }

  grpc::Status Export(
      grpc::ServerContext* context, const Request* request,
      opentelemetry::proto::collector::trace::v1::ExportTraceServiceResponse* response) override {
    std::unique_lock lock(mutex_);
    ++requests_;
    for (const auto& [name, value] : context->client_metadata()) {
      metadata_[std::string(name.data(), name.size())] = std::string(value.data(), value.size());
    }
    changed_.notify_all();
    Answer answer;
    if (!answers_.empty()) {
      answer = std::move(answers_.front());
      answers_.pop_front();
    }
    if (answer.silence) {
      while (!context->IsCancelled()) changed_.wait_for(lock, std::chrono::milliseconds(10));
      return grpc::Status::CANCELLED;
    }
    if (!answer.status.ok()) return answer.status;
    if (answer.rejected > 0) {
      response->mutable_partial_success()->set_rejected_spans(answer.rejected);
      response->mutable_partial_success()->set_error_message(answer.message);
    }
    kept_.push_back(*request);
    return grpc::Status::OK;
  }

  std::vector<Request> Kept() const {
    const std::lock_guard lock(mutex_);
    return kept_;
  }
  std::vector<Span> Spans() const {
    std::vector<Span> all;
    for (const Request& request : Kept()) {
      const std::vector<Span> spans = SpansOf(request);
      all.insert(all.end(), spans.begin(), spans.end());
    }
    return all;
  }
  std::size_t requests() const {
    const std::lock_guard lock(mutex_);
    return requests_;
  }
  std::map<std::string, std::string> metadata() const {
    const std::lock_guard lock(mutex_);
    return metadata_;
  }

  bool WaitForRequests(std::size_t requests) const {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(20), [&] { return requests_ >= requests; });
  }

 private:
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  std::deque<Answer> answers_;
  std::vector<Request> kept_;
  std::map<std::string, std::string> metadata_;
  std::size_t requests_ = 0;
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

/// A serialised `google.rpc.Status` that asks to wait: the details of a gRPC status.
inline std::string RetryInfo(int seconds, int nanos = 0) {
  const auto field = [](int number, const std::string& bytes) {
    return static_cast<char>(number << 3 | 2) + (static_cast<char>(bytes.size()) + bytes);
  };
  std::string duration;
  if (seconds > 0) duration += std::string("\x08") + static_cast<char>(seconds);
  if (nanos > 0) {
    duration += '\x10';
    for (; nanos >= 0x80; nanos >>= 7) duration += static_cast<char>(nanos | 0x80);
    duration += static_cast<char>(nanos);
  }
  const std::string any =
      field(1, "type.googleapis.com/google.rpc.RetryInfo") + field(2, field(1, duration));
  const std::string other = field(1, "type.googleapis.com/google.rpc.Help") + field(2, "x");
  return std::string("\x08\x08") + field(2, "quota") + field(3, other) + field(3, any);
}

}  // namespace weft::otlp_test
