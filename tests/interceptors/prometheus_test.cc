// SPDX-License-Identifier: Apache-2.0
#include <map>
#include <memory>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <weft/interceptors/metrics.h>
#include <weft/interceptors/prometheus.h>
#include <weft/testing/ping_client.h>
#include <weft/testing/ping_server.h>

namespace weft {
namespace {

using ::testing::Contains;
using ::testing::IsEmpty;
using ::testing::Pair;

std::string Serialized(const prometheus::Collectable& collectable) {
  return prometheus::TextSerializer().Serialize(collectable.Collect());
}

/// What the lines of a text say: types and help as they are, values by name and labels.
struct Content {
  std::set<std::string> about;
  std::map<std::string, double> values;
};

Content ContentOf(const std::string& text) {
  Content content;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with('#')) {
      content.about.insert(line);
      continue;
    }
    const std::size_t end = line.rfind(' ');
    if (end == line.npos) throw std::runtime_error("no value: " + line);
    content.values.emplace(line.substr(0, end), std::stod(line.substr(end + 1)));
  }
  return content;
}

TEST(PrometheusCollectableTest, SaysWhatTheRegistrySays) {
  const auto registry = std::make_shared<MetricsRegistry>();
  (*registry->GetCounter("jobs_total", "Jobs.", {{"kind", "a\"b\\c\nd"}, {"zone", "1"}}))->Add(2);
  (*registry->GetCounter("jobs_total", "Jobs.", {{"kind", "mail"}, {"zone", "2"}}))->Add(7);
  constexpr double kBounds[] = {0.1, 1, 2.5};
  Histogram& seconds = **registry->GetHistogram("took_seconds", "Time.", {{"m", "x"}}, kBounds);
  for (const double value : {0.05, 0.1, 0.5, 7.0}) seconds.Record(value);

  const Content theirs = ContentOf(Serialized(PrometheusCollectable(registry)));
  EXPECT_EQ(theirs.about, ContentOf(registry->Prometheus()).about);
  EXPECT_EQ(theirs.values, ContentOf(registry->Prometheus()).values);
  EXPECT_THAT(theirs.values, Contains(Pair("took_seconds_bucket{m=\"x\",le=\"+Inf\"}", 4)));
}

TEST(PrometheusCollectableTest, AnEmptyRegistryHasNoFamilies) {
  EXPECT_THAT(PrometheusCollectable(std::make_shared<MetricsRegistry>()).Collect(), IsEmpty());
}

TEST(PrometheusCollectableTest, ServesWhatMetricsCounted) {
  const auto registry = std::make_shared<MetricsRegistry>();
  auto server = testing::PingServer::Start({.interceptors = {.middlewares = {Metrics(registry)}}});
  ASSERT_TRUE(server.ok());
  grpc::ClientContext context;
  ASSERT_TRUE(
      testing::Ping(testing::ClientFlavour::kSync, RpcKind::kUnary, (*server)->Connect(), context)
          .ok());
  (*server)->Shutdown();
  const Content theirs = ContentOf(Serialized(PrometheusCollectable(registry)));
  EXPECT_EQ(theirs.values, ContentOf(registry->Prometheus()).values);
  EXPECT_THAT(theirs.values,
              Contains(Pair("grpc_server_handled_total{grpc_type=\"unary\",grpc_service="
                            "\"weft.ping.v1.Ping\",grpc_method=\"Unary\",grpc_code=\"OK\"}",
                            1)));
}

}  // namespace
}  // namespace weft
