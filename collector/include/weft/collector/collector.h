// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include <absl/status/statusor.h>

#include <weft/collector/config.h>

namespace weft::collector {

/// Where the collector listens, as HOST:PORT with the port that was bound.
struct CollectorAddresses {
  std::string grpc;
  std::string otlp_http;
  std::string http;
};

/// The whole collector: log, index, receivers and destinations, in the order that loses nothing.
///
///     CollectorConfig config;
///     config.data = "/var/lib/weft";
///     auto collector = Collector::Start(config);
///     std::cerr << (*collector)->addresses().http << "\n";
///
/// Lifetime: the destructor is Stop. One collector per data directory.
/// Threads: any; has its own.
/// Errors: Start names the directory or the address that cannot be had.
class Collector {
 public:
  static absl::StatusOr<std::unique_ptr<Collector>> Start(CollectorConfig config);
  ~Collector();
  Collector(const Collector&) = delete;
  Collector& operator=(const Collector&) = delete;

  const CollectorAddresses& addresses() const;

  /// OK when new runs are accepted and the index has caught up after the start.
  absl::Status Ready() const;

  /// Prometheus text.
  std::string Metrics() const;

  /// JSON for `/admin/status`: receivers, log, index, destinations (docs/collector.md).
  std::string Status() const;

  /// Takes over keys, tenants, redaction, certificates, allowed hosts and destinations' keys, and
  /// opens files of destinations anew: everything or, with the error, nothing. Other settings need
  /// a restart. A configuration that could not be read is counted as refused.
  absl::Status Reload(const absl::StatusOr<CollectorConfig>& config);

  /// What `/admin/reload` does: reads the configuration and calls Reload.
  void OnReloadRequest(std::function<absl::Status()> reload);

  /// Refuses new work, answers what is under way, syncs the log, saves the cursors. Within 15 s,
  /// and CollectorConfig::drain more.
  void Stop();

 private:
  class Impl;
  explicit Collector(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace weft::collector
