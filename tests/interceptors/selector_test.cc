// SPDX-License-Identifier: Apache-2.0
#include <stdexcept>
#include <string>

#include <gtest/gtest.h>

#include <weft/interceptors/interceptor_stats.h>
#include <weft/interceptors/selector.h>

namespace weft {
namespace {

TEST(SelectorTest, TakesEverythingByDefault) {
  EXPECT_TRUE(Selector().Selects("/a.B/C"));
  EXPECT_TRUE(Selector().Selects(""));
}

TEST(SelectorTest, MatchesGlobs) {
  const Selector service("/shop.Cart/*");
  EXPECT_TRUE(service.Selects("/shop.Cart/Add"));
  EXPECT_TRUE(service.Selects("/shop.Cart/"));
  EXPECT_FALSE(service.Selects("/shop.Cart"));
  EXPECT_FALSE(service.Selects("/shop.Carts/Add"));
  EXPECT_TRUE(Selector("*Cart/A?d").Selects("/shop.Cart/Add"));
  EXPECT_FALSE(Selector("*Cart/A?d").Selects("/shop.Cart/Ad"));
  EXPECT_TRUE(Selector("*a*b*").Selects("xxaxxaxxbxx"));
  EXPECT_FALSE(Selector("").Selects("/a"));
}

TEST(SelectorTest, MatchesAHostileGlobInBoundedTime) {
  std::string glob;
  for (int i = 0; i < 200; ++i) glob += "a*";
  EXPECT_FALSE(Selector(glob + "b").Selects(std::string(20000, 'a')));
}

TEST(SelectorTest, Combines) {
  const Selector some = Not(AnyOf({Health(), Reflection(), "/a.*"}));
  EXPECT_FALSE(some.Selects("/grpc.health.v1.Health/Check"));
  EXPECT_FALSE(some.Selects("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"));
  EXPECT_FALSE(some.Selects("/a.B/C"));
  EXPECT_TRUE(some.Selects("/b.A/C"));
  EXPECT_FALSE(ApplicationCalls().Selects("/weft.collector.v1.CollectorService/ExportStream"));
}

TEST(SelectorTest, CountsAPredicateThatThrows) {
  const auto before = GetInterceptorStats().hook_failures;
  const Selector broken =
      Selector::Matching([](std::string_view) -> bool { throw std::runtime_error("broken"); });
  EXPECT_FALSE(broken.Selects("/a.B/C"));
  EXPECT_EQ(GetInterceptorStats().hook_failures, before + 1);
}

}  // namespace
}  // namespace weft
