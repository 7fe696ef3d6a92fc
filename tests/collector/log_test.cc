// SPDX-License-Identifier: Apache-2.0
#include <weft/collector/log.h>

#include <unistd.h>

#include <atomic>
#include <fstream>
#include <latch>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "log_crc32c.h"
#include "log_read_ahead.h"
#include "storage_support.h"

namespace weft::collector {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;

std::unique_ptr<Log> OpenLog(const LogOptions& options) {
  absl::StatusOr<std::unique_ptr<Log>> log = Log::Open(options);
  EXPECT_TRUE(log.ok()) << log.status();
  return *std::move(log);
}

std::vector<std::string> ReadAll(const Log& log) {
  std::vector<std::string> payloads;
  for (Position at = log.Begin();;) {
    absl::StatusOr<Record> record = log.Read(at);
    if (!record.ok()) {
      EXPECT_EQ(record.status().code(), absl::StatusCode::kOutOfRange) << record.status();
      return payloads;
    }
    EXPECT_EQ(record->next.seq, record->position.seq + 1);
    payloads.push_back(record->payload);
    at = record->next;
  }
}

TEST(Crc32cTest, HasTheValueOfTheStandardAndTheTableAgrees) {
  // RFC 3720 B.4: 32 bytes of zeros; four of them are the salt.
  EXPECT_EQ(Crc32c(0, std::string(28, '\0')), 0x8A9136AAu);
  std::string text = "How many bytes? Any number.";
  for (std::size_t size = 0; size <= text.size(); ++size) {
    std::string_view part = std::string_view(text).substr(0, size);
    EXPECT_EQ(Crc32c(0x12345678, part), Crc32cByTable(0x12345678, part)) << size;
  }
  std::string long_text;
  for (unsigned i = 0; i < 10'000; ++i) long_text += static_cast<char>(i * i * 2654435761u >> 13);
  for (const std::size_t size : {3071, 3072, 3073, 6144, 9999, 10'000}) {
    std::string_view part = std::string_view(long_text).substr(0, size);
    EXPECT_EQ(Crc32c(7, part), Crc32cByTable(7, part)) << size;
  }
}

TEST(LogTest, AnswersWithPositionsThatReadBack) {
  TemporaryDirectory directory;
  auto log = OpenLog(SmallLog(directory.path()));
  EXPECT_EQ(log->Begin(), log->DurableEnd());
  RecordHeader header = HeaderFor("one");
  header.ops.push_back({.run_id = IdOf(1), .trace_id = IdOf(1), .project = "p"});
  absl::StatusOr<Position> one = AppendNow(*log, header, "one");
  absl::StatusOr<Position> two = AppendNow(*log, "");
  ASSERT_TRUE(one.ok() && two.ok());
  EXPECT_EQ(one->seq, 1u);
  EXPECT_EQ(two->seq, 2u);

  absl::StatusOr<Record> record = log->Read(*one);
  ASSERT_TRUE(record.ok()) << record.status();
  EXPECT_EQ(record->payload, "one");
  EXPECT_EQ(record->header, header);
  EXPECT_EQ(record->next, *two);
  EXPECT_EQ(log->Read(record->next)->payload, "");
  EXPECT_EQ(log->ReadHeader(*one)->header, header);
  EXPECT_EQ(log->ReadHeader(*one)->payload, "");
  EXPECT_EQ(log->Read(log->DurableEnd()).status().code(), absl::StatusCode::kOutOfRange);
}

TEST(LogTest, GoesOnWhereItWasClosed) {
  TemporaryDirectory directory;
  std::vector<std::string> written;
  for (int round = 0; round < 4; ++round) {
    auto log = OpenLog(SmallLog(directory.path()));
    EXPECT_EQ(ReadAll(*log), written);
    for (int i = 0; i < 5; ++i) {
      written.push_back(std::string(static_cast<std::size_t>(7000 * i + round), 'a'));
      absl::StatusOr<Position> at = AppendNow(*log, written.back());
      ASSERT_TRUE(at.ok()) << at.status();
      EXPECT_EQ(at->seq, written.size());
    }
    EXPECT_EQ(ReadAll(*log), written);
  }
  EXPECT_GT(std::distance(std::filesystem::directory_iterator(directory.path() / "log"), {}), 2);
}

TEST(LogTest, ARecordMayBeLargerThanASegment) {
  TemporaryDirectory directory;
  auto log = OpenLog(SmallLog(directory.path()));
  std::vector<std::string> written = {"small", std::string(1 << 20, 'L'), "small again"};
  for (const std::string& payload : written) ASSERT_TRUE(AppendNow(*log, payload).ok());
  EXPECT_EQ(ReadAll(*log), written);
}

// Records end anywhere in the blocks that the file is written in.
TEST(LogTest, RecordsOfAnySizeAreReadBackAfterEachStart) {
  TemporaryDirectory directory;
  LogOptions options = SmallLog(directory.path());
  options.segment_bytes = 8 << 20;
  std::vector<std::string> written;
  for (const std::size_t size : {1, 3900, 4096, 4095, 1 << 20, 8, (3 << 20) + 5, 5000}) {
    auto log = OpenLog(options);
    for (const char text : {'a', 'b'}) {
      written.emplace_back(size, text);
      ASSERT_TRUE(AppendNow(*log, written.back()).ok());
    }
    ASSERT_EQ(ReadAll(*log), written) << size;
  }
}

// What Read gives, of records that lie across pieces, are larger than one, or just came.
TEST(LogTest, AReaderThatGoesAheadFindsWhatOthersFind) {
  TemporaryDirectory directory;
  LogOptions options = SmallLog(directory.path());
  options.segment_bytes = 4 << 20;
  auto log = OpenLog(options);
  ReadAhead ahead;
  Position at = log->Begin();
  const std::size_t piece = ReadAhead::kBytes;
  for (const std::size_t size :
       {std::size_t{1}, std::size_t{0}, piece / 2, piece / 2 + 1, piece / 3, piece - 4096, piece,
        3 * piece, std::size_t{7}, std::size_t{4096}}) {
    for (const char text : {'a', 'b'}) ASSERT_TRUE(AppendNow(*log, std::string(size, text)).ok());
    for (absl::StatusOr<Record> record = log->ReadNext(at, ahead); record.ok();
         record = log->ReadNext(at, ahead)) {
      const absl::StatusOr<Record> known = log->Read(at);
      ASSERT_TRUE(known.ok());
      EXPECT_EQ(record->position, known->position);
      EXPECT_EQ(record->header, known->header);
      EXPECT_TRUE(record->payload == known->payload) << size;
      at = record->next;
    }
    EXPECT_EQ(at, log->DurableEnd()) << size;
  }
  EXPECT_GT(log->Segments().size(), 2u);
}

TEST(LogTest, WhatLiesAheadIsNotReadAgain) {
  TemporaryDirectory directory;
  auto log = OpenLog(SmallLog(directory.path()));
  for (const char* payload : {"first", "second"}) ASSERT_TRUE(AppendNow(*log, payload).ok());
  const SegmentInfo segment = log->Segments().front();
  const std::filesystem::path path =
      std::filesystem::directory_iterator(directory.path() / "log")->path();
  ReadAhead ahead;
  const auto read = [&](std::uint64_t offset, std::size_t size) {
    return std::string(ahead.Bytes(segment.begin.segment, path, offset, size, segment.end.offset));
  };
  const std::string all = read(segment.begin.offset, 1);
  if (all.empty()) GTEST_SKIP() << "the file system does not read past the page cache";
  EXPECT_EQ(all.size(), segment.end.offset - segment.begin.offset);
  // Not a byte that may still change, and nothing that does not fit.
  EXPECT_EQ(read(segment.begin.offset, all.size() + 1), "");
  EXPECT_EQ(read(segment.end.offset + 1, 1), "");
  EXPECT_EQ(read(segment.begin.offset, ReadAhead::kBytes), "");
  std::filesystem::resize_file(path, 0);
  EXPECT_EQ(read(segment.begin.offset + 9, 5), all.substr(9));
}

TEST(LogTest, WhatWasJustWrittenIsInMemory) {
  TemporaryDirectory directory;
  auto log = OpenLog(SmallLog(directory.path()));
  RecordHeader header = HeaderFor("two");
  header.ops.push_back({.run_id = IdOf(1), .trace_id = IdOf(1), .project = "p"});
  ASSERT_TRUE(AppendNow(*log, std::string(70 << 10, '1')).ok());
  const absl::StatusOr<Position> two = AppendNow(*log, header, "two");
  ASSERT_TRUE(two.ok());
  const std::shared_ptr<const Record> first = log->Recent(log->Begin());
  ASSERT_NE(first, nullptr);
  const std::shared_ptr<const Record> second = log->Recent(first->next);
  ASSERT_NE(second, nullptr);
  const absl::StatusOr<Record> read = log->Read(*two);
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(second->header, read->header);
  EXPECT_EQ(second->payload, read->payload);
  EXPECT_EQ(second->position.offset, read->position.offset);
  EXPECT_EQ(second->next.offset, read->next.offset);
  EXPECT_EQ(second->next, log->DurableEnd());
  EXPECT_EQ(log->Recent(second->next), nullptr) << "it is not written yet";

  log.reset();
  log = OpenLog(SmallLog(directory.path()));
  EXPECT_EQ(log->Recent(*two), nullptr) << "it was written by another process";
}

TEST(LogTest, KeepsABoundedPartInMemory) {
  TemporaryDirectory directory;
  LogOptions options = SmallLog(directory.path());
  options.segment_bytes = 8 << 20;
  auto log = OpenLog(options);
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(AppendNow(*log, std::string(2 << 20, 'x')).ok());
  EXPECT_EQ(log->Recent(log->Begin()), nullptr);
  EXPECT_NE(log->Recent({0, 0, 10}), nullptr);
  EXPECT_TRUE(log->Read(log->Begin()).ok());
}

TEST(LogTest, ManyThreadsAppendWhileOthersRead) {
  TemporaryDirectory directory;
  auto log = OpenLog(SmallLog(directory.path()));
  constexpr int kThreads = 4, kEach = 100;
  std::atomic<int> answered{0};
  std::latch done(kThreads * kEach);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kEach; ++i) {
        std::string payload(static_cast<std::size_t>(100 * i), static_cast<char>('a' + t));
        RecordHeader header = HeaderFor(payload);
        log->Append(std::move(header), std::move(payload), [&](absl::StatusOr<Position> at) {
          answered += at.ok();
          done.count_down();
        });
      }
    });
  }
  std::uint64_t seen = 0;
  for (Position at = log->Begin(); seen < kThreads * kEach;) {
    ASSERT_TRUE(log->WaitForRecord(at, seconds(60)));
    absl::StatusOr<Record> record = log->Read(at);
    ASSERT_TRUE(record.ok()) << record.status();
    EXPECT_EQ(record->position.seq, ++seen);
    at = record->next;
  }
  done.wait();
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(answered, kThreads * kEach);
  EXPECT_EQ(log->Stats().appended_records, static_cast<std::uint64_t>(kThreads * kEach));
}

