// SPDX-License-Identifier: Apache-2.0
// What tracing adds to an RPC.
//
//   rpc_benchmark once MODE N [WORD...]
//     One thread is client and server, in process; N RPCs after a warm-up. For instructions, all
//     threads counted, bench/rpc_instructions.py takes the slopes of runs under callgrind.
//   rpc_benchmark tcp [ROUNDS [N [ROW...]]]
//     64 outstanding over TCP; CPU time per RPC of the whole process and its ratio to the row of
//     bare calls before it (or else to the first), medians of interleaved rounds. Wants a quiet
//     machine. A row is one argument, as for `once`: tcp 20 5000 bare "exported guarded".
//
// Modes: bare, floor (two interceptors by hand that send and read two headers), hand (traced in the
// code of client and handler, without weft: see rpc_hand_tracing.h), filtered (a chain that selects
// nothing), off (tracer disabled), unsampled, headers (runs on neither side, the headers go out and
// in), null (traced to an exporter that drops), exported (traced, sent to a service in this process
// that acknowledges every batch), unpacked (the same, but the service unpacks the runs), sent (tcp
// only: to a collector in another process, whose CPU time is not counted), chain (no tracing: for
// middlewares alone).
//
// Words: stream (100 messages each way in the place of one call), sync or callback (another server
// than one of a completion queue), guarded (its service is registered with weft::RegisterService),
// hooks (with guard_services = false: interceptors of gRPC for all calls), key (the client sends an
// API key), timed (with a deadline), server:NAME and client:NAME (a further middleware there: auth,
// concurrency, deadline, forward, logging, metrics, rate-limit, real-peer).
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "collector_process.h"
#include "rpc_once.h"
#include "rpc_setup.h"
#include "rpc_tcp.h"

namespace {
std::atomic<bool> g_counting{false};
std::atomic<long> g_allocations{0};
}  // namespace

[[gnu::noinline]] void* operator new(std::size_t size) {
  if (g_counting.load(std::memory_order_relaxed)) {
    g_allocations.fetch_add(1, std::memory_order_relaxed);
  }
  if (void* memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace {

using bench::Instruments;
using bench::Setup;

std::string Joined(std::span<const std::string> words) {
  std::string joined;
  for (const std::string& word : words) joined += (joined.empty() ? "" : " ") + word;
  return joined;
}

int RunOnce(std::span<const std::string> words, int count) {
  const std::optional<Setup> setup = Setup::Parse(words);
  if (!setup || setup->mode == Setup::Mode::kSent || count <= 0) return 2;
  Instruments instruments(*setup);
  bench::OneThread harness(instruments);
  for (int i = 0; i < (setup->stream ? 20 : 200); ++i) harness.Call();
  instruments.Flush();
  g_counting = true;
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < count; ++i) harness.Call();
  const std::chrono::duration<double, std::micro> took = std::chrono::steady_clock::now() - start;
  instruments.Flush();
  g_counting = false;
  const std::string name = Joined(words);
  std::printf("%-10s %8.2f us/RPC %6.1f allocations/RPC\n", name.c_str(), took.count() / count,
              static_cast<double>(g_allocations.load()) / count);
  std::fflush(stdout);
  std::_Exit(0);  // without waiting for the queues to drain
}

double CpuMicros() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto micros = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) * 1e6 + static_cast<double>(time.tv_usec);
  };
  return micros(usage.ru_utime) + micros(usage.ru_stime);
}

double Median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

struct TcpRow {
  TcpRow(std::string row_name, Setup setup, const std::string& collector)
      : name(std::move(row_name)), instruments(std::move(setup), collector), pair(instruments) {}

  std::string name;
  Instruments instruments;
  bench::TcpPair pair;
  std::vector<double> cpu;
};

const std::vector<std::string> kTcpRows = {
    "bare", "floor",    "hand", "filtered",      "off",           "unsampled",          "headers",
    "null", "exported", "sent", "bare callback", "sent callback", "sent hooks callback"};

std::vector<std::string> Split(const std::string& row) {
  std::istringstream words(row);
  return {std::istream_iterator<std::string>(words), {}};
}

/// The rows, warmed up; none if one cannot be read.
std::vector<std::unique_ptr<TcpRow>> TcpRows(std::span<const std::string> rows,
                                             const std::string& collector) {
  std::vector<std::unique_ptr<TcpRow>> made;
  for (const std::string& row : rows) {
    std::optional<Setup> setup = Setup::Parse(Split(row));
    if (!setup || setup->stream) return {};
    made.push_back(std::make_unique<TcpRow>(row, *std::move(setup), collector));
    made.back()->pair.Run(2000);
    made.back()->instruments.Flush();
  }
  return made;
}

int RunTcp(int rounds, int count, std::span<const std::string> words) {
  if (rounds <= 0 || count <= 0) return 2;
  const CollectorProcess collector;  // Before gRPC has threads here.
  const auto rows = TcpRows(words.empty() ? kTcpRows : words, collector.target());
  if (rows.empty()) return 2;
  for (int round = 0; round < rounds; ++round) {
    for (const auto& row : rows) {
      const double before = CpuMicros();
      row->pair.Run(count);
      row->instruments.Flush();
      row->cpu.push_back((CpuMicros() - before) / count);
    }
  }
  const TcpRow* bare = rows.front().get();
  for (const auto& row : rows) {
    if (row->instruments.setup().mode == Setup::Mode::kBare) bare = row.get();
    // Of the same round: what else the machine does changes from round to round.
    std::vector<double> ratios;
    for (std::size_t round = 0; round < row->cpu.size(); ++round) {
      ratios.push_back(row->cpu[round] / bare->cpu[round]);
    }
    std::printf("%-22s %7.2f us CPU/RPC  %.3f x bare\n", row->name.c_str(), Median(row->cpu),
                Median(ratios));
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> args(argv + 1, argv + argc);
  const auto number = [&](std::size_t i, int otherwise) {
    return args.size() > i ? std::atoi(args[i].c_str()) : otherwise;
  };
  int result = 2;
  if (args.size() >= 3 && args[0] == "once") {
    std::vector<std::string> words(args.begin() + 3, args.end());
    words.insert(words.begin(), args[1]);
    result = RunOnce(words, number(2, 0));
  }
  if (args.empty() || args[0] == "tcp") {
    const auto rows = std::span(args).subspan(std::min<std::size_t>(args.size(), 3));
    result = RunTcp(number(1, 9), number(2, 10000), rows);
  }
  if (result == 2) {
    std::fputs(
        "use: rpc_benchmark once MODE N [WORD...] | rpc_benchmark tcp [ROUNDS [N [ROW...]]]\n",
        stderr);
  }
  return result;
}
