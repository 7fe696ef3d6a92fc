// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "batch_exporter.h"

namespace weft {

/// What happened at a ScriptedSink, and what it is to answer.
///
/// Threads: any.
class SinkScript {
 public:
  using Names = std::vector<std::string>;

  /// Answers for the next batches; later ones are sent.
  std::deque<internal::SendResult> answers;
  /// A batch that holds this run is answered with `verdict`.
  std::string bad;
  internal::Verdict bad_verdict = internal::Verdict::kRefused;
  bool keeps = false;
  bool holds = false;  ///< Batches wait until they are aborted.
  std::size_t idle_steps = 0;
  std::chrono::milliseconds idle_step_takes{0};
  std::atomic<int> broken_idle_steps = 0;

  void Note(std::vector<Names>& where, Names names) {
    const std::lock_guard lock(mutex_);
    where.push_back(std::move(names));
    changed_.notify_all();
  }

  bool WaitForBatches(std::size_t count) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(20),
                             [&] { return batches_.size() >= count; });
  }
  bool WaitForIdleSteps(std::size_t count) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(20),
                             [&] { return steps_.size() >= count; });
  }
  std::vector<Names> batches() { return Copy(batches_); }
  std::vector<Names> shortened() { return Copy(shortened_); }
  std::vector<Names> kept() { return Copy(kept_); }
  Names sent() {
    const std::lock_guard lock(mutex_);
    return sent_;
  }

 private:
  friend class ScriptedSink;

  std::vector<Names> Copy(const std::vector<Names>& from) {
    const std::lock_guard lock(mutex_);
    return from;
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Names> batches_;
  std::vector<Names> shortened_;
  std::vector<Names> kept_;
  std::vector<Names> steps_;
  Names sent_;
};

class ScriptedSink final : public internal::BatchSink {
 public:
  explicit ScriptedSink(SinkScript* script) : script_(*script) {}

  internal::SendResult Send(const Batch& batch, const std::atomic<bool>& abort) override {
    const SinkScript::Names names = NamesOf(batch.runs);
    script_.Note(script_.batches_, names);
    if (batch.shorten) script_.Note(script_.shortened_, names);
    while (script_.holds && !abort) std::this_thread::yield();
    if (abort) return {.verdict = internal::Verdict::kRetry, .code = "aborted"};
    const std::lock_guard lock(script_.mutex_);
    internal::SendResult result;
    if (!script_.answers.empty()) {
      result = script_.answers.front();
      script_.answers.pop_front();
    } else if (!batch.shorten &&
               std::find(names.begin(), names.end(), script_.bad) != names.end()) {
      result = {.verdict = script_.bad_verdict, .code = "422", .reason = "bad"};
    }
    if (result.verdict == internal::Verdict::kSent) {
      script_.sent_.insert(script_.sent_.end(), names.begin(), names.end());
    }
    return result;
  }

  bool Keep(Runs runs) override {
    script_.Note(script_.kept_, NamesOf(runs));
    return script_.keeps;
  }

  std::optional<internal::SendResult> Idle(const std::atomic<bool>& abort) override {
    if (script_.idle_steps == 0) return std::nullopt;
    --script_.idle_steps;
    script_.Note(script_.steps_, {});
    const auto end = std::chrono::steady_clock::now() + script_.idle_step_takes;
    while (std::chrono::steady_clock::now() < end && !abort) std::this_thread::yield();
    if (abort) ++script_.broken_idle_steps;
    return internal::SendResult{};
  }

 private:
  static SinkScript::Names NamesOf(Runs runs) {
    SinkScript::Names names;
    for (const RunRecord* run : runs) names.emplace_back(run->DisplayName());
    return names;
  }

  SinkScript& script_;
};

}  // namespace weft
