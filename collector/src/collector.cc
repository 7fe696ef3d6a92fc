// SPDX-License-Identifier: Apache-2.0
#include <weft/collector/collector.h>

#include <algorithm>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <weft/collector/process_log.h>

#include "collector_impl.h"
#include "parked_file.h"
#include "received_redrive.h"

namespace weft::collector {
namespace {

using std::chrono::milliseconds;

// Together they stay below the 15 s that Stop promises.
constexpr milliseconds kRequestPatience{8'000};
constexpr milliseconds kDestinationPatience{4'000};
// An index that is behind for longer than this no longer holds back `/ready`.
constexpr std::chrono::seconds kIndexPatience{10};
constexpr std::chrono::seconds kIndexLag{1};
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

HttpServerOptions HttpOptionsOf(const CollectorConfig& config, const std::string& address,
                                std::shared_ptr<TlsContext> tls) {
  HttpServerOptions options;
  options.address = address;
  options.tls = std::move(tls);
  options.allowed_hosts = config.allowed_hosts;
  options.max_wire_bytes = config.max_wire_bytes;
  options.max_decoded_bytes = config.max_decoded_bytes;
  options.max_inflight_bytes = config.max_inflight_bytes;
  options.max_connections = config.max_connections;
  options.header_timeout = config.header_timeout;
  options.idle_timeout = config.idle_timeout;
  return options;
}

// What is in flight has its own limit, which says when to come again, so that is reached first.
std::uint64_t GrpcMemory(const CollectorConfig& config) {
  return std::max(config.max_inflight_bytes + config.max_inflight_bytes / 2,
                  2 * config.max_grpc_message_bytes);
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

absl::Status Collector::Impl::Start() {
  absl::Status status = OpenStorage();
  // Before anything can be appended, for a destination counts what lies in the log already.
  if (status.ok()) status = StartDestinations();
  if (status.ok()) status = Listen();
  if (!status.ok()) return status;
  serving_ = true;
  health_ = std::thread([this] { ReportHealth(); });
  return status;
}

void Collector::Impl::Stop() {
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

absl::Status Collector::Impl::Ready() const {
  if (stopping_) return absl::UnavailableError("the collector is stopping");
  if (!serving_) return absl::UnavailableError("the collector is starting");
  if (absl::Status status = ingest_->Ready(); !status.ok()) return status;
  if (!indexed_ && store_->lag() >= kIndexLag && Clock::now() - started_ < kIndexPatience) {
    return absl::UnavailableError("the index is behind the log");
  }
  indexed_ = true;
  return absl::OkStatus();
}

void Collector::Impl::OnReloadRequest(std::function<absl::Status()> reload) {
  std::lock_guard lock(mutex_);
  reload_ = std::move(reload);
}

absl::Status Collector::Impl::OpenStorage() {
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
  if (config_.ack == AckMode::kMemory) {
    LogLine(LogLevel::kWarning, "answers do not wait for the disk: a crash loses acknowledged runs",
            {{"log.ack", "memory"}});
  }
  auto rules = RedactionRules::Create(config_.redaction);
  if (!rules.ok()) return rules.status();
  redaction_->Set(*std::move(rules));
  SetKeys(config_);
  prices_->Set(config_.prices);
  store_ = RunStore::Start(log_, {.max_trace_runs = LeastTraceRuns(config_), .prices = prices_});
  absl::StatusOr<std::unique_ptr<Ingest>> ingest =
      Ingest::Create({.log = log_,
                      .keys = keys_,
                      .parked_file = config_.data / "parked" / "received.jsonl",
                      .max_parked_bytes = config_.max_parked_bytes,
                      .admission = admission_,
                      .redaction = redaction_,
                      .max_run_bytes = config_.max_run_bytes,
                      .large_runs = config_.large_runs,
                      .max_trace_runs = config_.max_trace_runs,
                      .ack = config_.ack,
                      .store = store_.get()});
  if (!ingest.ok()) return ingest.status();
  ingest_ = *std::move(ingest);
  return absl::OkStatus();
}

DestinationOptions Collector::Impl::OptionsOfDestinations() {
  const ForwardingConfig& forwarding = config_.forwarding;
  DestinationOptions options;
  options.log = log_;
  options.keys = keys_;
  options.data = config_.data;
  options.logged = [this] { return ingest_->logged(); };
  options.store = store_.get();
  options.prices = prices_;
  options.max_parked_bytes = config_.max_parked_bytes;
  options.concurrency = forwarding.concurrency;
  options.drain_factor = forwarding.drain_factor;
  options.drain_floor = static_cast<double>(forwarding.drain_floor);
  options.max_open = forwarding.max_open;
  options.orphan_wait = forwarding.orphan_wait;
  options.span_ids = forwarding.span_ids;
  return options;
}

absl::Status Collector::Impl::StartDestinations() {
  for (const DestinationConfig& wanted : config_.forward) {
    auto destination = Destination::Start(wanted, OptionsOfDestinations());
    if (!destination.ok()) return WithOption("--forward", destination.status());
    destinations_.push_back(*std::move(destination));
  }
  ListParked();
  return absl::OkStatus();
}

void Collector::Impl::ListParked() {
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

absl::Status Collector::Impl::ReadCertificates() {
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

absl::Status Collector::Impl::Listen() {
  if (absl::Status status = ReadCertificates(); !status.ok()) return status;
  HttpServices services;
  services.accepts_key = [this](std::string_view key) { return admission_->AcceptsKey(key); };
  services.may_read = [this](std::string_view key) { return admission_->MayRead(key); };
  services.may_administer = [this](std::string_view key, bool is_loopback) {
    return admission_->MayAdminister(key, is_loopback);
  };
  services.budget_of = [this](std::string_view key) { return admission_->BudgetOfKey(key); };
  services.metrics = [this] { return Metrics(); };
  services.ready = [this] { return Ready(); };
  services.ingest = ingest_.get();

  auto grpc = GrpcListener::Start({.address = config_.listen_grpc,
                                   .max_message_bytes = config_.max_grpc_message_bytes,
                                   .max_memory_bytes = GrpcMemory(config_),
                                   .tls = tls_grpc_},
                                  {.ingest = ingest_.get(),
                                   .accepts_key = services.accepts_key,
                                   .max_inflight_bytes = config_.max_inflight_bytes});
  if (!grpc.ok()) return WithOption("--listen-grpc", grpc.status());
  grpc_ = *std::move(grpc);

  services.otlp_only = true;
  auto otlp_http =
      HttpServer::Start(HttpOptionsOf(config_, config_.listen_otlp_http, tls_otlp_http_), services);
  if (!otlp_http.ok()) return WithOption("--listen-otlp-http", otlp_http.status());
  otlp_http_ = *std::move(otlp_http);

  services.otlp_only = false;
  services.store = store_.get();
  AddAdministration(services);
  auto http = HttpServer::Start(HttpOptionsOf(config_, config_.listen_http, tls_http_), services);
  if (!http.ok()) return WithOption("--listen-http", http.status());
  http_ = *std::move(http);
  addresses_ = {grpc_->address(), otlp_http_->address(), http_->address()};
  return absl::OkStatus();
}

void Collector::Impl::AddAdministration(HttpServices& services) {
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
}

void Collector::Impl::ReportHealth() {
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

// Without this nothing is lost: what is not sent yet is sent after the next start.
void Collector::Impl::DrainDestinations() const {
  const auto deadline = Clock::now() + config_.drain;
  // Nobody is there any more who could end an open run.
  const auto waits = [](const auto& destination) {
    const DestinationStats stats = destination->Stats();
    return stats.lag > stats.open;
  };
  while (Clock::now() < deadline &&
         std::any_of(destinations_.begin(), destinations_.end(), waits)) {
    std::this_thread::sleep_for(kDrainInterval);
  }
}

// All at once: each may have a request under way.
void Collector::Impl::StopDestinations() {
  std::vector<std::thread> threads;
  for (const auto& destination : destinations_) {
    threads.emplace_back([&destination] { destination->Stop(kDestinationPatience); });
  }
  for (std::thread& thread : threads) thread.join();
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
