// SPDX-License-Identifier: Apache-2.0
// A child runs a collector's pipeline and dies at one call that changes files, or loses power
// there; the parent looks whether everything that was acknowledged is there. Every call gets its
// turn.
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <functional>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "disk_faults.h"
#include "parked_file.h"
#include "pipeline_support.h"

namespace weft::collector {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kBatches = 3;
#ifdef __SANITIZE_ADDRESS__
constexpr std::uint64_t kStride = 6;  // children start slowly: some calls now, others next time
#else
constexpr std::uint64_t kStride = 1;
#endif

std::uint64_t First() { return 1 + std::random_device()() % kStride; }

// What the child tells, each a number of 8 bytes.
constexpr std::uint64_t kOpened = 0;
constexpr std::uint64_t kItemsFlag = std::uint64_t{1} << 62;
constexpr std::uint64_t kCallsFlag = std::uint64_t{1} << 63;

void Tell(int pipe, std::uint64_t number) {
  if (::write(pipe, &number, sizeof number) != sizeof number) ::_exit(4);
}

// Two starts, of which the second has the first's to recover.
void Work(const fs::path& directory, int pipe) {
  for (std::uint64_t start = 0; start < 2; ++start) {
    const std::uint64_t first = 1 + start * kBatches;
    auto line = Pipeline::Open(directory);
    if (!line.ok()) continue;
    Tell(pipe, kOpened);
    for (std::uint64_t number = first; number < first + kBatches; ++number) {
      if (line->Accept(number).ok()) Tell(pipe, number);
    }
  }
}

struct Ended {
  std::set<std::uint64_t> acknowledged;
  std::uint64_t calls = 0;  ///< All that a child made which ended by itself.
  int opened = 0;
  bool killed = false;
};

// Runs `work` in a child with the fault.
Ended InChild(const fs::path& directory, DiskFault fault, const fs::path& mirror,
              const std::function<void(int pipe)>& work) {
  Ended ended;
  int pipe[2];
  EXPECT_EQ(::pipe(pipe), 0);
  const pid_t child = ::fork();
  EXPECT_GE(child, 0);
  if (child == 0) {
    ::close(pipe[0]);
    ::dup2(::open("/dev/null", O_WRONLY), STDERR_FILENO);  // it complains, as it should
    ArmDiskFault(directory, std::move(fault), mirror);
    work(pipe[1]);
    Tell(pipe[1], kCallsFlag | DiskCalls());
    ::_exit(0);
  }
  ::close(pipe[1]);
  std::uint64_t told = 0;
  while (::read(pipe[0], &told, sizeof told) == sizeof told) {
    if ((told & kCallsFlag) != 0) {
      ended.calls = told & ~kCallsFlag;
    } else if (told == kOpened) {
      ++ended.opened;
    } else {
      ended.acknowledged.insert(told);
    }
  }
  ::close(pipe[0]);
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  ended.killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
  EXPECT_TRUE(ended.killed || (WIFEXITED(status) && WEXITSTATUS(status) == 0)) << status;
  return ended;
}

Ended WorkInChild(const fs::path& directory, const DiskFault& fault, const fs::path& mirror = {}) {
  return InChild(directory, fault, mirror, [&](int pipe) { Work(directory, pipe); });
}

// How many calls there are to fail at. Threads make it vary a little.
std::uint64_t CountCalls() {
  Place place;
  const Ended ended = WorkInChild(place.data, {});
  EXPECT_EQ(ended.acknowledged.size(), 2 * kBatches);
  EXPECT_GT(ended.calls, 100u);
  return ended.calls;
}

TEST(CollectorCrashTest, LosesNothingWhenKilledBetweenAnyTwoSteps) {
  const std::uint64_t calls = CountCalls();
  std::uint64_t kills = 0;
  for (std::uint64_t at = First(); at <= calls; at += kStride) {
    SCOPED_TRACE("killed before call " + std::to_string(at));
    Place place;
    const Ended ended = WorkInChild(place.data, {.kind = DiskFault::Kind::kTear, .at = at});
    kills += ended.killed ? 1 : 0;
    ASSERT_NO_FATAL_FAILURE(ExpectConserved(place.data, ended.acknowledged));
  }
  EXPECT_GT(kills, calls / kStride / 2);
}

TEST(CollectorCrashTest, LosesNothingWhenPowerFailsBetweenAnyTwoSteps) {
  const std::uint64_t calls = CountCalls();
  std::uint64_t failures = 0;
  for (std::uint64_t at = First(); at <= calls; at += kStride) {
    SCOPED_TRACE("power failed before call " + std::to_string(at));
    Place place;
    const fs::path mirror = place.root.path() / "mirror";
    const Ended ended = WorkInChild(place.data, {.kind = DiskFault::Kind::kTear, .at = at}, mirror);
    failures += ended.killed ? 1 : 0;
    const fs::path left = place.root.path() / "left";
    RestoreAfterPowerLoss(mirror, left);
    ASSERT_NO_FATAL_FAILURE(ExpectConserved(left, ended.acknowledged));
  }
  EXPECT_GT(failures, calls / kStride / 2);
}

// Two starts, so that there are a sealed segment, its summary, and cursors.
std::set<std::uint64_t> WriteSome(const fs::path& data) {
  std::set<std::uint64_t> acknowledged;
  for (std::uint64_t start = 0; start < 2; ++start) {
    auto line = Pipeline::Open(data);
    EXPECT_TRUE(line.ok()) << line.status();
    for (std::uint64_t number = 1 + start * 5; number <= 5 + start * 5; ++number) {
      if (line->Accept(number).ok()) acknowledged.insert(number);
    }
    EXPECT_TRUE(line->store->WaitUntilIndexed(std::chrono::seconds(60)));
  }
  return acknowledged;
}

std::vector<fs::path> FilesIn(const fs::path& folder) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder)) files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  return files;
}

