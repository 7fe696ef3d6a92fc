// SPDX-License-Identifier: Apache-2.0
#include "text.h"

#include <clocale>

#include <gtest/gtest.h>

namespace weft::cli {
namespace {

class TextTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { std::setlocale(LC_CTYPE, "C.UTF-8"); }
};

TEST_F(TextTest, EscapesWhatDrivesATerminal) {
  EXPECT_EQ(EscapeControls("plan\x1b[31m\r\n\x07"), "plan\\x1b[31m\\x0d\\x0a\\x07");
  EXPECT_EQ(EscapeControls("\x7f"), "\\x7f");
  EXPECT_EQ(EscapeControls("\u009b31m"), "\\u009b31m");
  EXPECT_EQ(EscapeControls("a\u202egpj.exe"), "a\\u202egpj.exe");
}

TEST_F(TextTest, LeavesOtherTextAlone) {
  EXPECT_EQ(EscapeControls("Grüße, 世界 🎉 'quoted' \\ back"), "Grüße, 世界 🎉 'quoted' \\ back");
}

TEST_F(TextTest, ShowsBytesThatAreNoUtf8) {
  EXPECT_EQ(EscapeControls("\xff\xc0\xaf"), "\\xff\\xc0\\xaf");
  EXPECT_EQ(EscapeControls("\xed\xa0\x80"), "\\xed\\xa0\\x80");  // A surrogate.
  EXPECT_EQ(EscapeControls("end\xe4\xb8"), "end\\xe4\\xb8");
}

TEST_F(TextTest, KeepsJsonTheSameValueWhenItEscapes) {
  EXPECT_EQ(EscapeJsonForTerminal("{\"a\":\"x\u009by\x7f\"}"), "{\"a\":\"x\\u009by\\u007f\"}");
}

TEST_F(TextTest, CountsColumnsNotBytes) {
  EXPECT_EQ(DisplayWidth("Grüße"), 5u);
  EXPECT_EQ(DisplayWidth("世界"), 4u);
}

TEST_F(TextTest, CutsBetweenCharacters) {
  EXPECT_EQ(Truncate("Grüße aus Bonn", 6, "…"), "Grüße…");
  EXPECT_EQ(Truncate("世界地図", 5, "…"), "世界…");
  EXPECT_EQ(Truncate("short", 5, "…"), "short");
}

TEST_F(TextTest, Pads) {
  EXPECT_EQ(PadRight("ü", 3), "ü  ");
  EXPECT_EQ(PadLeft("7", 3), "  7");
  EXPECT_EQ(PadLeft("1234", 3), "1234");
}

TEST_F(TextTest, FormatsDurationsWithThreeDigits) {
  EXPECT_EQ(FormatDuration(0), "0 us");
  EXPECT_EQ(FormatDuration(850), "850 us");
  EXPECT_EQ(FormatDuration(1'234), "1.23 ms");
  EXPECT_EQ(FormatDuration(61'250), "61.2 ms");
  EXPECT_EQ(FormatDuration(1'240'000), "1.24 s");
  EXPECT_EQ(FormatDuration(200'000'000), "3 min 20 s");
}

TEST_F(TextTest, GroupsDigits) {
  EXPECT_EQ(FormatCount(7), "7");
  EXPECT_EQ(FormatCount(1'234'567), "1,234,567");
  EXPECT_EQ(FormatCount(-123'456), "-123,456");
}

TEST_F(TextTest, ShowsSmallCostsToTheirSecondDigit) {
  EXPECT_EQ(FormatCost(0), "$0.0000");
  EXPECT_EQ(FormatCost(1.25), "$1.2500");
  EXPECT_EQ(FormatCost(0.0001), "$0.0001");
  EXPECT_EQ(FormatCost(0.0000123), "$0.000012");
  EXPECT_EQ(FormatCost(1e-300), "$0.00000000000000000000");
}

}  // namespace
}  // namespace weft::cli
