// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <absl/status/statusor.h>

#include <weft/collector/keys.h>
#include <weft/collector/prices.h>
#include <weft/tracing/internal/run_to_span.h>
#include <weft/tracing/redaction.h>

namespace weft::collector {

/// When a file of forwarded runs is put aside as PATH.1, and that as PATH.2 ...
struct FileRotation {
  std::uint64_t size = 0;       ///< Before it is larger; 0 = at no size.
  std::chrono::seconds age{0};  ///< When lines are written to it for so long; 0 = at no age.
  std::uint64_t keep = 5;       ///< So many are kept besides PATH.
  friend bool operator==(const FileRotation&, const FileRotation&) = default;
};

/// Where runs are forwarded to: one `--forward`.
struct DestinationConfig {
  enum class Kind { kLangSmith, kFile, kOtlp };
  Kind kind = Kind::kFile;
  /// A URL without a trailing slash (of kOtlp also `grpc://` and `grpcs://`), or a path.
  std::string target;
  /// The key for runs whose caller gave none; empty = none.
  std::string api_key;
  /// Certificates in PEM that the target's must come from; empty = the system's.
  std::string ca_file{};

  FileRotation rotation{};  ///< Of `file=`.

  /// `langsmith=https://...`, as it is given.
  std::string Spec() const;
  friend bool operator==(const DestinationConfig&, const DestinationConfig&) = default;
};

/// PEM files of a listener. An empty member takes what is common to all listeners.
struct TlsConfig {
  std::filesystem::path cert{};       ///< The certificate and those that lead to its issuer.
  std::filesystem::path key{};        ///< Of the certificate; without a passphrase.
  std::filesystem::path client_ca{};  ///< Callers must show a certificate of one of these.

  bool enabled() const { return !cert.empty(); }
  friend bool operator==(const TlsConfig&, const TlsConfig&) = default;
};

/// What a tenant's keys may bring. 0 = no limit but those of all tenants. Rates and what is in
/// flight are those of all keys together.
struct TenantConfig {
  std::string name;
  std::uint64_t runs_per_second = 0;   ///< Operations on runs.
  std::uint64_t bytes_per_second = 0;  ///< Of bodies without their coding.
  std::uint64_t max_body = 0;          ///< Of one body without its coding.
  std::uint64_t max_run = 0;           ///< In the place of CollectorConfig::max_run_bytes.
  std::uint64_t max_trace_runs = 0;    ///< In the place of CollectorConfig::max_trace_runs.
  std::uint64_t max_in_flight = 0;     ///< Of bodies that are not answered yet.
  friend bool operator==(const TenantConfig&, const TenantConfig&) = default;
};

/// A rule and to whose runs it applies; empty = to all.
struct ScopedRedactionRule {
  RedactionRule rule{};
  std::vector<std::string> tenants{};
  std::vector<std::string> projects{};
};

/// What is taken out of runs before they are written to the log.
struct RedactionConfig {
  std::vector<RedactionPreset> presets{};
  std::vector<ScopedRedactionRule> rules{};
  std::string marker = "[redacted]";
  std::string hash_key{};
  std::optional<std::uint64_t> max_attachment{};  ///< Larger ones are left out; 0 = all of them.

  bool empty() const { return presets.empty() && rules.empty() && !max_attachment; }
};

/// How runs go out, to each destination.
struct ForwardingConfig {
  std::uint64_t concurrency = 4;  ///< Requests at a time.
  /// What gathered during an outage goes out at so many times the rate at which runs come in, and
  /// at `drain_floor` operations a second at least; 0 = as fast as it goes.
  double drain_factor = 2;
  std::uint64_t drain_floor = 1'000;
  std::chrono::seconds max_open{3600};   ///< A run still open then goes to OTLP unfinished.
  std::chrono::seconds orphan_wait{60};  ///< For the parent of a span.
  internal::SpanIdBytes span_ids = internal::SpanIdBytes::kLast;  ///< Of runs that go out as spans.
};

/// What becomes of a run that is too large.
enum class LargeRuns : std::uint8_t {
  kTruncate,  ///< Its largest fields are left out.
  kRefuse,    ///< It is parked, as what is invalid.
};

/// When a request is answered.
enum class AckMode : std::uint8_t {
  kDurable,  ///< Once it is on disk.
  kMemory,   ///< Once it waits for the disk: a crash loses what was not written yet.
};

enum class LogFormat : std::uint8_t { kText, kJson };

struct CollectorConfig {
  std::filesystem::path data;
  std::string listen_grpc = "127.0.0.1:4317";
  std::string listen_otlp_http = "127.0.0.1:4318";
  std::string listen_http = "127.0.0.1:1984";
  bool allow_insecure_listen = false;
  std::vector<DestinationConfig> forward;
  std::filesystem::path ready_file;  ///< Empty = none.
  LogFormat log_format = LogFormat::kText;
  /// How long a stop waits for destinations to have everything.
  std::chrono::seconds drain{0};
  ForwardingConfig forwarding;

