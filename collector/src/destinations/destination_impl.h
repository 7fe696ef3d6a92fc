// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <weft/collector/destination.h>

#include "destinations/delivery.h"
#include "destinations/drain_limit.h"
#include "destinations/round.h"
#include "destinations/shares.h"
#include "destinations/sink.h"
#include "destinations/stage.h"
#include "destinations/waiting_file.h"
#include "parked_file.h"

namespace weft::collector {

/// A place in the log. The main lane carries all keys but those that are held: each of these has a
/// lane of its own, behind the main one, until its target takes the key.
struct Lane {
  using Clock = std::chrono::steady_clock;

  std::string name;
  Cursor cursor;
  Position at;                   ///< Where to read on; ahead of the cursor until that is saved.
  std::unique_ptr<Stage> stage;  ///< May be null.
  WaitingFile waiting;
  Clock::time_point saved_at{};
  bool is_dirty = false;  ///< More happened since:
  Delivery::Counts counts;
  std::uint64_t filtered = 0;
  std::uint64_t expired = 0;
  std::uint64_t orphans = 0;
  Clock::time_point retry_at{};
  bool throttled = false;  ///< Not refused: the target takes no more of the key for a while.
  int failures = 0;        ///< In a row, while throttled.
};

class Destination::Impl {
 public:
  using milliseconds = std::chrono::milliseconds;

  Impl(const DestinationConfig& config, DestinationOptions options);
  ~Impl() { Stop(milliseconds(0)); }

  absl::Status Start(const DestinationConfig& config);

  ParkedFile& parked() const { return *parked_; }

  void WakeUp() {
    std::lock_guard lock(mutex_);
    redrive_at_ = {};
    wake_.notify_all();
  }

  void Stop(milliseconds patience) {
    if (!thread_.joinable()) return;
    stopping_ = true;
    gate_->Stop();
    std::unique_lock lock(mutex_);
    wake_.notify_all();
    if (!wake_.wait_for(lock, patience, [this] { return finished_; })) delivery_->Abort();
    lock.unlock();
    thread_.join();
  }

  absl::StatusOr<std::function<void()>> PrepareReload(const DestinationConfig& config) {
    auto commit = sink_->PrepareReload(config);
    if (!commit.ok()) return commit.status();
    return [this, key = config.api_key, commit = *std::move(commit)] {
      commit();
      std::lock_guard lock(mutex_);
      api_key_ = key;
      retry_held_ = true;
      gate_->Hurry();
      wake_.notify_all();
    };
  }

  DestinationStats Stats() const;

  const std::string& spec() const { return spec_; }

 private:
  using Clock = Lane::Clock;
  static constexpr milliseconds kTroubleWait{1'000};

  absl::Status OpenLanes();
  absl::StatusOr<Lane> OpenLane(const std::string& name, Position start);
  void OpenGate();
  std::unique_ptr<Stage> MakeStage() const;
  void Rewind(Lane& lane);
  Position OldestNeeded(const Lane& lane) const;
  void CountOpen();
  bool Save(Lane& lane, bool is_main);
  void SaveWaiting();
  void CountBacklog();
  void Run();
  bool AdvanceLane(Lane& lane, std::optional<std::uint64_t> only_key);
  RoundLimits Limits(const Lane& lane, std::optional<std::uint64_t> only_key);
  bool Carries(std::optional<std::uint64_t> only_key, std::uint64_t key_id) const;
  RoundReader::Carries CarriedBy(std::optional<std::uint64_t> only_key) const;
  std::size_t Workers() const;
  void DeliverShares(std::vector<Share>& shares, std::size_t workers);
  std::optional<std::string> KeyOf(std::uint64_t key_id) const;
  bool Hold(Share& share);
  bool ParkRest(Share& share);
  void Postpone(Lane& lane, const Share& failed, bool is_main);
  void Count(const std::vector<Share>& shares, const Position& end, Lane& lane, bool is_main);
  milliseconds IdleTime() const;
  void CountExpired(std::uint64_t logged);
  bool Redrive();
  bool RedriveBatch(const std::vector<ParkedFile::Item>& items);
  void ReleaseLanes();
  bool Flush();
  void Wait(milliseconds time);

  const DestinationOptions options_;
  const std::string spec_;
  const DestinationConfig::Kind kind_;
  const std::string name_;  ///< Of cursors and parked files.
  std::unique_ptr<Sink> sink_;
  std::unique_ptr<ParkedFile> parked_;
  std::unique_ptr<RetryGate> gate_;
  DrainLimit drain_;
  std::unique_ptr<Delivery> delivery_;
  Position start_end_;  ///< Where the log ended at the start.
  std::uint64_t logged_before_ = 0;
  std::optional<Lane> main_;
  std::atomic<bool> stopping_{false};
  RoundReader reader_;

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  bool finished_ = false;
  bool retry_held_ = false;
  std::string api_key_;
  std::map<std::uint64_t, Lane> held_;  ///< Changed by the thread only.
  Clock::time_point redrive_at_{};      ///< Not before.
  Delivery::Counts counts_;
  std::uint64_t filtered_ = 0;
  std::uint64_t expired_ = 0;
  std::uint64_t orphans_ = 0;
  std::uint64_t open_ = 0;
  std::uint64_t open_traces_ = 0;
  std::uint64_t backlog_ = 0;
  std::uint64_t oldest_pending_us_ = 0;

  std::thread thread_;
};

}  // namespace weft::collector
