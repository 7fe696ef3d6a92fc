// SPDX-License-Identifier: Apache-2.0
#include "header_index.h"

#include <array>
#include <cstddef>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

namespace weft::internal {
namespace {

std::string SomeLetters(std::minstd_rand& random, unsigned most) {
  constexpr std::string_view kLetters = "ab\xff";
  std::string letters;
  for (auto left = random() % (most + 1); left != 0; --left) {
    letters += kLetters[random() % kLetters.size()];
  }
  return letters;
}

// Of few letters, so that many are equal, begin alike or end alike; of all lengths that are found
// in different ways; some are empty, some end in bytes above 127.
std::string SomeKey(std::minstd_rand& random) {
  constexpr std::array<std::string_view, 4> kMiddles = {"", "x-api", "x-request-id",
                                                        "langsmith-tra"};
  return SomeLetters(random, 2)
      .append(kMiddles[random() % kMiddles.size()])
      .append(SomeLetters(random, 2));
}

std::vector<std::string_view> ValuesOf(const MetadataView& view, std::string_view key) {
  std::vector<std::string_view> values;
  view.ForEach(key, [&](std::string_view value) { values.push_back(value); });
  return values;
}

// With more pairs than an index takes, too.
TEST(HeaderIndexTest, FindsWhatTheMapFinds) {
  std::minstd_rand random(1);
  for (int round = 0; round < 20'000; ++round) {
    std::vector<std::string> keys;
    for (auto left = random() % 32; left != 0; --left) keys.push_back(SomeKey(random));
    std::vector<std::string> values;
    for (std::size_t i = 0; i < keys.size(); ++i) values.push_back(std::to_string(i));
    MetadataView::Map map;
    for (std::size_t i = 0; i < keys.size(); ++i) map.emplace(keys[i], values[i]);
    const std::string name = SomeKey(random);

    const HeaderIndex index(map);
    std::vector<std::string_view> expected;
    for (std::size_t i = 0; i < keys.size(); ++i) {
      if (keys[i] == name) expected.push_back(values[i]);
    }
    for (const MetadataView& view : {MetadataView(map), index.View()}) {
      ASSERT_EQ(ValuesOf(view, name), expected) << round;
      EXPECT_EQ(view.Get(name).has_value(), !expected.empty()) << round;
      if (!expected.empty()) {
        EXPECT_EQ(view.Get(name), expected.front()) << round;
      }
      EXPECT_EQ(view.GetOnly(name).has_value(), expected.size() == 1) << round;
    }
  }
}

}  // namespace
}  // namespace weft::internal
