// SPDX-License-Identifier: Apache-2.0
#include "config_lists.h"

#include <algorithm>
#include <array>
#include <fstream>
#include <optional>
#include <utility>

#include <absl/strings/numbers.h>

#include <weft/tracing/internal/json_redactor.h>

#include "config_values.h"

namespace weft::collector {
namespace {

std::string Text(const absl::Status& status) { return std::string(status.message()); }

absl::Status NoSuchKey(const FileValue& member) {
  return WrongAt(member.origin, "there is no such key");
}

// Keys travel in headers. The message must not hold the value.
absl::StatusOr<std::string> CheckSecret(std::string key, const std::string& origin,
                                        const std::string& source) {
  while (!key.empty() && (key.back() == '\r' || key.back() == '\n' || key.back() == ' ')) {
    key.pop_back();
  }
  const bool printable =
      std::all_of(key.begin(), key.end(), [](char c) { return c > ' ' && c < 0x7f; });
  if (key.empty() || !printable) {
    return WrongAt(origin, "the key in " + source + " is empty or holds unprintable characters");
  }
  return key;
}

// `key_env` below another name: `forward_key_env`.
std::optional<FileValue> WithoutPrefix(const FileValue& member, std::string_view prefix) {
  if (!member.key.starts_with(prefix)) return std::nullopt;
  FileValue source = member;
  source.key.erase(0, prefix.size());
  if (source.key != "key_env" && source.key != "key_file") return std::nullopt;
  return source;
}

template <typename T>
absl::Status Assign(T& target, absl::StatusOr<T> value, const std::string& origin) {
  if (!value.ok()) return WrongAt(origin, Text(value.status()));
  target = *std::move(value);
  return absl::OkStatus();
}

/// For a million tokens.
constexpr double kMostDollars = 1e9;

absl::StatusOr<double> ParseDollars(const std::string& text) {
  double dollars = 0;
  if (!absl::SimpleAtod(text, &dollars) || !(dollars >= 0 && dollars <= kMostDollars)) {
    return absl::InvalidArgumentError("'" + text + "' is no number of US dollars from 0 to 1e9");
  }
  return dollars;
}

absl::StatusOr<NamedKey::Forward> ParseForwardedKey(std::string_view text) {
  if (text == "caller") return NamedKey::Forward::kCaller;
  if (text == "destination") return NamedKey::Forward::kDestination;
  return absl::InvalidArgumentError("'" + std::string(text) +
                                    "' is neither caller nor destination");
}

absl::StatusOr<RedactionAction> ParseAction(std::string_view text) {
  if (text == "mask") return RedactionAction::kMask;
  if (text == "drop") return RedactionAction::kDrop;
  if (text == "hash") return RedactionAction::kHash;
  if (text == "truncate") return RedactionAction::kTruncate;
  return absl::InvalidArgumentError("'" + std::string(text) +
                                    "' is none of mask, drop, hash, truncate");
}

// Keys for writing only, unless the file says else: a tenant must not read what others wrote.
absl::Status ReadKeyMember(const FileValue& member, const Environment& environment, NamedKey& key,
                           std::optional<bool>& read) {
  if (member.key == "name" || member.key == "tenant") {
    (member.key == "name" ? key.name : key.tenant) = member.value;
    return absl::OkStatus();
  }
  if (member.key == "projects") {
    key.projects.push_back(member.value);
    return absl::OkStatus();
  }
  if (member.key == "read") {
    read = false;
    return Assign(*read, ParseBool(member.value), member.origin);
  }
  if (member.key == "admin") return Assign(key.admin, ParseBool(member.value), member.origin);
  if (member.key == "forward_with") {
    return Assign(key.forward, ParseForwardedKey(member.value), member.origin);
  }
  if (const auto source = WithoutPrefix(member, "forward_")) {
    absl::StatusOr<std::string> secret = ReadSecret(*source, environment);
    if (!secret.ok()) return secret.status();
    key.forward = NamedKey::Forward::kMapped;
    key.forward_key = *std::move(secret);
    return absl::OkStatus();
  }
  absl::StatusOr<std::string> secret = ReadSecret(member, environment);
  if (secret.ok()) key.value = *std::move(secret);
  return secret.status();
}

absl::Status ReadRuleMember(const FileValue& member, ScopedRedactionRule& scoped) {
  RedactionRule& rule = scoped.rule;
  if (member.key == "tenants") {
    scoped.tenants.push_back(member.value);
  } else if (member.key == "projects") {
    scoped.projects.push_back(member.value);
  } else if (member.key == "name") {
    rule.name = member.value;
  } else if (member.key == "pointer") {
    rule.pointer = member.value;
  } else if (member.key == "key") {
    rule.key = member.value;
  } else if (member.key == "allow") {
    rule.allow = member.value;
  } else if (member.key == "value") {
    rule.value = member.value;
  } else if (member.key == "action") {
    return Assign(rule.action, ParseAction(member.value), member.origin);
  } else if (member.key == "length") {
    return Assign(rule.length, absl::StatusOr<std::size_t>(ParseSize(member.value)), member.origin);
  } else {
    return NoSuchKey(member);
  }
  return absl::OkStatus();
}

absl::Status ReadRotation(const FileValue& member, FileRotation& rotation) {
  if (member.key == "rotate_size") {
    return Assign(rotation.size, ParseSize(member.value), member.origin);
  }
  if (member.key == "rotate_age") {
    return Assign(rotation.age, ParseDuration(member.value), member.origin);
  }
  if (member.key == "rotate_keep") {
    return Assign(rotation.keep, ParseCount(member.value), member.origin);
  }
  return WrongAt(member.origin, "is none of rotate_size, rotate_age and rotate_keep");
}

}  // namespace

absl::Status WrongAt(const std::string& origin, const std::string& text) {
  return absl::FailedPreconditionError(origin + ": " + text);
}

absl::StatusOr<std::string> SecretOfVariable(const std::string& name, const std::string& origin,
                                             const Environment& environment) {
  std::optional<std::string> value = environment(name);
  if (!value || value->empty()) return WrongAt(origin, "the variable " + name + " is not set");
  return CheckSecret(*std::move(value), origin, name);
}

absl::StatusOr<std::string> ReadSecret(const FileValue& source, const Environment& environment) {
  if (source.key == "key_env") return SecretOfVariable(source.value, source.origin, environment);
  if (source.key != "key_file") return NoSuchKey(source);
  std::ifstream in(source.value, std::ios::binary);
  std::string key;
  if (!std::getline(in, key)) return WrongAt(source.origin, "cannot read '" + source.value + "'");
  return CheckSecret(std::move(key), source.origin, source.value);
}

absl::StatusOr<DestinationConfig> ReadForward(const FileValue& value,
                                              const Environment& environment) {
  std::string spec = value.value;
  std::string key;
  std::string ca_file;
  FileRotation rotation;
  for (const FileValue& member : value.members) {
    if (member.key == "to") {
      spec = member.value;
    } else if (member.key.starts_with("rotate_")) {
      absl::Status status = ReadRotation(member, rotation);
      if (!status.ok()) return status;
    } else if (member.key == "ca_file") {
      ca_file = member.value;
    } else {
      absl::StatusOr<std::string> read = ReadSecret(member, environment);
      if (!read.ok()) return read.status();
      key = *std::move(read);
    }
  }
  absl::StatusOr<DestinationConfig> destination = ParseDestination(spec);
  if (!destination.ok()) return WrongAt(value.origin, Text(destination.status()));
  destination->api_key = std::move(key);
  destination->ca_file = std::move(ca_file);
  destination->rotation = rotation;
  return destination;
}

absl::StatusOr<NamedKey> ReadKey(const FileValue& value, const Environment& environment) {
  NamedKey key;
  std::optional<bool> read;
  for (const FileValue& member : value.members) {
    absl::Status status = ReadKeyMember(member, environment, key, read);
    if (!status.ok()) return status;
  }
  if (key.name.empty()) return WrongAt(value.origin, "a key needs a name");
  if (key.value.empty()) return WrongAt(value.origin, "a key needs key_env or key_file");
  key.read = read.value_or(key.tenant.empty() && key.projects.empty());
  return key;
}

absl::StatusOr<TenantConfig> ReadTenant(const FileValue& value) {
  TenantConfig tenant;
  for (const FileValue& member : value.members) {
    absl::Status status;
    if (member.key == "name") {
      tenant.name = member.value;
    } else if (member.key == "runs_per_second") {
      status = Assign(tenant.runs_per_second, ParseCount(member.value), member.origin);
    } else if (member.key == "bytes_per_second") {
      status = Assign(tenant.bytes_per_second, ParseSize(member.value), member.origin);
    } else if (member.key == "max_body") {
      status = Assign(tenant.max_body, ParseSize(member.value), member.origin);
    } else if (member.key == "max_run") {
      status = Assign(tenant.max_run, ParseSize(member.value), member.origin);
    } else if (member.key == "max_trace_runs") {
      status = Assign(tenant.max_trace_runs, ParseCount(member.value), member.origin);
    } else if (member.key == "max_in_flight") {
      status = Assign(tenant.max_in_flight, ParseSize(member.value), member.origin);
    } else {
      status = NoSuchKey(member);
    }
    if (!status.ok()) return status;
  }
  if (tenant.name.empty()) return WrongAt(value.origin, "a tenant needs a name");
  return tenant;
}

absl::StatusOr<ModelPrice> ReadPrice(const FileValue& value) {
  ModelPrice price;
  for (const FileValue& member : value.members) {
    if (member.key == "model") {
      price.model = member.value;
      continue;
    }
    const absl::StatusOr<double> dollars = ParseDollars(member.value);
    if (!dollars.ok()) return WrongAt(member.origin, Text(dollars.status()));
    if (member.key == "input") {
      price.input = *dollars;
    } else if (member.key == "output") {
      price.output = *dollars;
    } else if (member.key == "cache_read") {
      price.cache_read = *dollars;
    } else if (member.key == "cache_creation") {
      price.cache_creation = *dollars;
    } else {
      return NoSuchKey(member);
    }
  }
  if (price.model.empty()) return WrongAt(value.origin, "a price needs a model");
  return price;
}

absl::StatusOr<std::string> ReadHost(const std::string& host, const std::string& origin) {
  const bool valid = !host.empty() && std::all_of(host.begin(), host.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view(".-_:[]").find(c) != std::string_view::npos;
  });
  if (!valid) return WrongAt(origin, "'" + host + "' is not a host name, with or without a port");
  return host;
}

