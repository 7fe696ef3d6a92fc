// SPDX-License-Identifier: Apache-2.0
// What an operator does to a collector that has data: another version, another time of day.
#include <algorithm>
#include <cstring>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "destinations/finished_runs.h"
#include "disk_faults.h"
#include "log_crc32c.h"
#include "pipeline_support.h"

namespace weft::collector {
namespace {

namespace fs = std::filesystem;
using std::chrono::hours;
using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr std::uint64_t kBatches = 10;

std::set<std::uint64_t> Accepted(Pipeline& line, std::uint64_t first, std::uint64_t count) {
  std::set<std::uint64_t> accepted;
  for (std::uint64_t number = first; number < first + count; ++number) {
    const absl::Status status = line.Accept(number);
    EXPECT_TRUE(status.ok()) << number << ": " << status;
    accepted.insert(number);
  }
  return accepted;
}

// How it came to be: tests/vectors/log/README.md.
TEST(CollectorOpsTest, ReadsTheDataOfTheFirstVersionOfTheFormat) {
  Place place;
  const fs::path before = fs::path(WEFT_SOURCE_DIR) / "tests" / "vectors" / "log" / "version-1";
  fs::copy(before, place.data, fs::copy_options::recursive | fs::copy_options::overwrite_existing);
  fs::permissions(place.data, fs::perms::owner_all);
  for (const auto& entry : fs::recursive_directory_iterator(place.data)) {
    fs::permissions(entry.path(), entry.is_directory() ? fs::perms::owner_all : fs::perms(0600));
  }
  std::set<std::uint64_t> accepted;
  for (std::uint64_t number = 1; number <= kBatches; ++number) accepted.insert(number);
  ExpectConserved(place.data, accepted);
}

TEST(CollectorOpsTest, LeavesTheLogOfALaterVersionAlone) {
  Place place;
  std::set<std::uint64_t> accepted;
  {
    auto line = Pipeline::Open(place.data);
    ASSERT_TRUE(line.ok()) << line.status();
    accepted = Accepted(*line, 1, kBatches);
  }
  fs::path newest;
  for (const auto& entry : fs::directory_iterator(place.data / "log")) {
    newest = std::max(newest, entry.path());
  }
  const std::string before = Slurp(newest);
  std::string later = before;
  constexpr std::size_t kCopyBytes = 32;
  for (char* copy : {later.data(), later.data() + kCopyBytes}) {
    ASSERT_TRUE(std::string_view(copy, kCopyBytes).starts_with("WEFTLOG1"));
    copy[7] = '2';
    const std::uint32_t crc = Crc32c(0, {copy, 20});
    std::memcpy(copy + 20, &crc, sizeof crc);
  }
  std::ofstream(newest, std::ios::binary) << later;
  for (int start = 0; start < 2; ++start) {
    const absl::Status status = Pipeline::Open(place.data).status();
    EXPECT_THAT(std::string(status.message()), AllOf(HasSubstr(newest), HasSubstr("version")));
    EXPECT_EQ(Slurp(newest), later);
  }
  // The version that wrote it is there again.
  std::ofstream(newest, std::ios::binary) << before;
  ExpectConserved(place.data, accepted);
}

// The clock of the day is set while batches come in and go out.
TEST(CollectorOpsTest, AJumpOfTheClockStopsNothing) {
  Place place;
  std::set<std::uint64_t> accepted;
  {
    auto line = Pipeline::Open(place.data);
    ASSERT_TRUE(line.ok()) << line.status();
    for (const auto ahead : {hours(0), hours(-1), hours(12), hours(0)}) {
      SetClock(ahead);
      accepted.merge(Accepted(*line, accepted.size() + 1, kBatches));
      const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
      while (line->destination->Stats().lag != 0) {
        ASSERT_LT(std::chrono::steady_clock::now(), deadline) << ahead.count() << " h ahead";
        line->log->WaitForRecord(line->log->DurableEnd(), std::chrono::milliseconds(2));
      }
      EXPECT_TRUE(line->store->WaitUntilIndexed(std::chrono::seconds(60)));
    }
  }
  SetClock(hours(-1));
  ExpectConserved(place.data, accepted);
  SetClock(hours(0));
}

// A run that never ended goes out when it is time, not an hour later, and not before.
TEST(CollectorOpsTest, AJumpOfTheClockNeitherEndsRunsNorKeepsThem) {
  TemporaryDirectory directory;
  std::shared_ptr<Log> log = Log::Open(SmallLog(directory.path())).value();
  const std::string run = R"({"name":"open"})";
  RecordHeader header = HeaderFor(run);
  RunOp op;
  op.run_id = op.trace_id = IdOf(1);
  op.parts.push_back({.field = PartField::kRun, .offset = 0, .length = run.size()});
  header.ops = {op};
  const auto at = AppendNow(*log, header, run);
  ASSERT_TRUE(at.ok()) << at.status();
  const auto released = [&](std::chrono::milliseconds max_open, hours jump) {
    FinishedRuns stage({.log = log, .max_open = max_open});
    Round round;
    Round::Loaded loaded;
    loaded.record = log->Read(*at).value();
    loaded.payload = loaded.record.payload;
    stage.Take(std::move(loaded), round);
    SetClock(jump);
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    do {
      stage.Release(round);
    } while (max_open < hours(1) && round.ops.empty() &&
             std::chrono::steady_clock::now() < deadline);
    SetClock(hours(0));
    return round.ops.size();
  };
  EXPECT_EQ(released(std::chrono::milliseconds(1), hours(-1)), 1u);
  EXPECT_EQ(released(hours(2), hours(24)), 0u);
}

}  // namespace
}  // namespace weft::collector