// Caches and cursors are rebuilt; a cursor that is lost sends again what was sent.
TEST(CollectorCrashTest, StartsWithDamagedCursorsAndIndex) {
  for (const char* folder : {"cursors", "index"}) {
    for (const std::string& damage : {std::string(), std::string(300, '\xff'), std::string("x")}) {
      SCOPED_TRACE(std::string(folder) + " with " + std::to_string(damage.size()) + " bytes");
      Place place;
      const std::set<std::uint64_t> acknowledged = WriteSome(place.data);
      ASSERT_EQ(acknowledged.size(), 10u);
      const std::vector<fs::path> files = FilesIn(place.data / folder);
      ASSERT_FALSE(files.empty());
      for (const fs::path& file : files) std::ofstream(file, std::ios::trunc) << damage;
      ASSERT_NO_FATAL_FAILURE(ExpectConserved(place.data, acknowledged));
    }
  }
}

TEST(CollectorCrashTest, StartsWithoutASegmentAndKeepsTheOthers) {
  Place place;
  const std::set<std::uint64_t> acknowledged = WriteSome(place.data);
  const std::vector<fs::path> segments = FilesIn(place.data / "log");
  ASSERT_GE(segments.size(), 3u);
  fs::remove(segments[1]);
  fs::remove_all(place.data / "cursors");
  const std::uint64_t lost_from = std::stoull(segments[1].stem());
  const std::uint64_t lost_to = std::stoull(segments[2].stem());
  std::set<std::uint64_t> left;
  // One record a batch, in their order.
  for (const std::uint64_t number : acknowledged) {
    if (number < lost_from || number >= lost_to) left.insert(number);
  }
  ASSERT_LT(left.size(), acknowledged.size());
  ExpectConserved(place.data, left);
}

TEST(CollectorDiskTest, AnyCallMayFailOnceAndNothingAcknowledgedIsLost) {
  const std::uint64_t calls = CountCalls();
  std::set<std::uint64_t> refused;
  for (std::uint64_t at = First(); at <= calls; at += kStride) {
    const int error = at % 2 == 0 ? EIO : ENOSPC;
    SCOPED_TRACE("call " + std::to_string(at) + " failed with " + std::to_string(error));
    Place place;
    const Ended ended =
        WorkInChild(place.data, {.kind = DiskFault::Kind::kFail, .at = at, .error = error});
    EXPECT_FALSE(ended.killed);
    EXPECT_GE(ended.opened, 1) << "one failure may stop one start only";
    if (ended.acknowledged.size() < 2 * kBatches) refused.insert(at);
    ASSERT_NO_FATAL_FAILURE(ExpectConserved(place.data, ended.acknowledged));
  }
  EXPECT_FALSE(refused.empty());
}

