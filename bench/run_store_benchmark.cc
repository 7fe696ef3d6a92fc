// SPDX-License-Identifier: Apache-2.0
// What finding runs again costs: indexing an operation, memory for a run, opening a trace. The
// baseline is a std::map from each run to its position.
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <future>
#include <map>
#include <string>

#include <weft/collector/log.h>
#include <weft/collector/run_store.h>

namespace {

using Clock = std::chrono::steady_clock;
using namespace weft::collector;  // NOLINT: a program of one file

constexpr std::uint64_t kRunsPerRecord = 100;
constexpr std::uint64_t kRunsPerTrace = 10;
constexpr std::uint64_t kRecords = 3'000;

double Seconds(Clock::duration time) { return std::chrono::duration<double>(time).count(); }

weft::RunId IdOf(std::uint64_t number) {
  weft::RunId id;
  for (std::size_t i = 0; i < 8; ++i) id.bytes[i] = static_cast<std::uint8_t>(number >> (8 * i));
  id.bytes[15] = 1;
  return id;
}

// Runs of 2 KB, one hundred a record; those of one trace stand together.
void AppendRuns(Log& log, std::uint64_t first_run, std::uint64_t runs_per_trace,
                std::promise<void>* written) {
  RecordHeader header;
  header.received_us = 1'789'000'000'000'000 + first_run;
  std::string payload;
  for (std::uint64_t run = first_run; run < first_run + kRunsPerRecord; ++run) {
    RunOp op;
    op.run_id = IdOf(run);
    op.trace_id = IdOf(run / runs_per_trace * runs_per_trace);
    op.is_root = op.run_id == op.trace_id;
    op.project = "bench";
    std::string object =
        R"({"name":"run","run_type":"llm","start_time":1789000000000,"trace_id":")" +
        op.trace_id.ToString() + R"(","dotted_order":")" + op.run_id.ToString() +
        R"(","inputs":{"text":")" + std::string(1800, 'x') + R"("}})";
    op.parts.push_back(
        {.field = PartField::kRun, .offset = payload.size(), .length = object.size()});
    payload += object;
    header.ops.push_back(std::move(op));
  }
  header.decoded_size = payload.size();
  log.Append(std::move(header), std::move(payload), [written](absl::StatusOr<Position> position) {
    if (!position.ok()) std::abort();
    if (written) written->set_value();
  });
}

double BaselineNanoseconds(std::uint64_t runs) {
  std::map<weft::RunId, Position> index;
  Clock::time_point start = Clock::now();
  for (std::uint64_t run = 0; run < runs; ++run) index[IdOf(run)] = {1, run, run};
  return Seconds(Clock::now() - start) * 1e9 / static_cast<double>(runs);
}

}  // namespace

int main(int argc, char** argv) {
  std::filesystem::path directory =
      argc > 1 ? argv[1] : std::filesystem::temp_directory_path() / "weft-run-store-benchmark";
  std::filesystem::remove_all(directory);
  LogOptions options;
  options.directory = directory;
  std::shared_ptr<Log> log = Log::Open(options).value();
  for (std::uint64_t record = 0; record < kRecords; ++record) {
    std::promise<void> written;
    AppendRuns(*log, record * kRunsPerRecord, kRunsPerTrace, &written);
    written.get_future().wait();
  }
  // One large trace at the end.
  constexpr std::uint64_t kLarge = 1'000;
  const std::uint64_t large = kRecords * kRunsPerRecord;
  for (std::uint64_t run = 0; run < kLarge; run += kRunsPerRecord) {
    std::promise<void> written;
    AppendRuns(*log, large + run, kLarge, &written);
    written.get_future().wait();
  }

  const double runs = static_cast<double>(kRecords * kRunsPerRecord + kLarge);
  Clock::time_point start = Clock::now();
  std::unique_ptr<RunStore> store = RunStore::Start(log, {});
  store->WaitUntilIndexed(std::chrono::minutes(5));
  double elapsed = Seconds(Clock::now() - start);
  double baseline = BaselineNanoseconds(kRecords * kRunsPerRecord);
  std::printf(
      "index  %.0f ns an operation with the reading of the log (%.1f x a std::map: %.0f ns), "
      "%.0f operations/s, %.1f bytes a run\n",
      elapsed * 1e9 / runs, elapsed * 1e9 / runs / baseline, baseline, runs / elapsed,
      static_cast<double>(store->index_bytes()) / runs);

  start = Clock::now();
  std::size_t found = store->FindTrace(IdOf(large))->size();
  std::printf("trace  %zu runs in %.1f ms\n", found, Seconds(Clock::now() - start) * 1e3);
  start = Clock::now();
  for (std::uint64_t run = 0; run < 1'000; ++run) {
    if (!store->FindRun(IdOf(run * 7)).ok()) std::abort();
  }
  std::printf("run    %.0f us\n", Seconds(Clock::now() - start) * 1e3);
  start = Clock::now();
  found = store->ListTraces({.project = "bench", .limit = 100})->size();
  std::printf("list   %zu traces in %.1f ms\n", found, Seconds(Clock::now() - start) * 1e3);
  start = Clock::now();
  if (store->FindRun(IdOf(~0ull)).ok()) std::abort();
  std::printf("miss   %.0f us in %zu segments\n", Seconds(Clock::now() - start) * 1e6,
              log->Segments().size());
  store.reset();
  RunStoreOptions small;
  small.max_index_bytes = 1 << 20;
  start = Clock::now();
  store = RunStore::Start(log, small);
  store->WaitUntilIndexed(std::chrono::minutes(5));
  std::printf("start  again with summaries and an index of 1 MiB: %.0f ms\n",
              Seconds(Clock::now() - start) * 1e3);
  start = Clock::now();
  if (!store->FindRun(IdOf(7)).ok()) std::abort();
  std::printf("old    a run that the index does not hold: %.1f ms\n",
              Seconds(Clock::now() - start) * 1e3);
  store.reset();
  log.reset();
  std::filesystem::remove_all(directory);
}
