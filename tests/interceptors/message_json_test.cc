// SPDX-License-Identifier: Apache-2.0
#include "message_json.h"

#include <limits>
#include <memory>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "capture.pb.h"
#include "captured_call.h"
#include "message_content.h"

namespace weft {
namespace {

using capture_test::Document;
using internal::CompleteMessage;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr std::size_t kAttach = 8;

Document Example() {
  Document document;
  document.set_title("a title, h\xC3\xB6her");
  document.set_size(1LL << 60);
  document.set_score(0.5);
  document.set_colour(capture_test::BLUE);
  document.set_thumbnail("small");
  document.add_parts()->set_text("first");
  document.add_parts()->set_image("an image of some size");
  document.mutable_parts(1)->mutable_below()->set_text("below");
  (*document.mutable_notes())[7] = "seven";
  document.mutable_written_at()->set_seconds(1);
  document.set_is_public(true);
  for (const int number : {1, 300}) document.add_numbers(number);
  return document;
}

class MessageJsonTest : public ::testing::Test {
 protected:
  Json Write(const Document& document) {
    return internal::MessageToJson(document, kAttach, "request", attachments_);
  }
  std::vector<RunAttachment> attachments_;
};

TEST_F(MessageJsonTest, FollowsProtobufsMapping) {
  EXPECT_EQ(
      Write(Example()),
      (Json(JsonObject{
          {"title", "a title, h\xC3\xB6her"},
          {"size", "1152921504606846976"},
          {"score", 0.5},
          {"colour", "BLUE"},
          {"thumbnail", "c21hbGw="},
          {"parts",
           JsonArray{JsonObject{{"text", "first"}},
                     JsonObject{{"image", JsonObject{{"weft_attachment", "request_parts_1_image"},
                                                     {"bytes", std::size_t{21}}}},
                                {"below", JsonObject{{"text", "below"}}}}}},
          {"notes", JsonObject{{"7", "seven"}}},
          {"writtenAt", "1970-01-01T00:00:01Z"},
          {"isPublic", true},
          {"numbers", JsonArray{1, 300}},
      })));
  ASSERT_THAT(attachments_, SizeIs(1));
  EXPECT_EQ(attachments_[0].name, "request_parts_1_image");
  EXPECT_EQ(attachments_[0].content, "an image of some size");
}

TEST_F(MessageJsonTest, SaysWhatNumbersInJsonCannot) {
  Document document;
  document.set_score(std::numeric_limits<double>::quiet_NaN());
  EXPECT_EQ(Write(document), Json(JsonObject{{"score", "NaN"}}));
  document.set_score(-std::numeric_limits<double>::infinity());
  document.set_colour(static_cast<capture_test::Colour>(9));
  EXPECT_EQ(Write(document), Json(JsonObject{{"score", "-Infinity"}, {"colour", 9}}));
  EXPECT_EQ(Write(Document()), Json(JsonObject{}));
}

TEST_F(MessageJsonTest, CompletesMessagesThatWereCutAnywhere) {
  const Document whole = Example();
  const std::string wire = whole.SerializeAsString();
  for (std::size_t size = 0; size <= wire.size(); ++size) {
    Document cut;
    ASSERT_TRUE(cut.ParseFromString(CompleteMessage(wire.substr(0, size), *cut.descriptor())))
        << size;
    EXPECT_TRUE(whole.title().starts_with(cut.title())) << size;
    EXPECT_LE(cut.parts_size(), whole.parts_size()) << size;
  }
}

TEST_F(MessageJsonTest, ShowsTheBeginningOfTextThatWasCut) {
  Document document;
  document.add_parts()->set_text(std::string(100, 'x'));
  Document cut;
  const std::string start = document.SerializeAsString().substr(0, 50);
  ASSERT_TRUE(cut.ParseFromString(CompleteMessage(start, *cut.descriptor())));
  ASSERT_EQ(cut.parts_size(), 1);
  EXPECT_GT(cut.parts(0).text().size(), 40u);
}

TEST_F(MessageJsonTest, SurvivesBytesThatAreNoMessage) {
  for (const std::string bytes : {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "\x0b\x0b\x0b",
                                  "\x12\xff\xff\xff\xff\x0f", "\x3a\x05\x08"}) {
    EXPECT_LE(CompleteMessage(bytes, *Document::descriptor()).size(), bytes.size());
  }
  std::string deep = "\x1a\x7f";
  for (int i = 0; i < 3000; ++i) deep += "\x1a\xff\xff\x03";
  EXPECT_LE(CompleteMessage(deep, *capture_test::Part::descriptor()).size(), deep.size());
}

class CapturedAttachmentsTest : public ::testing::Test {
 protected:
  void Send(std::string title) {
    Document document;
    document.set_title(std::move(title));
    document.set_thumbnail("an image of some size");
    internal::MessageContent content(&document, /*is_bytes=*/false, &Document::default_instance());
    call_.Add({MessageView::Direction::kSent, sent_++, &content}, {});
  }
  std::vector<std::string> Attached(RunRecord record) const {
    call_.RenderInto(record, {});
    std::vector<std::string> names;
    for (const RunAttachment& attachment : record.attachments) names.push_back(attachment.name);
    return names;
  }
  static RunRecord Open() { return {}; }
  static RunRecord End(RunRecord::Operation operation) {
    RunRecord record;
    record.operation = operation;
    record.end = std::chrono::system_clock::time_point();
    return record;
  }

  static std::shared_ptr<const internal::MethodCapture> Method() {
    return internal::MethodCapture::Of({.messages = true, .attach_bytes = kAttach},
                                       {.side = CallSide::kClient,
                                        .kind = RpcKind::kClientStream,
                                        .full_method = "/capture_test.Store/PutAll",
                                        .service = "capture_test.Store",
                                        .method = "PutAll",
                                        .target = {}});
  }
  internal::CapturedCall call_{Method()};
  std::uint64_t sent_ = 0;
};

TEST_F(CapturedAttachmentsTest, GoOutOnceWithARunThatIsSentWhileItIsOpen) {
  Send("first");
  Send("second");
  call_.SendsOpen();
  Send("third");
  EXPECT_THAT(Attached(Open()), ElementsAre("request_1_thumbnail", "request_2_thumbnail"));
  EXPECT_THAT(Attached(End(RunRecord::Operation::kPatch)), ElementsAre("request_3_thumbnail"));
}

TEST_F(CapturedAttachmentsTest, AllGoOutWithARunThatIsSentWhole) {
  Send("first");
  call_.SendsOpen();
  Send("second");
  EXPECT_THAT(Attached(End(RunRecord::Operation::kPost)),
              ElementsAre("request_1_thumbnail", "request_2_thumbnail"));
}

}  // namespace
}  // namespace weft
