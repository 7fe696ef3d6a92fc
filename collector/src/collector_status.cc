// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <string_view>
#include <utility>
#include <vector>

#include <weft/version.h>

#include <boost/json.hpp>

#include "collector_impl.h"
#include "destinations/destination_metrics.h"

namespace weft::collector {
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
  out.Family("weft_log_fsync_seconds", "histogram", "Time spent making records durable.");
  stats.syncs.Write(out);
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

void Collector::Impl::WriteReceiverMetrics(MetricsWriter& out) const {
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
}

std::string Collector::Impl::Metrics() const {
  MetricsWriter out;
  ingest_->WriteMetrics(out);
  WriteLogMetrics(log_->Stats(), out);
  WriteProcessMetrics(out);
  WriteOperationMetrics(out);
  if (!serving_) return out.Take();
  WriteReceiverMetrics(out);
  out.Family("weft_store_lag_records", "gauge", "Records that the index has not read yet.");
  out.Sample({}, static_cast<double>(store_->lag_records()));
  out.Family("weft_store_lag_seconds", "gauge", "Age of what the index reads next.");
  out.Sample({}, std::chrono::duration<double>(store_->lag()).count());
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
                     {"ack", config_.ack == AckMode::kMemory ? "memory" : "durable"},
                     {"writable", log.writable}}},
      {"index", object{{"lag_records", store_->lag_records()}, {"bytes", store_->index_bytes()}}},
      {"destinations", std::move(destinations)},
      {"reloads", object{{"ok", reloads_.load()}, {"refused", reloads_refused_.load()}}}};
  return boost::json::serialize(status);
}

}  // namespace weft::collector
