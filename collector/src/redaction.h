// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <absl/status/statusor.h>

#include <weft/collector/config.h>
#include <weft/collector/ingest.h>
#include <weft/tracing/internal/json_redactor.h>

namespace weft::collector {

/// The rules that are in force, for each tenant and project those that apply to it.
///
/// Threads: any.
class RedactionRules {
 public:
  using Redactor = internal::JsonRedactor;

  /// Errors: FailedPrecondition names the rule.
  static absl::StatusOr<std::shared_ptr<RedactionRules>> Create(RedactionConfig config);

  const RedactionConfig& config() const { return config_; }
  bool empty() const { return config_.empty(); }

  /// Null when nothing applies. Without a project, rules for any one apply.
  const Redactor* For(std::string_view tenant, std::optional<std::string_view> project);

  /// How often each rule found something since it is in force.
  std::map<std::string, std::uint64_t> Counts() const;

 private:
  explicit RedactionRules(RedactionConfig config) : config_(std::move(config)) {}

  const RedactionConfig config_;
  mutable std::mutex mutex_;
  // By which rules apply; tenants and projects are many, sets of rules are few.
  std::map<std::vector<bool>, std::shared_ptr<const Redactor>> redactors_;
};

/// Takes out of requests what must not be in the log.
///
/// What is found is replaced where it is; a part of a run in which nothing is found keeps its
/// bytes. Fails closed: what cannot be redacted is left out, and so are the bytes of operations
/// that are parked because they are invalid.
///
/// Threads: any.
class Redaction {
 public:
  /// From the next request on.
  void Set(std::shared_ptr<RedactionRules> rules);

  /// Redacts the payload, and lets the header fit it again.
  void Redact(IngestBatch& batch);

  /// For the metrics: since the start, by rule.
  std::map<std::string, std::uint64_t> Counts() const;

 private:
  mutable std::mutex mutex_;
  std::shared_ptr<RedactionRules> rules_;
  std::map<std::string, std::uint64_t> attachments_;
  std::map<std::string, std::uint64_t> before_;  // of rules that were replaced
};

/// Redacts an ExportTraceServiceRequest; `projects` are its spans' in their order. Returns nothing
/// when it is as it was.
/// Errors: InvalidArgument when the bytes are no such message.
absl::StatusOr<std::string> RedactSpans(std::string_view request, std::string_view tenant,
                                        const std::vector<std::string>& projects,
                                        RedactionRules& rules);

}  // namespace weft::collector
