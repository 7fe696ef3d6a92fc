// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include <weft/tracing/json.h>

namespace weft {
inline namespace v0 {

/// Secrets that weft knows by their looks. Each is counted under its name.
enum class RedactionPreset : std::uint8_t {
  /// `api_keys`: values of keys such as `password`, `api_key`, `client_secret`, `authorization`,
  /// `cookie`, `access_token`; keys of well-known providers in text, and private keys in PEM.
  kApiKeys,
  /// `bearer_tokens`: `Bearer ...`, JSON web tokens, and what stands behind `Authorization:`.
  kBearerTokens,
  kEmail,        ///< `email`.
  kCards,        ///< `cards`: 13 to 19 digits whose check digit (Luhn) is right.
  kIpAddresses,  ///< `ip_addresses`: of both versions.
};

enum class RedactionAction : std::uint8_t {
  kMask,      ///< The marker in its place.
  kDrop,      ///< The member, element or tag is left out.
  kHash,      ///< `hmac:` and 32 hexadecimal digits: equal values stay equal. Needs `hash_key`.
  kTruncate,  ///< Text is cut after `length` bytes.
};

/// Finds values by where they are and by what they say; what is given must all be met.
///
///     {.pointer = "/inputs/messages/*/content", .action = weft::RedactionAction::kDrop}
///     {.key = "ssn|tax_id"}
///     {.value = "\\b\\d{3}-\\d{2}-\\d{4}\\b"}
///     {.pointer = "/metadata/*", .allow = "ls_.*|user_tier", .action = RedactionAction::kDrop}
struct RedactionRule {
  std::string name{};  ///< What it is counted under; empty: `rule-0` ...
  /// A JSON pointer that starts with `/inputs`, `/outputs`, `/error`, `/events`, `/metadata`,
  /// `/tags` or `/attachments` (their names). `*` is any one step, `**` any number of them.
  std::string pointer{};
  std::string key{};  ///< RE2, of the whole key in any case.
  /// As `key`, of those that stay: the action takes what the pointer, which there must be, finds
  /// under other keys.
  std::string allow{};
  /// RE2, searched in text and whole numbers: the action takes what matches, kDrop all. Empty: the
  /// action takes the whole value.
  std::string value{};
  RedactionAction action = RedactionAction::kMask;
  std::size_t length = 0;  ///< Of kTruncate.
};

/// What leaves the process in no run, wherever it is: inputs, outputs, error, events, metadata,
/// tags and the names of attachments. Empty: nothing is looked for.
///
/// Applied on the exporter's thread, before anything is sent or written. What a run hands down to
/// others (RunOptions::metadata, TracingContext) is redacted where it is given, so that headers
/// have none of it either.
///
/// Errors: what cannot be redacted, because a function throws for instance, is masked whole.
struct RedactionOptions {
  std::vector<RedactionPreset> presets{};
  std::vector<RedactionRule> rules{};  ///< In this order, after the presets.
  /// The last word, about each field that a run has (`inputs`, `metadata` ...), and about each
  /// event, tag and attachment's name.
  std::function<void(std::string_view field, Json& value)> function{};
  std::string marker = "[redacted]";
  std::string hash_key{};  ///< Of kHash.

  bool empty() const noexcept { return presets.empty() && rules.empty() && !function; }
};

}  // namespace v0
}  // namespace weft
