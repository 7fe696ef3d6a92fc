// SPDX-License-Identifier: Apache-2.0
#include <cerrno>
#include <condition_variable>
#include <fstream>
#include <random>
#include <sstream>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "log_impl.h"
#include "log_read_ahead.h"
#include "segment.h"
#include "storage_support.h"

namespace weft::collector {
namespace {

using testing::HasSubstr;
namespace fs = std::filesystem;

// Fails when it is told to.
class FaultyFiles : public FileSystem {
 public:
  ssize_t Write(int fd, const iovec* parts, int count, off_t offset) override {
    if (write_error != 0) {
      errno = write_error;
      return -1;
    }
    if (room >= 0) return WriteWithinRoom(fd, *parts, offset);
    if (!short_writes) return FileSystem::Write(fd, parts, count, offset);
    iovec some{parts->iov_base, std::min<std::size_t>(parts->iov_len, 7)};
    return FileSystem::Write(fd, &some, 1, offset);
  }
  int SyncData(int fd) override {
    if (sync_error == 0) return FileSystem::SyncData(fd);
    errno = sync_error;
    return -1;
  }
  int Allocate(int fd, std::uint64_t size) override {
    int error = allocate_error;
    return error != 0 ? error : FileSystem::Allocate(fd, size);
  }
  Space SpaceOf(const fs::path&) override {
    return {.free_bytes = free_bytes, .total_bytes = 1 << 30};
  }

  std::atomic<int> write_error{0}, sync_error{0}, allocate_error{0};
  std::atomic<bool> short_writes{false};
  std::atomic<std::int64_t> room{-1};  // so many bytes can be written, though more were promised
  std::atomic<std::uint64_t> free_bytes{1 << 30};

