// SPDX-License-Identifier: Apache-2.0
#include <weft/collector/ingest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <map>
#include <mutex>
#include <set>
#include <utility>

#include <weft/collector/keys.h>
#include <weft/collector/metrics.h>
#include <weft/collector/process_log.h>

#include "admission.h"
#include "parked_file.h"
#include "redaction.h"
#include "run_limits.h"

namespace weft::collector {
namespace {

constexpr std::array<std::string_view, 3> kReceiverNames = {"langsmith", "weft", "otlp"};
// Reasons are few and fixed; the bound keeps a mistake from growing the metrics without end.
constexpr std::size_t kMaxReasons = 64;
// Tenants beyond these are counted together.
constexpr std::size_t kMaxTenants = 200;
constexpr char kOtherTenants[] = "other";

std::uint64_t NowMicroseconds() {
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(
                                        std::chrono::system_clock::now().time_since_epoch())
                                        .count());
}

// What the log says is the collector's affair; what a receiver tells its client is "again, later".
absl::Status ForReceivers(const absl::Status& status) {
  if (status.ok() || absl::IsUnavailable(status) || absl::IsResourceExhausted(status) ||
      absl::IsPermissionDenied(status) || absl::IsUnauthenticated(status) ||
      absl::IsOutOfRange(status)) {
    return status;
  }
  return absl::UnavailableError(status.message());
}

// What was rejected from `first` on has its place among what was left of the operations; those
// before it tell where that is in the request.
void PlaceInRequest(std::vector<RejectedOp>& rejected, std::size_t first) {
  if (first == rejected.size()) return;
  std::vector<std::size_t> gone;
  for (std::size_t i = 0; i < first; ++i) gone.push_back(rejected[i].index);
  std::sort(gone.begin(), gone.end());
  for (std::size_t i = first; i < rejected.size(); ++i) {
    for (const std::size_t index : gone) {
      if (index > rejected[i].index) break;
      ++rejected[i].index;
    }
  }
}

class LogIngest final : public Ingest {
 public:
  LogIngest(IngestOptions options, std::unique_ptr<ParkedFile> parked)
      : log_(std::move(options.log)),
        keys_(std::move(options.keys)),
        admission_(std::move(options.admission)),
        redaction_(std::move(options.redaction)),
        ack_(options.ack),
        limits_{options.max_run_bytes, options.large_runs, options.max_trace_runs, options.store},
        parked_(std::move(parked)) {}

  void Accept(IngestBatch batch, Done done) override {
    const auto started = std::chrono::steady_clock::now();
    const Receiver receiver = batch.header.receiver;
    IngestStats& stats = stats_[static_cast<std::size_t>(receiver)];
    const std::uint64_t all = batch.header.ops.size() + batch.rejected.size();
    stats.received += all;

    std::shared_ptr<const NamedKey> key;
    absl::Status status = batch.admitted ? absl::OkStatus() : Admit(batch, &key);
    TenantCounts* const tenant = TenantOf(receiver, batch.header.tenant);
    if (tenant != nullptr) tenant->received += all;
    if (status.ok()) status = log_->Ready();
    const std::uint64_t bytes = batch.header.decoded_size;
    std::shared_ptr<TenantBudget> budget = status.ok() ? BudgetOf(batch) : nullptr;
    if (budget != nullptr) status = budget->Reserve(bytes);
    if (status.ok() && budget != nullptr) {
      done = [budget, bytes, done = std::move(done)](const absl::Status& result) {
        budget->Release(bytes);
        done(result);
      };
    }
    const std::size_t known = batch.rejected.size();
    if (status.ok()) RedactAndLimit(batch);
    const std::uint64_t valid = batch.header.ops.size();
    const std::uint64_t invalid = batch.rejected.size();
    if (status.ok()) status = RememberKey(batch, key.get());
    if (status.ok()) status = ParkAll(batch, stats);
    if (status.ok() && tenant != nullptr) tenant->parked += invalid;
    if (status.ok() && invalid != known && batch.on_rejected) batch.on_rejected(batch.rejected);
    if (!status.ok()) {
      Refuse(receiver, ReasonOf(status), valid + invalid);
      return done(ForReceivers(status));
    }
    if (valid == 0) return done(absl::OkStatus());
    if (batch.header.received_us == 0) batch.header.received_us = NowMicroseconds();
    const Accepted accepted{receiver, valid, tenant, started};
    if (ack_ == AckMode::kMemory)
      return AppendAnswered(accepted, std::move(batch), std::move(done));
    log_->Append(
        std::move(batch.header), std::move(batch.payload),
        [this, accepted, done = std::move(done)](const absl::StatusOr<Position>& position) {
          CountAppended(accepted, position.status(), ReasonOf(position.status()));
          Answer(accepted, position.status(), done);
        });
  }

