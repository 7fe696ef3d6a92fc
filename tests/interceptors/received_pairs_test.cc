// SPDX-License-Identifier: Apache-2.0
#include "received_pairs.h"

#include <array>
#include <iterator>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

namespace weft::internal {
namespace {

// Of few letters, so that many are equal or begin alike; some are empty, some end in bytes above
// 127.
std::string SomeKey(std::minstd_rand& random) {
  constexpr std::string_view kLetters = "ab\xff";
  std::string key;
  for (auto left = random() % 4; left != 0; --left) key += kLetters[random() % kLetters.size()];
  return key;
}

TEST(ReceivedPairsTest, FindsWhatTheMapFinds) {
  std::minstd_rand random(1);
  for (int round = 0; round < 20'000; ++round) {
    std::vector<std::string> keys;
    for (auto left = random() % 24; left != 0; --left) keys.push_back(SomeKey(random));
    MetadataView::Map map;
    for (const std::string& key : keys) map.emplace(key, key);
    const std::string name = SomeKey(random);

    const ReceivedPairs pairs = PairsOf(map, name);
    const auto [first, last] = map.equal_range(name);
    ASSERT_EQ(pairs.count, static_cast<std::size_t>(std::distance(first, last))) << round;
    if (pairs.count != 0) {
      EXPECT_TRUE(pairs.first == first) << round;
    }
  }
}

}  // namespace
}  // namespace weft::internal