// Nothing can be added to any file from some moment on; then there is room again.
TEST(CollectorDiskTest, AFullDiskRefusesAndGoesOnByItselfOnceThereIsRoom) {
  constexpr std::uint64_t kMany = 10'000;
  const auto fills = [](const char* call) {
    const std::string_view name = call;
    return name == "posix_fallocate" || name == "open" || name == "mkdir" || name == "write" ||
           name == "pwritev";
  };
  for (const std::uint64_t at : {60, 77, 94}) {
    SCOPED_TRACE("full from call " + std::to_string(at));
    Place place;
    const Ended ended = InChild(
        place.data, {.kind = DiskFault::Kind::kFail, .at = at, .error = ENOSPC, .stays = fills}, {},
        [&](int pipe) {
          auto line = Pipeline::Open(place.data);
          if (!line.ok()) ::_exit(5);
          std::uint64_t number = 1;
          const auto accept = [&] {
            const absl::Status status = line->Accept(number);
            if (status.ok()) Tell(pipe, number);
            if (!status.ok() && !absl::IsUnavailable(status)) ::_exit(6);
            ++number;
            return status.ok();
          };
          while (number < kMany && accept()) {
          }
          for (int i = 0; i < 3; ++i) accept();
          LiftDiskFault();
          while (number < kMany && !accept()) {
            line->log->WaitForRecord(line->log->DurableEnd(), std::chrono::milliseconds(10));
          }
          for (int i = 0; i < 3; ++i) {
            if (!accept()) ::_exit(7);
          }
          if (number >= kMany) ::_exit(8);
        });
    EXPECT_FALSE(ended.killed);
    EXPECT_GE(ended.acknowledged.size(), 4u);
    EXPECT_GT(*ended.acknowledged.rbegin(), ended.acknowledged.size()) << "some were refused";
    ASSERT_NO_FATAL_FAILURE(ExpectConserved(place.data, ended.acknowledged));
  }
}

// However many operations of a request are invalid.
TEST(CollectorDiskTest, WhatIsInvalidInARequestIsSyncedOnce) {
  const auto calls = [](std::size_t invalid) {
    Place place;
    std::uint64_t made = 0;
    const Ended ended = InChild(place.data, {}, {}, [&](int pipe) {
      auto line = Pipeline::Open(place.data);
      if (!line.ok()) ::_exit(5);
      IngestBatch batch;
      batch.rejected.resize(invalid, {0, "bad", "{}"});
      const std::uint64_t before = DiskCalls();
      bool accepted = false;
      line->ingest->Accept(std::move(batch),
                           [&](const absl::Status& status) { accepted = status.ok(); });
      Tell(pipe, accepted ? DiskCalls() - before : kOpened);
    });
    if (!ended.acknowledged.empty()) made = *ended.acknowledged.begin();
    return made;
  };
  EXPECT_EQ(calls(1), 2u) << "a write and a sync";
  EXPECT_EQ(calls(50), 51u);
}

// It comes again, and must not be there twice.
TEST(CollectorDiskTest, WhatCouldNotBeParkedIsNotListed) {
  constexpr std::uint64_t kInvalid = 3;
  struct Parked {
    std::uint64_t calls_before = 0;
    std::uint64_t items = 0;
  };
  const auto park_until_accepted = [](DiskFault fault) {
    Place place;
    const Ended ended = InChild(place.data, std::move(fault), {}, [&](int pipe) {
      auto line = Pipeline::Open(place.data);
      if (!line.ok()) ::_exit(5);
      Tell(pipe, DiskCalls());
      for (bool accepted = false; !accepted;) {
        IngestBatch batch;
        batch.rejected.resize(kInvalid, {0, "bad", "{}"});
        line->ingest->Accept(std::move(batch),
                             [&](const absl::Status& status) { accepted = status.ok(); });
      }
      Tell(pipe, kItemsFlag + line->ingest->parked()->Ids().size());
    });
    Parked parked;
    for (const std::uint64_t number : ended.acknowledged) {
      (number < kItemsFlag ? parked.calls_before : parked.items) = number % kItemsFlag;
    }
    return parked;
  };
  const std::uint64_t before = park_until_accepted({}).calls_before;
  ASSERT_GT(before, 0u);
  for (std::uint64_t call = 1; call <= kInvalid + 1; ++call) {  // the writes, and the sync
    const DiskFault fault{.kind = DiskFault::Kind::kFail, .at = before + call, .error = EIO};
    EXPECT_EQ(park_until_accepted(fault).items, kInvalid) << "call " << call;
  }
}

TEST(CollectorDiskTest, AReadOnlyFileSystemIsNamedAtTheStart) {
  Place place;
  WriteSome(place.data);
  const Ended ended =
      InChild(place.data,
              {.kind = DiskFault::Kind::kFail,
               .at = 1,
               .error = EROFS,
               .stays = [](const char*) { return true; }},
              {}, [&](int pipe) {
                const absl::Status status = Pipeline::Open(place.data).status();
                if (status.message().find(place.data.string()) != absl::string_view::npos)
                  Tell(pipe, 1);
              });
  EXPECT_EQ(ended.acknowledged.size(), 1u) << "the error names the directory";
}

}  // namespace
}  // namespace weft::collector