  void CountRefused(Receiver receiver, std::string_view reason, std::uint64_t operations) override {
    stats_[static_cast<std::size_t>(receiver)].received += operations;
    Refuse(receiver, reason, operations);
  }

  absl::Status Ready() const override { return log_->Ready(); }

  const IngestStats& stats(Receiver receiver) const override {
    return stats_[static_cast<std::size_t>(receiver)];
  }

  std::uint64_t logged() const override { return logged_; }
  ParkedFile* parked() override { return parked_.get(); }

  void WriteMetrics(MetricsWriter& out) const override {
    WriteCounts(out, "weft_received_runs_total", "Operations on runs that arrived.",
                &IngestStats::received, &TenantCounts::received);
    WriteCounts(out, "weft_logged_runs_total", "Operations that are in the log.",
                &IngestStats::logged, &TenantCounts::logged);
    WriteCounts(out, "weft_parked_runs_total", "Invalid operations that were parked.",
                &IngestStats::parked, &TenantCounts::parked);
    WriteCounts(out, "weft_parked_unkept_runs_total",
                "Parked operations whose bytes were not kept: the parked file was full.",
                &IngestStats::parked_unkept, nullptr);
    {
      std::lock_guard lock(mutex_);
      out.Family("weft_refused_runs_total", "counter", "Operations that were refused.");
      for (const auto& [key, refused] : refused_by_reason_) {
        out.Sample({{"receiver", kReceiverNames[static_cast<std::size_t>(key.first)]},
                    {"reason", key.second}},
                   static_cast<double>(refused.operations));
      }
      out.Family("weft_refused_requests_total", "counter", "Requests that were refused.");
      for (const auto& [key, refused] : refused_by_reason_) {
        out.Sample({{"receiver", kReceiverNames[static_cast<std::size_t>(key.first)]},
                    {"reason", key.second}},
                   static_cast<double>(refused.requests));
      }
    }
    out.Family("weft_unsynced_runs", "gauge", "Acknowledged operations that are not on disk yet.");
    out.Sample({}, static_cast<double>(unsynced_));
    out.Family("weft_lost_runs_total", "counter",
               "Acknowledged operations that the disk did not take.");
    for (std::size_t i = 0; i < stats_.size(); ++i) {
      out.Sample({{"receiver", kReceiverNames[i]}}, static_cast<double>(stats_[i].lost));
    }
    out.Family("weft_parked_bytes", "gauge", "Size of the file of parked operations.");
    out.Sample({}, static_cast<double>(parked_->bytes()));
    out.Family("weft_ack_seconds", "histogram", "Time from a decoded request to its answer.");
    acknowledged_.Counts().Write(out);
    if (redaction_ == nullptr) return;
    out.Family("weft_redacted_total", "counter", "What rules of the redaction found.");
    for (const auto& [rule, found] : redaction_->Counts()) {
      out.Sample({{"rule", rule}}, static_cast<double>(found));
    }
  }

 private:
  struct Refused {
    std::uint64_t requests = 0;
    std::uint64_t operations = 0;
  };

  struct TenantCounts {
    std::atomic<std::uint64_t> received{0};
    std::atomic<std::uint64_t> logged{0};
    std::atomic<std::uint64_t> parked{0};
  };

  // What goes to the log, of a batch.
  struct Accepted {
    Receiver receiver;
    std::uint64_t operations;
    TenantCounts* tenant;
    std::chrono::steady_clock::time_point started;
  };

