// SPDX-License-Identifier: Apache-2.0
#include <weft/collector/config.h>

#include <algorithm>
#include <cstdlib>
#include <utility>

#include <unistd.h>

#include "config_checks.h"
#include "config_file.h"
#include "config_lists.h"
#include "config_settings.h"
#include "config_values.h"

namespace weft::collector {
namespace {

std::string Text(const absl::Status& status) { return std::string(status.message()); }

absl::Status Usage(std::string text) { return absl::InvalidArgumentError(text); }

struct Flag {
  std::string_view key;
  std::string_view value;
};

absl::StatusOr<std::vector<Flag>> ParseFlags(std::span<const std::string_view> arguments) {
  std::vector<Flag> flags;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::string_view argument = arguments[i];
    const std::size_t equals = argument.find('=');
    const std::string_view name = argument.substr(0, equals);
    const auto named = [&](const Setting& s) { return s.has_flag && FlagOf(s.key) == name; };
    const auto setting = std::find_if(Settings().begin(), Settings().end(), named);
    const bool is_forward = name == "--forward";
    if (setting == Settings().end() && !is_forward) {
      return Usage(argument.starts_with('-')
                       ? "unknown option " + std::string(name)
                       : "unexpected argument '" + std::string(argument) + "'");
    }
    Flag flag{is_forward ? "forward" : setting->key, "true"};
    if (equals != std::string_view::npos) {
      flag.value = argument.substr(equals + 1);
    } else if (is_forward || !setting->argument.empty()) {
      if (++i == arguments.size()) return Usage(std::string(name) + " needs a value");
      flag.value = arguments[i];
    }
    flags.push_back(flag);
  }
  return flags;
}

std::vector<std::string> SplitAtCommas(const std::string& text) {
  std::vector<std::string> parts;
  for (std::size_t start = 0; start <= text.size();) {
    const std::size_t end = std::min(text.find(',', start), text.size());
    if (end > start) parts.push_back(text.substr(start, end - start));
    start = end + 1;
  }
  return parts;
}

// Applies the sources from the weakest to the strongest, and remembers where each value came from.
// What is wrong is noted, and left out.
class Loader {
 public:
  explicit Loader(const Environment& environment) : environment_(environment) {}

  void Fail(absl::Status status) {
    if (!status.ok()) report_.problems.push_back(std::move(status));
  }

  void ApplyFile(const std::vector<FileValue>& values) {
    for (const FileValue& value : values) Fail(ApplyFileValue(value));
  }

  void ApplyEnvironment() {
    for (const Setting& setting : Settings()) {
      const std::string variable = VariableOf(setting.key);
      const std::optional<std::string> value = environment_(variable);
      if (!value || value->empty() || setting.set == nullptr) continue;
      absl::Status status = setting.set(config(), *value);
      if (!status.ok()) Fail(WrongAt(variable, Text(status)));
      origins_.settings[std::string(setting.key)] = variable;
    }
    const std::string forward = environment_("WEFT_FORWARD").value_or("");
    if (!forward.empty()) Clear("forward", config().forward);
    for (const std::string& spec : SplitAtCommas(forward)) {
      Fail(ApplyForward({"forward", spec, "WEFT_FORWARD", true, {}}));
    }
    const std::string hosts = environment_("WEFT_HTTP_ALLOWED_HOSTS").value_or("");
    if (!hosts.empty()) Clear("http.allowed_hosts", config().allowed_hosts);
    for (const std::string& host : SplitAtCommas(hosts)) {
      Fail(Add({"http.allowed_hosts", host, "WEFT_HTTP_ALLOWED_HOSTS", true, {}},
               ReadHost(host, "WEFT_HTTP_ALLOWED_HOSTS"), config().allowed_hosts));
    }
  }

  void ApplyFlags(const std::vector<Flag>& flags) {
    bool first_forward = true;
    for (const Flag& flag : flags) {
      if (flag.key == "forward") {
        if (std::exchange(first_forward, false)) Clear("forward", config().forward);
        absl::StatusOr<DestinationConfig> destination = ParseDestination(flag.value);
        if (destination.ok()) {
          Fail(AddDestination({"forward", std::string(flag.value), "--forward", true, {}},
                              *std::move(destination)));
        } else {
          Fail(Usage("--forward: " + Text(destination.status())));
        }
        continue;
      }
      const Setting* const setting = FindSetting(flag.key);
      if (setting->set == nullptr) continue;
      absl::Status status = setting->set(config(), flag.value);
      if (!status.ok()) Fail(Usage(FlagOf(flag.key) + ": " + Text(status)));
      origins_.settings[std::string(flag.key)] = FlagOf(flag.key);
    }
  }

