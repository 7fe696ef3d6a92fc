// SPDX-License-Identifier: Apache-2.0
#include "environment.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <utility>

#include <absl/status/status.h>
#include <absl/strings/str_cat.h>

#include "environment_variables.h"
#include "langsmith_environment.h"
#include "text.h"

namespace weft {
inline namespace v0 {
namespace internal {
namespace {

bool HasHostAndPort(std::string_view text) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || colon == 0) return false;
  const std::string_view host = text.substr(0, colon);
  const std::string_view digits = text.substr(colon + 1);
  std::uint32_t port = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  const bool is_port =
      error == std::errc() && end == digits.data() + digits.size() && port > 0 && port <= 65535;
  const bool bracketed = host.front() == '[' && host.back() == ']';
  return is_port && host.find_first_of(" \t/@?#") == std::string_view::npos &&
         (bracketed || host.find(':') == std::string_view::npos);
}

absl::Status ReadDestination(const Environment& environment, EnvironmentSettings& settings) {
  if (const auto key = environment.FindSdk("API_KEY")) {
    const bool printable = std::all_of(key->value.begin(), key->value.end(),
                                       [](char c) { return c > 0x20 && c < 0x7f; });
    if (!printable) {
      return Unusable({key->name, "***"}, "holds a character that is not printable ASCII");
    }
    settings.collector.api_key = key->value;
  }
  if (const auto collector = environment.Find("WEFT_COLLECTOR")) {
    const bool is_socket = collector->value.starts_with("unix:");
    if (!is_socket && !HasHostAndPort(collector->value))
      return Unusable(*collector, "is not HOST:PORT");
    settings.collector.target = collector->value;
    return absl::OkStatus();
  }
  const bool elsewhere = settings.otlp && settings.otlp->only;
  if (!settings.tracer.enabled || elsewhere) return absl::OkStatus();
  auto endpoints = ReadLangSmithEnvironment(environment);
  if (!endpoints.ok()) return endpoints.status();
  settings.langsmith = *std::move(endpoints);
  return absl::OkStatus();
}

absl::Status ReadProject(const Environment& environment, TracerOptions& options) {
  auto project = environment.Find("HOSTED_LANGSERVE_PROJECT_NAME");
  if (!project) project = environment.FindSdk("PROJECT");
  if (!project) project = environment.FindSdk("SESSION");
  if (project) options.project = project->value;
  const auto id = environment.FindSdk("AGENT_ID");
  const auto place = environment.FindSdk("AGENT_ENVIRONMENT");
  if (!id && !place) return absl::OkStatus();
  if (!id) return Unusable(*place, "needs LANGSMITH_AGENT_ID too");
  if (!place) return Unusable(*id, "needs LANGSMITH_AGENT_ENVIRONMENT too");
  // Whether it is the id or the environment that does not fit shows by trying one that does.
  const auto address = [](const std::string& agent, const std::string& in) {
    return NormalizeAgentAddress("lrn:agents/" + agent + "/environments/" + in);
  };
  if (!address(id->value, "local")) {
    return Unusable(*id, "is no agent id: lower-case letters, digits and hyphens, at most 63");
  }
  options.address = address(id->value, place->value);
  if (!options.address) {
    return Unusable(*place, "is none of local, development, staging, production");
  }
  return absl::OkStatus();
}

absl::Status ReadSampling(const Environment& environment, TracerOptions& options) {
  const auto rate = environment.FindSdk("TRACING_SAMPLING_RATE");
  if (!rate) return absl::OkStatus();
  double value = 0;
  const char* const end = rate->value.data() + rate->value.size();
  const auto parsed = std::from_chars(rate->value.data(), end, value);
  if (parsed.ec != std::errc() || parsed.ptr != end || !(value >= 0 && value <= 1)) {
    return Unusable(*rate, "is no number between 0 and 1");
  }
  options.sampling_rate = value;
  return absl::OkStatus();
}

absl::Status ReadOpenTelemetry(const Environment& environment, EnvironmentSettings& settings) {
  absl::StatusOr<JsonObject> resource = ReadResourceAttributes(environment);
  if (!resource.ok()) return resource.status();
  if (const Json* const name = resource->if_contains("service.name")) {
    settings.tracer.service_name = std::string(name->as_string().data(), name->as_string().size());
  }
  absl::StatusOr<std::optional<OtlpSettings>> otlp =
      ReadOtlpEnvironment(environment, *std::move(resource));
  if (!otlp.ok()) return otlp.status();
  if (settings.tracer.enabled) settings.otlp = *std::move(otlp);
  return absl::OkStatus();
}

/// For the exporters that are there by now; those to LangSmith have read it.
absl::Status ReadFolder(const Environment& environment, EnvironmentSettings& settings) {
  if (!settings.tracer.enabled) return absl::OkStatus();
  const absl::StatusOr<SpillSettings> spill = ReadSpill(environment);
  if (!spill.ok()) return spill.status();
  settings.collector.spill_dir = spill->folder;
  settings.collector.spill_bytes = spill->bytes;
  if (!settings.otlp) return absl::OkStatus();
  settings.otlp->exporter.spill_dir = spill->folder;
  settings.otlp->exporter.spill_bytes = spill->bytes;
  return absl::OkStatus();
}

absl::Status ReadFlags(const Environment& environment, TracerOptions& options) {
  auto tracing = environment.FindSdk("TRACING_V2");
  if (!tracing) tracing = environment.FindSdk("TRACING");
  const struct {
    std::optional<Variable> variable;
    bool* target;
  } flags[] = {{tracing, &options.enabled},
               {environment.FindSdk("HIDE_INPUTS"), &options.hide_inputs},
               {environment.FindSdk("HIDE_OUTPUTS"), &options.hide_outputs},
               {environment.FindSdk("HIDE_METADATA"), &options.hide_metadata},
               {environment.FindSdk("EXCLUDE_INPUTS_ON_PATCH"), &options.exclude_inputs_on_patch}};
  options.enabled = false;  // Unless it is said.
  for (const auto& [variable, target] : flags) {
    const absl::StatusOr<bool> value = environment.Flag(variable, *target);
    if (!value.ok()) return value.status();
    *target = *value;
  }
  if (const auto detect = environment.Find("WEFT_DETECT_CONTEXT_LOSS")) {
    const absl::StatusOr<bool> value = environment.Flag(detect);
    if (!value.ok()) return value.status();
    options.detect_context_loss = *value;
  }
  const auto otel_off = environment.Find("OTEL_SDK_DISABLED");
  if (otel_off && AsciiLower(otel_off->value) == "true") options.enabled = false;
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<EnvironmentSettings> ReadEnvironment(const GetVariable& get) {
  const Environment environment(get);
  EnvironmentSettings settings;
  for (const absl::Status& status :
       {ReadFlags(environment, settings.tracer), ReadOpenTelemetry(environment, settings),
        ReadDestination(environment, settings), ReadFolder(environment, settings),
        ReadProject(environment, settings.tracer), ReadSampling(environment, settings.tracer)}) {
    if (!status.ok()) return status;
  }
  return settings;
}

}  // namespace internal

absl::StatusOr<std::shared_ptr<Tracer>> Tracer::FromEnvironment() {
  absl::StatusOr<internal::EnvironmentSettings> settings =
      internal::ReadEnvironment([](const char* name) { return std::getenv(name); });
  if (!settings.ok()) return settings.status();
  const bool otlp_only = settings->otlp && settings->otlp->only;
  for (LangSmithExporterOptions& endpoint : settings->langsmith) {
    auto exporter = LangSmithExporter::Create(std::move(endpoint));
    if (!exporter.ok()) return exporter.status();
    settings->tracer.exporters.push_back(*std::move(exporter));
  }
  if (settings->tracer.enabled && !otlp_only && settings->langsmith.empty()) {
    auto exporter = CollectorExporter::Create(std::move(settings->collector));
    if (!exporter.ok()) return exporter.status();
    settings->tracer.exporters.push_back(*std::move(exporter));
  }
  if (settings->otlp) {
    auto exporter = OtlpExporter::Create(std::move(settings->otlp->exporter));
    if (!exporter.ok()) return exporter.status();
    settings->tracer.exporters.push_back(*std::move(exporter));
  }
  return Create(std::move(settings->tracer));
}

}  // namespace v0
}  // namespace weft
