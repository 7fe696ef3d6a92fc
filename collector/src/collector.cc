// SPDX-License-Identifier: Apache-2.0
#include <weft/collector/collector.h>

#include <algorithm>
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
#include <weft/version.h>

#include <boost/json.hpp>

#include "admission.h"
#include "destinations/destination_metrics.h"
#include "grpc_listener.h"
#include "parked_file.h"
#include "parked_items.h"
#include "received_redrive.h"
#include "redaction.h"
#include "tls.h"

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

constexpr milliseconds kDrainInterval{50};

// Null where the listener has no TLS.
absl::StatusOr<std::shared_ptr<TlsContext>> TlsContextOf(const TlsConfig& config) {
  if (!config.enabled()) return nullptr;
  return TlsContext::Create(config);
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
    DrainDestinations();
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

  absl::Status Reload(const absl::StatusOr<CollectorConfig>& config) {
    std::lock_guard reloading(reloading_);
    absl::StatusOr<Commits> commits =
        config.ok() ? PrepareReload(*config) : absl::StatusOr<Commits>(config.status());
    ++(commits.ok() ? reloads_ : reloads_refused_);
    if (!commits.ok()) return commits.status();
    for (const auto& commit : *commits) commit();
    return absl::OkStatus();
  }

  void OnReloadRequest(std::function<absl::Status()> reload) {
    std::lock_guard lock(mutex_);
    reload_ = std::move(reload);
  }

  std::string Status() const;
  void WriteOperationMetrics(MetricsWriter& out) const;
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
    auto rules = RedactionRules::Create(config_.redaction);
    if (!rules.ok()) return rules.status();
    redaction_->Set(*std::move(rules));
    SetKeys(config_);
    absl::StatusOr<std::unique_ptr<Ingest>> ingest =
        Ingest::Create({.log = log_,
                        .keys = keys_,
                        .parked_file = config_.data / "parked" / "received.jsonl",
                        .max_parked_bytes = config_.max_parked_bytes,
                        .admission = admission_,
                        .redaction = redaction_});
    if (!ingest.ok()) return ingest.status();
    ingest_ = *std::move(ingest);
    store_ = RunStore::Start(log_, {});
    return absl::OkStatus();
  }

  absl::Status ReadCertificates() {
    const std::pair<const TlsConfig*, std::shared_ptr<TlsContext>*> listeners[] = {
        {&config_.tls_grpc, &tls_grpc_},
        {&config_.tls_otlp_http, &tls_otlp_http_},
        {&config_.tls_http, &tls_http_}};
    for (const auto& [own, context] : listeners) {
      auto made = TlsContextOf(config_.TlsOf(*own));
      if (!made.ok()) return made.status();
      *context = *std::move(made);
    }
    return absl::OkStatus();
  }

  absl::Status Listen() {
    if (absl::Status status = ReadCertificates(); !status.ok()) return status;
    const auto accepts = [this](std::string_view key) { return admission_->AcceptsKey(key); };
    absl::StatusOr<std::unique_ptr<GrpcListener>> grpc =
        GrpcListener::Start({.address = config_.listen_grpc,
                             .max_message_bytes = config_.max_grpc_message_bytes,
                             .tls = tls_grpc_},
                            {.ingest = ingest_.get(),
                             .accepts_key = accepts,
                             .max_inflight_bytes = config_.max_inflight_bytes});
    if (!grpc.ok()) return WithOption("--listen-grpc", grpc.status());
    grpc_ = *std::move(grpc);

    HttpServices services;
    services.accepts_key = accepts;
    services.may_read = [this](std::string_view key) { return admission_->MayRead(key); };
    services.may_administer = [this](std::string_view key, bool is_loopback) {
      return admission_->MayAdminister(key, is_loopback);
    };
    services.metrics = [this] { return Metrics(); };
    services.ready = [this] { return Ready(); };
    HttpServerOptions otlp = HttpOptionsOf(config_, config_.listen_otlp_http);
    otlp.tls = tls_otlp_http_;
    services.ingest = ingest_.get();
    services.otlp_only = true;
    auto otlp_http = HttpServer::Start(std::move(otlp), services);
    if (!otlp_http.ok()) return WithOption("--listen-otlp-http", otlp_http.status());
    otlp_http_ = *std::move(otlp_http);

    services.otlp_only = false;
    services.store = store_.get();
    services.admin["parked"] = [this](const AdminRequest& request) {
      return parked_.Answer(request);
    };
    services.admin["status"] = [this](const AdminRequest& request) -> absl::StatusOr<std::string> {
      if (request.method != "GET") return absl::UnimplementedError("only GET");
      return Status();
    };
    services.admin["reload"] = [this](const AdminRequest& request) -> absl::StatusOr<std::string> {
      if (request.method != "POST") return absl::UnimplementedError("only POST");
      if (absl::Status status = ReloadRequested(); !status.ok()) return status;
      return R"({"status":"reloaded"})";
    };
    HttpServerOptions langsmith = HttpOptionsOf(config_, config_.listen_http);
    langsmith.tls = tls_http_;
    auto http = HttpServer::Start(std::move(langsmith), services);
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
      options.store = store_.get();
      options.max_parked_bytes = config_.max_parked_bytes;
      auto destination = Destination::Start(wanted, std::move(options));
      if (!destination.ok()) return WithOption("--forward", destination.status());
      destinations_.push_back(*std::move(destination));
    }
    ListParked();
    return absl::OkStatus();
  }

  void ListParked() {
    using Ids = std::vector<std::uint64_t>;
    ParkedFile& received = *ingest_->parked();
    parked_.Add("received", received, [this, &received](const Ids& ids) {
      return RedriveReceived(*ingest_, received, ids);
    });
    for (const auto& destination : destinations_) {
      const auto redrive =
          [to = destination.get()](const Ids& ids) -> absl::StatusOr<ParkedItems::Redriven> {
        const absl::StatusOr<std::uint64_t> marked = to->parked().SetRedrive(ids, true);
        if (!marked.ok()) return marked.status();
        to->RedriveParked();
        return ParkedItems::Redriven{.accepted = *marked};
      };
      parked_.Add(destination->spec(), destination->parked(), redrive);
    }
  }

  // All at once: each may have a request under way.
  void StopDestinations() {
    std::vector<std::thread> threads;
    for (const auto& destination : destinations_) {
      threads.emplace_back([&destination] { destination->Stop(kDestinationPatience); });
    }
    for (std::thread& thread : threads) thread.join();
  }

  // Without this nothing is lost: what is not sent yet is sent after the next start.
  void DrainDestinations() const {
    const auto deadline = Clock::now() + config_.drain;
    const auto waits = [](const auto& destination) { return destination->Stats().lag > 0; };
    while (Clock::now() < deadline &&
           std::any_of(destinations_.begin(), destinations_.end(), waits)) {
      std::this_thread::sleep_for(kDrainInterval);
    }
  }

  using Commits = std::vector<std::function<void()>>;

  absl::StatusOr<Commits> PrepareReload(const CollectorConfig& config) {
    Commits commits;
    const auto add = [&commits](absl::StatusOr<std::function<void()>> commit) {
      if (commit.ok()) commits.push_back(*std::move(commit));
      return commit.status();
    };
    for (const auto& destination : destinations_) {
      for (const DestinationConfig& wanted : config.forward) {
        if (wanted.Spec() != destination->spec()) continue;
        absl::Status status = add(destination->PrepareReload(wanted));
        if (!status.ok()) return status;
      }
    }
    const std::pair<TlsContext*, const TlsConfig*> listeners[] = {
        {tls_grpc_.get(), &config.tls_grpc},
        {tls_otlp_http_.get(), &config.tls_otlp_http},
        {tls_http_.get(), &config.tls_http}};
    for (const auto& [context, own] : listeners) {
      const TlsConfig tls = config.TlsOf(*own);
      if (tls.enabled() != (context != nullptr)) {
        return absl::FailedPreconditionError(
            "tls: a listener gets or loses it with a restart only");
      }
      if (context == nullptr) continue;
      if (absl::Status status = add(context->PrepareReload(tls)); !status.ok()) return status;
    }
    auto rules = RedactionRules::Create(config.redaction);
    if (!rules.ok()) return rules.status();
    commits.push_back([this, config, rules = *std::move(rules)] {
      redaction_->Set(rules);
      SetKeys(config);
      http_->SetAllowedHosts(config.allowed_hosts);
      otlp_http_->SetAllowedHosts(config.allowed_hosts);
    });
    return commits;
  }

  absl::Status ReloadRequested() {
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

  void SetKeys(const CollectorConfig& config) {
    std::map<std::string, std::string, std::less<>> mapped;
    for (const NamedKey& key : config.keys) {
      if (key.forward == NamedKey::Forward::kMapped) mapped[key.name] = key.forward_key;
    }
    keys_->SetMapped(std::move(mapped));
    admission_->Set(config.keys, config.tenants);
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
  std::function<absl::Status()> reload_;
  std::mutex reloading_;
  std::atomic<std::uint64_t> reloads_{0};
  std::atomic<std::uint64_t> reloads_refused_{0};
  const std::shared_ptr<Admission> admission_ = std::make_shared<Admission>();
  const std::shared_ptr<Redaction> redaction_ = std::make_shared<Redaction>();
  std::shared_ptr<TlsContext> tls_grpc_;
  std::shared_ptr<TlsContext> tls_otlp_http_;
  std::shared_ptr<TlsContext> tls_http_;

  // Destroyed from the last to the first: what calls goes before what is called.
  std::shared_ptr<Log> log_;
  std::shared_ptr<KeyRing> keys_;
  std::unique_ptr<Ingest> ingest_;
  std::unique_ptr<RunStore> store_;
  std::vector<std::unique_ptr<Destination>> destinations_;
  ParkedItems parked_;
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

}  // namespace

void Collector::Impl::WriteOperationMetrics(MetricsWriter& out) const {
  out.Family("weft_config_reloads_total", "counter", "Times the configuration was read again.");
  out.Sample({{"result", "ok"}}, static_cast<double>(reloads_));
  out.Sample({{"result", "refused"}}, static_cast<double>(reloads_refused_));
  std::error_code error;
  const std::filesystem::space_info space = std::filesystem::space(config_.data, error);
  if (!error) {
    out.Family("weft_disk_free_bytes", "gauge", "Free space where the data directory is.");
    out.Sample({}, static_cast<double>(space.available));
  }
  const std::pair<std::string_view, const TlsContext*> listeners[] = {
      {"grpc", tls_grpc_.get()}, {"otlp_http", tls_otlp_http_.get()}, {"http", tls_http_.get()}};
  bool first = true;
  for (const auto& [listener, tls] : listeners) {
    if (tls == nullptr) continue;
    if (std::exchange(first, false)) {
      out.Family("weft_tls_expiry_timestamp_seconds", "gauge", "When the certificate ends.");
    }
    std::uint64_t version = 0;
    const auto expiry = tls->files(&version).Expiry().time_since_epoch();
    out.Sample({{"listener", listener}}, std::chrono::duration<double>(expiry).count());
  }
}

std::string Collector::Impl::Metrics() const {
  MetricsWriter out;
  ingest_->WriteMetrics(out);
  WriteLogMetrics(log_->Stats(), out);
  WriteProcessMetrics(out);
  WriteOperationMetrics(out);
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
  out.Family("weft_tls_failures_total", "counter", "Connections whose handshake failed.");
  out.Sample({}, static_cast<double>(http.tls_failures + otlp_http_->stats().tls_failures));
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

std::string Collector::Impl::Status() const {
  using boost::json::object;
  const absl::Status ready = Ready();
  object receivers;
  const std::pair<const char*, Receiver> all[] = {
      {"langsmith", Receiver::kLangSmith}, {"weft", Receiver::kWeft}, {"otlp", Receiver::kOtlp}};
  for (const auto& [name, receiver] : all) {
    const IngestStats& stats = ingest_->stats(receiver);
    receivers[name] = object{{"received", stats.received.load()},
                             {"logged", stats.logged.load()},
                             {"refused", stats.refused.load()},
                             {"parked", stats.parked.load()}};
  }
  boost::json::array destinations;
  for (const auto& destination : destinations_) {
    const DestinationStats stats = destination->Stats();
    object errors;
    for (const auto& [code, count] : stats.errors) errors[code] = count;
    destinations.push_back(object{{"to", destination->spec()},
                                  {"sent", stats.sent},
                                  {"lag", stats.lag},
                                  {"lag_seconds", LagSeconds(stats)},
                                  {"parked", stats.parked},
                                  {"held_keys", stats.held_keys},
                                  {"errors", std::move(errors)}});
  }
  const LogStats log = log_->Stats();
  const object status = {
      {"version", WEFT_VERSION},
      {"ready", ready.ok()},
      {"reason", std::string(ready.message())},
      {"uptime_seconds",
       std::chrono::duration_cast<std::chrono::seconds>(Clock::now() - started_).count()},
      {"listen", object{{"grpc", addresses_.grpc},
                        {"otlp_http", addresses_.otlp_http},
                        {"http", addresses_.http}}},
      {"receivers", std::move(receivers)},
      {"log", object{{"bytes", log.bytes},
                     {"segments", log.segments},
                     {"records", log.appended_records},
                     {"expired_records", log.expired_records},
                     {"quarantined_bytes", log.quarantined_bytes},
                     {"writable", log.writable}}},
      {"index", object{{"lag_records", store_->lag_records()}, {"bytes", store_->index_bytes()}}},
      {"destinations", std::move(destinations)},
      {"reloads", object{{"ok", reloads_.load()}, {"refused", reloads_refused_.load()}}}};
  return boost::json::serialize(status);
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
std::string Collector::Status() const { return impl_->Status(); }
absl::Status Collector::Reload(const absl::StatusOr<CollectorConfig>& config) {
  return impl_->Reload(config);
}
void Collector::OnReloadRequest(std::function<absl::Status()> reload) {
  impl_->OnReloadRequest(std::move(reload));
}
void Collector::Stop() { impl_->Stop(); }

}  // namespace weft::collector
