// SPDX-License-Identifier: Apache-2.0
#include <limits>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <weft/interceptors/metrics_registry.h>

namespace weft {
namespace {

using ::testing::HasSubstr;

constexpr double kBounds[] = {0.1, 1};
constexpr char kTrace[] = "019b7a00-0000-7000-8000-000000000001";

TEST(MetricsRegistryTest, WritesCountersAsPrometheusReadsThem) {
  MetricsRegistry registry;
  (*registry.GetCounter("jobs_total", "Jobs \\ done.\nAll.", {{"kind", "a\"b\\c\nd"}}))->Add(2);
  (*registry.GetCounter("jobs_total", "", {{"kind", "mail"}}))->Add();
  EXPECT_EQ(registry.Prometheus(),
            "# HELP jobs_total Jobs \\\\ done.\\nAll.\n"
            "# TYPE jobs_total counter\n"
            "jobs_total{kind=\"a\\\"b\\\\c\\nd\"} 2\n"
            "jobs_total{kind=\"mail\"} 1\n");
}

TEST(MetricsRegistryTest, WritesHistogramsWithCumulativeBuckets) {
  MetricsRegistry registry;
  Histogram& seconds = **registry.GetHistogram("took_seconds", "Time.", {{"m", "x"}}, kBounds);
  for (const double value : {0.05, 0.1, 0.5, 7.0}) seconds.Record(value);
  EXPECT_EQ(registry.Prometheus(),
            "# HELP took_seconds Time.\n"
            "# TYPE took_seconds histogram\n"
            "took_seconds_bucket{m=\"x\",le=\"0.1\"} 2\n"
            "took_seconds_bucket{m=\"x\",le=\"1\"} 3\n"
            "took_seconds_bucket{m=\"x\",le=\"+Inf\"} 4\n"
            "took_seconds_sum{m=\"x\"} 7.65\n"
            "took_seconds_count{m=\"x\"} 4\n");
}

TEST(MetricsRegistryTest, WritesExemplarsInOpenMetricsOnly) {
  MetricsRegistry registry;
  (*registry.GetCounter("jobs_total", "Jobs.", {}))->Add();
  Histogram& seconds = **registry.GetHistogram("took_seconds", "Time.", {}, kBounds);
  const std::chrono::system_clock::time_point time(std::chrono::milliseconds(1767323045250));
  seconds.Record(0.5, *RunId::Parse(kTrace), time);
  EXPECT_EQ(registry.OpenMetrics(),
            "# HELP jobs Jobs.\n"
            "# TYPE jobs counter\n"
            "jobs_total 1\n"
            "# HELP took_seconds Time.\n"
            "# TYPE took_seconds histogram\n"
            "took_seconds_bucket{le=\"0.1\"} 0\n"
            "took_seconds_bucket{le=\"1.0\"} 1 # {trace_id=\"019b7a00000070008000000000000001\"} "
            "0.5 1767323045.25\n"
            "took_seconds_bucket{le=\"+Inf\"} 1\n"
            "took_seconds_sum 0.5\n"
            "took_seconds_count 1\n"
            "# EOF\n");
  EXPECT_THAT(registry.Prometheus(), Not(HasSubstr("trace_id")));
}

TEST(MetricsRegistryTest, AsksForATraceWhenTheBucketsIsAnOldOne) {
  MetricsRegistry registry;
  Histogram& seconds = **registry.GetHistogram("h", "", {}, kBounds);
  int asked = 0;
  const auto record = [&](double value, int at) {
    const std::chrono::system_clock::time_point time(std::chrono::milliseconds(1767323045000 + at));
    seconds.Record(value, time, [&asked] {
      ++asked;
      return *RunId::Parse(kTrace);
    });
    return asked;
  };
  EXPECT_EQ(record(0.5, 0), 1);
  EXPECT_EQ(record(0.6, 999), 1);
  EXPECT_EQ(record(7, 999), 2);  // another bucket
  EXPECT_EQ(record(0.7, 1000), 3);
  EXPECT_EQ(record(0.8, 500), 4);  // the clock was set back
  EXPECT_EQ(seconds.buckets()[1].count, 4u);
  EXPECT_EQ(seconds.buckets()[1].exemplar.value, 0.8);
}

TEST(MetricsRegistryTest, GivesTheSameMetricForTheSameLabels) {
  MetricsRegistry registry;
  Counter* first = *registry.GetCounter("a_total", "", {{"x", "1"}});
  EXPECT_EQ(*registry.GetCounter("a_total", "", {{"x", "1"}}), first);
  EXPECT_NE(*registry.GetCounter("a_total", "", {{"x", "2"}}), first);
}

TEST(MetricsRegistryTest, RefusesWhatPrometheusWouldNotRead) {
  MetricsRegistry registry;
  const auto message = [](const auto& result) { return std::string(result.status().message()); };
  EXPECT_THAT(message(registry.GetCounter("a-b_total", "", {})), HasSubstr("a-b_total"));
  EXPECT_THAT(message(registry.GetCounter("a", "", {})), HasSubstr("_total"));
  EXPECT_THAT(message(registry.GetCounter("a_total", "", {{"0x", ""}})), HasSubstr("'0x'"));
  EXPECT_THAT(message(registry.GetCounter("a_total", "", {{"le", ""}})), HasSubstr("'le'"));
  const std::vector<double> falling = {2, 1};
  EXPECT_THAT(message(registry.GetHistogram("h", "", {}, falling)), HasSubstr("bound 1"));
  const std::vector<double> infinite = {std::numeric_limits<double>::infinity()};
  EXPECT_THAT(message(registry.GetHistogram("h", "", {}, infinite)), HasSubstr("+Inf"));
  ASSERT_TRUE(registry.GetHistogram("h_total", "", {}, kBounds).ok());
  EXPECT_EQ(registry.GetCounter("h_total", "", {}).status().code(),
            absl::StatusCode::kAlreadyExists);
}

TEST(MetricsRegistryTest, LosesNoCountAndTearsNoExemplarUnderThreads) {
  MetricsRegistry registry;
  Histogram& seconds = **registry.GetHistogram("h", "", {}, kBounds);
  constexpr int kThreads = 4;
  constexpr int kRounds = 5000;
  std::vector<std::thread> threads;
  for (std::uint8_t t = 1; t <= kThreads; ++t) {
    threads.emplace_back([&seconds, t] {
      RunId trace;
      trace.bytes.fill(t);
      for (int i = 0; i < kRounds; ++i) {
        seconds.Record(t * 0.125, trace, std::chrono::system_clock::time_point());
        const Histogram::Exemplar seen = seconds.buckets()[1].exemplar;
        if (seen.trace.IsNil()) continue;
        for (const std::uint8_t byte : seen.trace.bytes) ASSERT_EQ(byte * 0.125, seen.value);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(seconds.buckets()[1].count, std::uint64_t{kThreads} * kRounds);
  EXPECT_EQ(seconds.sum(), kRounds * 0.125 * (1 + 2 + 3 + 4));
}

}  // namespace
}  // namespace weft
