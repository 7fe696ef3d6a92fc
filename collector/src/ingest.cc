// SPDX-License-Identifier: Apache-2.0
#include <weft/collector/ingest.h>

#include <array>
#include <chrono>
#include <map>
#include <mutex>
#include <utility>

#include <weft/collector/keys.h>
#include <weft/collector/metrics.h>

#include "parked_file.h"

namespace weft::collector {
namespace {

constexpr std::array<std::string_view, 3> kReceiverNames = {"langsmith", "weft", "otlp"};
// Reasons are few and fixed; the bound keeps a mistake from growing the metrics without end.
constexpr std::size_t kMaxReasons = 64;

std::uint64_t NowMicroseconds() {
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(
                                        std::chrono::system_clock::now().time_since_epoch())
                                        .count());
}

// What the log says is the collector's affair; what a receiver tells its client is "again, later".
absl::Status ForReceivers(const absl::Status& status) {
  if (status.ok() || absl::IsUnavailable(status) || absl::IsResourceExhausted(status)) {
    return status;
  }
  return absl::UnavailableError(status.message());
}

class LogIngest final : public Ingest {
 public:
  LogIngest(IngestOptions options, std::unique_ptr<ParkedFile> parked)
      : log_(std::move(options.log)), keys_(std::move(options.keys)), parked_(std::move(parked)) {}

  void Accept(IngestBatch batch, Done done) override {
    const auto started = std::chrono::steady_clock::now();
    const Receiver receiver = batch.header.receiver;
    IngestStats& stats = stats_[static_cast<std::size_t>(receiver)];
    const std::uint64_t valid = batch.header.ops.size();
    const std::uint64_t invalid = batch.rejected.size();
    stats.received += valid + invalid;

    absl::Status status = log_->Ready();
    if (status.ok()) status = RememberKey(batch);
    if (status.ok()) status = ParkAll(batch, stats);
    if (!status.ok()) {
      Refuse(receiver, ReasonOf(status), valid + invalid);
      return done(ForReceivers(status));
    }
    if (valid == 0) return done(absl::OkStatus());
    if (batch.header.received_us == 0) batch.header.received_us = NowMicroseconds();
    log_->Append(std::move(batch.header), std::move(batch.payload),
                 [this, receiver, valid, started,
                  done = std::move(done)](const absl::StatusOr<Position>& position) {
                   if (position.ok()) {
                     stats_[static_cast<std::size_t>(receiver)].logged += valid;
                     logged_ += valid;
                     acknowledged_.Record(std::chrono::steady_clock::now() - started);
                   } else {
                     Refuse(receiver, ReasonOf(position.status()), valid);
                   }
                   done(ForReceivers(position.status()));
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

  void WriteMetrics(MetricsWriter& out) const override {
    WriteCounts(out, "weft_received_runs_total", "Operations on runs that arrived.",
                &IngestStats::received);
    WriteCounts(out, "weft_logged_runs_total", "Operations that are in the log.",
                &IngestStats::logged);
    WriteCounts(out, "weft_parked_runs_total", "Invalid operations that were parked.",
                &IngestStats::parked);
    WriteCounts(out, "weft_parked_unkept_runs_total",
                "Parked operations whose bytes were not kept: the parked file was full.",
                &IngestStats::parked_unkept);
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
    out.Family("weft_parked_bytes", "gauge", "Size of the file of parked operations.");
    out.Sample({}, static_cast<double>(parked_->bytes()));
    out.Family("weft_ack_seconds", "histogram", "Time from a decoded request to its answer.");
    acknowledged_.Write(out);
  }

 private:
  struct Refused {
    std::uint64_t requests = 0;
    std::uint64_t operations = 0;
  };

  static std::string_view ReasonOf(const absl::Status& status) {
    return absl::IsResourceExhausted(status) ? "overload" : "log_unavailable";
  }

  static void WriteCounts(MetricsWriter& out, const std::array<IngestStats, 3>& all,
                          std::atomic<std::uint64_t> IngestStats::*count) {
    for (std::size_t i = 0; i < all.size(); ++i) {
      out.Sample({{"receiver", kReceiverNames[i]}}, static_cast<double>((all[i].*count).load()));
    }
  }

  void WriteCounts(MetricsWriter& out, std::string_view name, std::string_view help,
                   std::atomic<std::uint64_t> IngestStats::*count) const {
    out.Family(name, "counter", help);
    WriteCounts(out, stats_, count);
  }

  void Refuse(Receiver receiver, std::string_view reason, std::uint64_t operations) {
    stats_[static_cast<std::size_t>(receiver)].refused += operations;
    std::lock_guard lock(mutex_);
    if (refused_by_reason_.size() >= kMaxReasons) reason = "other";
    Refused& refused = refused_by_reason_[{receiver, std::string(reason)}];
    ++refused.requests;
    refused.operations += operations;
  }

  absl::Status RememberKey(IngestBatch& batch) {
    if (batch.api_key.empty() || keys_ == nullptr || batch.header.ops.empty()) {
      return absl::OkStatus();
    }
    absl::StatusOr<std::uint64_t> id = keys_->Remember(batch.api_key);
    if (id.ok()) batch.header.key_id = *id;
    return id.status();
  }

  absl::Status ParkAll(const IngestBatch& batch, IngestStats& stats) {
    for (const RejectedOp& rejected : batch.rejected) {
      JsonObject entry;
      entry["time"] = IsoTime(NowMicroseconds());
      entry["receiver"] = kReceiverNames[static_cast<std::size_t>(batch.header.receiver)];
      SetBytes(entry, "reason", rejected.reason);
      SetBytes(entry, "bytes", rejected.bytes);
      const absl::Status status = parked_->Park(entry);
      if (absl::IsResourceExhausted(status)) {
        ++stats.parked_unkept;
      } else if (!status.ok()) {
        return status;
      }
    }
    stats.parked += batch.rejected.size();
    return absl::OkStatus();
  }

  const std::shared_ptr<Log> log_;
  const std::shared_ptr<KeyRing> keys_;
  const std::unique_ptr<ParkedFile> parked_;
  std::array<IngestStats, 3> stats_;
  std::atomic<std::uint64_t> logged_{0};
  DurationHistogram acknowledged_;
  mutable std::mutex mutex_;
  std::map<std::pair<Receiver, std::string>, Refused> refused_by_reason_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Ingest>> Ingest::Create(IngestOptions options) {
  absl::StatusOr<std::unique_ptr<ParkedFile>> parked =
      ParkedFile::Open(options.parked_file, options.max_parked_bytes);
  if (!parked.ok()) return parked.status();
  return std::make_unique<LogIngest>(std::move(options), *std::move(parked));
}

}  // namespace weft::collector