TEST(LogTest, CloseWritesWhatWasAppendedAndRefusesTheRest) {
  TemporaryDirectory directory;
  auto log = OpenLog(SmallLog(directory.path()));
  std::atomic<int> answered{0};
  for (int i = 0; i < 50; ++i) {
    log->Append(HeaderFor("x"), "x", [&](absl::StatusOr<Position> at) { answered += at.ok(); });
  }
  log->Close();
  EXPECT_EQ(answered, 50);
  EXPECT_EQ(AppendNow(*log, "late").status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(log->Ready().code(), absl::StatusCode::kUnavailable);
  EXPECT_FALSE(log->WaitForRecord(log->DurableEnd(), seconds(60)));
  EXPECT_EQ(ReadAll(*log).size(), 50u);
}

TEST(LogTest, ADirectoryHasOneLog) {
  TemporaryDirectory directory;
  auto log = OpenLog(SmallLog(directory.path()));
  absl::Status second = Log::Open(SmallLog(directory.path())).status();
  EXPECT_THAT(second.ToString(), HasSubstr(directory.path().native()));
  EXPECT_THAT(second.ToString(), HasSubstr("process " + std::to_string(::getpid())));
  log.reset();
  EXPECT_TRUE(Log::Open(SmallLog(directory.path())).ok());
}

TEST(LogTest, TheErrorNamesADirectoryThatCannotBeUsed) {
  TemporaryDirectory directory;
  std::ofstream(directory.path() / "file") << "x";
  std::filesystem::path inside = directory.path() / "file" / "data";
  EXPECT_THAT(Log::Open(SmallLog(inside)).status().ToString(), HasSubstr(inside.native()));
  EXPECT_THAT(Log::Open(SmallLog(directory.path() / "file")).status().ToString(),
              HasSubstr((directory.path() / "file").native()));
  EXPECT_THAT(Log::Open(SmallLog("/proc/weft")).status().ToString(), HasSubstr("/proc/weft"));
}

TEST(LogTest, RefusesMoreThanMayWait) {
  TemporaryDirectory directory;
  LogOptions options = SmallLog(directory.path());
  options.max_pending_bytes = 10'000;
  auto log = OpenLog(options);
  std::promise<void> entered, leave;
  // While the first answer is being given, nothing is written.
  log->Append(HeaderFor("first"), "first", [&](absl::StatusOr<Position>) {
    entered.set_value();
    leave.get_future().wait();
  });
  entered.get_future().wait();
  std::promise<absl::Status> accepted;
  log->Append(HeaderFor(""), std::string(6000, 'x'),
              [&](absl::StatusOr<Position> at) { accepted.set_value(at.status()); });
  EXPECT_EQ(AppendNow(*log, std::string(6000, 'x')).status().code(),
            absl::StatusCode::kResourceExhausted);
  leave.set_value();
  EXPECT_TRUE(accepted.get_future().get().ok());
  EXPECT_TRUE(AppendNow(*log, std::string(20'000, 'x')).ok()) << "one alone is always taken";
}

TEST(LogTest, OldSegmentsGoOnceNoRequiredReaderNeedsThem) {
  TemporaryDirectory directory;
  LogOptions options = SmallLog(directory.path());
  options.retention_bytes = 200 << 10;
  auto log = OpenLog(options);
  log->SetRequired("slow", log->Begin());
  const std::string payload(30 << 10, 'x');
  auto append_and_settle = [&](int count) {
    for (int i = 0; i < count; ++i) ASSERT_TRUE(AppendNow(*log, payload).ok());
  };
  append_and_settle(10);  // 300 KiB: over the limit, under twice the limit
  EXPECT_EQ(log->Begin().seq, 1u);
  EXPECT_EQ(log->Stats().expired_records, 0u);

  log->SetRequired("slow", log->DurableEnd());
  while (log->Begin().seq == 1) append_and_settle(2);
  EXPECT_EQ(log->Stats().expired_records, 0u);
  EXPECT_EQ(log->Read({1, 64, 1}).status().code(), absl::StatusCode::kNotFound);
  EXPECT_TRUE(log->Read(log->Begin()).ok());
  EXPECT_GT(log->Stats().oldest_received_us, 0u);
}

TEST(LogTest, TheHardLimitExpiresWhatAReaderHasNotRead) {
  TemporaryDirectory directory;
  LogOptions options = SmallLog(directory.path());
  options.retention_bytes = 200 << 10;
  auto log = OpenLog(options);
  log->SetRequired("dead", log->Begin());
  while (log->Begin().seq == 1) ASSERT_TRUE(AppendNow(*log, std::string(30 << 10, 'x')).ok());
  auto expired = [&] { return log->Stats().expired_records; };
  // The count follows the deletion; the next segment's deletion is behind it.
  while (expired() == 0) ASSERT_TRUE(AppendNow(*log, std::string(30 << 10, 'x')).ok());
  EXPECT_GE(expired(), 2u);
}

TEST(LogTest, SaysWhenTheDiskIsLow) {
  TemporaryDirectory directory;
  LogOptions options = SmallLog(directory.path());
  options.min_free_bytes = ~0ull;
  auto log = OpenLog(options);
  EXPECT_THAT(log->Ready().ToString(), HasSubstr("log.min_free"));
  EXPECT_EQ(AppendNow(*log, "x").status().code(), absl::StatusCode::kUnavailable);
  EXPECT_FALSE(log->Stats().writable);
}

}  // namespace
}  // namespace weft::collector
