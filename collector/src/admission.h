// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <absl/status/statusor.h>

#include <weft/collector/config.h>
#include <weft/collector/ingest.h>
#include <weft/collector/keys.h>

namespace weft::collector {

/// What a second brings, with a second's worth at once. Goes into debt, so that a request larger
/// than that gets through, too.
class RateLimit {
 public:
  using Clock = std::chrono::steady_clock;

  /// 0 = no limit.
  explicit RateLimit(std::uint64_t per_second) : per_second_(static_cast<double>(per_second)) {}

  /// How long until something may be taken; zero = now.
  std::chrono::milliseconds Wait(Clock::time_point now);
  void Take(std::uint64_t amount);

 private:
  double per_second_;
  double left_ = per_second_;
  Clock::time_point refilled_{};
};

/// What a tenant has in flight, for as long as requests hold on to it.
class TenantBudget {
 public:
  TenantBudget(std::string tenant, std::uint64_t limit)
      : tenant_(std::move(tenant)), limit_(limit) {}

  /// ResourceExhausted, with RetryAfterOf, when there would be more than the limit. A request that
  /// is larger than that gets through alone. `own`: what the request has already.
  absl::Status Reserve(std::uint64_t bytes, std::uint64_t own = 0);
  void Release(std::uint64_t bytes) { used_ -= bytes; }

 private:
  const std::string tenant_;
  const std::uint64_t limit_;
  std::atomic<std::uint64_t> used_{0};
};

/// Limits of a tenant in the place of those of all; 0 = none of its own.
struct TenantRunLimits {
  std::uint64_t max_run = 0;
  std::uint64_t max_trace_runs = 0;
};

/// Decides who may bring what, by the keys and tenants of the configuration.
///
/// Threads: any.
class Admission {
 public:
  /// From the next request on. What tenants have used up stays used up.
  void Set(const std::vector<NamedKey>& keys, const std::vector<TenantConfig>& tenants);

  bool AcceptsKey(std::string_view key) const { return keys()->Accepts(key); }
  /// Without configured keys, everybody may.
  bool MayRead(std::string_view key) const;
  /// `is_loopback`: the caller is on this machine, which is enough without configured keys.
  bool MayAdminister(std::string_view key, bool is_loopback) const;

  /// Writes the tenant into the header. The result is whose key goes to destinations; null = the
  /// caller's own.
  ///
  /// Errors: Unauthenticated, PermissionDenied (the key lacks a project), ResourceExhausted with
  ///   RetryAfterOf (the tenant's rate), OutOfRange (larger than its bodies may be).
  absl::StatusOr<std::shared_ptr<const NamedKey>> Admit(IngestBatch& batch);

  /// Null where the tenant, or that of the key, has no limit.
  std::shared_ptr<TenantBudget> BudgetOf(const std::string& tenant) const;
  std::shared_ptr<TenantBudget> BudgetOfKey(std::string_view key) const;
  TenantRunLimits RunLimitsOf(const std::string& tenant) const;

 private:
  struct Limits {
    TenantConfig config;
    RateLimit runs;
    RateLimit bytes;
    std::shared_ptr<TenantBudget> budget{};
  };

  std::shared_ptr<const AcceptedKeys> keys() const;
  absl::Status CheckLimits(const std::string& tenant, std::uint64_t runs, std::uint64_t bytes);

  mutable std::mutex mutex_;
  std::shared_ptr<const AcceptedKeys> keys_ = std::make_shared<AcceptedKeys>();
  std::map<std::string, Limits> limits_;
  std::atomic<bool> has_budgets_{false};
};

}  // namespace weft::collector