  // Answers as soon as the log has taken it, unless that refuses it at once.
  void AppendAnswered(const Accepted& accepted, IngestBatch batch, Done done) {
    struct Early {
      explicit Early(Done given) : done(std::move(given)) {}
      const Done done;
      std::atomic<bool> answered{false};
    };
    auto early = std::make_shared<Early>(std::move(done));
    unsynced_ += accepted.operations;
    log_->Append(std::move(batch.header), std::move(batch.payload),
                 [this, accepted, early](const absl::StatusOr<Position>& position) {
                   unsynced_ -= accepted.operations;
                   const absl::Status& status = position.status();
                   const bool answered = early->answered.exchange(true);
                   if (answered && !status.ok()) CountLost(accepted, status);
                   CountAppended(accepted, status, answered ? "lost" : ReasonOf(status));
                   if (!answered) Answer(accepted, status, early->done);
                 });
    if (!early->answered.exchange(true)) Answer(accepted, absl::OkStatus(), early->done);
  }

  void CountAppended(const Accepted& accepted, const absl::Status& status,
                     std::string_view reason) {
    if (!status.ok()) return Refuse(accepted.receiver, reason, accepted.operations);
    stats_[static_cast<std::size_t>(accepted.receiver)].logged += accepted.operations;
    logged_ += accepted.operations;
    if (accepted.tenant != nullptr) accepted.tenant->logged += accepted.operations;
  }

  void CountLost(const Accepted& accepted, const absl::Status& status) {
    stats_[static_cast<std::size_t>(accepted.receiver)].lost += accepted.operations;
    if (said_lost_.exchange(true)) return;
    LogLine(LogLevel::kError, "what was acknowledged is lost, see weft_lost_runs_total",
            {{"reason", std::string(status.message())}});
  }

  void Answer(const Accepted& accepted, const absl::Status& status, const Done& done) {
    if (status.ok()) acknowledged_.Record(std::chrono::steady_clock::now() - accepted.started);
    done(ForReceivers(status));
  }

  absl::Status Admit(IngestBatch& batch, std::shared_ptr<const NamedKey>* key) {
    if (admission_ == nullptr) return absl::OkStatus();
    auto admitted = admission_->Admit(batch);
    if (admitted.ok()) *key = *std::move(admitted);
    return admitted.status();
  }

  void RedactAndLimit(IngestBatch& batch) {
    std::size_t known = batch.rejected.size();
    if (redaction_ != nullptr) {
      redaction_->Redact(batch);
      PlaceInRequest(batch.rejected, known);
      known = batch.rejected.size();
    }
    ApplyRunLimits(LimitsOf(batch.header.tenant), batch);
    PlaceInRequest(batch.rejected, known);
  }

  // Null where nothing is to be counted.
  std::shared_ptr<TenantBudget> BudgetOf(const IngestBatch& batch) const {
    const bool is_counted = batch.reserved || batch.header.tenant.empty();
    return is_counted || admission_ == nullptr ? nullptr
                                               : admission_->BudgetOf(batch.header.tenant);
  }

  RunLimits LimitsOf(const std::string& tenant) const {
    RunLimits limits = limits_;
    if (tenant.empty() || admission_ == nullptr) return limits;
    const TenantRunLimits own = admission_->RunLimitsOf(tenant);
    if (own.max_run != 0) limits.max_run_bytes = own.max_run;
    if (own.max_trace_runs != 0) limits.max_trace_runs = own.max_trace_runs;
    return limits;
  }

  // Null for no tenant. Stays where it is.
  TenantCounts* TenantOf(Receiver receiver, const std::string& tenant) {
    if (tenant.empty()) return nullptr;
    std::lock_guard lock(mutex_);
    const auto found = tenants_.find({receiver, tenant});
    if (found != tenants_.end()) return &found->second;
    tenant_names_.insert(tenant_names_.size() < kMaxTenants ? tenant : kOtherTenants);
    return &tenants_[{receiver, tenant_names_.count(tenant) > 0 ? tenant : kOtherTenants}];
  }

  static std::string_view ReasonOf(const absl::Status& status) {
    if (absl::IsUnauthenticated(status)) return "key";
    if (absl::IsPermissionDenied(status)) return "project";
    if (absl::IsOutOfRange(status)) return "too_large";
    if (RetryAfterOf(status).count() > 0) return "tenant_rate";
    return absl::IsResourceExhausted(status) ? "overload" : "log_unavailable";
  }

