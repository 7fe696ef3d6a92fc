// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <string>
#include <utility>

#include "redactor.h"

#include <arpa/inet.h>

namespace weft {
inline namespace v0 {
namespace internal {
namespace {

// Whole keys, in any case.
constexpr char kSecretKeys[] =
    "(?i)(.*[_.-])?(password|passwd|passphrase|pwd|secret|credentials?|authorization|cookie)|"
    ".*(api[_-]?key|private[_-]?key|secret[_-]?key|access[_-]?key|client[_-]?secret)|"
    "(.*[_.-])?((access|refresh|id|auth|session|bearer)[_-]?token)|token";

// Keys of OpenAI and Anthropic, LangSmith, AWS, GitHub, GitLab, Google, Slack, Stripe, Hugging
// Face.
constexpr char kProviderKeys[] =
    "\\bsk-[A-Za-z0-9_-]{16,}|\\blsv2_[a-z]{2}_[A-Za-z0-9_]{16,}|\\bls__[A-Za-z0-9]{16,}|"
    "\\b(?:AKIA|ASIA)[0-9A-Z]{16}\\b|\\bgh[pousr]_[A-Za-z0-9]{20,}|"
    "\\bgithub_pat_[A-Za-z0-9_]{20,}|\\bglpat-[A-Za-z0-9_-]{20,}|\\bAIza[0-9A-Za-z_-]{35}|"
    "\\bxox[abeprs]-[0-9A-Za-z-]{10,}|\\b[rs]k_(?:live|test)_[0-9A-Za-z]{10,}|"
    "\\bhf_[A-Za-z0-9]{20,}";

constexpr char kPrivateKeyBlocks[] =
    "(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\\z)";

constexpr char kBearers[] =
    "(?i)\\bbearer\\s+[A-Za-z0-9._~+/=-]{20,}|"
    "\\beyJ[A-Za-z0-9_-]{8,}\\.[A-Za-z0-9_-]{8,}\\.[A-Za-z0-9_-]*|"
    "\\bauthorization[\"']?\\s*[:=]\\s*[\"']?(?:(?:bearer|basic|digest|token)\\s+)?[^\\s\"',;]+";

constexpr char kEmails[] =
    "[A-Za-z0-9._%+-]+@(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?\\.)+[A-Za-z]{2,}";

constexpr char kCardNumbers[] = "\\b[0-9](?:[ -]?[0-9]){12,18}\\b";

constexpr char kIpv4[] =
    "\\b(?:(?:25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])\\.){3}(?:25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])\\b";
constexpr char kIpv6[] =
    "(?i)(?:[0-9a-f]{0,4}:){2,7}(?:[0-9a-f]{1,4}|(?:[0-9]{1,3}\\.){3}[0-9]{1,3})?";

bool PassesLuhn(std::string_view text) {
  int sum = 0;
  bool doubled = false;
  for (auto it = text.rbegin(); it != text.rend(); ++it) {
    if (*it < '0' || *it > '9') continue;
    const int digit = *it - '0';
    sum += doubled ? (digit < 5 ? 2 * digit : 2 * digit - 9) : digit;
    doubled = !doubled;
  }
  return sum % 10 == 0;
}

// Times have colons too, and so has "::" of C++.
bool IsIpv6(std::string_view text) {
  in6_addr address;
  return text.size() > 2 && inet_pton(AF_INET6, std::string(text).c_str(), &address) == 1;
}

CompiledRule KeyRule(std::string name, const char* key) {
  return {.name = std::move(name), .key = std::make_unique<const re2::RE2>(key)};
}

CompiledRule ValueRule(std::string name, const char* value,
                       bool (*is_found)(std::string_view) = nullptr) {
  return {.name = std::move(name),
          .value = std::make_unique<const re2::RE2>(value),
          .is_found = is_found};
}

}  // namespace

void AddPreset(RedactionPreset preset, std::vector<CompiledRule>& rules) {
  switch (preset) {
    case RedactionPreset::kApiKeys:
      rules.push_back(KeyRule("api_keys", kSecretKeys));
      rules.push_back(ValueRule("api_keys", kProviderKeys));
      rules.push_back(ValueRule("api_keys", kPrivateKeyBlocks));
      break;
    case RedactionPreset::kBearerTokens:
      rules.push_back(ValueRule("bearer_tokens", kBearers));
      break;
    case RedactionPreset::kEmail:
      rules.push_back(ValueRule("email", kEmails));
      break;
    case RedactionPreset::kCards:
      rules.push_back(ValueRule("cards", kCardNumbers, PassesLuhn));
      break;
    case RedactionPreset::kIpAddresses:
      rules.push_back(ValueRule("ip_addresses", kIpv6, IsIpv6));
      rules.push_back(ValueRule("ip_addresses", kIpv4));
      break;
  }
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
