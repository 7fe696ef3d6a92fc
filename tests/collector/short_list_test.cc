// SPDX-License-Identifier: Apache-2.0
#include <weft/collector/short_list.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <weft/collector/record.h>

namespace weft::collector {
namespace {

using ::testing::ElementsAre;
using ::testing::ElementsAreArray;
using ::testing::IsEmpty;
using List = ShortList<std::string, 3>;

// A vector of operations grows by moving them.
static_assert(std::is_nothrow_move_constructible_v<PartList>);
static_assert(std::is_nothrow_move_assignable_v<PartList>);

std::string Text(std::size_t i) {
  return "a text that is too long to lie in a string " + std::to_string(i);
}

List ListOf(std::size_t size) {
  List list;
  for (std::size_t i = 0; i < size; ++i) list.push_back(Text(i));
  return list;
}

std::vector<std::string> VectorOf(std::size_t size) {
  std::vector<std::string> texts;
  for (std::size_t i = 0; i < size; ++i) texts.push_back(Text(i));
  return texts;
}

bool LiesIn(const List& list) {
  const auto* const at = reinterpret_cast<const char*>(list.data());
  const auto* const begin = reinterpret_cast<const char*>(&list);
  return at >= begin && at < begin + sizeof(list);
}

TEST(ShortListTest, HasItsElementsWhateverTheirNumber) {
  for (std::size_t size = 0; size < 10; ++size) {
    const List list = ListOf(size);
    EXPECT_THAT(list, ElementsAreArray(VectorOf(size)));
    EXPECT_EQ(list.size(), size);
    EXPECT_EQ(list.empty(), size == 0);
    EXPECT_EQ(LiesIn(list), size <= 3) << size;
    if (size == 0) continue;
    EXPECT_EQ(list.front(), Text(0));
    EXPECT_EQ(list.back(), Text(size - 1));
    EXPECT_EQ(list.at(size - 1), list[size - 1]);
    EXPECT_THROW(static_cast<void>(list.at(size)), std::out_of_range);
  }
}

TEST(ShortListTest, CopiesAndMovesBetweenFewAndMany) {
  for (std::size_t from = 0; from < 6; ++from) {
    for (std::size_t to = 0; to < 6; ++to) {
      List target = ListOf(to);
      List source = ListOf(from);
      target = source;
      EXPECT_EQ(target, source);
      target = ListOf(to);
      target = std::move(source);
      EXPECT_THAT(target, ElementsAreArray(VectorOf(from)));
      EXPECT_THAT(source, IsEmpty());  // NOLINT(bugprone-use-after-move): it is a promise.
      source.push_back("again");
      EXPECT_THAT(source, ElementsAre("again"));
      const List made(std::move(target));
      EXPECT_THAT(made, ElementsAreArray(VectorOf(from)));
    }
  }
}

TEST(ShortListTest, NewElementsOfAnotherSizeAreEmpty) {
  for (std::size_t from = 0; from < 6; ++from) {
    for (std::size_t to = 0; to < 6; ++to) {
      List list = ListOf(from);
      list.resize(to);
      std::vector<std::string> expected = VectorOf(from);
      expected.resize(to);
      EXPECT_THAT(list, ElementsAreArray(expected));
      list.resize(from);
      expected.resize(from);
      EXPECT_THAT(list, ElementsAreArray(expected));
    }
  }
}

TEST(ShortListTest, ElementsOfAListThatWasMovedFromDoNotComeBack) {
  ShortList<int, 3> list = {1, 2, 3};
  const ShortList<int, 3> other = std::move(list);
  list.resize(2);  // NOLINT(bugprone-use-after-move): it is a promise.
  EXPECT_THAT(list, ElementsAre(0, 0));
}

TEST(ShortListTest, ErasesARange) {
  for (std::size_t size = 0; size < 6; ++size) {
    for (std::size_t first = 0; first <= size; ++first) {
      for (std::size_t last = first; last <= size; ++last) {
        List list = ListOf(size);
        list.erase(list.begin() + first, list.begin() + last);
        std::vector<std::string> expected = VectorOf(size);
        expected.erase(expected.begin() + static_cast<std::ptrdiff_t>(first),
                       expected.begin() + static_cast<std::ptrdiff_t>(last));
        EXPECT_THAT(list, ElementsAreArray(expected));
      }
    }
  }
}

TEST(ShortListTest, ListsOfOtherLengthsAreNotEqual) {
  EXPECT_EQ(ListOf(4), ListOf(4));
  EXPECT_FALSE(ListOf(3) == ListOf(4));
  EXPECT_FALSE(ListOf(0) == ListOf(1));
}

TEST(ShortListTest, ASpanOfALogHasNoAllocationForItsParts) {
  RunOp op;
  op.parts = {
      {.field = PartField::kSpan}, {.field = PartField::kResource}, {.field = PartField::kScope}};
  const auto* const at = reinterpret_cast<const char*>(op.parts.data());
  const auto* const begin = reinterpret_cast<const char*>(&op);
  EXPECT_TRUE(at >= begin && at < begin + sizeof(op));
}

}  // namespace
}  // namespace weft::collector