  // What has a tenant has a label for it, and is not counted without one.
  void WriteCounts(MetricsWriter& out, std::string_view name, std::string_view help,
                   std::atomic<std::uint64_t> IngestStats::*count,
                   std::atomic<std::uint64_t> TenantCounts::*of_tenant) const {
    out.Family(name, "counter", help);
    std::lock_guard lock(mutex_);
    std::array<std::uint64_t, 3> without{};
    for (std::size_t i = 0; i < stats_.size(); ++i) without[i] = (stats_[i].*count).load();
    for (const auto& [key, counts] : tenants_) {
      if (of_tenant == nullptr) break;
      const auto receiver = static_cast<std::size_t>(key.first);
      const std::uint64_t value = std::min((counts.*of_tenant).load(), without[receiver]);
      without[receiver] -= value;
      out.Sample({{"receiver", kReceiverNames[receiver]}, {"tenant", key.second}},
                 static_cast<double>(value));
    }
    for (std::size_t i = 0; i < stats_.size(); ++i) {
      out.Sample({{"receiver", kReceiverNames[i]}}, static_cast<double>(without[i]));
    }
  }

  void Refuse(Receiver receiver, std::string_view reason, std::uint64_t operations) {
    stats_[static_cast<std::size_t>(receiver)].refused += operations;
    std::lock_guard lock(mutex_);
    if (refused_by_reason_.size() >= kMaxReasons) reason = "other";
    Refused& refused = refused_by_reason_[{receiver, std::string(reason)}];
    ++refused.requests;
    refused.operations += operations;
  }

  absl::Status RememberKey(IngestBatch& batch, const NamedKey* key) {
    using Forward = NamedKey::Forward;
    const Forward forward = key == nullptr ? Forward::kCaller : key->forward;
    const bool has_none = forward == Forward::kCaller && batch.api_key.empty();
    const bool is_empty = batch.header.ops.empty() && batch.rejected.empty();
    if (keys_ == nullptr || is_empty || has_none || forward == Forward::kDestination ||
        batch.admitted) {
      return absl::OkStatus();
    }
    absl::StatusOr<std::uint64_t> id = forward == Forward::kMapped
                                           ? keys_->RememberMapped(key->name)
                                           : keys_->Remember(batch.api_key);
    if (id.ok()) batch.header.key_id = *id;
    return id.status();
  }

  absl::Status ParkAll(const IngestBatch& batch, IngestStats& stats) {
    if (batch.rejected.empty()) return absl::OkStatus();
    std::vector<JsonObject> entries;
    for (const RejectedOp& rejected : batch.rejected) {
      JsonObject& entry = entries.emplace_back();
      entry["time"] = IsoTime(NowMicroseconds());
      entry["receiver"] = kReceiverNames[static_cast<std::size_t>(batch.header.receiver)];
      SetBytes(entry, "reason", rejected.reason);
      entry["key"] = HexId(batch.header.key_id);
      if (!batch.header.tenant.empty()) entry["tenant"] = batch.header.tenant;
      if (!rejected.project.empty()) entry["project"] = rejected.project;
      SetBytes(entry, "bytes", rejected.bytes);
    }
    const absl::StatusOr<std::size_t> unkept = parked_->Park(entries);
    if (!unkept.ok()) return unkept.status();
    stats.parked_unkept += *unkept;
    stats.parked += batch.rejected.size();
    return absl::OkStatus();
  }

  const std::shared_ptr<Log> log_;
  const std::shared_ptr<KeyRing> keys_;
  const std::shared_ptr<Admission> admission_;
  const std::shared_ptr<Redaction> redaction_;
  const AckMode ack_;
  const RunLimits limits_;
  const std::unique_ptr<ParkedFile> parked_;
  std::array<IngestStats, 3> stats_;
  std::atomic<std::uint64_t> logged_{0};
  std::atomic<std::uint64_t> unsynced_{0};
  std::atomic<bool> said_lost_{false};
  DurationHistogram acknowledged_;
  mutable std::mutex mutex_;
  std::map<std::pair<Receiver, std::string>, Refused> refused_by_reason_;
  std::map<std::pair<Receiver, std::string>, TenantCounts> tenants_;
  std::set<std::string> tenant_names_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Ingest>> Ingest::Create(IngestOptions options) {
  absl::StatusOr<std::unique_ptr<ParkedFile>> parked =
      ParkedFile::Open(options.parked_file, options.max_parked_bytes);
  if (!parked.ok()) return parked.status();
  return std::make_unique<LogIngest>(std::move(options), *std::move(parked));
}

}  // namespace weft::collector
