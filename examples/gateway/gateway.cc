// SPDX-License-Identifier: Apache-2.0
// A gateway: everything it does about a call is a list of middlewares; its service passes calls on.
#include "gateway.h"

#include <cctype>
#include <chrono>
#include <iostream>
#include <string_view>
#include <utility>

#include <grpcpp/client_context.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server_builder.h>

#include <weft/interceptors/auth.h>
#include <weft/interceptors/create_channel.h>
#include <weft/interceptors/deadline.h>
#include <weft/interceptors/guard.h>
#include <weft/interceptors/intercept_server.h>
#include <weft/interceptors/logging.h>
#include <weft/interceptors/metrics.h>
#include <weft/interceptors/rate_limit.h>
#include <weft/interceptors/recovery.h>

namespace planning {
namespace {

using namespace std::chrono_literals;

/// The task as the retriever wants it. Throws for one without text: at() has no first letter.
Task Capitalized(Task task) {
  char& first = task.mutable_text()->at(0);
  first = static_cast<char>(std::toupper(static_cast<unsigned char>(first)));
  return task;
}

/// Asks the backend, for as long as the caller waits and never more than two seconds.
class Forwarder final : public Retriever::Service {
 public:
  explicit Forwarder(const std::shared_ptr<grpc::Channel>& backend)
      : backend_(Retriever::NewStub(backend)) {}

  grpc::Status Find(grpc::ServerContext*, const Task* task, Notes* notes) override {
    grpc::ClientContext context;
    weft::SetDeadline(context, {.timeout = 2s});
    return backend_->Find(&context, Capitalized(*task), notes);
  }

 private:
  const std::unique_ptr<Retriever::Stub> backend_;
};

// Runs on gRPC's threads. A program with much to log hands the lines to a thread of its own.
void Log(weft::LogLevel, std::string_view line) { std::clog << std::string(line) + "\n"; }

}  // namespace

Gateway::Gateway(std::shared_ptr<weft::Tracer> tracer)
    : tracer_(std::move(tracer)), registry_(std::make_shared<weft::MetricsRegistry>()) {}

Gateway::~Gateway() { Stop(); }

absl::Status Gateway::Start(const std::string& backend) {
  service_ = std::make_unique<Forwarder>(
      weft::CreateChannel(backend, grpc::InsecureChannelCredentials(), {.tracer = tracer_}));
  const auto caller = weft::ApiKey({{"s3cret", {.name = "reader"}}}, kKeyHeader);

  int port = 0;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  // What a call goes through, in this order. The first three see rejected calls, too.
  weft::InterceptorOptions options{
      .tracer = tracer_,
      .middlewares = {
          weft::Metrics(registry_), weft::Logging(Log),
          weft::Deadline({.least = 1s}),  // sooner than that no answer is found
          weft::Auth(caller, {.record = true}),
          weft::RateLimit({.per_second = 0.01, .burst = 3, .key = weft::RateLimitKey::kIdentity}),
          weft::Recovery()}};
  if (auto status = weft::InterceptServer(builder, std::move(options)); !status.ok()) return status;
  // In the place of builder.RegisterService: keeps the handlers of rejected calls from running.
  if (auto status = weft::RegisterService(builder, service_.get()); !status.ok()) return status;
  server_ = builder.BuildAndStart();
  if (server_ == nullptr) return absl::UnavailableError("the gateway could not start");
  address_ = "127.0.0.1:" + std::to_string(port);
  return absl::OkStatus();
}

void Gateway::Stop() {
  if (server_ == nullptr) return;
  server_->Shutdown();
  server_->Wait();
  server_ = nullptr;
}

}  // namespace planning
