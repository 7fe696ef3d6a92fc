// SPDX-License-Identifier: Apache-2.0
#include <weft/collector/collector.h>

#include <array>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <weft/collector/destination.h>
#include <weft/collector/http_server.h>
#include <weft/collector/ingest.h>
#include <weft/collector/keys.h>
#include <weft/collector/log.h>
#include <weft/collector/metrics.h>
#include <weft/collector/run_store.h>

#include <weft/collector/process_log.h>
#include "grpc_listener.h"

namespace weft::collector {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

// Together they stay below the 15 s that Stop promises.
constexpr milliseconds kRequestPatience{8'000};
constexpr milliseconds kDestinationPatience{4'000};
// An index that is rebuilt for longer than this no longer holds back `/ready`.
constexpr std::chrono::seconds kIndexPatience{10};
constexpr milliseconds kHealthInterval{500};

LogOptions LogOptionsOf(const CollectorConfig& config) {
  LogOptions options;
  options.directory = config.data;
  options.segment_bytes = config.segment_size;
  options.min_free_bytes = config.min_free;
  options.retention_bytes = config.retention_size;
  options.retention_age = std::chrono::ceil<std::chrono::hours>(config.retention_age);
  return options;
}

HttpServerOptions HttpOptionsOf(const CollectorConfig& config, const std::string& address) {
  HttpServerOptions options;
  options.address = address;
  options.allowed_hosts = config.allowed_hosts;
  options.max_wire_bytes = config.max_wire_bytes;
  options.max_decoded_bytes = config.max_decoded_bytes;
  options.max_inflight_bytes = config.max_inflight_bytes;
  options.max_connections = config.max_connections;
  options.header_timeout = config.header_timeout;
  options.idle_timeout = config.idle_timeout;
  return options;
}

absl::Status WithOption(std::string_view option, const absl::Status& status) {
  return {status.code(), std::string(option) + ": " + std::string(status.message())};
}

}  // namespace

class Collector::Impl {
 public:
  explicit Impl(CollectorConfig config) : config_(std::move(config)) {}
  ~Impl() { Stop(); }

  absl::Status Start() {
    absl::Status status = OpenStorage();
    // Before anything can be appended, for a destination counts what lies in the log already.
    if (status.ok()) status = StartDestinations();
    if (status.ok()) status = Listen();
    if (!status.ok()) return status;
    serving_ = true;
    health_ = std::thread([this] { ReportHealth(); });
    return status;
  }

  void Stop() {
    {
      std::lock_guard lock(mutex_);
      if (stopping_.exchange(true)) return;
    }
    wake_.notify_all();
    if (health_.joinable()) health_.join();
    if (grpc_) grpc_->BeginStop(kRequestPatience);
    std::thread otlp([this] {
      if (otlp_http_) otlp_http_->Stop(kRequestPatience);
    });
    if (http_) http_->Stop(kRequestPatience);
    otlp.join();
    if (grpc_) grpc_->FinishStop();
    StopDestinations();
    if (store_) store_->Stop();
    if (log_) log_->Close();
  }

  absl::Status Ready() const {
    if (stopping_) return absl::UnavailableError("the collector is stopping");
    if (!serving_) return absl::UnavailableError("the collector is starting");
    if (absl::Status status = ingest_->Ready(); !status.ok()) return status;
    if (!indexed_ && store_->lag_records() > 0 && Clock::now() - started_ < kIndexPatience) {
      return absl::UnavailableError("the index is being rebuilt from the log");
    }
    indexed_ = true;
    return absl::OkStatus();
  }

  absl::Status Reload(const CollectorConfig& config) {
    std::vector<std::function<void()>> commits;
    for (const auto& destination : destinations_) {
      for (const DestinationConfig& wanted : config.forward) {
        if (wanted.Spec() != destination->spec()) continue;
        absl::StatusOr<std::function<void()>> commit = destination->PrepareReload(wanted);
        if (!commit.ok()) return commit.status();
        commits.push_back(*std::move(commit));
      }
    }
    for (const auto& commit : commits) commit();
    SetKeys(config.keys);
    http_->SetAllowedHosts(config.allowed_hosts);
    otlp_http_->SetAllowedHosts(config.allowed_hosts);
    return absl::OkStatus();
  }

  std::string Metrics() const;

  const CollectorAddresses& addresses() const { return addresses_; }

 private:
  absl::Status OpenStorage() {
    // First, for it holds the lock on the directory.
    absl::StatusOr<std::unique_ptr<Log>> log = Log::Open(LogOptionsOf(config_));
    if (!log.ok()) return log.status();
    log_ = *std::move(log);
    absl::StatusOr<std::unique_ptr<KeyRing>> keys = KeyRing::Open(config_.data);
    if (!keys.ok()) return keys.status();
    keys_ = *std::move(keys);
    if (keys_->unreadable() > 0) {
      LogLine(LogLevel::kWarning, "keys of callers cannot be read: the secret was replaced",
              {{"keys", std::to_string(keys_->unreadable())}});
    }
    SetKeys(config_.keys);
    absl::StatusOr<std::unique_ptr<Ingest>> ingest =
        Ingest::Create({.log = log_,
                        .keys = keys_,
                        .parked_file = config_.data / "parked" / "received.jsonl",
                        .max_parked_bytes = config_.max_parked_bytes});
    if (!ingest.ok()) return ingest.status();
    ingest_ = *std::move(ingest);
    store_ = RunStore::Start(log_, {});
    return absl::OkStatus();
  }

  absl::Status Listen() {
    const auto accepts = [this](std::string_view key) { return Accepts(key); };
    absl::StatusOr<std::unique_ptr<GrpcListener>> grpc = GrpcListener::Start(
        {.address = config_.listen_grpc, .max_message_bytes = config_.max_grpc_message_bytes},
        {.ingest = ingest_.get(),
         .accepts_key = accepts,
         .max_inflight_bytes = config_.max_inflight_bytes});
    if (!grpc.ok()) return WithOption("--listen-grpc", grpc.status());
    grpc_ = *std::move(grpc);

    HttpServices services;
    services.accepts_key = accepts;
    services.metrics = [this] { return Metrics(); };
    services.ready = [this] { return Ready(); };
    HttpServerOptions otlp = HttpOptionsOf(config_, config_.listen_otlp_http);
    services.ingest = ingest_.get();
    services.otlp_only = true;
    auto otlp_http = HttpServer::Start(std::move(otlp), services);
    if (!otlp_http.ok()) return WithOption("--listen-otlp-http", otlp_http.status());
    otlp_http_ = *std::move(otlp_http);

    services.otlp_only = false;
    services.store = store_.get();
    auto http = HttpServer::Start(HttpOptionsOf(config_, config_.listen_http), services);
    if (!http.ok()) return WithOption("--listen-http", http.status());
    http_ = *std::move(http);
    addresses_ = {grpc_->address(), otlp_http_->address(), http_->address()};
    return absl::OkStatus();
  }

  absl::Status StartDestinations() {
    for (const DestinationConfig& wanted : config_.forward) {
      DestinationOptions options;
      options.log = log_;
      options.keys = keys_;
      options.data = config_.data;
      options.logged = [this] { return ingest_->logged(); };
      options.max_parked_bytes = config_.max_parked_bytes;
      auto destination = Destination::Start(wanted, std::move(options));
      if (!destination.ok()) return WithOption("--forward", destination.status());
      destinations_.push_back(*std::move(destination));
    }
    return absl::OkStatus();
  }

  // All at once: each may have a request under way.
  void StopDestinations() {
    std::vector<std::thread> threads;
    for (const auto& destination : destinations_) {
      threads.emplace_back([&destination] { destination->Stop(kDestinationPatience); });
    }
    for (std::thread& thread : threads) thread.join();
  }

  void SetKeys(const std::vector<NamedKey>& keys) {
    auto accepted = std::make_shared<const AcceptedKeys>(keys);
    std::lock_guard lock(mutex_);
    accepted_ = std::move(accepted);
  }

  bool Accepts(std::string_view key) const {
    std::shared_ptr<const AcceptedKeys> accepted;
    {
      std::lock_guard lock(mutex_);
      accepted = accepted_;
    }
    return accepted->Accepts(key);
  }

  void ReportHealth() {
    std::unique_lock lock(mutex_);
    while (!stopping_) {
      lock.unlock();
      grpc_->SetServing(Ready().ok());
      lock.lock();
      wake_.wait_for(lock, kHealthInterval, [this] { return stopping_.load(); });
    }
    lock.unlock();
    grpc_->SetServing(false);
  }

  const CollectorConfig config_;
  CollectorAddresses addresses_;
  const Clock::time_point started_ = Clock::now();
  std::atomic<bool> serving_{false};  ///< Members are set for good.
  mutable std::atomic<bool> indexed_{false};
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::atomic<bool> stopping_{false};
  std::shared_ptr<const AcceptedKeys> accepted_;

  // Destroyed from the last to the first: what calls goes before what is called.
  std::shared_ptr<Log> log_;
  std::shared_ptr<KeyRing> keys_;
  std::unique_ptr<Ingest> ingest_;
  std::unique_ptr<RunStore> store_;
  std::vector<std::unique_ptr<Destination>> destinations_;
  std::unique_ptr<GrpcListener> grpc_;
  std::unique_ptr<HttpServer> otlp_http_;
  std::unique_ptr<HttpServer> http_;
  std::thread health_;
};

namespace {

void WriteLogMetrics(const LogStats& stats, MetricsWriter& out) {
  const auto one = [&out](std::string_view name, std::string_view type, std::string_view help,
                          double value) {
    out.Family(name, type, help);
    out.Sample({}, value);
  };
  const auto now =
      std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  const double oldest = static_cast<double>(stats.oldest_received_us) / 1e6;
  one("weft_log_bytes", "gauge", "Bytes of the log on disk.", static_cast<double>(stats.bytes));
  one("weft_log_segments", "gauge", "Files of the log.", static_cast<double>(stats.segments));
  one("weft_log_oldest_seconds", "gauge", "Age of the oldest record.",
      stats.oldest_received_us == 0 ? 0 : std::max(0.0, now - oldest));
  one("weft_log_records_total", "counter", "Records appended since the start.",
      static_cast<double>(stats.appended_records));
  one("weft_log_quarantined_bytes", "gauge", "Damaged bytes that were put aside.",
      static_cast<double>(stats.quarantined_bytes));
  one("weft_log_expired_records_total", "counter",
      "Records that went before a destination had read them.",
      static_cast<double>(stats.expired_records));
  one("weft_log_writable", "gauge", "1 while the log takes records.", stats.writable ? 1 : 0);
  out.Family("weft_log_fsync_seconds", "summary", "Time spent making records durable.");
  out.Sample("_sum", {}, stats.sync_seconds);
  out.Sample("_count", {}, static_cast<double>(stats.syncs));
}

struct NamedStats {
  std::string dest;
  DestinationStats stats;
};

double LagSeconds(const DestinationStats& stats) {
  if (stats.oldest_pending_us == 0) return 0;
  const auto now = std::chrono::duration_cast<std::chrono::microseconds>(
                       std::chrono::system_clock::now().time_since_epoch())
                       .count();
  return std::max(0.0,
                  (static_cast<double>(now) - static_cast<double>(stats.oldest_pending_us)) / 1e6);
}

void WriteDestinationMetrics(const std::vector<NamedStats>& all, MetricsWriter& out) {
  const auto count = [&](std::string_view name, std::string_view type, std::string_view help,
                         std::uint64_t DestinationStats::*value) {
    out.Family(name, type, help);
    for (const NamedStats& named : all) {
      out.Sample({{"dest", named.dest}}, static_cast<double>(named.stats.*value));
    }
  };
  using S = DestinationStats;
  count("weft_dest_logged_runs_total", "counter", "Operations in the log for it.", &S::available);
  count("weft_dest_sent_runs_total", "counter", "Operations delivered.", &S::sent);
  count("weft_dest_parked_runs", "gauge", "Operations that it refused, parked.", &S::parked);
  count("weft_dest_parked_unkept_runs", "gauge", "Parked without their bytes: file full.",
        &S::parked_unkept);
  count("weft_dest_lag_runs", "gauge", "Operations that wait.", &S::lag);
  count("weft_dest_expired_records_total", "counter", "Records that went before they were read.",
        &S::expired_records);
  count("weft_dest_held_keys", "gauge", "Callers' keys that it refuses; their runs wait.",
        &S::held_keys);
  count("weft_dest_batches_total", "counter", "Batches delivered.", &S::batches);
  out.Family("weft_dest_lag_seconds", "gauge", "Age of the oldest operation that waits.");
  for (const NamedStats& named : all) {
    out.Sample({{"dest", named.dest}}, LagSeconds(named.stats));
  }
  out.Family("weft_dest_errors_total", "counter", "Failed requests.");
  for (const NamedStats& named : all) {
    for (const auto& [code, errors] : named.stats.errors) {
      out.Sample({{"dest", named.dest}, {"code", code}}, static_cast<double>(errors));
    }
  }
}

}  // namespace

std::string Collector::Impl::Metrics() const {
  MetricsWriter out;
  ingest_->WriteMetrics(out);
  WriteLogMetrics(log_->Stats(), out);
  WriteProcessMetrics(out);
  if (!serving_) return out.Take();
  out.Family("weft_inflight_bytes", "gauge", "Bytes of requests that are not answered yet.");
  const HttpStats& http = http_->stats();
  out.Sample({{"receiver", "langsmith"}}, static_cast<double>(http.inflight_bytes));
  out.Sample({{"receiver", "weft"}}, static_cast<double>(grpc_->inflight_bytes()));
  out.Sample({{"receiver", "otlp"}}, static_cast<double>(grpc_->otlp_inflight_bytes() +
                                                         otlp_http_->stats().inflight_bytes));
  out.Family("weft_streams", "gauge", "Open streams of weft's gRPC service.");
  out.Sample({}, static_cast<double>(grpc_->streams()));
  out.Family("weft_http_connections", "gauge", "Open connections of the LangSmith API.");
  out.Sample({}, static_cast<double>(http.connections));
  out.Family("weft_http_requests_total", "counter", "Requests to the LangSmith API.");
  out.Sample({}, static_cast<double>(http.requests));
  out.Family("weft_http_refused_requests_total", "counter", "Answers of 400 and above.");
  out.Sample({}, static_cast<double>(http.refused));
  out.Family("weft_http_timeouts_total", "counter", "Connections closed for being slow.");
  out.Sample({}, static_cast<double>(http.timeouts));
  out.Family("weft_repaired_runs_total", "counter", "Parts whose defects were repaired.");
  out.Sample({{"kind", "json"}}, static_cast<double>(http.repaired_parts));
  out.Family("weft_store_lag_records", "gauge", "Records that the index has not read yet.");
  out.Sample({}, static_cast<double>(store_->lag_records()));
  out.Family("weft_store_index_bytes", "gauge", "Memory of the index.");
  out.Sample({}, static_cast<double>(store_->index_bytes()));
  out.Family("weft_remembered_keys", "gauge", "Callers' keys that are kept for forwarding.");
  out.Sample({}, static_cast<double>(keys_->size()));
  std::vector<NamedStats> destinations;
  for (const auto& destination : destinations_) {
    destinations.push_back({destination->spec(), destination->Stats()});
  }
  if (!destinations.empty()) WriteDestinationMetrics(destinations, out);
  return out.Take();
}

absl::StatusOr<std::unique_ptr<Collector>> Collector::Start(CollectorConfig config) {
  auto impl = std::make_unique<Impl>(std::move(config));
  if (absl::Status status = impl->Start(); !status.ok()) return status;
  return std::unique_ptr<Collector>(new Collector(std::move(impl)));
}

Collector::Collector(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Collector::~Collector() = default;

const CollectorAddresses& Collector::addresses() const { return impl_->addresses(); }
absl::Status Collector::Ready() const { return impl_->Ready(); }
std::string Collector::Metrics() const { return impl_->Metrics(); }
absl::Status Collector::Reload(const CollectorConfig& config) { return impl_->Reload(config); }
void Collector::Stop() { impl_->Stop(); }

}  // namespace weft::collector
