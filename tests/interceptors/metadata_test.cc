// SPDX-License-Identifier: Apache-2.0
#include <random>
#include <string>

#include <gtest/gtest.h>

#include "echo_client.h"
#include "fixture.h"
#include "recorder.h"

namespace weft::echo_test {
namespace {

TEST(MetadataProblemTest, NamesWhatGrpcWouldNotSurvive) {
  EXPECT_STREQ(MetadataProblem("", "v"), "empty-key");
  for (const char* key : {"Upper", "with space", ":pseudo", "k\xc3\xa4", "k\n", "k=v"}) {
    EXPECT_STREQ(MetadataProblem(key, "v"), "bad-key") << key;
  }
  for (const char* key : {"grpc-timeout", "te", "content-type", "host", "user-agent"}) {
    EXPECT_STREQ(MetadataProblem(key, "v"), "reserved-key") << key;
  }
  for (const char* value : {"\n", "a\tb", "\xc3\xa4", "\x7f", "seven bytes then\x01", "\r\nx: y"}) {
    EXPECT_STREQ(MetadataProblem("key", value), "bad-value") << value;
  }
  EXPECT_STREQ(MetadataProblem("key", std::string_view("a\0b", 3)), "bad-value");
  EXPECT_EQ(MetadataProblem("key-_.0", " ~!all printable, long enough to be read in words "),
            nullptr);
  EXPECT_EQ(MetadataProblem("key", ""), nullptr);
  EXPECT_EQ(MetadataProblem("key-bin", std::string_view("\0\xff\n", 3)), nullptr);
  EXPECT_STREQ(MetadataProblem("-bin", "\xff"), "bad-value");
}

TEST(MetadataProblemTest, FindsABadByteAtEveryPlace) {
  for (std::size_t size = 1; size < 40; ++size) {
    for (std::size_t at = 0; at < size; ++at) {
      for (const char bad : {'\x00', '\x1f', '\x7f', '\x80', '\xff'}) {
        std::string value(size, 'v');
        value[at] = bad;
        EXPECT_STREQ(MetadataProblem("key", value), "bad-value") << size << ' ' << at;
      }
      for (const char good : {' ', '~'}) {
        std::string value(size, 'v');
        value[at] = good;
        EXPECT_EQ(MetadataProblem("key", value), nullptr) << size << ' ' << at;
      }
    }
  }
}

TEST(MetadataWriterTest, KeepsWithinItsLimit) {
  MetadataWriter::Map map;
  MetadataWriter writer(map, 100);
  EXPECT_TRUE(writer.Add("a", "1"));
  EXPECT_EQ(writer.Room(), 66u);
  EXPECT_FALSE(writer.Add("b", std::string(34, 'x')));
  EXPECT_TRUE(writer.Add("b", std::string(33, 'x')));
  EXPECT_EQ(writer.Room(), 0u);
  EXPECT_EQ(writer.Remove("a"), 1u);
  EXPECT_EQ(writer.Get("a"), std::nullopt);
  EXPECT_EQ(writer.Get("b"), std::string(33, 'x'));
}

/// Writes random pairs wherever a middleware may write.
class Chaos : public EchoTest {
 protected:
  static constexpr int kCalls = 600;
  static constexpr int kPairs = 6;  // on each of three ways: more than 10,000 in all

  std::string RandomText(std::size_t most) {
    std::string text(std::uniform_int_distribution<std::size_t>(0, most)(random_), '\0');
    // Half of the texts from what is nearly right, so that not all are refused.
    const bool wild = std::bernoulli_distribution(0.5)(random_);
    constexpr std::string_view kTame = "abcdefghijklmnopqrstuvwxyz0123456789-_.";
    for (char& c : text) {
      c = wild ? static_cast<char>(std::uniform_int_distribution<int>(0, 255)(random_))
               : kTame[std::uniform_int_distribution<std::size_t>(0, kTame.size() - 1)(random_)];
    }
    return text;
  }

  void Scatter(MetadataWriter& metadata) {
    const std::lock_guard lock(mutex_);
    for (int i = 0; i < kPairs; ++i) {
      std::string key = RandomText(12);
      if (std::bernoulli_distribution(0.2)(random_)) key += "-bin";
      (metadata.Add(key, RandomText(60)) ? sent_ : refused_) += 1;
    }
  }

  std::mutex mutex_;
  std::mt19937 random_{20261121};
  int sent_ = 0;
  int refused_ = 0;
};

TEST_F(Chaos, RandomMetadataInBothDirectionsFailsNoCall) {
  auto chaos = std::make_shared<Hooks>();
  chaos->on_send = [this](Call&, MetadataWriter& metadata) { Scatter(metadata); };
  chaos->on_send_trailers = [this](Call&, MetadataWriter& metadata) { Scatter(metadata); };
  Serve(Flavour::kSync, {.tracer = tracer_, .middlewares = {chaos}},
        {.tracer = tracer_, .middlewares = {chaos}});
  for (int i = 0; i < kCalls; ++i) {
    grpc::ClientContext context;
    const grpc::Status status = CallSync(RpcKind::kUnary, channel_, context);
    ASSERT_TRUE(status.ok()) << i << ": " << status.error_message();
  }
  EXPECT_GT(sent_, 1000);
  EXPECT_GT(refused_, 1000);
  EXPECT_EQ(sent_ + refused_, 3 * kCalls * kPairs);
}

}  // namespace
}  // namespace weft::echo_test
