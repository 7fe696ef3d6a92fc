// SPDX-License-Identifier: Apache-2.0
#include "otlp_environment.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include <unistd.h>

#include "percent.h"
#include "text.h"

namespace weft {
inline namespace v0 {
namespace internal {
namespace {

constexpr std::string_view kTracesPath = "v1/traces";

using Members = std::vector<std::pair<std::string, std::string>>;

/// `key=value,key=value` with percent-encoded values; nothing: it is something else.
std::optional<Members> ReadMembers(std::string_view text) {
  Members members;
  while (!text.empty()) {
    const std::size_t comma = std::min(text.find(','), text.size());
    const std::string_view member = TrimBlanks(text.substr(0, comma));
    text.remove_prefix(std::min(comma + 1, text.size()));
    if (member.empty()) continue;
    const std::size_t equals = member.find('=');
    const std::string_view key = TrimBlanks(member.substr(0, equals));
    if (equals == member.npos || key.empty()) return std::nullopt;
    members.emplace_back(key, PercentDecode(TrimBlanks(member.substr(equals + 1))).text);
  }
  return members;
}

/// OTEL_EXPORTER_OTLP_TRACES_<name>, else OTEL_EXPORTER_OTLP_<name>.
std::optional<Variable> FindOtlp(const Environment& environment, const std::string& name) {
  auto found = environment.Find("OTEL_EXPORTER_OTLP_TRACES_" + name);
  return found ? found : environment.Find("OTEL_EXPORTER_OTLP_" + name);
}

bool IsUrl(std::string_view text) noexcept {
  return text.starts_with("http://") || text.starts_with("https://");
}

struct Mode {
  bool enabled = false;
  bool only = false;
};

absl::StatusOr<Mode> ReadMode(const Environment& environment) {
  const absl::StatusOr<bool> enabled = environment.Flag(environment.FindSdk("OTEL_ENABLED"));
  if (!enabled.ok()) return enabled.status();
  const absl::StatusOr<bool> only = environment.Flag(environment.FindSdk("OTEL_ONLY"));
  if (!only.ok()) return only.status();
  const auto mode = environment.FindSdk("TRACING_MODE");
  if (!mode) return Mode{*enabled || *only, *only};
  if (mode->value == "langsmith") return Mode{};
  if (mode->value == "hybrid") return Mode{true, false};
  if (mode->value == "otel") return Mode{true, true};
  return Unusable(*mode, "is none of langsmith, otel, hybrid");
}

absl::Status ReadProtocol(const Environment& environment, OtlpExporterOptions& options) {
  const auto protocol = FindOtlp(environment, "PROTOCOL");
  if (!protocol || AsciiLower(protocol->value) == "http/protobuf") return absl::OkStatus();
  if (AsciiLower(protocol->value) == "http/json") {
    options.protocol = OtlpProtocol::kHttpJson;
    return absl::OkStatus();
  }
  if (AsciiLower(protocol->value) != "grpc") {
    return Unusable(*protocol, "is none of grpc, http/protobuf, http/json");
  }
  options.protocol = OtlpProtocol::kGrpc;
  return absl::OkStatus();
}

/// Lets runs go to LangSmith as its own SDKs do.
void GoToLangSmith(const Environment& environment, OtlpExporterOptions& options) {
  const auto endpoint = environment.FindSdk("ENDPOINT");
  if (!endpoint || !IsUrl(endpoint->value)) return;
  std::string_view base = endpoint->value;
  while (base.ends_with('/')) base.remove_suffix(1);
  options.endpoint = std::string(base) + "/otel/" + std::string(kTracesPath);
  if (const auto key = environment.FindSdk("API_KEY")) {
    options.headers.emplace_back("x-api-key", key->value);
  }
}

absl::Status ReadEndpoint(const Environment& environment, OtlpExporterOptions& options) {
  const bool http = options.protocol != OtlpProtocol::kGrpc;
  const auto traces = environment.Find("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT");
  const auto base = environment.Find("OTEL_EXPORTER_OTLP_ENDPOINT");
  if (!traces && !base) {
    if (http) GoToLangSmith(environment, options);
    return absl::OkStatus();
  }
  const Variable& found = traces ? *traces : *base;
  if (http && !IsUrl(found.value)) return Unusable(found, "is no http:// or https:// URL");
  options.endpoint = found.value;
  if (!http || traces) return absl::OkStatus();
  // Users double it, and then every request is answered with 404.
  if (found.value.ends_with(kTracesPath) || found.value.ends_with("v1/traces/")) {
    return Unusable(found,
                    "is to be without v1/traces, which is added; the whole address goes into "
                    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT");
  }
  if (!options.endpoint.ends_with('/')) options.endpoint += '/';
  options.endpoint += kTracesPath;
  return absl::OkStatus();
}

absl::Status ReadInsecure(const Environment& environment, OtlpExporterOptions& options) {
  const auto insecure = FindOtlp(environment, "INSECURE");
  if (!insecure) return absl::OkStatus();
  const std::string value = AsciiLower(insecure->value);
  if (value != "true" && value != "false") return Unusable(*insecure, "is neither true nor false");
  options.insecure = value == "true";
  return absl::OkStatus();
}

absl::Status ReadHeaders(const Environment& environment, OtlpExporterOptions& options) {
  const auto headers = FindOtlp(environment, "HEADERS");
  if (!headers) return absl::OkStatus();
  const Variable masked{headers->name, "***"};
  std::optional<Members> members = ReadMembers(headers->value);
  if (!members) return Unusable(masked, "is no list of key=value");
  for (auto& [name, value] : *members) {
    const bool printable =
        std::all_of(value.begin(), value.end(), [](char c) { return c >= 0x20 && c < 0x7f; });
    if (!IsToken(name) || !printable) {
      return Unusable(masked,
                      "holds what is no header: a name is of letters, digits and a few "
                      "marks, a value of printable ASCII");
    }
    std::erase_if(options.headers,
                  [&name = name](const auto& header) { return header.first == AsciiLower(name); });
    options.headers.emplace_back(std::move(name), std::move(value));
  }
  return absl::OkStatus();
}

absl::Status ReadTimeout(const Environment& environment, OtlpExporterOptions& options) {
  const auto timeout = FindOtlp(environment, "TIMEOUT");
  if (!timeout) return absl::OkStatus();
  std::uint32_t milliseconds = 0;
  const char* const end = timeout->value.data() + timeout->value.size();
  const auto parsed = std::from_chars(timeout->value.data(), end, milliseconds);
  if (parsed.ec != std::errc() || parsed.ptr != end) {
    return Unusable(*timeout, "is no number of milliseconds");
  }
  options.timeout = std::chrono::milliseconds(milliseconds);
  return absl::OkStatus();
}

/// How long a run may stay open before its span goes out as it is.
absl::Status ReadMaxOpen(const Environment& environment, OtlpExporterOptions& options) {
  const auto longest = environment.FindSdk("OTEL_SPAN_TTL_SECONDS");
  if (!longest) return absl::OkStatus();
  const std::optional<std::uint32_t> seconds = PositiveNumber(longest->value);
  if (!seconds) return Unusable(*longest, "is no number of seconds above 0");
  options.max_open = std::chrono::seconds(*seconds);
  return absl::OkStatus();
}

absl::Status ReadCompression(const Environment& environment, OtlpExporterOptions& options) {
  const auto compression = FindOtlp(environment, "COMPRESSION");
  if (!compression || AsciiLower(compression->value) == "none") return absl::OkStatus();
  if (AsciiLower(compression->value) != "gzip") {
    return Unusable(*compression, "is neither gzip nor none");
  }
  options.compression = OtlpCompression::kGzip;
  return absl::OkStatus();
}

absl::Status ReadFiles(const Environment& environment, OtlpExporterOptions& options) {
  const std::pair<const char*, std::string*> files[] = {
      {"CERTIFICATE", &options.certificate},
      {"CLIENT_CERTIFICATE", &options.client_certificate},
      {"CLIENT_KEY", &options.client_key}};
  for (const auto& [name, into] : files) {
    const auto path = FindOtlp(environment, name);
    if (!path) continue;
    if (access(path->value.c_str(), R_OK) != 0) return Unusable(*path, "cannot be read");
    *into = path->value;
  }
  if (options.client_certificate.empty() == options.client_key.empty()) return absl::OkStatus();
  const bool key = options.client_certificate.empty();
  return Unusable(*FindOtlp(environment, key ? "CLIENT_KEY" : "CLIENT_CERTIFICATE"),
                  key ? "needs OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE, too"
                      : "needs OTEL_EXPORTER_OTLP_CLIENT_KEY, too");
}

}  // namespace

absl::StatusOr<JsonObject> ReadResourceAttributes(const Environment& environment) {
  JsonObject resource;
  if (const auto attributes = environment.Find("OTEL_RESOURCE_ATTRIBUTES")) {
    const std::optional<Members> members = ReadMembers(attributes->value);
    if (!members) return Unusable(*attributes, "is no list of key=value");
    for (const auto& [key, value] : *members) resource[key] = value;
  }
  if (const auto name = environment.Find("OTEL_SERVICE_NAME")) {
    resource["service.name"] = name->value;
  }
  return resource;
}

absl::StatusOr<std::optional<OtlpSettings>> ReadOtlpEnvironment(const Environment& environment,
                                                                JsonObject resource) {
  const absl::StatusOr<Mode> mode = ReadMode(environment);
  if (!mode.ok()) return mode.status();
  if (!mode->enabled) return std::optional<OtlpSettings>();
  OtlpSettings settings;
  settings.only = mode->only;
  OtlpExporterOptions& options = settings.exporter;
  options.resource = std::move(resource);
  // In this order: the protocol decides what an endpoint is, and the headers replace others.
  for (const auto read : {ReadProtocol, ReadEndpoint, ReadInsecure, ReadHeaders, ReadTimeout,
                          ReadMaxOpen, ReadCompression, ReadFiles}) {
    if (const absl::Status status = read(environment, options); !status.ok()) return status;
  }
  return std::optional<OtlpSettings>(std::move(settings));
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
