// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <absl/status/statusor.h>

#include <weft/collector/config.h>
#include <weft/collector/log.h>
#include <weft/collector/record.h>

namespace weft::collector {

/// An operation or body that was not accepted, for the answer and for the parked file.
struct RejectedOp {
  std::size_t index = 0;  ///< Place among the operations of the request.
  std::string reason;     ///< Names the field.
  std::string bytes;      ///< What arrived, cut at 1 MiB.
  std::string project{};  ///< Of a span, where it does not say it itself.
};

/// A request that was decoded and validated by a receiver.
struct IngestBatch {
  RecordHeader header;
  std::string payload;  ///< As it goes to the log; see RecordHeader::coding.
  std::vector<RejectedOp> rejected;
  bool admitted = false;  ///< It was let in before: `header` says whose it is.
  bool reserved = false;  ///< The receiver counts it among what its tenant has in flight.
  std::string api_key;    ///< The caller's, for pass-through; empty = none.
  /// The caller's where it is not to be passed on: a bearer token of HTTP.
  std::string caller_key;
  /// Told, before `done`, all that is rejected when that is more than the receiver knows of:
  /// operations that cannot be redacted, or are over a limit. Null: nobody asks.
  std::function<void(const std::vector<RejectedOp>&)> on_rejected{};
};

/// When a request that was refused for its tenant's rate may come again; 0 for other refusals.
std::chrono::milliseconds RetryAfterOf(const absl::Status& status);

/// Conservation: received = logged + refused + parked, at quiescence. Counted in runs' operations.
struct IngestStats {
  std::atomic<std::uint64_t> received{0};
  std::atomic<std::uint64_t> logged{0};
  std::atomic<std::uint64_t> refused{0};
  std::atomic<std::uint64_t> parked{0};
  /// Those of `refused` that were acknowledged before, with AckMode::kMemory: the disk failed.
  std::atomic<std::uint64_t> lost{0};
  /// Those of `parked` whose bytes were not kept, because the parked file was full.
  std::atomic<std::uint64_t> parked_unkept{0};
};

class Admission;
class KeyRing;
class MetricsWriter;
class ParkedFile;
class Redaction;
class RunStore;

struct IngestOptions {
  std::shared_ptr<Log> log;
  std::shared_ptr<KeyRing> keys;
  std::filesystem::path parked_file;
  std::uint64_t max_parked_bytes = 64ull << 20;
  std::shared_ptr<Admission> admission{};  ///< Null: everybody may bring everything.
  std::shared_ptr<Redaction> redaction{};  ///< Null: nothing is taken out.
  std::uint64_t max_run_bytes = 32ull << 20;
  LargeRuns large_runs = LargeRuns::kTruncate;
  std::uint64_t max_trace_runs = 25'000;
  AckMode ack = AckMode::kDurable;
  const RunStore* store = nullptr;  ///< Knows which traces are full; null: none is.
};

/// The door to the log, shared by all receivers: admits, counts, redacts, cuts what is too large,
/// parks what is invalid, appends the rest.
///
/// Before `done` says OK, invalid operations are in the parked file, the caller's key is in the key
/// ring, and the valid operations are in the log, each of them on disk; with AckMode::kMemory the
/// log has only taken them. A batch that the log would refuse parks nothing, for it will be sent
/// again.
///
/// Threads: any. `done` runs once the batch is durable (on the log's thread), or at once with the
/// error, or with AckMode::kMemory: Unavailable = try again later; ResourceExhausted = too much in
/// flight, or over the tenant's rate (RetryAfterOf), try again; Unauthenticated, PermissionDenied =
/// not with this key; OutOfRange = too large, never again.
class Ingest {
 public:
  using Done = std::function<void(absl::Status)>;
  static absl::StatusOr<std::unique_ptr<Ingest>> Create(IngestOptions options);
  virtual ~Ingest() = default;
  virtual void Accept(IngestBatch batch, Done done) = 0;
  /// Counts a request that was refused before it could be decoded.
  virtual void CountRefused(Receiver receiver, std::string_view reason,
                            std::uint64_t operations) = 0;
  virtual absl::Status Ready() const = 0;
  virtual const IngestStats& stats(Receiver receiver) const = 0;
  /// Operations that went to the log since the start, of all receivers.
  virtual std::uint64_t logged() const = 0;
  virtual void WriteMetrics(MetricsWriter& out) const = 0;
  /// Where invalid operations are; null where there is no such file.
  virtual ParkedFile* parked() { return nullptr; }
};

}  // namespace weft::collector
