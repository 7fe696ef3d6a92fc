// SPDX-License-Identifier: Apache-2.0
#include <fstream>

#include <gtest/gtest.h>

#include "storage_support.h"

namespace weft::collector {
namespace {

TEST(CursorTest, StartsWhereItIsToldAndRemembersWhereItWas) {
  TemporaryDirectory directory;
  absl::StatusOr<Cursor> cursor = Cursor::Load(directory.path(), "langsmith", {7, 64, 9});
  ASSERT_TRUE(cursor.ok()) << cursor.status();
  EXPECT_EQ(cursor->position().seq, 9u);
  ASSERT_TRUE(cursor->Save({70, 640, 90}).ok());
  ASSERT_TRUE(cursor->Save({71, 641, 91}).ok());

  absl::StatusOr<Cursor> again = Cursor::Load(directory.path(), "langsmith", {});
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->position().segment, 71u);
  EXPECT_EQ(again->position().offset, 641u);
  EXPECT_EQ(again->position().seq, 91u);
  EXPECT_EQ(Cursor::Load(directory.path(), "other", {1, 64, 2})->position().seq, 2u);
}

TEST(CursorTest, AFileThatIsNoCursorMeansTheStart) {
  TemporaryDirectory directory;
  ASSERT_TRUE(Cursor::Load(directory.path(), "file", {})->Save({1, 2, 3}).ok());
  std::ofstream(directory.path() / "cursors" / "file") << "weft-cursor 1 99";
  absl::StatusOr<Cursor> cursor = Cursor::Load(directory.path(), "file", {5, 64, 6});
  ASSERT_TRUE(cursor.ok()) << cursor.status();
  EXPECT_EQ(cursor->position().segment, 5u);
  EXPECT_EQ(cursor->position().seq, 6u);
}

TEST(CursorTest, TheErrorNamesTheFile) {
  TemporaryDirectory directory;
  std::ofstream(directory.path() / "cursors") << "no directory";
  absl::StatusOr<Cursor> cursor = Cursor::Load(directory.path(), "file", {});
  EXPECT_NE(cursor.status().ToString().find((directory.path() / "cursors").native()),
            std::string::npos)
      << cursor.status();
}

}  // namespace
}  // namespace weft::collector
