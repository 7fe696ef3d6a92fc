// SPDX-License-Identifier: Apache-2.0
// How fast the collector's log takes records from 32 clients that each wait for their answer,
// against a bare loop of write and fdatasync on the same disk.
//
//   log_benchmark [DIRECTORY [SECONDS]]
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <future>
#include <string>
#include <thread>
#include <vector>

#include <weft/collector/log.h>

namespace {

using Clock = std::chrono::steady_clock;
using weft::collector::Log;
using weft::collector::LogOptions;
using weft::collector::RecordHeader;
using weft::collector::RunOp;

constexpr int kClients = 32;
constexpr std::size_t kRunsPerRecord = 100;

double Seconds(Clock::duration time) { return std::chrono::duration<double>(time).count(); }

double CpuSeconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
         static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6;
}

// Writes and syncs one record after the other: what the disk does without groups.
double BareSyncsPerSecond(const std::filesystem::path& directory, std::size_t size,
                          double seconds) {
  std::filesystem::path path = directory / "bare";
  int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC, 0600);
  if (fd < 0 || ::posix_fallocate(fd, 0, 64 << 20) != 0) std::abort();
  std::string bytes(size, 'x');
  int count = 0;
  off_t offset = 0;
  Clock::time_point start = Clock::now();
  for (; Seconds(Clock::now() - start) < seconds; ++count) {
    if (::pwrite(fd, bytes.data(), bytes.size(), offset) < 0 || ::fdatasync(fd) != 0) std::abort();
    offset = (offset + static_cast<off_t>(size)) % (63 << 20);
  }
  double rate = count / Seconds(Clock::now() - start);
  ::close(fd);
  std::filesystem::remove(path);
  return rate;
}

RecordHeader HeaderOf(std::size_t size) {
  RecordHeader header;
  header.decoded_size = size;
  header.received_us = 1;
  for (std::size_t i = 0; i < kRunsPerRecord; ++i) {
    RunOp op;
    op.run_id.bytes[0] = static_cast<std::uint8_t>(i);
    op.trace_id.bytes[1] = 1;
    op.project = "default";
    op.parts.resize(4);
    header.ops.push_back(op);
  }
  return header;
}

void Measure(const std::filesystem::path& directory, std::size_t size, double seconds) {
  LogOptions options;
  options.directory = directory / "log";
  options.retention_bytes = 1ull << 30;
  absl::StatusOr<std::unique_ptr<Log>> log = Log::Open(options);
  if (!log.ok()) {
    std::fprintf(stderr, "%s\n", log.status().ToString().c_str());
    std::exit(1);
  }
  std::vector<std::vector<double>> times(kClients);
  std::vector<std::thread> clients;
  double cpu = CpuSeconds();
  Clock::time_point start = Clock::now();
  for (int i = 0; i < kClients; ++i) {
    clients.emplace_back([&, i] {
      const std::string payload(size, 'x');
      const RecordHeader header = HeaderOf(size);
      while (Seconds(Clock::now() - start) < seconds) {
        Clock::time_point sent = Clock::now();
        std::promise<void> answered;
        (*log)->Append(header, payload, [&](absl::StatusOr<weft::collector::Position> position) {
          if (!position.ok()) std::abort();
          answered.set_value();
        });
        answered.get_future().wait();
        times[static_cast<std::size_t>(i)].push_back(Seconds(Clock::now() - sent));
      }
    });
  }
  for (std::thread& client : clients) client.join();
  double elapsed = Seconds(Clock::now() - start);
  cpu = CpuSeconds() - cpu;
  std::vector<double> all;
  for (const auto& some : times) all.insert(all.end(), some.begin(), some.end());
  std::sort(all.begin(), all.end());
  double acks = static_cast<double>(all.size()) / elapsed;
  double syncs = static_cast<double>((*log)->Stats().syncs.total());
  (*log)->Close();
  log->reset();
  std::filesystem::remove_all(options.directory);
  double bare = BareSyncsPerSecond(directory, size, seconds / 2);
  std::printf(
      "%3zu KB: %7.0f acks/s %6.0f MB/s  %5.1f a group  p50 %5.2f ms  p99 %5.2f ms  "
      "%4.0f us CPU a record  %.1f x the bare loop (%.0f/s)\n",
      size / 1000, acks, acks * static_cast<double>(size) * 1e-6,
      static_cast<double>(all.size()) / syncs, all[all.size() / 2] * 1e3,
      all[all.size() * 99 / 100] * 1e3, cpu / static_cast<double>(all.size()) * 1e6, acks / bare,
      bare);
}

}  // namespace

int main(int argc, char** argv) {
  std::filesystem::path directory =
      argc > 1 ? argv[1] : std::filesystem::temp_directory_path() / "weft-log-benchmark";
  double seconds = argc > 2 ? std::atof(argv[2]) : 3;
  std::filesystem::create_directories(directory);
  for (std::size_t size : {2'000, 35'000, 95'000}) Measure(directory, size, seconds);
  std::filesystem::remove_all(directory);
}
