// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <weft/collector/collector.h>
#include <weft/collector/destination.h>
#include <weft/collector/http_server.h>
#include <weft/collector/ingest.h>
#include <weft/collector/keys.h>
#include <weft/collector/log.h>
#include <weft/collector/metrics.h>
#include <weft/collector/run_store.h>

#include "admission.h"
#include "grpc_listener.h"
#include "parked_items.h"
#include "redaction.h"
#include "tls.h"

namespace weft::collector {

/// All parts of a collector, from the listeners to the destinations.
class Collector::Impl {
 public:
  using Clock = std::chrono::steady_clock;

  explicit Impl(CollectorConfig config) : config_(std::move(config)) {}
  ~Impl() { Stop(); }

  absl::Status Start();
  void Stop();
  absl::Status Ready() const;
  absl::Status Reload(const absl::StatusOr<CollectorConfig>& config);
  void OnReloadRequest(std::function<absl::Status()> reload);
  std::string Status() const;
  std::string Metrics() const;

  const CollectorAddresses& addresses() const { return addresses_; }

 private:
  using Commits = std::vector<std::function<void()>>;

  absl::Status OpenStorage();
  DestinationOptions OptionsOfDestinations();
  absl::Status StartDestinations();
  void ListParked();
  absl::Status ReadCertificates();
  absl::Status Listen();
  void AddAdministration(HttpServices& services);
  void ReportHealth();
  void DrainDestinations() const;
  void StopDestinations();

  absl::StatusOr<Commits> PrepareReload(const CollectorConfig& config);
  absl::Status PrepareDestinations(const CollectorConfig& config, Commits& commits);
  absl::Status PrepareCertificates(const CollectorConfig& config, Commits& commits);
  absl::Status ReloadRequested();
  void SetKeys(const CollectorConfig& config);
  std::uint16_t LeastTraceRuns(const CollectorConfig& config) const;

  void WriteOperationMetrics(MetricsWriter& out) const;
  void WriteReceiverMetrics(MetricsWriter& out) const;

  const CollectorConfig config_;
  CollectorAddresses addresses_;
  const Clock::time_point started_ = Clock::now();
  std::atomic<bool> serving_{false};  ///< Members are set for good.
  mutable std::atomic<bool> indexed_{false};
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::atomic<bool> stopping_{false};
  std::function<absl::Status()> reload_;
  std::mutex reloading_;
  std::atomic<std::uint64_t> reloads_{0};
  std::atomic<std::uint64_t> reloads_refused_{0};
  const std::shared_ptr<Admission> admission_ = std::make_shared<Admission>();
  const std::shared_ptr<Redaction> redaction_ = std::make_shared<Redaction>();
  const std::shared_ptr<Prices> prices_ = std::make_shared<Prices>();
  std::shared_ptr<TlsContext> tls_grpc_;
  std::shared_ptr<TlsContext> tls_otlp_http_;
  std::shared_ptr<TlsContext> tls_http_;

  // Destroyed from the last to the first: what calls goes before what is called.
  std::shared_ptr<Log> log_;
  std::shared_ptr<KeyRing> keys_;
  std::unique_ptr<RunStore> store_;
  std::unique_ptr<Ingest> ingest_;
  std::vector<std::unique_ptr<Destination>> destinations_;
  ParkedItems parked_;
  std::unique_ptr<GrpcListener> grpc_;
  std::unique_ptr<HttpServer> otlp_http_;
  std::unique_ptr<HttpServer> http_;
  std::thread health_;
};

}  // namespace weft::collector
