// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include <weft/collector/destination.h>
#include <weft/collector/keys.h>

#include "storage_support.h"

namespace weft::collector {

/// A log, keys and a destination that reads them.
class DestinationTest : public ::testing::Test {
 protected:
  void SetUp() override {
    OpenLog();
    keys_ = std::shared_ptr<KeyRing>(KeyRing::Open(directory_.path()).value());
  }

  void TearDown() override {
    destination_.reset();
    log_.reset();
  }

  void OpenLog() {
    log_.reset();
    log_ = std::shared_ptr<Log>(Log::Open(SmallLog(directory_.path())).value());
    logged_ = 0;
  }

  static std::string RunText(RunId id, RunId trace, const std::string& name = "step") {
    return "{\"id\":\"" + id.ToString() + "\",\"trace_id\":\"" + trace.ToString() +
           "\",\"dotted_order\":\"20261121T130000000000Z" + trace.ToString() + "\",\"name\":\"" +
           name + "\"}";
  }

  /// Puts a part into a record that is being made.
  static void AddPart(RunOp& op, std::string& payload, PartField field, const std::string& text,
                      const std::string& name = "", const std::string& type = "") {
    Part part;
    part.field = field;
    part.offset = payload.size();
    part.length = text.size();
    part.name = name;
    part.mime_type = type;
    op.parts.push_back(part);
    payload += text;
  }

  void AppendRecord(std::vector<RunOp> ops, std::string payload, const std::string& key = "") {
    RecordHeader header = HeaderFor(payload);
    header.key_id = keys_->Remember(key).value();
    header.ops = std::move(ops);
    const std::size_t count = header.ops.size();
    ASSERT_TRUE(AppendNow(*log_, std::move(header), std::move(payload)).ok());
    logged_ += count;
  }

  /// One record of `count` runs, each its own trace, with ids from `first` on.
  void AppendRuns(std::uint64_t first, std::size_t count, const std::string& key = "",
                  const std::string& name = "step") {
    std::vector<RunOp> ops;
    std::string payload;
    for (std::size_t i = 0; i < count; ++i) {
      RunOp op;
      op.run_id = op.trace_id = IdOf(first + i);
      AddPart(op, payload, PartField::kRun, RunText(op.run_id, op.trace_id, name));
      AddPart(op, payload, PartField::kInputs, "{\"n\": " + std::to_string(first + i) + "}");
      ops.push_back(std::move(op));
    }
    AppendRecord(std::move(ops), std::move(payload), key);
  }

  DestinationOptions Options() {
    DestinationOptions options;
    options.log = log_;
    options.keys = keys_;
    options.data = directory_.path();
    options.logged = [this] { return logged_.load(); };
    options.linger = std::chrono::milliseconds(1);
    options.first_backoff = std::chrono::milliseconds(1);
    options.max_backoff = std::chrono::milliseconds(20);
    options.probe_interval = std::chrono::milliseconds(10);
    options.held_interval = std::chrono::milliseconds(30);
    return options;
  }

  void StartDestination(const DestinationConfig& config, DestinationOptions options) {
    auto destination = Destination::Start(config, std::move(options));
    ASSERT_TRUE(destination.ok()) << destination.status();
    destination_ = *std::move(destination);
  }

  /// Waits until the counts are as wanted; each look is a wait on the log that ends in time.
  bool WaitFor(const std::function<bool(const DestinationStats&)>& wanted) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (!wanted(destination_->Stats())) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      log_->WaitForRecord(log_->DurableEnd(), std::chrono::milliseconds(5));
    }
    return true;
  }

  bool WaitForDelivered(std::uint64_t operations) {
    return WaitFor([&](const DestinationStats& stats) {
      return stats.sent + stats.parked >= operations && stats.lag == 0;
    });
  }

  std::vector<std::string> Lines(const std::filesystem::path& path) {
    std::vector<std::string> lines;
    std::ifstream in(path);
    for (std::string line; std::getline(in, line);) lines.push_back(line);
    return lines;
  }

  /// The parked file of the only destination.
  std::vector<std::string> Parked() {
    for (const auto& entry : std::filesystem::directory_iterator(directory_.path() / "parked")) {
      return Lines(entry.path());
    }
    return {};
  }

  TemporaryDirectory directory_;
  std::shared_ptr<Log> log_;
  std::shared_ptr<KeyRing> keys_;
  std::atomic<std::uint64_t> logged_{0};
  std::unique_ptr<Destination> destination_;
};

}  // namespace weft::collector
