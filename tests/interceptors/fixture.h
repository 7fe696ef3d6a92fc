// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <utility>

#include <grpc/grpc.h>
#include <grpcpp/create_channel.h>
#include <gtest/gtest.h>

#include <weft/interceptors/create_channel.h>
#include <weft/interceptors/interceptor_stats.h>
#include <weft/testing/in_memory_exporter.h>
#include <weft/tracing/tracer.h>

#include "echo_server.h"

namespace weft::echo_test {

/// A traced server, a traced channel to it, and all runs of both in one place. At the end it checks
/// that every call that began has ended.
class EchoTest : public ::testing::Test {
 public:
  // Else gRPC would shut down with the last of its objects after each test, which takes it ten
  // seconds when its backup poller has just begun to wait.
  static void SetUpTestSuite() { grpc_init(); }

 protected:
  EchoTest() {
    auto made = Tracer::Create({.open_run_delay = std::chrono::hours(1), .exporters = {exporter_}});
    EXPECT_TRUE(made.ok());
    tracer_ = *std::move(made);
  }

  ~EchoTest() override {
    channel_.reset();
    server_.reset();
    const InterceptorStats after = GetInterceptorStats();
    EXPECT_EQ(after.client_started - before_.client_started,
              after.client_ended - before_.client_ended);
    EXPECT_EQ(after.server_started - before_.server_started,
              after.server_ended - before_.server_ended);
    EXPECT_EQ(after.hook_failures, before_.hook_failures);
  }

  void Serve(Flavour flavour, int workers = 1) {
    Serve(flavour, {.tracer = tracer_}, {.tracer = tracer_}, workers);
  }

  void Serve(Flavour flavour, InterceptorOptions server, InterceptorOptions client, int workers = 1,
             bool guarded = true) {
    server_ = std::make_unique<EchoServer>(flavour, std::move(server), workers, guarded);
    channel_ =
        CreateChannel(server_->address(), grpc::InsecureChannelCredentials(), std::move(client));
  }

  std::uint64_t Dropped(const std::string& reason) const {
    return CountOf(GetInterceptorStats().dropped_headers, reason) -
           CountOf(before_.dropped_headers, reason);
  }
  std::uint64_t Problems() const {
    std::uint64_t sum = 0;
    for (const auto& [code, count] : GetInterceptorStats().header_problems) {
      sum += count - CountOf(before_.header_problems, code);
    }
    return sum;
  }

  std::shared_ptr<weft::testing::InMemoryExporter> exporter_ =
      std::make_shared<weft::testing::InMemoryExporter>();
  std::shared_ptr<Tracer> tracer_;
  std::unique_ptr<EchoServer> server_;
  std::shared_ptr<grpc::Channel> channel_;

 private:
  static std::uint64_t CountOf(const std::map<std::string, std::uint64_t>& counts,
                               const std::string& code) {
    const auto found = counts.find(code);
    return found == counts.end() ? 0 : found->second;
  }

  const InterceptorStats before_ = GetInterceptorStats();
};

}  // namespace weft::echo_test
