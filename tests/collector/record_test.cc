// SPDX-License-Identifier: Apache-2.0
#include <weft/collector/record.h>

#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zstd.h>

#include "storage_support.h"

namespace weft::collector {
namespace {

RecordHeader ManyKinds() {
  RecordHeader header;
  header.receiver = Receiver::kOtlp;
  header.coding = PayloadCoding::kZstd;
  header.decoded_size = 1000;
  header.received_us = 1'789'000'000'000'001;
  header.key_id = 0xFEDCBA9876543210;
  RunOp root{.run_id = IdOf(1), .trace_id = IdOf(1), .is_root = true, .project = "research"};
  root.parts = {{.field = PartField::kRun, .offset = 0, .length = 100},
                {.field = PartField::kInputs, .offset = 300, .length = 50},
                {.field = PartField::kOutputs, .offset = 100, .length = 0}};
  RunOp child{.kind = OpKind::kPatch, .run_id = IdOf(2), .trace_id = IdOf(1), .has_error = true};
  child.project = "research";
  child.parts = {{.field = PartField::kAttachment,
                  .offset = 990,
                  .length = 10,
                  .name = "picture no. 1",
                  .mime_type = "image/png"}};
  RunOp other{.run_id = IdOf(3), .trace_id = IdOf(9), .keep = true, .project = "другой"};
  RunOp lone{.kind = OpKind::kPatch, .run_id = IdOf(4)};
  RunOp feedback{.kind = OpKind::kFeedback, .run_id = IdOf(3), .trace_id = IdOf(9)};
  RunOp span{.run_id = IdOf(5), .trace_id = IdOf(9), .otel_trace_id = IdOf(6)};
  span.parts = {{.field = PartField::kSpan, .offset = 500, .length = 80},
                {.field = PartField::kResource, .offset = 400, .length = 20},
                {.field = PartField::kScope, .offset = 425, .length = 5}};
  RunOp root_span{.run_id = IdOf(7), .trace_id = IdOf(7), .child_run_id = IdOf(8)};
  root_span.child_run_id.bytes[0] = 0;
  root_span.is_root = true;
  header.ops = {root, child, other, lone, feedback, span, root_span};
  return header;
}

TEST(RecordHeaderTest, ReadsBackWhatWasWritten) {
  absl::StatusOr<RecordHeader> read = RecordHeader::Decode(ManyKinds().Encode());
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(*read, ManyKinds());
}

TEST(RecordHeaderTest, TakesFewBytesAnOperation) {
  RecordHeader header;
  header.decoded_size = 200'000;
  for (std::uint64_t i = 0; i < 100; ++i) {
    RunOp op{.run_id = IdOf(i), .trace_id = IdOf(0), .project = "default"};
    for (std::uint64_t part = 0; part < 4; ++part) {
      op.parts.push_back({.field = static_cast<PartField>(part),
                          .offset = 2000 * i + 500 * part + 200,
                          .length = 300});
    }
    header.ops.push_back(op);
  }
  EXPECT_LE(header.Encode().size() / 100, 45u);
}

TEST(RecordHeaderTest, EveryPrefixIsAnError) {
  std::string bytes = ManyKinds().Encode();
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_EQ(RecordHeader::Decode(std::string_view(bytes).substr(0, size)).status().code(),
              absl::StatusCode::kDataLoss)
        << size;
  }
}

TEST(RecordHeaderTest, MoreThanTheHeaderIsAnError) {
  EXPECT_FALSE(RecordHeader::Decode(ManyKinds().Encode() + '\0').ok());
}

TEST(RecordHeaderTest, APartBeyondThePayloadIsAnError) {
  RecordHeader header = ManyKinds();
  header.ops[1].parts[0].length = 11;
  EXPECT_FALSE(RecordHeader::Decode(header.Encode()).ok());
  header.ops[1].parts[0] = {.field = PartField::kRun, .offset = ~0ull - 5, .length = 10};
  EXPECT_FALSE(RecordHeader::Decode(header.Encode()).ok());
}

TEST(RecordHeaderTest, HostileBytesGiveAnErrorOrAHeaderWithinItsBounds) {
  std::mt19937_64 random(7);
  const std::string good = ManyKinds().Encode();
  int accepted = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::string bytes = good;
    for (std::uint64_t n = random() % 4 + 1; n > 0; --n) {
      bytes[random() % bytes.size()] = static_cast<char>(random());
    }
    absl::StatusOr<RecordHeader> read = RecordHeader::Decode(bytes);
    if (!read.ok()) continue;
    ++accepted;
    for (const RunOp& op : read->ops) {
      for (const Part& part : op.parts) {
        ASSERT_LE(part.offset, read->decoded_size);
        ASSERT_LE(part.length, read->decoded_size - part.offset);
      }
    }
  }
  EXPECT_GT(accepted, 0);  // the ids alone may be anything
}

TEST(RecordTest, TakesThePayloadOutOfItsZstdFrame) {
  std::string text(5000, 'x');
  Record record;
  record.header.coding = PayloadCoding::kZstd;
  record.header.decoded_size = text.size();
  record.payload.resize(ZSTD_compressBound(text.size()));
  record.payload.resize(
      ZSTD_compress(record.payload.data(), record.payload.size(), text.data(), text.size(), 1));
  absl::StatusOr<std::string> decoded = record.Decoded();
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  EXPECT_EQ(*decoded, text);

  record.header.decoded_size -= 1;
  EXPECT_EQ(record.Decoded().status().code(), absl::StatusCode::kDataLoss);
  record.header.decoded_size = 1ull << 50;
  EXPECT_EQ(record.Decoded().status().code(), absl::StatusCode::kDataLoss);
}

TEST(RecordTest, APayloadAsItIsMustHaveItsSize) {
  Record record;
  record.payload = "abc";
  record.header.decoded_size = 3;
  EXPECT_EQ(*record.Decoded(), "abc");
  record.header.decoded_size = 4;
  EXPECT_FALSE(record.Decoded().ok());
}

}  // namespace
}  // namespace weft::collector
