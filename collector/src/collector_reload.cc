// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <map>
#include <utility>

#include "collector_impl.h"

namespace weft::collector {

absl::Status Collector::Impl::Reload(const absl::StatusOr<CollectorConfig>& config) {
  std::lock_guard reloading(reloading_);
  absl::StatusOr<Commits> commits =
      config.ok() ? PrepareReload(*config) : absl::StatusOr<Commits>(config.status());
  ++(commits.ok() ? reloads_ : reloads_refused_);
  if (!commits.ok()) return commits.status();
  for (const auto& commit : *commits) commit();
  return absl::OkStatus();
}

absl::StatusOr<Collector::Impl::Commits> Collector::Impl::PrepareReload(
    const CollectorConfig& config) {
  Commits commits;
  absl::Status status = PrepareDestinations(config, commits);
  if (status.ok()) status = PrepareCertificates(config, commits);
  if (!status.ok()) return status;
  auto rules = RedactionRules::Create(config.redaction);
  if (!rules.ok()) return rules.status();
  commits.push_back([this, config, rules = *std::move(rules)] {
    redaction_->Set(rules);
    prices_->Set(config.prices);
    SetKeys(config);
    store_->SetMaxTraceRuns(LeastTraceRuns(config));
    http_->SetAllowedHosts(config.allowed_hosts);
    otlp_http_->SetAllowedHosts(config.allowed_hosts);
  });
  return commits;
}

absl::Status Collector::Impl::PrepareDestinations(const CollectorConfig& config, Commits& commits) {
  for (const auto& destination : destinations_) {
    for (const DestinationConfig& wanted : config.forward) {
      if (wanted.Spec() != destination->spec()) continue;
      auto commit = destination->PrepareReload(wanted);
      if (!commit.ok()) return commit.status();
      commits.push_back(*std::move(commit));
    }
  }
  return absl::OkStatus();
}

absl::Status Collector::Impl::PrepareCertificates(const CollectorConfig& config, Commits& commits) {
  const std::pair<TlsContext*, const TlsConfig*> listeners[] = {
      {tls_grpc_.get(), &config.tls_grpc},
      {tls_otlp_http_.get(), &config.tls_otlp_http},
      {tls_http_.get(), &config.tls_http}};
  for (const auto& [context, own] : listeners) {
    const TlsConfig tls = config.TlsOf(*own);
    if (tls.enabled() != (context != nullptr)) {
      return absl::FailedPreconditionError("tls: a listener gets or loses it with a restart only");
    }
    if (context == nullptr) continue;
    auto commit = context->PrepareReload(tls);
    if (!commit.ok()) return commit.status();
    commits.push_back(*std::move(commit));
  }
  return absl::OkStatus();
}

absl::Status Collector::Impl::ReloadRequested() {
  std::function<absl::Status()> reload;
  {
    std::lock_guard lock(mutex_);
    reload = reload_;
  }
  if (!reload) return absl::UnavailableError("nobody reads the configuration again");
  const absl::Status status = reload();
  if (absl::IsFailedPrecondition(status)) return absl::InvalidArgumentError(status.message());
  return status;
}

// A tenant's limit is reloaded with it; the common one is that of the start.
std::uint16_t Collector::Impl::LeastTraceRuns(const CollectorConfig& config) const {
  std::uint64_t least = config_.max_trace_runs;
  for (const TenantConfig& tenant : config.tenants) {
    if (tenant.max_trace_runs != 0) least = std::min(least, tenant.max_trace_runs);
  }
  return static_cast<std::uint16_t>(least);
}

void Collector::Impl::SetKeys(const CollectorConfig& config) {
  std::map<std::string, std::string, std::less<>> mapped;
  for (const NamedKey& key : config.keys) {
    if (key.forward == NamedKey::Forward::kMapped) mapped[key.name] = key.forward_key;
  }
  keys_->SetMapped(std::move(mapped));
  admission_->Set(config.keys, config.tenants);
}

}  // namespace weft::collector