  ConfigReport Finish() {
    SetDataDirectory();
    TakeDefaultKey();
    for (absl::Status& problem : CheckConfig(config(), origins_)) Fail(std::move(problem));
    ListValues();
    return std::move(report_);
  }

 private:
  CollectorConfig& config() { return report_.config; }

  static std::string SourceOf(const std::string& origin) {
    // `FILE:LINE: KEY` without the key; variables and flags are short.
    return origin.substr(0, origin.find(": "));
  }

  template <typename T>
  void Clear(const std::string& key, std::vector<T>& list) {
    list.clear();
    origins_.elements[key].clear();
  }

  template <typename T>
  absl::Status Add(const FileValue& value, absl::StatusOr<T> element, std::vector<T>& list,
                   bool has_key = false) {
    if (!element.ok()) return element.status();
    list.push_back(*std::move(element));
    origins_.elements[value.key].push_back({ShowElement(value, has_key), SourceOf(value.origin)});
    return absl::OkStatus();
  }

  absl::Status ApplyFileValue(const FileValue& value) {
    const bool has_members = IsSection(value.key) || IsList(value.key);
    if (!value.in_list && value.value.empty() && has_members) return absl::OkStatus();
    if (value.key == "forward") return ApplyForward(value);
    if (value.key == "auth.keys") {
      return Add(value, ReadKey(value, environment_), config().keys, true);
    }
    if (value.key == "tenants") return Add(value, ReadTenant(value), config().tenants);
    if (value.key == "http.allowed_hosts") {
      return Add(value, ReadHost(value.value, value.origin), config().allowed_hosts);
    }
    if (value.key == "prices") return Add(value, ReadPrice(value), config().prices);
    RedactionConfig& redaction = config().redaction;
    if (value.key == "redaction.presets") return Add(value, ReadPreset(value), redaction.presets);
    if (value.key == "redaction.rules") {
      return Add(value, ReadRule(value, redaction.rules.size()), redaction.rules);
    }
    if (value.key == "redaction.hash_key_env" || value.key == "redaction.hash_key_file") {
      return ApplyHashKey(value);
    }
    const Setting* const setting = FindSetting(value.key);
    if (setting == nullptr || setting->set == nullptr) {
      return WrongAt(value.origin, "there is no such key");
    }
    if (value.in_list) return WrongAt(value.origin, "takes one value, not a list");
    origins_.settings[value.key] = value.origin;
    absl::Status status = setting->set(config(), value.value);
    return status.ok() ? status : WrongAt(value.origin, Text(status));
  }

  absl::Status ApplyHashKey(const FileValue& value) {
    FileValue source = value;
    source.key = value.key.substr(std::string_view("redaction.hash_").size());
    absl::StatusOr<std::string> key = ReadSecret(source, environment_);
    if (key.ok()) config().redaction.hash_key = *std::move(key);
    return key.status();
  }

  absl::Status ApplyForward(const FileValue& value) {
    absl::StatusOr<DestinationConfig> destination = ReadForward(value, environment_);
    if (!destination.ok()) return destination.status();
    return AddDestination(value, *std::move(destination));
  }

  absl::Status AddDestination(const FileValue& value, DestinationConfig destination) {
    for (const DestinationConfig& other : config().forward) {
      if (other.Spec() == destination.Spec()) {
        const std::string text = "'" + destination.Spec() + "' is given twice";
        return value.origin == "--forward" ? Usage(value.origin + ": " + text)
                                           : WrongAt(value.origin, text);
      }
    }
    const bool has_key = !destination.api_key.empty();
    return Add(value, absl::StatusOr<DestinationConfig>(std::move(destination)), config().forward,
               has_key);
  }

  void SetDataDirectory() {
    if (!config().data.empty()) return;
    const std::optional<std::string> state = environment_("XDG_STATE_HOME");
    const std::optional<std::string> home = environment_("HOME");
    if (state && state->starts_with('/')) {
      config().data = std::filesystem::path(*state) / "weft";
    } else if (home && !home->empty()) {
      config().data = std::filesystem::path(*home) / ".local/state/weft";
    } else {
      Fail(WrongAt("--data", "must be given where neither XDG_STATE_HOME nor HOME is set"));
    }
  }

