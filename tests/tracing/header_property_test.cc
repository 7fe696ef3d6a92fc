// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <iostream>
#include <memory>
#include <random>
#include <string>
#include <string_view>

#include <gtest/gtest.h>

#include <weft/tracing/run_context.h>
#include <weft/tracing/trace_headers.h>

// fuzz/trace_headers_fuzz.cc: aborts when an input breaks a property.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

void Check(std::string_view input) {
  ASSERT_EQ(
      LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(input.data()), input.size()), 0);
}

class HeaderPropertyTest : public testing::Test {
 protected:
  // Printed first, because a broken property ends the program.
  HeaderPropertyTest() { std::cout << "seed " << seed_ << std::endl; }

  std::size_t Below(std::size_t limit) { return random_() % limit; }

  std::string RandomBytes(std::size_t longest) {
    std::string text(random_() % (longest + 1), '\0');
    for (char& c : text) c = static_cast<char>(random_());
    return text;
  }

  const std::uint32_t seed_ = std::random_device()();
  std::mt19937 random_{seed_};
};

TEST_F(HeaderPropertyTest, RandomBytesInEveryHeaderBreakNothing) {
  for (int i = 0; i < 80'000; ++i) {
    Check(RandomBytes(20) + "\n" + RandomBytes(30) + "\n" + RandomBytes(20) + "\n" +
          RandomBytes(10));
  }
}

TEST_F(HeaderPropertyTest, DamagedHeadersBreakNothing) {
  const std::string sound =
      "20260910T004640000001Z01a0b35e-7a00-7000-8000-000000000001."
      "20260910T004640005002Z01a0b35e-7a05-7000-8000-000000000002\n"
      "langsmith-metadata=%7B%22user%22%3A%22u-17%22%2C%22n%22%3A2%7D,langsmith-tags=grpc%2Cv1,"
      "langsmith-project=checkout-prod,userId=al%20ice;p\n"
      "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\nvendor=1,b@v=2";
  // Bytes that mean something somewhere, so that damage gets past the first check.
  constexpr std::string_view kMeaningful = "\n,=;%.-Z\"\\{}[]:\t \0e0\xFF\xC3";
  for (int i = 0; i < 20'000; ++i) {
    std::string damaged = sound;
    for (std::size_t cuts = 1 + Below(4); cuts > 0; --cuts) {
      const std::size_t at = Below(damaged.size());
      switch (Below(3)) {
        case 0:
          damaged[at] = kMeaningful[Below(kMeaningful.size())];
          break;
        case 1:
          damaged.erase(at, Below(3));
          break;
        default:
          damaged.insert(at, RandomBytes(3));
      }
    }
    Check(damaged);
  }
}

TEST_F(HeaderPropertyTest, WhateverARunHandsDownIsPrintableAndReadBack) {
  using weft::Json;
  const auto now = std::chrono::system_clock::now();
  for (int i = 0; i < 5'000; ++i) {
    auto baggage = std::make_shared<weft::TraceBaggage>();
    baggage->project = RandomBytes(20);
    for (std::size_t left = Below(4); left > 0; --left) {
      baggage->tags.push_back(RandomBytes(12));
      baggage->metadata[RandomBytes(8)] = Json(boost::json::string(RandomBytes(30)));
      baggage->foreign.emplace_back(RandomBytes(6), RandomBytes(12));
    }
    const auto run = weft::RunContext::Root(weft::RunId::New(now), now, baggage);
    const auto headers = weft::TraceHeaders::Of(run);
    for (const std::string& value :
         {headers.langsmith_trace, headers.baggage, headers.traceparent}) {
      ASSERT_TRUE(std::all_of(value.begin(), value.end(), [](char c) {
        return c >= 0x20 && c < 0x7f;
      })) << value;
    }
    const weft::ParsedHeaders back = headers.Parse();
    ASSERT_EQ(back.parent.id(), run.id());
    ASSERT_TRUE(back.problems.empty()) << headers.baggage;
    ASSERT_EQ(back.parent.baggage().metadata.empty(), baggage->metadata.empty());
  }
}

}  // namespace
