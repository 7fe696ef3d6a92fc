// SPDX-License-Identifier: Apache-2.0
#include <weft/tracing/run_id.h>

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cctype>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <set>
#include <string>
#include <thread>
#include <unordered_set>
#include <vector>

#include <gtest/gtest.h>

namespace weft {
namespace {

using std::chrono::milliseconds;
using std::chrono::system_clock;

static_assert(std::is_trivially_copyable_v<RunId>);
static_assert(std::is_nothrow_invocable_v<decltype(RunId::Parse), std::string_view>);

system_clock::time_point At(std::int64_t millis) {
  return system_clock::time_point(milliseconds(millis));
}

TEST(RunIdTest, NewIdsAreVersionSevenOfTheStart) {
  const std::string text = RunId::New(At(0x01a0b35e7a00)).ToString();
  EXPECT_EQ(text.substr(0, 15), "01a0b35e-7a00-7") << text;
  EXPECT_NE(std::string("89ab").find(text[19]), std::string::npos) << text;
}

TEST(RunIdTest, IdsOfOneMillisecondSortAsTheyWereMade) {
  std::vector<RunId> ids(1000);
  for (RunId& id : ids) id = RunId::New(At(1'789'000'000'000));
  EXPECT_TRUE(std::is_sorted(ids.begin(), ids.end()));
}

TEST(RunIdTest, EveryByteIsWrittenAsItsTwoDigits) {
  for (unsigned value = 0; value < 256; ++value) {
    RunId id;
    std::string expected;
    for (std::size_t i = 0; i < id.bytes.size(); ++i) {
      id.bytes[i] = static_cast<std::uint8_t>(value + 17 * i);
      if (i == 4 || i == 6 || i == 8 || i == 10) expected += '-';
      expected += "0123456789abcdef"[id.bytes[i] >> 4];
      expected += "0123456789abcdef"[id.bytes[i] & 15];
    }
    EXPECT_EQ(id.ToString(), expected);
  }
}

TEST(RunIdTest, TimesBeforeTheEpochAreTheEpoch) {
  EXPECT_EQ(RunId::New(At(-5)).ToString().substr(0, 14), "00000000-0000-");
}

TEST(RunIdTest, NoTwoThreadsMakeTheSameIdOrTheSameSpanId) {
  constexpr std::size_t kThreads = 8;
  constexpr std::size_t kEach = 20'000;
  std::vector<std::vector<RunId>> made(kThreads, std::vector<RunId>(kEach));
  std::vector<std::thread> threads;
  for (auto& ids : made) {
    threads.emplace_back([&ids] {
      for (RunId& id : ids) id = RunId::New(At(1'789'000'000'000));
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::unordered_set<RunId> all;
  std::set<std::string> span_ids;
  for (const auto& ids : made) {
    all.insert(ids.begin(), ids.end());
    for (const RunId& id : ids) span_ids.emplace(id.bytes.begin() + 8, id.bytes.end());
  }
  EXPECT_EQ(all.size(), kThreads * kEach);
  EXPECT_EQ(span_ids.size(), kThreads * kEach);
}

TEST(RunIdTest, AForkedProcessMakesOtherIds) {
  RunId::New(At(1));  // Seeds this thread.
  int pipe_ends[2];
  ASSERT_EQ(pipe(pipe_ends), 0);
  const pid_t child = fork();
  if (child == 0) {
    const RunId id = RunId::New(At(1));
    const auto written = write(pipe_ends[1], id.bytes.data(), id.bytes.size());
    _exit(written == static_cast<ssize_t>(id.bytes.size()) ? 0 : 1);
  }
  ASSERT_GT(child, 0);
  RunId of_child;
  ASSERT_EQ(read(pipe_ends[0], of_child.bytes.data(), of_child.bytes.size()), 16);
  int status = -1;
  waitpid(child, &status, 0);
  close(pipe_ends[0]);
  close(pipe_ends[1]);
  EXPECT_EQ(status, 0);
  EXPECT_NE(of_child, RunId::New(At(1)));
}

TEST(RunIdTest, ReadsBackWhatItWrites) {
  const RunId id = RunId::New(system_clock::now());
  const std::string text = id.ToString();
  EXPECT_EQ(RunId::Parse(text), id);
}

TEST(RunIdTest, ReadsUpperCaseAndWritesLowerCase) {
  const auto id = RunId::Parse("01A0B35E-7A00-4000-8000-00000000ABCD");
  ASSERT_TRUE(id.has_value());
  EXPECT_EQ(id->ToString(), "01a0b35e-7a00-4000-8000-00000000abcd");
}

TEST(RunIdTest, RefusesWhatIsNoHyphenatedUuid) {
  for (const std::string_view text :
       {"", "01a0b35e-7a00-7000-8000-00000000000", "01a0b35e-7a00-7000-8000-0000000000011",
        "01a0b35e7a0070008000000000000001", "01a0b35e-7a00-7000-8000-00000000000g",
        "01a0b35e-7a00-7000-80000-0000000001", "g1a0b35e-7a00-7000-8000-000000000001",
        "01a0b35e_7a00_7000_8000_000000000001", "{1a0b35e-7a00-7000-8000-00000000000}"}) {
    EXPECT_FALSE(RunId::Parse(text).has_value()) << text;
  }
}

TEST(RunIdTest, LooksAtEveryCharacter) {
  const std::string good = "01a2b3c4-d5e6-7f89-a0b1-c2d3e4f56789";
  ASSERT_EQ(RunId::Parse(good)->ToString(), good);
  for (std::size_t at = 0; at < good.size(); ++at) {
    for (int c = 0; c < 256; ++c) {
      std::string text = good;
      text[at] = static_cast<char>(c);
      const bool is_hyphen = good[at] == '-';
      const bool valid = is_hyphen ? c == '-' : std::isxdigit(c) != 0;
      const auto id = RunId::Parse(text);
      ASSERT_EQ(id.has_value(), valid) << at << ": " << c;
      text[at] = static_cast<char>(std::tolower(c));
      if (valid) {
        ASSERT_EQ(id->ToString(), text);
      }
    }
  }
}

TEST(RunIdTest, OnlyTheNilIdIsNil) {
  EXPECT_TRUE(RunId{}.IsNil());
  EXPECT_FALSE(RunId::Parse("00000000-0000-0000-0000-000000000001")->IsNil());
}

TEST(RunIdTest, HashesTellIdsThatDifferInOneHalfApart) {
  const std::hash<RunId> hash;
  std::set<std::size_t> hashes;
  for (std::uint8_t i = 0; i < 100; ++i) {
    RunId head;
    RunId tail;
    head.bytes[7] = i;
    tail.bytes[15] = i;
    hashes.insert(hash(head));
    hashes.insert(hash(tail));
  }
  EXPECT_EQ(hashes.size(), 199u);  // The nil id is in both series.
}

TEST(RunIdTest, HashesHaveASeed) {
  // Of any tail this is the head with which a hash without one is the same for all.
  constexpr std::uint64_t kFactor = 0x9E3779B97F4A7C15;
  std::uint64_t inverse = kFactor;
  for (int i = 0; i < 6; ++i) inverse *= 2 - kFactor * inverse;
  std::set<std::size_t> hashes;
  for (std::uint64_t tail = 1; tail <= 100; ++tail) {
    const std::uint64_t head = tail * inverse ^ std::rotl(tail, 32);
    RunId id;
    std::memcpy(id.bytes.data(), &head, sizeof(head));
    std::memcpy(id.bytes.data() + sizeof(head), &tail, sizeof(tail));
    hashes.insert(std::hash<RunId>()(id));
  }
  EXPECT_EQ(hashes.size(), 100u);
}

}  // namespace
}  // namespace weft
