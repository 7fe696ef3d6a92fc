// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <future>
#include <iterator>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <utility>

#include <gtest/gtest.h>

#include <weft/collector/destination.h>
#include <weft/collector/ingest.h>
#include <weft/collector/keys.h>
#include <weft/collector/run_store.h>

#include "storage_support.h"

namespace weft::collector {

/// Everything of a collector that touches the disk: log, keys, parked file, index, a destination.
struct Pipeline {
  std::shared_ptr<Log> log;
  std::shared_ptr<KeyRing> keys;
  std::unique_ptr<Ingest> ingest;
  std::unique_ptr<RunStore> store;
  std::unique_ptr<Destination> destination;

  static absl::StatusOr<Pipeline> Open(const std::filesystem::path& directory) {
    Pipeline line;
    LogOptions options = SmallLog(directory);
    options.segment_bytes = 8 << 10;
    absl::StatusOr<std::unique_ptr<Log>> log = Log::Open(options);
    if (!log.ok()) return log.status();
    line.log = *std::move(log);
    absl::StatusOr<std::unique_ptr<KeyRing>> keys = KeyRing::Open(directory);
    if (!keys.ok()) return keys.status();
    line.keys = *std::move(keys);
    absl::StatusOr<std::unique_ptr<Ingest>> ingest =
        Ingest::Create({.log = line.log,
                        .keys = line.keys,
                        .parked_file = directory / "parked" / "received.jsonl"});
    if (!ingest.ok()) return ingest.status();
    line.ingest = *std::move(ingest);
    line.store = RunStore::Start(line.log, {});
    DestinationConfig config;
    config.kind = DestinationConfig::Kind::kFile;
    config.target = SentFile(directory);
    DestinationOptions wanted;
    wanted.log = line.log;
    wanted.keys = line.keys;
    wanted.data = directory;
    wanted.logged = [ingest = line.ingest.get()] { return ingest->logged(); };
    wanted.linger = std::chrono::milliseconds(1);
    auto destination = Destination::Start(config, std::move(wanted));
    if (!destination.ok()) return destination.status();
    line.destination = *std::move(destination);
    return line;
  }

  ~Pipeline() { Close(); }
  Pipeline() = default;
  Pipeline(Pipeline&&) = default;
  Pipeline& operator=(Pipeline&&) = default;

  void Close() {
    if (log) log->Close();  // first, for it ends the others' waits
    if (destination) destination->Stop(std::chrono::seconds(1));
    if (store) store->Stop();
  }

  /// Hands in the batch `number`, and waits for the answer.
  absl::Status Accept(std::uint64_t number) {
    std::promise<absl::Status> answer;
    ingest->Accept(BatchOf(number),
                   [&answer](const absl::Status& status) { answer.set_value(status); });
    return answer.get_future().get();
  }

  // --- What a batch holds follows from its number. -------------------------------------------

  /// In a folder that is there before the collector is.
  static std::filesystem::path SentFile(const std::filesystem::path& directory) {
    return directory / "sent" / "runs.jsonl";
  }

  static constexpr std::uint64_t kRuns = 2;

  static RunId RunOf(std::uint64_t number, std::uint64_t run) { return IdOf(number * 16 + run); }
  static std::string KeyOf(std::uint64_t number) { return "key-" + std::to_string(number % 3); }
  static bool HasInvalid(std::uint64_t number) { return number % 4 == 1; }
  static std::string ReasonOf(std::uint64_t number) {
    return "bad-" + std::to_string(number) + ".";
  }

  static std::string InputsOf(std::uint64_t number, std::uint64_t run) {
    std::mt19937_64 random(number * kRuns + run);
    std::string text = "{\"n\": " + std::to_string(number) + ", \"text\": \"Grüße ";
    const std::uint64_t size = 200 + random() % 3000;
    for (std::uint64_t i = 0; i < size; ++i) text += static_cast<char>('a' + random() % 26);
    return text + "\"}";
  }

  static IngestBatch BatchOf(std::uint64_t number) {
    IngestBatch batch;
    for (std::uint64_t run = 0; run < kRuns; ++run) {
      RunOp op;
      op.run_id = op.trace_id = RunOf(number, run);
      op.is_root = true;
      const std::string id = op.run_id.ToString();
      const std::string object = "{\"id\":\"" + id + "\",\"trace_id\":\"" + id +
                                 "\",\"dotted_order\":\"20261121T130000000000Z" + id +
                                 "\",\"name\":\"step\"}";
      for (const auto& [field, text] : {std::pair(PartField::kRun, object),
                                        std::pair(PartField::kInputs, InputsOf(number, run))}) {
        op.parts.push_back({.field = field, .offset = batch.payload.size(), .length = text.size()});
        batch.payload += text;
      }
      batch.header.ops.push_back(std::move(op));
    }
    batch.header.decoded_size = batch.payload.size();
    batch.api_key = KeyOf(number);
    if (HasInvalid(number)) batch.rejected.push_back({2, ReasonOf(number), "{}"});
    return batch;
  }
};

inline std::string Slurp(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// A data directory, and room beside it.
struct Place {
  Place() { std::filesystem::create_directories(Pipeline::SentFile(data).parent_path()); }

  TemporaryDirectory root;
  std::filesystem::path data = root.path() / "data";
};

/// The conservation check: everything acknowledged is in the log, the index, the parked file and at
/// the destination, with the bytes and the key that it came with; the counts add up; and the
/// collector takes more.
inline void ExpectConserved(const std::filesystem::path& directory,
                            const std::set<std::uint64_t>& acknowledged) {
  constexpr std::chrono::seconds kPatience{60};
  auto line = Pipeline::Open(directory);
  ASSERT_TRUE(line.ok()) << line.status();
  ASSERT_TRUE(line->Accept(1'000'000).ok());
  ASSERT_TRUE(line->store->WaitUntilIndexed(kPatience));
  const std::string parked = Slurp(directory / "parked" / "received.jsonl");
  std::map<RunId, std::uint64_t> key_ids;
  for (Position at = line->log->Begin();;) {
    const absl::StatusOr<Record> record = line->log->Read(at);
    if (!record.ok()) break;
    for (const RunOp& op : record->header.ops) key_ids[op.run_id] = record->header.key_id;
    at = record->next;
  }
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  DestinationStats stats = line->destination->Stats();
  while (stats.lag != 0 || stats.sent == 0) {
    ASSERT_LT(std::chrono::steady_clock::now(), deadline);
    line->log->WaitForRecord(line->log->DurableEnd(), std::chrono::milliseconds(2));
    stats = line->destination->Stats();
  }
  EXPECT_EQ(stats.available, stats.sent + stats.parked + stats.lag);
  const std::string out = Slurp(Pipeline::SentFile(directory));
  for (const std::uint64_t number : acknowledged) {
    for (std::uint64_t run = 0; run < Pipeline::kRuns; ++run) {
      const RunId id = Pipeline::RunOf(number, run);
      const std::string inputs = Pipeline::InputsOf(number, run);
      const absl::StatusOr<StoredRun> stored = line->store->FindRun(id);
      ASSERT_TRUE(stored.ok()) << number << ": " << stored.status();
      ASSERT_NE(stored->json.find(inputs), std::string::npos) << number;
      ASSERT_NE(out.find(id.ToString()), std::string::npos) << number;
      ASSERT_EQ(line->keys->Find(key_ids[id]), Pipeline::KeyOf(number));
    }
    if (Pipeline::HasInvalid(number)) {
      ASSERT_NE(parked.find(Pipeline::ReasonOf(number)), std::string::npos) << number;
    }
  }
}

}  // namespace weft::collector
