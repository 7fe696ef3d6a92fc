// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <atomic>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <absl/strings/str_join.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <weft/interceptors/interceptor_stats.h>
#include <weft/interceptors/logging.h>
#include <weft/interceptors/metrics.h>
#include <weft/testing/in_memory_exporter.h>
#include <weft/tracing/tracer.h>

namespace weft::interop {

/// What weft says of the calls of one side. At the end of a test it checks that every call that
/// began has ended.
class InteropTest : public ::testing::Test {
 protected:
  InteropTest() {
    auto made = Tracer::Create({.exporters = {exporter_}});
    EXPECT_TRUE(made.ok());
    tracer_ = *std::move(made);
  }
  ~InteropTest() override {
    const InterceptorStats after = GetInterceptorStats();
    EXPECT_EQ(after.client_started - before_.client_started,
              after.client_ended - before_.client_ended);
    EXPECT_EQ(after.server_started - before_.server_started,
              after.server_ended - before_.server_ended);
    EXPECT_EQ(after.hook_failures, before_.hook_failures);
  }

  InterceptorOptions Options() {
    auto log = [this](LogLevel, std::string_view) { ++lines_; };
    return {.tracer = tracer_, .middlewares = {Metrics(registry_), Logging(log)}};
  }

  /// `METHOD CODE RECEIVED/SENT` for each call that the runs tell of, the counts of streams only;
  /// in the order of the text, with commas between. Checks that each call has one run, one line of
  /// the log, and is counted once. No call may be in flight any more.
  std::string Calls() const {
    tracer_->Flush(std::chrono::seconds(10));
    std::vector<std::string> calls;
    for (const RunRecord& run : exporter_->Runs()) {
      const JsonObject metadata = run.AllMetadata();
      if (!metadata.contains("rpc.method")) continue;
      EXPECT_TRUE(run.end) << run.DisplayName();
      calls.push_back(Describe(metadata));
    }
    const auto records = exporter_->Records();
    EXPECT_EQ(std::count_if(records.begin(), records.end(),
                            [](const RunRecord& record) { return record.end.has_value(); }),
              static_cast<std::ptrdiff_t>(exporter_->Runs().size()));
    EXPECT_EQ(lines_, calls.size());
    EXPECT_EQ(Counted(), calls.size());
    std::sort(calls.begin(), calls.end());
    return absl::StrJoin(calls, ", ");
  }

  const std::shared_ptr<weft::testing::InMemoryExporter> exporter_ =
      std::make_shared<weft::testing::InMemoryExporter>();
  std::shared_ptr<Tracer> tracer_;

 private:
  static std::string Describe(const JsonObject& metadata) {
    const auto number = [&](const char* key) { return metadata.at(key).to_number<int>(); };
    std::string text(metadata.at("rpc.method").as_string());
    text += " ";
    text += StatusCodeName(static_cast<grpc::StatusCode>(number("rpc.grpc.status_code")));
    if (metadata.contains("rpc.grpc.messages_sent")) {
      text += " " + std::to_string(number("rpc.grpc.messages_received")) + "/" +
              std::to_string(number("rpc.grpc.messages_sent"));
    }
    return text;
  }
  std::size_t Counted() const {
    std::size_t sum = 0;
    for (const MetricsRegistry::Family& family : registry_->families()) {
      if (!family.name.ends_with("_handled_total")) continue;
      for (const auto& series : family.series) sum += series.counter->value();
    }
    return sum;
  }

  const std::shared_ptr<MetricsRegistry> registry_ = std::make_shared<MetricsRegistry>();
  std::atomic<std::size_t> lines_{0};
  const InterceptorStats before_ = GetInterceptorStats();
};

}  // namespace weft::interop
