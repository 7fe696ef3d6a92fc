// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include <absl/status/statusor.h>

#include <weft/collector/config.h>
#include <weft/collector/keys.h>
#include <weft/collector/log.h>
#include <weft/collector/run_store.h>

namespace weft::collector {

class ParkedFile;

struct DestinationOptions {
  std::shared_ptr<Log> log;
  std::shared_ptr<KeyRing> keys;
  std::filesystem::path data;  ///< Cursors and parked operations go below it.
  /// Operations that went to the log since it was opened (Ingest::logged).
  std::function<std::uint64_t()> logged;
  std::uint64_t max_parked_bytes = 64ull << 20;

  std::size_t max_batch_operations = 100;
  std::uint64_t max_batch_bytes = 20ull << 20;
  std::chrono::milliseconds linger{200};  ///< For a batch to fill.
  std::size_t concurrency = 4;            ///< Requests at a time.

  std::chrono::milliseconds first_backoff{200};
  std::chrono::milliseconds max_backoff{60'000};
  /// The longest that a target can ask for with Retry-After.
  std::chrono::milliseconds max_retry_after{300'000};
  /// The longest wait after which a target that was down is looked at again.
  std::chrono::milliseconds probe_interval{2'000};
  /// When a key that the target refused is tried again.
  std::chrono::milliseconds held_interval{30'000};

  /// What gathered during an outage goes out at so many times the rate at which runs come in; 0 =
  /// as fast as it goes.
  double drain_factor = 2;
  double drain_floor = 1'000;  ///< Operations a second that are always allowed then.

  /// Looked into for what the log's recent records do not tell; may be null.
  const RunStore* store = nullptr;
  /// As of RunStoreOptions.
  std::shared_ptr<const Prices> prices{};
  /// A run still open after so long goes to receivers of OTLP unfinished.
  std::chrono::milliseconds max_open{std::chrono::hours(1)};
  /// How long a span waits for its parent, before it goes to where runs are wanted: after the root
  /// of its trace came, and anyway.
  std::chrono::milliseconds trace_grace{2'000};
  std::chrono::milliseconds orphan_wait{60'000};
  /// Of runs that go to receivers of OTLP.
  internal::SpanIdBytes span_ids = internal::SpanIdBytes::kLast;
};

/// What stands between a destination and a target that fails.
enum class Circuit : std::uint8_t {
  kClosed,   ///< Everything is sent.
  kOpen,     ///< Too many failures in a row: nothing is, for a while.
  kProbing,  ///< One request finds out whether the target is back.
};

/// Conservation: available = sent + parked + discarded + filtered + expired + lag.
struct DestinationStats {
  std::uint64_t available = 0;  ///< What lay in the log for it at the start, and all since.
  std::uint64_t sent = 0;
  std::uint64_t parked =
      0;  ///< Now; those of earlier starts, too, which `available` holds as well.
  std::uint64_t parked_unkept = 0;  ///< Of `parked`: only counted, the parked file was full.
  std::uint64_t discarded = 0;      ///< Parked, and thrown away by a person since.
  std::uint64_t filtered = 0;       ///< What the target has no place for: feedback, say.
  std::uint64_t lag = 0;
  std::uint64_t open = 0;  ///< Of `lag`: of runs that have not ended, where only whole ones go.
  std::uint64_t open_traces = 0;  ///< Of which runs wait for others, or for their own end.
  /// Operations of segments that went before they were read. Known once the rest is done.
  std::uint64_t expired = 0;
  std::uint64_t expired_records = 0;
  std::uint64_t orphans = 0;            ///< Spans whose parents never came; delivered below a root.
  std::uint64_t held_keys = 0;          ///< Keys that the target refuses; their runs wait.
  std::uint64_t oldest_pending_us = 0;  ///< When the oldest waiting run was received; 0 = none.
  std::uint64_t throttled_keys = 0;     ///< Keys of which it takes no more for a while (429).
  std::uint64_t batches = 0;
  Circuit circuit = Circuit::kClosed;
  std::map<std::string, std::uint64_t> parked_by_code;  ///< Without those that were not kept.
  std::map<std::string, std::uint64_t> errors;          ///< By status code, or `connection`.
};

/// Reads the log with a cursor of its own and delivers every operation, at least once, to a target
/// outside: LangSmith or a file.
///
/// What a target answers decides (docs/collector.md, "Forwarding"): an outage is waited for, with
/// growing pauses, and never ends in loss; a batch that is too large is halved; one that is refused
/// is halved until the offender is found, which is parked with the reason; a refused key waits
/// while other keys go on.
///
/// Lifetime: Stop, or the destructor, ends at a record's boundary with the cursor saved.
/// Threads: any; has its own.
class Destination {
 public:
  static absl::StatusOr<std::unique_ptr<Destination>> Start(const DestinationConfig& config,
                                                            DestinationOptions options);
  ~Destination();
  Destination(const Destination&) = delete;
  Destination& operator=(const Destination&) = delete;

  /// `langsmith=https://...`
  const std::string& spec() const;
  DestinationStats Stats() const;

  /// Gets ready for a new key, or opens a file anew; the returned function makes it so. Fails
  /// without having changed anything.
  absl::StatusOr<std::function<void()>> PrepareReload(const DestinationConfig& config);

  /// What it could not deliver. Marking lines there for another try is followed by RedriveParked.
  ParkedFile& parked() const;
  void RedriveParked();

  /// Lets a request that is under way finish within `patience`, then breaks it off.
  void Stop(std::chrono::milliseconds patience);

 private:
  class Impl;
  explicit Destination(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace weft::collector
