// SPDX-License-Identifier: Apache-2.0
#include <weft/collector/config.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <fstream>
#include <set>
#include <utility>

#include "config_file.h"
#include "config_values.h"

namespace weft::collector {
namespace {

// A scalar setting. Its name in the file is `key`; its variable is WEFT_ and the key in capitals
// with `_` for `.`; its flag, where it has one, is the key with `-` for `_`.
struct Setting {
  std::string_view key;
  absl::Status (*set)(CollectorConfig& config, std::string_view text);
  std::string_view argument;  ///< Of the flag; empty = no flag, or a flag without a value.
  std::string_view help;      ///< Of the flag; empty = no flag.
  std::string_view default_text = "";
};

template <auto Member, auto Parse>
absl::Status Set(CollectorConfig& config, std::string_view text) {
  auto value = Parse(text);
  if (value.ok()) config.*Member = *std::move(value);
  return value.status();
}

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

constexpr std::uint64_t kKiB = 1024;
constexpr std::uint64_t kMiB = 1024 * kKiB;
constexpr std::uint64_t kGiB = 1024 * kMiB;
constexpr auto ParseBodySize = ParseSizeWithin<kKiB, kGiB>;

using C = CollectorConfig;
constexpr std::array<Setting, 19> kSettings = {{
    {"data", Set<&C::data, ParsePath>, "DIR", "log, keys, cursors, parked operations",
     "$XDG_STATE_HOME/weft, else ~/.local/state/weft"},
    {"listen_grpc", Set<&C::listen_grpc, ParseAddress>, "ADDR",
     "weft's gRPC service, health, reflection", "127.0.0.1:4317"},
    {"listen_otlp_http", Set<&C::listen_otlp_http, ParseAddress>, "ADDR",
     "OTLP over HTTP; this version answers 501 there", "127.0.0.1:4318"},
    {"listen_http", Set<&C::listen_http, ParseAddress>, "ADDR",
     "LangSmith API, /live, /ready, /metrics", "127.0.0.1:1984"},
    {"allow_insecure_listen", Set<&C::allow_insecure_listen, ParseBool>, "",
     "let other machines in without TLS", "off"},
    {"ready_file", Set<&C::ready_file, ParsePath>, "PATH",
     "written, as JSON, once everything listens", "none"},
    {"log.min_free", Set<&C::min_free, ParseSize>, "", ""},
    {"log.retention_size", Set<&C::retention_size, ParseSize>, "", ""},
    {"log.retention_age", Set<&C::retention_age, ParseDuration>, "", ""},
    {"log.segment_size", Set<&C::segment_size, ParseSizeWithin<kMiB, kGiB>>, "", ""},
    {"log.max_parked", Set<&C::max_parked_bytes, ParseSize>, "", ""},
    {"limits.wire_body", Set<&C::max_wire_bytes, ParseBodySize>, "", ""},
    {"limits.decoded_body", Set<&C::max_decoded_bytes, ParseSizeWithin<kKiB, 4 * kGiB>>, "", ""},
    {"limits.grpc_message", Set<&C::max_grpc_message_bytes, ParseBodySize>, "", ""},
    {"limits.in_flight", Set<&C::max_inflight_bytes, ParseSizeWithin<kMiB, 1024 * kGiB>>, "", ""},
    {"limits.connections", Set<&C::max_connections, ParseCount>, "", ""},
    {"limits.header_timeout", Set<&C::header_timeout, ParseDuration>, "", ""},
    {"limits.idle_timeout", Set<&C::idle_timeout, ParseDuration>, "", ""},
    // Read before all others; listed so that it has its help and its flag in the one table.
    {"config", nullptr, "FILE", "YAML configuration (docs/configuration.md)", "none"},
}};

constexpr std::array<std::string_view, 3> kLists = {"forward", "auth.keys", "http.allowed_hosts"};

bool IsList(std::string_view key) {
  return std::find(kLists.begin(), kLists.end(), key) != kLists.end();
}

bool IsSection(std::string_view key) {
  const auto below = [&](std::string_view full) {
    return full.size() > key.size() && full.starts_with(key) && full[key.size()] == '.';
  };
  return std::any_of(kLists.begin(), kLists.end(), below) ||
         std::any_of(kSettings.begin(), kSettings.end(),
                     [&](const Setting& setting) { return below(setting.key); });
}

const Setting* FindSetting(std::string_view key) {
  const auto found = std::find_if(kSettings.begin(), kSettings.end(),
                                  [&](const Setting& setting) { return setting.key == key; });
  return found == kSettings.end() ? nullptr : found;
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

std::string Text(const absl::Status& status) { return std::string(status.message()); }

absl::Status Usage(std::string text) { return absl::InvalidArgumentError(text); }
absl::Status Wrong(const std::string& origin, const std::string& text) {
  return absl::FailedPreconditionError(origin + ": " + text);
}

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
    const auto named = [&](const Setting& s) { return !s.help.empty() && FlagOf(s.key) == name; };
    const auto setting = std::find_if(kSettings.begin(), kSettings.end(), named);
    const bool is_forward = name == "--forward";
    if (setting == kSettings.end() && !is_forward) {
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
class Loader {
 public:
  explicit Loader(const Environment& environment) : environment_(environment) {}

  absl::Status ApplyFile(const std::vector<FileValue>& values) {
    for (const FileValue& value : values) {
      absl::Status status = ApplyFileValue(value);
      if (!status.ok()) return status;
    }
    return absl::OkStatus();
  }

  absl::Status ApplyEnvironment() {
    for (const Setting& setting : kSettings) {
      const std::string variable = VariableOf(setting.key);
      const std::optional<std::string> value = environment_(variable);
      if (!value || value->empty() || setting.set == nullptr) continue;
      if (absl::Status status = setting.set(config_, *value); !status.ok()) {
        return Wrong(variable, Text(status));
      }
      origins_[std::string(setting.key)] = variable;
    }
    return ApplyEnvironmentLists();
  }

  absl::Status ApplyFlags(const std::vector<Flag>& flags) {
    bool first_forward = true;
    for (const Flag& flag : flags) {
      if (flag.key == "forward") {
        if (std::exchange(first_forward, false)) config_.forward.clear();
        absl::StatusOr<DestinationConfig> destination = ParseDestination(flag.value);
        if (!destination.ok()) return Usage("--forward: " + Text(destination.status()));
        absl::Status status = AddDestination(*std::move(destination), "--forward");
        if (!status.ok()) return status;
        continue;
      }
      const Setting* const setting = FindSetting(flag.key);
      if (setting->set == nullptr) continue;
      if (absl::Status status = setting->set(config_, flag.value); !status.ok()) {
        return Usage(FlagOf(flag.key) + ": " + Text(status));
      }
      origins_[std::string(flag.key)] = FlagOf(flag.key);
    }
    return absl::OkStatus();
  }

  absl::StatusOr<CollectorConfig> Finish() {
    if (config_.data.empty()) {
      const std::optional<std::string> state = environment_("XDG_STATE_HOME");
      const std::optional<std::string> home = environment_("HOME");
      if (state && state->starts_with('/')) {
        config_.data = std::filesystem::path(*state) / "weft";
      } else if (home && !home->empty()) {
        config_.data = std::filesystem::path(*home) / ".local/state/weft";
      } else {
        return Wrong("--data", "must be given where neither XDG_STATE_HOME nor HOME is set");
      }
    }
    for (DestinationConfig& destination : config_.forward) {
      if (destination.kind != DestinationConfig::Kind::kLangSmith || !destination.api_key.empty()) {
        continue;
      }
      if (!environment_("LANGSMITH_API_KEY").value_or("").empty()) {
        absl::StatusOr<std::string> key = KeyFromVariable("LANGSMITH_API_KEY", "the environment");
        if (!key.ok()) return key.status();
        destination.api_key = *std::move(key);
      }
    }
    if (absl::Status status = CheckListeners(); !status.ok()) return status;
    return std::move(config_);
  }

 private:
  absl::Status ApplyFileValue(const FileValue& value) {
    const bool has_members = IsSection(value.key) || IsList(value.key);
    if (!value.in_list && value.value.empty() && has_members) return absl::OkStatus();
    if (value.key == "forward") return ApplyForward(value);
    if (value.key == "auth.keys") return ApplyKey(value);
    if (value.key == "http.allowed_hosts") return AddHost(value.value, value.origin);
    const Setting* const setting = FindSetting(value.key);
    if (setting == nullptr || setting->set == nullptr) {
      return Wrong(value.origin, "there is no such key");
    }
    if (value.in_list) return Wrong(value.origin, "takes one value, not a list");
    if (absl::Status status = setting->set(config_, value.value); !status.ok()) {
      return Wrong(value.origin, Text(status));
    }
    origins_[value.key] = value.origin;
    return absl::OkStatus();
  }

  absl::Status ApplyForward(const FileValue& value) {
    std::string spec = value.value;
    std::string key;
    for (const FileValue& member : value.members) {
      if (member.key == "to") {
        spec = member.value;
        continue;
      }
      absl::StatusOr<std::string> read = KeyOf(member);
      if (!read.ok()) return read.status();
      key = *std::move(read);
    }
    absl::StatusOr<DestinationConfig> destination = ParseDestination(spec);
    if (!destination.ok()) return Wrong(value.origin, Text(destination.status()));
    destination->api_key = std::move(key);
    return AddDestination(*std::move(destination), value.origin);
  }

  absl::Status ApplyKey(const FileValue& value) {
    NamedKey key;
    for (const FileValue& member : value.members) {
      if (member.key == "name") {
        key.name = member.value;
        continue;
      }
      absl::StatusOr<std::string> read = KeyOf(member);
      if (!read.ok()) return read.status();
      key.value = *std::move(read);
    }
    if (key.name.empty()) return Wrong(value.origin, "a key needs a name");
    if (key.value.empty()) return Wrong(value.origin, "a key needs key_env or key_file");
    config_.keys.push_back(std::move(key));
    return absl::OkStatus();
  }

  absl::StatusOr<std::string> KeyOf(const FileValue& member) {
    if (member.key == "key_env") return KeyFromVariable(member.value, member.origin);
    if (member.key != "key_file") return Wrong(member.origin, "there is no such key");
    std::ifstream in(member.value, std::ios::binary);
    std::string key;
    if (!std::getline(in, key)) return Wrong(member.origin, "cannot read '" + member.value + "'");
    return CheckKey(std::move(key), member.origin, member.value);
  }

  absl::StatusOr<std::string> KeyFromVariable(const std::string& name, const std::string& origin) {
    std::optional<std::string> value = environment_(name);
    if (!value || value->empty()) return Wrong(origin, "the variable " + name + " is not set");
    return CheckKey(*std::move(value), origin, name);
  }

  // Keys travel in headers. The message must not hold the value.
  static absl::StatusOr<std::string> CheckKey(std::string key, const std::string& origin,
                                              const std::string& source) {
    while (!key.empty() && (key.back() == '\r' || key.back() == '\n' || key.back() == ' ')) {
      key.pop_back();
    }
    const bool printable =
        std::all_of(key.begin(), key.end(), [](char c) { return c > ' ' && c < 0x7f; });
    if (key.empty() || !printable) {
      return Wrong(origin, "the key in " + source + " is empty or holds unprintable characters");
    }
    return key;
  }

  absl::Status AddHost(const std::string& host, const std::string& origin) {
    const bool valid = !host.empty() && std::all_of(host.begin(), host.end(), [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
             std::string_view(".-_:[]").find(c) != std::string_view::npos;
    });
    if (!valid) return Wrong(origin, "'" + host + "' is not a host name, with or without a port");
    config_.allowed_hosts.push_back(host);
    return absl::OkStatus();
  }

  absl::Status AddDestination(DestinationConfig destination, const std::string& origin) {
    for (const DestinationConfig& other : config_.forward) {
      if (other.Spec() == destination.Spec()) {
        const std::string text = "'" + destination.Spec() + "' is given twice";
        return origin == "--forward" ? Usage(origin + ": " + text) : Wrong(origin, text);
      }
    }
    config_.forward.push_back(std::move(destination));
    return absl::OkStatus();
  }

  absl::Status ApplyEnvironmentLists() {
    const std::string forward = environment_("WEFT_FORWARD").value_or("");
    if (!forward.empty()) config_.forward.clear();
    for (const std::string& spec : SplitAtCommas(forward)) {
      absl::Status status = ApplyForward({"forward", spec, "WEFT_FORWARD", true, {}});
      if (!status.ok()) return status;
    }
    const std::string hosts = environment_("WEFT_HTTP_ALLOWED_HOSTS").value_or("");
    if (!hosts.empty()) config_.allowed_hosts.clear();
    for (const std::string& host : SplitAtCommas(hosts)) {
      if (absl::Status status = AddHost(host, "WEFT_HTTP_ALLOWED_HOSTS"); !status.ok()) {
        return status;
      }
    }
    return absl::OkStatus();
  }

  absl::Status CheckListeners() const {
    if (config_.allow_insecure_listen) return absl::OkStatus();
    const std::array<std::pair<std::string, const std::string*>, 3> listeners = {
        {{"listen_grpc", &config_.listen_grpc},
         {"listen_otlp_http", &config_.listen_otlp_http},
         {"listen_http", &config_.listen_http}}};
    for (const auto& [key, address] : listeners) {
      if (IsLoopback(*address)) continue;
      return Wrong(origins_.at(key), "'" + *address +
                                         "' can be reached from other machines, and there " +
                                         (config_.keys.empty() ? "are neither TLS nor keys"
                                                               : "is no TLS to protect the keys") +
                                         "; --allow-insecure-listen allows it");
    }
    return absl::OkStatus();
  }

  const Environment& environment_;
  CollectorConfig config_;
  std::map<std::string, std::string> origins_;
};

}  // namespace

std::string DestinationConfig::Spec() const {
  return (kind == Kind::kLangSmith ? "langsmith=" : "file=") + target;
}

Environment ProcessEnvironment() {
  return [](const std::string& name) -> std::optional<std::string> {
    const char* const value = std::getenv(name.c_str());
    return value == nullptr ? std::nullopt : std::optional<std::string>(value);
  };
}

absl::StatusOr<CollectorConfig> LoadConfig(std::span<const std::string_view> arguments,
                                           const Environment& environment) {
  absl::StatusOr<std::vector<Flag>> flags = ParseFlags(arguments);
  if (!flags.ok()) return flags.status();
  std::string file = environment("WEFT_CONFIG").value_or("");
  for (const Flag& flag : *flags) {
    if (flag.key != "config") continue;
    if (flag.value.empty()) return Usage("--config: '' is not a path");
    file = flag.value;
  }
  Loader loader(environment);
  if (!file.empty()) {
    absl::StatusOr<std::vector<FileValue>> values = ReadConfigFile(file);
    if (!values.ok()) return values.status();
    if (absl::Status status = loader.ApplyFile(*values); !status.ok()) return status;
  }
  if (absl::Status status = loader.ApplyEnvironment(); !status.ok()) return status;
  if (absl::Status status = loader.ApplyFlags(*flags); !status.ok()) return status;
  return loader.Finish();
}

std::string ConfigHelp() {
  static constexpr std::size_t kColumn = 29;
  const auto line = [](std::string left, std::string_view help, const std::string& variable,
                       std::string_view default_text) {
    left.resize(std::max(left.size() + 1, kColumn), ' ');
    return left + std::string(help) + "\n" + std::string(kColumn, ' ') + "[" + variable +
           "; default: " + std::string(default_text) + "]\n";
  };
  std::string text;
  for (const Setting& setting : kSettings) {
    if (setting.help.empty()) continue;
    std::string left = "  " + FlagOf(setting.key);
    if (!setting.argument.empty()) left += " " + std::string(setting.argument);
    text += line(left, setting.help, VariableOf(setting.key), setting.default_text);
  }
  return text + line("  --forward SPEC", "langsmith=URL or file=PATH; may be repeated",
                     "WEFT_FORWARD, separated by commas", "none");
}

}  // namespace weft::collector
