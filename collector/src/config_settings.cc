// SPDX-License-Identifier: Apache-2.0
#include "config_settings.h"

#include <algorithm>
#include <array>
#include <utility>

#include "config_values.h"

namespace weft::collector {
namespace {

// How a setting is read and shown.
struct Access {
  absl::Status (*set)(CollectorConfig& config, std::string_view text);
  std::string (*show)(const CollectorConfig& config);
};

template <auto Member, auto Parse, auto Text>
constexpr Access kAccess = {[](CollectorConfig& config, std::string_view text) {
                              auto value = Parse(text);
                              if (value.ok()) config.*Member = *std::move(value);
                              return value.status();
                            },
                            [](const CollectorConfig& config) { return Text(config.*Member); }};

absl::StatusOr<std::filesystem::path> ParsePath(std::string_view text) {
  if (text.empty()) return absl::InvalidArgumentError("'' is not a path");
  return std::filesystem::path(text);
}

template <std::uint64_t Low, std::uint64_t High>
absl::StatusOr<std::uint64_t> ParseSizeWithin(std::string_view text) {
  absl::StatusOr<std::uint64_t> size = ParseSize(text);
  if (size.ok() && (*size < Low || *size > High)) {
    return absl::InvalidArgumentError("'" + std::string(text) + "' is not within " +
                                      std::to_string(Low) + " and " + std::to_string(High) +
                                      " bytes");
  }
  return size;
}

absl::StatusOr<LogFormat> ParseLogFormat(std::string_view text) {
  if (text == "text") return LogFormat::kText;
  if (text == "json") return LogFormat::kJson;
  return absl::InvalidArgumentError("'" + std::string(text) + "' is neither text nor json");
}

absl::StatusOr<LargeRuns> ParseLargeRuns(std::string_view text) {
  if (text == "truncate") return LargeRuns::kTruncate;
  if (text == "refuse") return LargeRuns::kRefuse;
  return absl::InvalidArgumentError("'" + std::string(text) + "' is neither truncate nor refuse");
}

absl::StatusOr<AckMode> ParseAckMode(std::string_view text) {
  if (text == "durable") return AckMode::kDurable;
  if (text == "memory") return AckMode::kMemory;
  return absl::InvalidArgumentError("'" + std::string(text) + "' is neither durable nor memory");
}

absl::StatusOr<internal::SpanIdBytes> ParseSpanIds(std::string_view text) {
  if (text == "last") return internal::SpanIdBytes::kLast;
  if (text == "langsmith_py") return internal::SpanIdBytes::kFirst;
  return absl::InvalidArgumentError("'" + std::string(text) + "' is neither last nor langsmith_py");
}

absl::StatusOr<std::chrono::seconds> ParseDrain(std::string_view text) {
  const bool digits = !text.empty() && text.find_first_not_of("0123456789") == text.npos;
  return ParseDuration(digits ? std::string(text) + "s" : std::string(text));
}

template <std::uint64_t High>
absl::StatusOr<std::uint64_t> ParseCountUpTo(std::string_view text) {
  absl::StatusOr<std::uint64_t> count = ParseCount(text);
  if (count.ok() && *count > High) {
    return absl::InvalidArgumentError("'" + std::string(text) + "' is above " +
                                      std::to_string(High));
  }
  return count;
}

template <std::int64_t Low, std::int64_t High>
absl::StatusOr<std::chrono::seconds> ParseTimeWithin(std::string_view text) {
  absl::StatusOr<std::chrono::seconds> time = ParseDuration(text);
  if (time.ok() && (time->count() < Low || time->count() > High)) {
    return absl::InvalidArgumentError("'" + std::string(text) + "' is not within " +
                                      DurationText(std::chrono::seconds(Low)) + " and " +
                                      DurationText(std::chrono::seconds(High)));
  }
  return time;
}

absl::StatusOr<std::string> ParseText(std::string_view text) {
  if (text.empty()) return absl::InvalidArgumentError("'' is empty");
  return std::string(text);
}

std::string PathText(const std::filesystem::path& path) { return path.string(); }
std::string SameText(const std::string& text) { return text; }
std::string BoolText(bool value) { return value ? "true" : "false"; }
std::string CountText(std::uint64_t value) { return std::to_string(value); }
std::string OptionalSizeText(const std::optional<std::uint64_t>& size) {
  return size ? SizeText(*size) : "";
}
std::string LogFormatText(LogFormat format) { return format == LogFormat::kJson ? "json" : "text"; }
std::string LargeRunsText(LargeRuns what) {
  return what == LargeRuns::kRefuse ? "refuse" : "truncate";
}
std::string AckModeText(AckMode mode) { return mode == AckMode::kMemory ? "memory" : "durable"; }
std::string SpanIdsText(internal::SpanIdBytes bytes) {
  return bytes == internal::SpanIdBytes::kFirst ? "langsmith_py" : "last";
}

constexpr std::uint64_t kKiB = 1024;
constexpr std::uint64_t kMiB = 1024 * kKiB;
constexpr std::uint64_t kGiB = 1024 * kMiB;

using C = CollectorConfig;
template <auto M>
constexpr Access kPath = kAccess<M, ParsePath, PathText>;
template <auto M>
constexpr Access kAddress = kAccess<M, ParseAddress, SameText>;
template <auto M, std::uint64_t Low = 0, std::uint64_t High = ~std::uint64_t{0}>
constexpr Access kSize = kAccess<M, ParseSizeWithin<Low, High>, SizeText>;
template <auto M>
constexpr Access kTime = kAccess<M, ParseDuration, DurationText>;

// A member of a member: the files of TLS, the words of the redaction.
template <auto Outer, auto Inner, auto Parse, auto Text>
constexpr Access kNested = {
    [](CollectorConfig& config, std::string_view text) {
      auto value = Parse(text);
      if (value.ok()) (config.*Outer).*Inner = *std::move(value);
      return value.status();
    },
    [](const CollectorConfig& config) { return Text((config.*Outer).*Inner); }};
template <auto Inner, auto Parse, auto Text>
constexpr Access kForwarding = kNested<&C::forwarding, Inner, Parse, Text>;
template <auto Outer, auto Inner>
constexpr Access kTls = kNested<Outer, Inner, ParsePath, PathText>;

constexpr Setting Flag(std::string_view key, Access access, std::string_view argument,
                       std::string_view help, std::string_view default_text) {
  return {key, access.set, access.show, argument, help, default_text, true};
}
constexpr Setting Key(std::string_view key, Access access, std::string_view help,
                      std::string_view default_text) {
  return {key, access.set, access.show, "", help, default_text, false};
}

constexpr std::array kSettings = {
    Flag("data", kPath<&C::data>, "DIR", "log, keys, cursors, parked operations",
         "$XDG_STATE_HOME/weft, else ~/.local/state/weft"),
    Flag("listen_grpc", kAddress<&C::listen_grpc>, "ADDR",
         "weft's gRPC service, health, reflection", "127.0.0.1:4317"),
    Flag("listen_otlp_http", kAddress<&C::listen_otlp_http>, "ADDR", "OTLP over HTTP",
         "127.0.0.1:4318"),
    Flag("listen_http", kAddress<&C::listen_http>, "ADDR",
         "LangSmith API, /live, /ready, /metrics, /admin", "127.0.0.1:1984"),
    Flag("allow_insecure_listen", kAccess<&C::allow_insecure_listen, ParseBool, BoolText>, "",
         "let other machines in without TLS or keys", "false"),
    Flag("ready_file", kPath<&C::ready_file>, "PATH", "written, as JSON, once everything listens",
         "none"),
    Flag("log_format", kAccess<&C::log_format, ParseLogFormat, LogFormatText>, "text|json",
         "of the lines on stderr", "text"),
    Flag("drain", kAccess<&C::drain, ParseDrain, DurationText>, "SECONDS",
         "how long a stop waits for destinations", "0s"),
    Key("tls.cert", kTls<&C::tls, &TlsConfig::cert>, "of all listeners: PEM, with its chain", ""),
    Key("tls.key", kTls<&C::tls, &TlsConfig::key>, "PEM, of the certificate", ""),
    Key("tls.client_ca", kTls<&C::tls, &TlsConfig::client_ca>,
        "callers must show a certificate of these", ""),
    Key("tls.grpc.cert", kTls<&C::tls_grpc, &TlsConfig::cert>, "of listen_grpc alone", ""),
    Key("tls.grpc.key", kTls<&C::tls_grpc, &TlsConfig::key>, "", ""),
    Key("tls.grpc.client_ca", kTls<&C::tls_grpc, &TlsConfig::client_ca>, "", ""),
    Key("tls.otlp_http.cert", kTls<&C::tls_otlp_http, &TlsConfig::cert>,
        "of listen_otlp_http alone", ""),
    Key("tls.otlp_http.key", kTls<&C::tls_otlp_http, &TlsConfig::key>, "", ""),
    Key("tls.otlp_http.client_ca", kTls<&C::tls_otlp_http, &TlsConfig::client_ca>, "", ""),
    Key("tls.http.cert", kTls<&C::tls_http, &TlsConfig::cert>, "of listen_http alone", ""),
    Key("tls.http.key", kTls<&C::tls_http, &TlsConfig::key>, "", ""),
    Key("tls.http.client_ca", kTls<&C::tls_http, &TlsConfig::client_ca>, "", ""),
    Key("log.ack", kAccess<&C::ack, ParseAckMode, AckModeText>,
        "durable: answers wait for the disk; memory: a crash loses what was acknowledged last",
        "durable"),
    Key("log.min_free", kAccess<&C::min_free, ParseSize, OptionalSizeText>,
        "with less free space nothing is accepted", "the smaller of 1GiB and 5 %"),
    Key("log.retention_size", kSize<&C::retention_size>, "0 = no limit", "20GiB"),
    Key("log.retention_age", kTime<&C::retention_age>, "whole hours; 0s = no limit", "14d"),
    Key("log.segment_size", kSize<&C::segment_size, kMiB, kGiB>, "1MiB to 1GiB", "64MiB"),
    Key("log.max_parked", kSize<&C::max_parked_bytes>, "of each file of parked operations",
        "64MiB"),
    Key("forwarding.concurrency",
        kForwarding<&ForwardingConfig::concurrency, ParseCountUpTo<64>, CountText>,
        "requests at a time to a destination", "4"),
    Key("forwarding.drain_factor",
        kForwarding<&ForwardingConfig::drain_factor, ParseFactor, FactorText>,
        "after an outage, times the rate of what comes in; 0 = no limit", "2"),
    Key("forwarding.drain_floor",
        kForwarding<&ForwardingConfig::drain_floor, ParseCount, CountText>,
        "runs a second that are always allowed then", "1000"),
    Key("forwarding.max_open",
        kForwarding<&ForwardingConfig::max_open, ParseTimeWithin<1, 7 * 86400>, DurationText>,
        "a run without an end goes to OTLP then", "1h"),
    Key("forwarding.orphan_wait",
        kForwarding<&ForwardingConfig::orphan_wait, ParseTimeWithin<1, 600>, DurationText>,
        "for the parent of a span; 10m at most", "60s"),
    Key("otlp.span_id", kForwarding<&ForwardingConfig::span_ids, ParseSpanIds, SpanIdsText>,
        "bytes of a run's id: last, or langsmith_py (the first)", "last"),
    Key("limits.wire_body", kSize<&C::max_wire_bytes, kKiB, kGiB>, "of an HTTP body as it arrives",
        "64MiB"),
    Key("limits.decoded_body", kSize<&C::max_decoded_bytes, kKiB, 4 * kGiB>,
        "of an HTTP body without its coding", "256MiB"),
    Key("limits.grpc_message", kSize<&C::max_grpc_message_bytes, kKiB, kGiB>, "", "64MiB"),
    Key("limits.run", kSize<&C::max_run_bytes, 64 * kKiB, kGiB>,
        "of a run without attachments, of a span", "32MiB"),
    Key("limits.large_runs", kAccess<&C::large_runs, ParseLargeRuns, LargeRunsText>,
        "truncate (largest fields first), or refuse", "truncate"),
    Key("limits.trace_runs", kAccess<&C::max_trace_runs, ParseCountUpTo<65'535>, CountText>,
        "further runs of a trace are parked; 65535 at most", "25000"),
    Key("limits.in_flight", kSize<&C::max_inflight_bytes, kMiB, 1024 * kGiB>,
        "of requests that are not answered yet", "512MiB"),
    Key("limits.connections", kAccess<&C::max_connections, ParseCount, CountText>, "of HTTP",
        "20000"),
    Key("limits.header_timeout", kTime<&C::header_timeout>, "for an HTTP header to arrive", "10s"),
    Key("limits.idle_timeout", kTime<&C::idle_timeout>, "of an HTTP connection without a request",
        "75s"),
    Key("redaction.marker", kNested<&C::redaction, &RedactionConfig::marker, ParseText, SameText>,
        "stands in the place of what was found", "[redacted]"),
    Key("redaction.max_attachment",
        kNested<&C::redaction, &RedactionConfig::max_attachment, ParseSize, OptionalSizeText>,
        "larger ones are left out; 0 = all of them", "no limit"),
    // Read before all others; listed so that it has its help and its flag in the one table.
    Flag("config", {}, "FILE", "YAML configuration (docs/configuration.md)", "none"),
};

constexpr std::array kLists = {
    ListSetting{"forward", "where runs are forwarded to",
                "{to: \"langsmith=https://api.smith.langchain.com\", key_env: LANGSMITH_API_KEY}"},
    ListSetting{"auth.keys", "that callers must show; without any, everybody is let in",
                "{name: team-a, key_env: TEAM_A_KEY, tenant: team-a, projects: [one, two]}"},
    ListSetting{"tenants", "limits of what a tenant's keys bring together",
                "{name: team-a, runs_per_second: 1000, bytes_per_second: 4MiB, max_body: 16MiB}"},
    ListSetting{"http.allowed_hosts", "that Host may be besides loopback's", "weft.example.com"},
    ListSetting{"prices", "US dollars for a million tokens, for spans that tell no cost",
                "{model: \"gpt-4o-mini*\", input: 0.15, output: 0.6, cache_read: 0.075}"},
    ListSetting{"redaction.presets", "api_keys, bearer_tokens, email, cards, ip_addresses",
                "api_keys"},
    ListSetting{"redaction.rules", "what is taken out of runs before the log",
                "{name: ssn, value: '\\d{3}-\\d{2}-\\d{4}', action: mask}"},
};

// They take one value, but not a scalar of the table: secrets are not shown.
constexpr std::array<std::string_view, 2> kSecrets = {"redaction.hash_key_env",
                                                      "redaction.hash_key_file"};

}  // namespace

std::span<const Setting> Settings() { return kSettings; }
std::span<const ListSetting> ListSettings() { return kLists; }

const Setting* FindSetting(std::string_view key) {
  const auto found = std::find_if(kSettings.begin(), kSettings.end(),
                                  [&](const Setting& setting) { return setting.key == key; });
  return found == kSettings.end() ? nullptr : &*found;
}

bool IsList(std::string_view key) {
  return std::any_of(kLists.begin(), kLists.end(),
                     [&](const ListSetting& list) { return list.key == key; });
}

bool IsSection(std::string_view key) {
  const auto below = [&](std::string_view full) {
    return full.size() > key.size() && full.starts_with(key) && full[key.size()] == '.';
  };
  return std::any_of(kLists.begin(), kLists.end(),
                     [&](const auto& list) { return below(list.key); }) ||
         std::any_of(kSecrets.begin(), kSecrets.end(), below) ||
         std::any_of(kSettings.begin(), kSettings.end(),
                     [&](const Setting& setting) { return below(setting.key); });
}

std::string FlagOf(std::string_view key) {
  std::string flag = "--" + std::string(key);
  std::replace(flag.begin(), flag.end(), '_', '-');
  return flag;
}

std::string VariableOf(std::string_view key) {
  std::string name = "WEFT_" + std::string(key);
  std::transform(name.begin(), name.end(), name.begin(), [](char c) {
    return c == '.' ? '_' : c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  });
  return name;
}

}  // namespace weft::collector
