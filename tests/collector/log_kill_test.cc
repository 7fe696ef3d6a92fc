// SPDX-License-Identifier: Apache-2.0
// A child appends and tells each acknowledged record through a pipe; the parent kills it at some
// moment and looks whether everything that was told is there.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "storage_support.h"

namespace weft::collector {
namespace {

// Its bytes follow from what is in it, so that the parent can check them.
std::string PayloadOf(std::uint64_t number) {
  std::mt19937_64 random(number);
  std::string payload(8 + random() % 9000, '\0');
  for (std::size_t i = 0; i < 8; ++i) payload[i] = static_cast<char>(number >> (8 * i));
  for (std::size_t i = 8; i < payload.size(); ++i) payload[i] = static_cast<char>(number + i);
  return payload;
}

std::uint64_t NumberOf(std::string_view payload) {
  std::uint64_t number = 0;
  for (std::size_t i = 0; i < 8 && i < payload.size(); ++i) {
    number |= std::uint64_t{static_cast<unsigned char>(payload[i])} << (8 * i);
  }
  return number;
}

[[noreturn]] void AppendUntilKilled(const std::filesystem::path& directory, std::uint64_t first,
                                    int pipe) {
  absl::StatusOr<std::unique_ptr<Log>> log = Log::Open(SmallLog(directory));
  if (!log.ok()) ::_exit(3);
  for (std::uint64_t number = first;; ++number) {
    std::string payload = PayloadOf(number);
    RecordHeader header = HeaderFor(payload);
    (*log)->Append(std::move(header), std::move(payload),
                   [number, pipe](absl::StatusOr<Position> at) {
                     std::uint64_t told[2] = {number, at.ok() ? at->seq : 0};
                     if (::write(pipe, told, sizeof told) != sizeof told) ::_exit(4);
                   });
    // Bounds what waits; the writes then run ahead of the parent by what a pipe holds.
    if (number % 8 == 7 && !AppendNow(**log, PayloadOf(0)).ok()) ::_exit(5);
  }
}

TEST(LogKillTest, WhatWasAcknowledgedSurvivesAKillAtAnyMoment) {
  TemporaryDirectory directory;
  std::mt19937_64 random(std::random_device{}());
  std::vector<std::pair<std::uint64_t, std::uint64_t>> acknowledged;  // number, seq
  std::uint64_t next = 1;
  for (int round = 0; round < 20; ++round) {
    int pipe[2];
    ASSERT_EQ(::pipe(pipe), 0);
    pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      ::close(pipe[0]);
      AppendUntilKilled(directory.path(), next, pipe[1]);
    }
    ::close(pipe[1]);
    // The moment of the kill is counted in answers, so that it needs no clock.
    std::uint64_t answers = 1 + random() % 200;
    std::uint64_t told[2];
    std::uint64_t count = 0;
    while (::read(pipe[0], told, sizeof told) == sizeof told) {
      acknowledged.emplace_back(told[0], told[1]);
      next = std::max(next, told[0] + 1);
      if (++count == answers) ::kill(child, SIGKILL);  // and reads what was told before it died
    }
    ::close(pipe[0]);
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status)) << "exit status " << WEXITSTATUS(status);
    next += 1000;  // numbers of records that were written but not told are not used again

    absl::StatusOr<std::unique_ptr<Log>> log = Log::Open(SmallLog(directory.path()));
    ASSERT_TRUE(log.ok()) << log.status();
    std::vector<std::string> payloads(1);
    for (Position at = (*log)->Begin();;) {
      absl::StatusOr<Record> record = (*log)->Read(at);
      if (!record.ok()) break;
      payloads.resize(record->position.seq + 1);
      payloads[record->position.seq] = record->payload;
      ASSERT_EQ(record->payload, PayloadOf(NumberOf(record->payload)));
      at = record->next;
    }
    for (auto [number, seq] : acknowledged) {
      ASSERT_LT(seq, payloads.size()) << "round " << round;
      ASSERT_EQ(NumberOf(payloads[seq]), number) << "round " << round << ", record " << seq;
    }
  }
  EXPECT_GT(acknowledged.size(), 20u);
}

}  // namespace
}  // namespace weft::collector
