// SPDX-License-Identifier: Apache-2.0
#include "admission.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <utility>

#include <absl/strings/cord.h>

namespace weft::collector {
namespace {

constexpr char kRetryAfter[] = "weft/retry_after_ms";

absl::Status CheckProjects(const NamedKey& key, const std::vector<RunOp>& ops) {
  if (key.projects.empty()) return absl::OkStatus();
  for (const RunOp& op : ops) {
    // A PATCH that names none belongs to the run's project, which its POST was checked for.
    if (op.project.empty() && op.kind != OpKind::kPost) continue;
    const std::string project = op.project.empty() ? "default" : op.project;
    if (std::find(key.projects.begin(), key.projects.end(), project) != key.projects.end()) {
      continue;
    }
    return absl::PermissionDeniedError("the key '" + key.name + "' may not write to the project '" +
                                       project + "'");
  }
  return absl::OkStatus();
}

}  // namespace

std::chrono::milliseconds RetryAfterOf(const absl::Status& status) {
  const auto payload = status.GetPayload(kRetryAfter);
  if (!payload.has_value()) return std::chrono::milliseconds(0);
  const std::string text(*payload);
  std::int64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return std::chrono::milliseconds(value);
}

std::chrono::milliseconds RateLimit::Wait(Clock::time_point now) {
  if (per_second_ == 0) return std::chrono::milliseconds(0);
  if (refilled_ != Clock::time_point()) {
    const double seconds = std::chrono::duration<double>(now - refilled_).count();
    left_ = std::min(per_second_, left_ + std::max(0.0, seconds) * per_second_);
  }
  refilled_ = now;
  if (left_ > 0) return std::chrono::milliseconds(0);
  return std::chrono::milliseconds(1 + static_cast<std::int64_t>(-left_ / per_second_ * 1000));
}

void RateLimit::Take(std::uint64_t amount) {
  if (per_second_ != 0) left_ -= static_cast<double>(amount);
}

absl::Status TenantBudget::Reserve(std::uint64_t bytes, std::uint64_t own) {
  const std::uint64_t before = used_.fetch_add(bytes);
  if (before == own || before + bytes <= limit_) return absl::OkStatus();
  used_ -= bytes;
  absl::Status status =
      absl::ResourceExhaustedError("the tenant '" + tenant_ + "' has too many bytes in flight");
  status.SetPayload(kRetryAfter, absl::Cord("1000"));
  return status;
}

void Admission::Set(const std::vector<NamedKey>& keys, const std::vector<TenantConfig>& tenants) {
  auto accepted = std::make_shared<const AcceptedKeys>(keys);
  std::map<std::string, Limits> limits;
  bool has_budgets = false;
  std::lock_guard lock(mutex_);
  for (const TenantConfig& tenant : tenants) {
    const auto before = limits_.find(tenant.name);
    if (before != limits_.end() && before->second.config == tenant) {
      limits.insert(*before);
    } else {
      Limits& fresh = limits
                          .emplace(tenant.name, Limits{tenant, RateLimit(tenant.runs_per_second),
                                                       RateLimit(tenant.bytes_per_second)})
                          .first->second;
      if (tenant.max_in_flight != 0) {
        fresh.budget = std::make_shared<TenantBudget>(tenant.name, tenant.max_in_flight);
      }
    }
    has_budgets |= tenant.max_in_flight != 0;
  }
  has_budgets_ = has_budgets;
  keys_ = std::move(accepted);
  limits_ = std::move(limits);
}

std::shared_ptr<const AcceptedKeys> Admission::keys() const {
  std::lock_guard lock(mutex_);
  return keys_;
}

bool Admission::MayRead(std::string_view key) const {
  const auto accepted = keys();
  if (accepted->empty()) return true;
  const NamedKey* const found = accepted->Find(key);
  return found != nullptr && found->read;
}

bool Admission::MayAdminister(std::string_view key, bool is_loopback) const {
  const auto accepted = keys();
  if (accepted->empty()) return is_loopback;
  const NamedKey* const found = accepted->Find(key);
  return found != nullptr && found->admin;
}

absl::StatusOr<std::shared_ptr<const NamedKey>> Admission::Admit(IngestBatch& batch) {
  const std::shared_ptr<const AcceptedKeys> accepted = keys();
  if (accepted->empty()) return nullptr;
  const std::string& shown = batch.caller_key.empty() ? batch.api_key : batch.caller_key;
  const NamedKey* const key = accepted->Find(shown);
  if (key == nullptr) return absl::UnauthenticatedError("no or an unknown key");
  if (auto status = CheckProjects(*key, batch.header.ops); !status.ok()) return status;
  const std::uint64_t runs = batch.header.ops.size() + batch.rejected.size();
  if (auto status = CheckLimits(key->tenant, runs, batch.header.decoded_size); !status.ok()) {
    return status;
  }
  batch.header.tenant = key->tenant;
  return std::shared_ptr<const NamedKey>(accepted, key);
}

std::shared_ptr<TenantBudget> Admission::BudgetOf(const std::string& tenant) const {
  if (!has_budgets_) return nullptr;
  std::lock_guard lock(mutex_);
  const auto found = limits_.find(tenant);
  return found == limits_.end() ? nullptr : found->second.budget;
}

std::shared_ptr<TenantBudget> Admission::BudgetOfKey(std::string_view key) const {
  if (!has_budgets_) return nullptr;
  const std::shared_ptr<const AcceptedKeys> accepted = keys();
  const NamedKey* const found = accepted->Find(key);
  return found == nullptr ? nullptr : BudgetOf(found->tenant);
}

TenantRunLimits Admission::RunLimitsOf(const std::string& tenant) const {
  std::lock_guard lock(mutex_);
  const auto found = limits_.find(tenant);
  if (found == limits_.end()) return {};
  const TenantConfig& config = found->second.config;
  return {config.max_run, config.max_trace_runs};
}

absl::Status Admission::CheckLimits(const std::string& tenant, std::uint64_t runs,
                                    std::uint64_t bytes) {
  std::lock_guard lock(mutex_);
  const auto found = limits_.find(tenant);
  if (found == limits_.end()) return absl::OkStatus();
  Limits& limits = found->second;
  if (limits.config.max_body != 0 && bytes > limits.config.max_body) {
    return absl::OutOfRangeError(
        "a body of " + std::to_string(bytes) + " bytes is larger than the " +
        std::to_string(limits.config.max_body) + " of the tenant '" + tenant + "'");
  }
  const auto now = RateLimit::Clock::now();
  const auto wait = std::max(limits.runs.Wait(now), limits.bytes.Wait(now));
  if (wait.count() == 0) {
    limits.runs.Take(runs);
    limits.bytes.Take(bytes);
    return absl::OkStatus();
  }
  absl::Status status =
      absl::ResourceExhaustedError("the tenant '" + tenant + "' has used up its rate");
  status.SetPayload(kRetryAfter, absl::Cord(std::to_string(wait.count())));
  return status;
}

}  // namespace weft::collector
