// SPDX-License-Identifier: Apache-2.0
#include "langsmith/multipart.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace weft::collector {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

using ::testing::Pair;

struct Read {
  std::vector<std::pair<std::string, std::string>> parts;  ///< Name, content.
  std::vector<std::string> types;
  std::string error;
};

Read ReadAll(std::string_view body, std::string_view boundary = "B") {
  Read read;
  MultipartReader reader(body, boundary);
  FormPart part;
  while (reader.Next(&part)) {
    read.parts.emplace_back(UnescapedName(part.name), part.content);
    read.types.emplace_back(part.content_type);
  }
  read.error = std::string(reader.status().message());
  return read;
}

std::string PartText(std::string_view name, std::string_view lines, std::string_view content) {
  return "--B\r\nContent-Disposition: form-data; name=\"" + std::string(name) + "\"\r\n" +
         std::string(lines) + "\r\n" + std::string(content) + "\r\n";
}

TEST(MultipartTest, FindsTheBoundaryQuotedOrNot) {
  EXPECT_EQ(*MultipartBoundary("multipart/form-data; boundary=----Form17"), "----Form17");
  EXPECT_EQ(*MultipartBoundary("multipart/form-data;charset=x; Boundary=\"a;b c\""), "a;b c");
  EXPECT_THAT(std::string(MultipartBoundary("multipart/form-data").status().message()),
              HasSubstr("boundary"));
  EXPECT_FALSE(MultipartBoundary("multipart/form-data; boundary=" + std::string(201, 'x')).ok());
}

TEST(MultipartTest, ReadsPartsInOrder) {
  const auto read =
      ReadAll(PartText("post.1", "", "{}") + PartText("post.1.inputs", "", "[1]") + "--B--\r\n");
  EXPECT_EQ(read.error, "");
  EXPECT_THAT(read.parts, ElementsAre(Pair("post.1", "{}"), Pair("post.1.inputs", "[1]")));
}

TEST(MultipartTest, TakesDeclaredLengthsOverBoundaryLookAlikes) {
  const std::string tricky = "a\r\n--B\r\nContent-Disposition: form-data; name=\"x\"\r\n\r\n--B--";
  const std::string length = std::to_string(tricky.size());
  for (const std::string& lines :
       {"Content-Length: " + length + "\r\n", "Content-Type: image/png; length=" + length + "\r\n",
        "content-type: text/plain; charset=utf-8; length=" + length +
            "\r\nContent-Length: " + length + "\r\n"}) {
    const auto read = ReadAll(PartText("attachment.1.a", lines, tricky) + "--B--");
    EXPECT_EQ(read.error, "") << lines;
    EXPECT_THAT(read.parts, ElementsAre(Pair("attachment.1.a", tricky)));
  }
}

TEST(MultipartTest, NamesThePartWhoseLengthIsWrong) {
  for (const char* lines :
       {"Content-Length: 3\r\n", "Content-Length: 1\r\n", "Content-Length: 99999\r\n",
        "Content-Length: two\r\n", "Content-Length: -2\r\n",
        "Content-Type: x/y; length=2\r\nContent-Length: 3\r\n",
        "Content-Length: 18446744073709551615\r\n"}) {
    const auto read =
        ReadAll(PartText("first", "", "{}") + PartText("second", lines, "{}") + "--B--");
    EXPECT_THAT(read.parts, ElementsAre(Pair("first", "{}"))) << lines;
    EXPECT_THAT(read.error, HasSubstr("'second'")) << lines;
  }
}

TEST(MultipartTest, ReadsNamesAsSdksWriteThem) {
  const auto read = ReadAll(PartText("attachment.1.größe 測試", "", "a") +
                            PartText("attachment.1.semi;colon", "", "b") +
                            PartText("attachment.1.a\"b", "", "c") +
                            PartText(R"(attachment.1.a\\b\"c)", "", "d") + "--B--");
  EXPECT_EQ(read.error, "");
  EXPECT_THAT(
      read.parts,
      ElementsAre(Pair("attachment.1.größe 測試", "a"), Pair("attachment.1.semi;colon", "b"),
                  Pair("attachment.1.a\"b", "c"), Pair("attachment.1.a\\b\"c", "d")));
}

TEST(MultipartTest, ReadsWhatRfc7578Allows) {
  const auto read = ReadAll(
      "a preamble\r\n--B  \r\ncontent-disposition:form-data;filename=\"f\";name=plain\r\n"
      "X-Other: 1\r\n\r\nvalue\r\n--B\r\nContent-Disposition: form-data; name=\"empty\"\r\n\r\n"
      "\r\n--B\r\nContent-Disposition: form-data; name=\"none\"\r\n\r\n--B--\r\nan epilogue");
  EXPECT_EQ(read.error, "");
  EXPECT_THAT(read.parts, ElementsAre(Pair("plain", "value"), Pair("empty", ""), Pair("none", "")));
}

TEST(MultipartTest, RefusesBodiesThatEndEarly) {
  const std::string whole =
      PartText("a", "Content-Length: 2\r\n", "{}") + PartText("b", "", "xy") + "--B--";
  EXPECT_EQ(ReadAll(whole).error, "");
  for (std::size_t size = 0; size < whole.size(); ++size) {
    EXPECT_NE(ReadAll(whole.substr(0, size)).error, "") << size;
  }
}

TEST(MultipartTest, RefusesHeadersThatNameNothing) {
  EXPECT_THAT(ReadAll("--B\r\n\r\nx\r\n--B--").error, HasSubstr("part 1"));
  EXPECT_THAT(ReadAll("--B\r\nContent-Disposition: form-data\r\n\r\nx\r\n--B--").error,
              HasSubstr("name"));
  EXPECT_THAT(ReadAll("--B\r\nno colon\r\n\r\nx\r\n--B--").error, HasSubstr("colon"));
  EXPECT_THAT(ReadAll("--B\r\nX: " + std::string(20'000, 'x') + "\r\n\r\n--B--").error,
              HasSubstr("header"));
  EXPECT_THAT(ReadAll("nothing at all").error, HasSubstr("boundary"));
}

TEST(MultipartTest, TakesTheLengthOutOfAMediaType) {
  EXPECT_EQ(WithoutParameter("text/plain; charset=utf-8; length=11", "length"),
            "text/plain; charset=utf-8");
  EXPECT_EQ(WithoutParameter("image/png;length=5", "length"), "image/png");
  EXPECT_EQ(WithoutParameter("image/png", "length"), "image/png");
}

}  // namespace
}  // namespace weft::collector