 private:
  ssize_t WriteWithinRoom(int fd, iovec part, off_t offset) {
    part.iov_len = std::min<std::size_t>(part.iov_len, static_cast<std::size_t>(room.load()));
    errno = ENOSPC;
    if (part.iov_len == 0) return -1;
    const ssize_t put = FileSystem::Write(fd, &part, 1, offset);
    if (put > 0) room -= put;
    return put;
  }
};

std::unique_ptr<Log> OpenLog(const fs::path& directory, FileSystem& files = FileSystem::Real()) {
  absl::StatusOr<std::unique_ptr<Log>> log = LogImpl::Open(SmallLog(directory), files);
  EXPECT_TRUE(log.ok()) << log.status();
  return *std::move(log);
}

// What is readable, by sequence number.
// In both ways of reading; the one that goes ahead is first to find what is damaged.
std::map<std::uint64_t, std::string> ReadAll(const Log& log) {
  std::map<std::uint64_t, std::string> payloads;
  ReadAhead ahead;
  for (Position at = log.Begin();;) {
    const absl::StatusOr<Record> next = log.ReadNext(at, ahead);
    absl::StatusOr<Record> record = log.Read(at);
    EXPECT_EQ(next.status(), record.status());
    if (next.ok() && record.ok()) {
      EXPECT_EQ(next->position, record->position);
      EXPECT_EQ(next->payload, record->payload);
    }
    if (!record.ok()) {
      EXPECT_EQ(record.status().code(), absl::StatusCode::kOutOfRange) << record.status();
      return payloads;
    }
    payloads[record->position.seq] = record->payload;
    at = record->next;
  }
}

std::string Slurp(const fs::path& path) {
  std::ostringstream out;
  out << std::ifstream(path, std::ios::binary).rdbuf();
  return out.str();
}

void Spew(const fs::path& path, std::string_view bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

std::vector<fs::path> SegmentFiles(const fs::path& directory) {
  std::vector<fs::path> paths;
  for (const auto& entry : fs::directory_iterator(directory / "log")) paths.push_back(entry.path());
  std::sort(paths.begin(), paths.end());
  return paths;
}

TEST(LogFaultTest, ShortWritesAreContinued) {
  TemporaryDirectory directory;
  FaultyFiles files;
  files.short_writes = true;
  auto log = OpenLog(directory.path(), files);
  ASSERT_TRUE(AppendNow(*log, std::string(1000, 'a')).ok());
  ASSERT_TRUE(AppendNow(*log, std::string(1001, 'b')).ok());
  EXPECT_EQ(ReadAll(*log), (std::map<std::uint64_t, std::string>{{1, std::string(1000, 'a')},
                                                                 {2, std::string(1001, 'b')}}));
}

TEST(LogFaultTest, AFailedSyncMakesTheLogReadOnlyAndReportsNothingAsWritten) {
  TemporaryDirectory directory;
  FaultyFiles files;
  auto log = OpenLog(directory.path(), files);
  ASSERT_TRUE(AppendNow(*log, "good").ok());
  files.sync_error = EIO;
  absl::Status status = AppendNow(*log, "lost").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(status.ToString(), HasSubstr((directory.path() / "log").native()));
  files.sync_error = 0;
  EXPECT_EQ(AppendNow(*log, "later").status().code(), absl::StatusCode::kUnavailable);
  EXPECT_FALSE(log->Ready().ok());
  EXPECT_FALSE(log->Stats().writable);
  EXPECT_EQ(ReadAll(*log).size(), 1u) << "what is not on disk is not shown";

  log.reset();
  log = OpenLog(directory.path());
  EXPECT_TRUE(AppendNow(*log, "again").ok());
  EXPECT_EQ(ReadAll(*log)[1], "good");
}

TEST(LogFaultTest, AFailedWriteMakesTheLogReadOnly) {
  TemporaryDirectory directory;
  FaultyFiles files;
  auto log = OpenLog(directory.path(), files);
  ASSERT_TRUE(AppendNow(*log, "good").ok());
  files.write_error = EIO;
  EXPECT_EQ(AppendNow(*log, "lost").status().code(), absl::StatusCode::kUnavailable);
  files.write_error = 0;
  EXPECT_EQ(AppendNow(*log, "later").status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(ReadAll(*log).size(), 1u);
}

// Until the log takes it; senders do the same.
void AppendUntilItIsThere(Log& log, const std::string& payload) {
  absl::Status status;
  while (!(status = AppendNow(log, payload).status()).ok()) {
    ASSERT_EQ(status.code(), absl::StatusCode::kUnavailable);
    ASSERT_THAT(status.ToString(), HasSubstr("disk is full"));
    std::this_thread::yield();
  }
}

// As on file systems that write elsewhere what is written again, where room cannot be kept.
struct FullInTheMiddle {
  FullInTheMiddle(std::uint64_t before, std::int64_t room) : log(OpenLog(directory.path(), files)) {
    for (std::uint64_t seq = 1; seq <= before; ++seq) {
      EXPECT_TRUE(AppendNow(*log, expected[seq] = "before").ok());
    }
    files.room = room;
    const std::string large(3 << 20, 'x');  // goes in several writes
    const absl::Status status = AppendNow(*log, large).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
    EXPECT_THAT(status.ToString(), HasSubstr("disk is full"));
    EXPECT_FALSE(log->Ready().ok());
    EXPECT_EQ(ReadAll(*log), expected) << "what was refused is not shown";
    files.room = -1;
  }

  TemporaryDirectory directory;
  FaultyFiles files;
  std::map<std::uint64_t, std::string> expected;
  std::unique_ptr<Log> log;
};

TEST(LogFaultTest, ADiskThatIsFullInTheMiddleOfASegmentIsWaitedFor) {
  std::vector<std::unique_ptr<FullInTheMiddle>> all;  // they wait together
  for (const std::uint64_t before : {0, 1, 3}) {
    for (const std::int64_t room : {0, 20, 4096, 1 << 20, 2 << 20}) {
      SCOPED_TRACE(std::to_string(before) + " records, room for " + std::to_string(room));
      all.push_back(std::make_unique<FullInTheMiddle>(before, room));
    }
  }
  for (std::size_t i = 0; i < all.size(); ++i) {
    SCOPED_TRACE("case " + std::to_string(i));
    auto& [directory, files, expected, log] = *all[i];
    const std::uint64_t next = expected.size() + 1;
    for (const std::uint64_t seq : {next, next + 1}) {
      ASSERT_NO_FATAL_FAILURE(AppendUntilItIsThere(*log, expected[seq] = "after"));
    }
    EXPECT_TRUE(log->Ready().ok());
    EXPECT_EQ(ReadAll(*log), expected);
    log = nullptr;
    log = OpenLog(directory.path());
    EXPECT_EQ(ReadAll(*log), expected) << "nor after the next start";
    EXPECT_EQ(log->Stats().quarantined_bytes, 0u);
    EXPECT_TRUE(AppendNow(*log, "next").ok());
  }
}

TEST(LogFaultTest, ASyncThatFindsNoRoomMakesTheLogReadOnly) {
  TemporaryDirectory directory;
  FaultyFiles files;
  auto log = OpenLog(directory.path(), files);
  files.sync_error = ENOSPC;
  EXPECT_THAT(AppendNow(*log, "lost").status().ToString(), HasSubstr("read-only"));
  files.sync_error = 0;
  EXPECT_EQ(AppendNow(*log, "later").status().code(), absl::StatusCode::kUnavailable);
}

TEST(LogFaultTest, AFullDiskRefusesUntilThereIsRoom) {
  TemporaryDirectory directory;
  FaultyFiles files;
  auto log = OpenLog(directory.path(), files);
  const std::string payload(30 << 10, 'x');
  ASSERT_TRUE(AppendNow(*log, payload).ok());
  files.allocate_error = ENOSPC;
  absl::Status status;
  std::uint64_t written = 1;
  while ((status = AppendNow(*log, payload).status()).ok()) ++written;
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(status.ToString(), HasSubstr("disk is full"));
  EXPECT_EQ(ReadAll(*log).size(), written);

  // Opened again while the disk is still full: what is there can be read.
  log.reset();
  log = OpenLog(directory.path(), files);
  EXPECT_EQ(ReadAll(*log).size(), written);
  EXPECT_EQ(AppendNow(*log, payload).status().code(), absl::StatusCode::kUnavailable);

  files.allocate_error = 0;
  log.reset();
  log = OpenLog(directory.path(), files);
  EXPECT_TRUE(AppendNow(*log, payload).ok());
  EXPECT_EQ(ReadAll(*log).size(), written + 1);
}

TEST(LogFaultTest, TheFloorOfFreeSpaceIsWatched) {
  TemporaryDirectory directory;
  FaultyFiles files;
  LogOptions options = SmallLog(directory.path());
  options.min_free_bytes.reset();  // of this gibibyte: 5 %
  auto log = *LogImpl::Open(options, files);
  EXPECT_TRUE(AppendNow(*log, "x").ok());
  files.free_bytes = (1 << 30) / 21;
  while (log->Ready().ok()) std::this_thread::yield();
  EXPECT_EQ(AppendNow(*log, "x").status().code(), absl::StatusCode::kUnavailable);
  files.free_bytes = 1 << 30;
  while (!log->Ready().ok()) std::this_thread::yield();
  EXPECT_TRUE(AppendNow(*log, "x").ok());
}

// A log of records of many sizes in several segments, and where each lies.
struct Written {
  std::map<std::uint64_t, std::string> payloads;
  std::map<std::uint64_t, Position> positions;
  Position end;
};

Written WriteSome(const fs::path& directory, int count) {
  Written written;
  auto log = OpenLog(directory);
  for (int i = 0; i < count; ++i) {
    std::string payload(static_cast<std::size_t>(i * 997 % 4000), static_cast<char>('a' + i % 26));
    absl::StatusOr<Position> at = AppendNow(*log, payload);
    EXPECT_TRUE(at.ok());
    written.payloads[at->seq] = payload;
    written.positions[at->seq] = *at;
  }
  written.end = log->DurableEnd();
  return written;
}

TEST(LogFaultTest, ATailTornAtAnyByteIsCutAndTheRestKept) {
  TemporaryDirectory directory;
  Written written = WriteSome(directory.path(), 4);
  const fs::path file = SegmentFiles(directory.path()).back();
  const std::string whole = Slurp(file);
  const std::uint64_t last = written.positions[4].offset;
  auto expected = written.payloads;
  expected.erase(4);
  // Byte by byte through the frame and the header, in strides through the payload.
  for (std::uint64_t cut = last; cut < written.end.offset; cut += cut < last + 64 ? 1 : 37) {
    std::string torn = whole;
    std::fill(torn.begin() + static_cast<std::ptrdiff_t>(cut), torn.end(), '\0');
    Spew(file, torn);
    auto log = OpenLog(directory.path());
    std::map<std::uint64_t, std::string> got = ReadAll(*log);
    // Zeros at the end of the last record may be its own padding: then nothing was torn.
    if (got != written.payloads) {
      ASSERT_EQ(got, expected) << cut;
      ASSERT_EQ(log->Stats().quarantined_bytes, 0u);
    }
    ASSERT_TRUE(AppendNow(*log, "next").ok());
    ASSERT_EQ(ReadAll(*log).rbegin()->second, "next");
  }
}

TEST(LogFaultTest, AnEmptyOrHalfMadeSegmentDoesNotStopTheStart) {
  TemporaryDirectory directory;
  Written written = WriteSome(directory.path(), 3);
  Spew(directory.path() / "log" / "00000000000000000004.log", "");
  Spew(directory.path() / "log" / "00000000000000000004.log.new", "WEFT");
  auto log = OpenLog(directory.path());
  EXPECT_EQ(ReadAll(*log), written.payloads);
  EXPECT_TRUE(AppendNow(*log, "next").ok());
  log.reset();
  log = OpenLog(directory.path());
  EXPECT_EQ(ReadAll(*log).size(), 4u);
}

TEST(LogFaultTest, ASegmentThatSomebodyDeletedIsSteppedOver) {
  TemporaryDirectory directory;
  Written written = WriteSome(directory.path(), 100);
  const std::vector<fs::path> files = SegmentFiles(directory.path());
  ASSERT_GE(files.size(), 3u);
  fs::remove(files[1]);
  auto log = OpenLog(directory.path());
  Position lost{std::stoull(files[1].stem()), 64, std::stoull(files[1].stem())};
  EXPECT_EQ(log->Read(lost)->position.seq, std::stoull(files[2].stem()));
  EXPECT_EQ(ReadAll(*log).rbegin()->first, 100u);
  Position beyond{1000, 64, 1000};
  EXPECT_EQ(log->Read(beyond).status().code(), absl::StatusCode::kNotFound);
}

TEST(LogFaultTest, ASegmentThatIsNoiseIsSetAside) {
  TemporaryDirectory directory;
  fs::create_directories(directory.path() / "log");
  Spew(directory.path() / "log" / "00000000000000000001.log", std::string(5000, '?'));
  auto log = OpenLog(directory.path());
  EXPECT_EQ(log->Stats().quarantined_bytes, 5000u);
  EXPECT_TRUE(AppendNow(*log, "next").ok());
  EXPECT_EQ(ReadAll(*log).size(), 1u);
  EXPECT_EQ(Slurp(directory.path() / "quarantine" / "00000000000000000001.log").size(), 5000u);
}

// Flips bits anywhere: every record that was not hit itself is there, with its bytes.
TEST(LogFaultTest, DamageLosesOnlyWhatItHit) {
  TemporaryDirectory directory;
  Written written = WriteSome(directory.path(), 100);
  const std::vector<fs::path> files = SegmentFiles(directory.path());
  ASSERT_GE(files.size(), 3u);
  std::vector<std::string> bytes;
  for (const fs::path& file : files) bytes.push_back(Slurp(file));
  std::mt19937_64 random(11);
  for (int round = 0; round < 60; ++round) {
    auto expected = written.payloads;
    std::vector<std::string> damaged = bytes;
    for (std::uint64_t flips = random() % 4 + 1; flips > 0; --flips) {
      std::size_t segment = random() % files.size();
      std::uint64_t first = std::stoull(files[segment].stem());
      std::uint64_t used = segment + 1 < files.size() ? bytes[segment].size() : written.end.offset;
      std::uint64_t at = random() % used;
      damaged[segment][at] = static_cast<char>(damaged[segment][at] ^ (1 << (random() % 8)));
      for (const auto& [seq, position] : written.positions) {
        auto next = written.positions.find(seq + 1);
        bool last = next == written.positions.end() || next->second.segment != first;
        if (position.segment == first && at >= position.offset &&
            (last || at < next->second.offset)) {
          expected.erase(seq);
        }
      }
    }
    for (std::size_t i = 0; i < files.size(); ++i) Spew(files[i], damaged[i]);
    auto log = OpenLog(directory.path());
    std::map<std::uint64_t, std::string> got = ReadAll(*log);
    for (const auto& [seq, payload] : expected) {
      ASSERT_TRUE(got.contains(seq)) << "round " << round << ", record " << seq;
    }
    for (const auto& [seq, payload] : got) {
      ASSERT_EQ(payload, written.payloads[seq]) << "round " << round << ", record " << seq;
    }
    ASSERT_TRUE(AppendNow(*log, "next").ok());
    EXPECT_EQ(ReadAll(*log).rbegin()->second, "next");
  }
  EXPECT_FALSE(fs::is_empty(directory.path() / "quarantine"));
}

TEST(LogFaultTest, APayloadCannotHoldARecord) {
  TemporaryDirectory directory;
  std::string forged(200, '\0');
  Frame frame{.length = 64, .header_length = 0, .seq = 900};
  frame.Write(0, forged.data() + 40);
  {
    auto log = OpenLog(directory.path());
    ASSERT_TRUE(AppendNow(*log, forged).ok());
    ASSERT_TRUE(AppendNow(*log, "after").ok());
  }
  const fs::path file = SegmentFiles(directory.path()).back();
  std::string bytes = Slurp(file);
  bytes[kSegmentHeaderBytes] ^= 1;  // the frame of the first record
  Spew(file, bytes);
  auto log = OpenLog(directory.path());
  EXPECT_EQ(ReadAll(*log), (std::map<std::uint64_t, std::string>{{2, "after"}}));
}

}  // namespace
}  // namespace weft::collector
