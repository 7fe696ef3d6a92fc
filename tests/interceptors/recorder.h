// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include <weft/interceptors/middleware.h>

namespace weft::echo_test {

/// A middleware made of functions, for one test.
class Hooks : public Middleware {
 public:
  std::function<void(Call&, MetadataWriter&)> on_send;
  std::function<void(Call&, MetadataWriter&)> on_send_trailers;
  std::function<void(Call&, grpc::Status&)> on_status;

  void OnSendMetadata(Call& call, MetadataWriter& metadata) noexcept override {
    if (on_send) on_send(call, metadata);
  }
  void OnSendTrailers(Call& call, MetadataWriter& metadata) noexcept override {
    if (on_send_trailers) on_send_trailers(call, metadata);
  }
  void OnStatus(Call& call, grpc::Status& status) noexcept override {
    if (on_status) on_status(call, status);
  }
};

/// Counts what began and what ended, and how many states of calls live.
class Balance : public Middleware {
 public:
  struct Side {
    std::atomic<int> started{0};
    std::atomic<int> ended{0};
  };

  CallStateType call_state() const noexcept override { return CallStateType::Of<State>(); }
  void OnStart(Call& call) noexcept override {
    ++of(call.side()).started;
    call.state<State>().live = live_;
  }
  void OnEnd(Call& call, const CallReport& /*report*/) noexcept override {
    ++of(call.side()).ended;
    ++call.state<State>().ends;
    if (call.state<State>().ends > 1) ++repeated_ends;
  }

  Side& of(CallSide side) noexcept { return side == CallSide::kClient ? client : server; }
  /// States that were not destroyed.
  long live() const noexcept { return live_.use_count() - 1; }

  Side client;
  Side server;
  std::atomic<int> repeated_ends{0};

 private:
  struct State {
    std::shared_ptr<int> live;
    int ends = 0;
  };
  std::shared_ptr<int> live_ = std::make_shared<int>();
};

/// Rejects every call on a server.
class RejectAll : public Middleware {
 public:
  static constexpr grpc::StatusCode kCode = grpc::StatusCode::RESOURCE_EXHAUSTED;
  static constexpr char kText[] = "come back later";

  std::string_view name() const noexcept override { return "reject_all"; }
  bool may_reject() const noexcept override { return true; }
  Verdict Admit(Call& /*call*/, const MetadataView& /*metadata*/) noexcept override {
    return {.status = {kCode, kText}, .trailers = {{"retry-after", "7"}, {"Bad Key", "dropped"}}};
  }
};

/// Keeps the request metadata that a server received.
class ReceivedMetadata : public Middleware {
 public:
  void OnReceiveMetadata(Call& call, const MetadataView& metadata) noexcept override {
    if (call.side() != CallSide::kServer) return;
    const std::lock_guard lock(mutex_);
    calls_.emplace_back();
    for (const auto& [key, value] : metadata.map()) {
      calls_.back().emplace(std::string(key.data(), key.size()),
                            std::string(value.data(), value.size()));
    }
  }

  std::multimap<std::string, std::string> Last() const {
    const std::lock_guard lock(mutex_);
    return calls_.empty() ? std::multimap<std::string, std::string>() : calls_.back();
  }

  /// All values of `key` in the last call.
  std::vector<std::string> Last(const std::string& key) const {
    const auto all = Last();
    std::vector<std::string> values;
    const auto [first, last] = all.equal_range(key);
    for (auto it = first; it != last; ++it) values.push_back(it->second);
    return values;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<std::multimap<std::string, std::string>> calls_;
};

}  // namespace weft::echo_test