  void TakeDefaultKey() {
    if (environment_("LANGSMITH_API_KEY").value_or("").empty()) return;
    for (std::size_t i = 0; i < config().forward.size(); ++i) {
      DestinationConfig& destination = config().forward[i];
      if (destination.kind != DestinationConfig::Kind::kLangSmith || !destination.api_key.empty()) {
        continue;
      }
      absl::StatusOr<std::string> key =
          SecretOfVariable("LANGSMITH_API_KEY", "the environment", environment_);
      if (!key.ok()) return Fail(key.status());
      destination.api_key = *std::move(key);
      origins_.elements["forward"][i].text += " (key: *** of LANGSMITH_API_KEY)";
    }
  }

  void ListValues() {
    for (const Setting& setting : Settings()) {
      if (setting.show == nullptr) continue;
      const auto origin = origins_.settings.find(setting.key);
      std::string value = setting.show(config());
      if (value.empty()) value = setting.default_text;
      report_.values.push_back(
          {std::string(setting.key), std::move(value),
           origin == origins_.settings.end() ? "default" : SourceOf(origin->second)});
    }
    for (const ListSetting& list : ListSettings()) {
      const std::vector<ConfigElement>& elements = origins_.elements[std::string(list.key)];
      for (std::size_t i = 0; i < elements.size(); ++i) {
        report_.values.push_back({std::string(list.key) + "[" + std::to_string(i) + "]",
                                  elements[i].text, elements[i].source});
      }
    }
  }

  const Environment& environment_;
  ConfigReport report_;
  ConfigOrigins origins_;
};

void CheckDataDirectory(const std::filesystem::path& data, std::vector<std::string>& problems) {
  std::error_code error;
  std::filesystem::path existing = std::filesystem::absolute(data, error);
  while (!existing.empty() && !std::filesystem::exists(existing, error) &&
         existing != existing.parent_path()) {
    existing = existing.parent_path();
  }
  const std::string name = "data: '" + data.string() + "' ";
  if (!std::filesystem::is_directory(existing, error)) {
    problems.push_back(name + "cannot be a directory: '" + existing.string() + "' is none");
  } else if (::access(existing.c_str(), W_OK | X_OK) != 0) {
    problems.push_back(name + "cannot be written: '" + existing.string() +
                       "' is closed to this user");
  }
}

}  // namespace

std::string DestinationConfig::Spec() const {
  const char* const name = kind == Kind::kFile   ? "file="
                           : kind == Kind::kOtlp ? "otlp="
                                                 : "langsmith=";
  return name + target;
}

TlsConfig CollectorConfig::TlsOf(const TlsConfig& listener) const {
  return {listener.cert.empty() ? tls.cert : listener.cert,
          listener.key.empty() ? tls.key : listener.key,
          listener.client_ca.empty() ? tls.client_ca : listener.client_ca};
}

Environment ProcessEnvironment() {
  return [](const std::string& name) -> std::optional<std::string> {
    const char* const value = std::getenv(name.c_str());
    return value == nullptr ? std::nullopt : std::optional<std::string>(value);
  };
}

ConfigReport ExamineConfig(std::span<const std::string_view> arguments,
                           const Environment& environment) {
  Loader loader(environment);
  absl::StatusOr<std::vector<Flag>> flags = ParseFlags(arguments);
  if (!flags.ok()) {
    loader.Fail(flags.status());
    return loader.Finish();
  }
  std::string file = environment("WEFT_CONFIG").value_or("");
  for (const Flag& flag : *flags) {
    if (flag.key != "config") continue;
    if (flag.value.empty()) loader.Fail(Usage("--config: '' is not a path"));
    file = flag.value;
  }
  if (!file.empty()) {
    absl::StatusOr<std::vector<FileValue>> values = ReadConfigFile(file);
    loader.Fail(values.status());
    if (values.ok()) loader.ApplyFile(*values);
  }
  loader.ApplyEnvironment();
  loader.ApplyFlags(*flags);
  return loader.Finish();
}

absl::StatusOr<CollectorConfig> LoadConfig(std::span<const std::string_view> arguments,
                                           const Environment& environment) {
  ConfigReport report = ExamineConfig(arguments, environment);
  if (!report.problems.empty()) return report.problems.front();
  return std::move(report.config);
}

std::vector<std::string> CheckSurroundings(const CollectorConfig& config) {
  std::vector<std::string> problems;
  CheckDataDirectory(config.data, problems);
  for (const DestinationConfig& destination : config.forward) {
    if (destination.ca_file.empty() || ::access(destination.ca_file.c_str(), R_OK) == 0) continue;
    problems.push_back("forward: ca_file '" + destination.ca_file + "' cannot be read");
  }
  return problems;
}

}  // namespace weft::collector