  TlsConfig tls;  ///< Common to the listeners; see TlsOf.
  TlsConfig tls_grpc;
  TlsConfig tls_otlp_http;
  TlsConfig tls_http;

  std::vector<NamedKey> keys;
  std::vector<TenantConfig> tenants;
  RedactionConfig redaction;
  std::vector<ModelPrice> prices;
  std::vector<std::string> allowed_hosts;

  AckMode ack = AckMode::kDurable;
  std::optional<std::uint64_t> min_free;  ///< Absent: the smaller of 1 GiB and 5 %.
  std::uint64_t retention_size = 20ull << 30;
  std::chrono::seconds retention_age{14 * 24 * 3600};
  std::uint64_t segment_size = 64ull << 20;
  std::uint64_t max_parked_bytes = 64ull << 20;

  std::uint64_t max_wire_bytes = 64ull << 20;
  std::uint64_t max_decoded_bytes = 256ull << 20;
  std::uint64_t max_grpc_message_bytes = 64ull << 20;
  std::uint64_t max_run_bytes = 32ull << 20;
  LargeRuns large_runs = LargeRuns::kTruncate;
  std::uint64_t max_trace_runs = 25'000;
  std::uint64_t max_inflight_bytes = 512ull << 20;
  std::uint64_t max_connections = 20'000;
  std::chrono::seconds header_timeout{10};
  std::chrono::seconds idle_timeout{75};

  /// `listener` with what is common to all of them where it says nothing itself.
  TlsConfig TlsOf(const TlsConfig& listener) const;
};

/// Reads an environment variable: nothing when it is not set.
using Environment = std::function<std::optional<std::string>(const std::string& name)>;

/// The environment of this process.
Environment ProcessEnvironment();

/// The configuration from flags, else the environment, else the file of `--config`, else defaults.
///
/// Errors: InvalidArgument = wrong use of a flag, the message names it (exit status 2);
///   FailedPrecondition = a wrong configuration, the message names file, line and key, or the
///   variable (exit status 78).
absl::StatusOr<CollectorConfig> LoadConfig(std::span<const std::string_view> flags,
                                           const Environment& environment);

/// A setting as it took effect.
struct ConfigValue {
  std::string key;     ///< `log.min_free`, `forward[0]`.
  std::string value;   ///< Keys of callers and destinations are masked.
  std::string source;  ///< `--data`, `WEFT_DATA`, `FILE:LINE`, `default`.
};

/// Everything about a configuration, right or wrong.
struct ConfigReport {
  CollectorConfig config;  ///< What could be understood.
  std::vector<ConfigValue> values;
  std::vector<absl::Status> problems;  ///< As LoadConfig's errors.
};

/// Reads as LoadConfig does, but goes on behind an error.
ConfigReport ExamineConfig(std::span<const std::string_view> flags, const Environment& environment);

/// What is wrong around a configuration that is right: a data directory that cannot be had, files
/// for destinations that cannot be read. Each message names key and path.
std::vector<std::string> CheckSurroundings(const CollectorConfig& config);

/// When the first of the listener's certificates ends; nothing when they cannot be read.
std::optional<std::chrono::system_clock::time_point> TlsExpiry(const TlsConfig& config);

/// A configuration file in which every setting stands with its default, commented out.
std::string ConfigExample();

/// The table of options for `--help`: flags with their variables and defaults.
std::string ConfigHelp();

}  // namespace weft::collector