absl::StatusOr<RedactionPreset> ReadPreset(const FileValue& value) {
  constexpr std::array<std::pair<std::string_view, RedactionPreset>, 5> kPresets = {
      {{"api_keys", RedactionPreset::kApiKeys},
       {"bearer_tokens", RedactionPreset::kBearerTokens},
       {"email", RedactionPreset::kEmail},
       {"cards", RedactionPreset::kCards},
       {"ip_addresses", RedactionPreset::kIpAddresses}}};
  for (const auto& [name, preset] : kPresets) {
    if (name == value.value) return preset;
  }
  return WrongAt(value.origin, "'" + value.value +
                                   "' is none of api_keys, bearer_tokens, email, cards, "
                                   "ip_addresses");
}

absl::StatusOr<ScopedRedactionRule> ReadRule(const FileValue& value, std::size_t index) {
  ScopedRedactionRule scoped;
  for (const FileValue& member : value.members) {
    absl::Status status = ReadRuleMember(member, scoped);
    if (!status.ok()) return status;
  }
  if (scoped.rule.name.empty()) scoped.rule.name = "rule-" + std::to_string(index);
  absl::Status status = internal::CheckRedactionRule(scoped.rule);
  if (!status.ok()) return WrongAt(value.origin, Text(status));
  return scoped;
}

std::string ShowElement(const FileValue& value, bool has_key) {
  if (value.members.empty()) return value.value + (has_key ? " (key: ***)" : "");
  std::string text = "{";
  std::string_view before;
  for (const FileValue& member : value.members) {
    if (text.size() > 1) text += ", ";
    if (member.key != before) text += member.key + ": ";
    before = member.key;
    text += member.value;
  }
  return text + (has_key ? ", key: ***}" : "}");
}

}  // namespace weft::collector
