// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>

#include <absl/status/statusor.h>

#include <weft/collector/config.h>

#include "config_file.h"

namespace weft::collector {

// Readers of the elements of lists, and of keys. Errors: FailedPrecondition, which begins with
// where it stands and holds no key.

absl::Status WrongAt(const std::string& origin, const std::string& text);

/// `source` is `key_env` with the name of a variable or `key_file` with a path.
absl::StatusOr<std::string> ReadSecret(const FileValue& source, const Environment& environment);
absl::StatusOr<std::string> SecretOfVariable(const std::string& name, const std::string& origin,
                                             const Environment& environment);

absl::StatusOr<DestinationConfig> ReadForward(const FileValue& value,
                                              const Environment& environment);
absl::StatusOr<NamedKey> ReadKey(const FileValue& value, const Environment& environment);
absl::StatusOr<TenantConfig> ReadTenant(const FileValue& value);
absl::StatusOr<std::string> ReadHost(const std::string& host, const std::string& origin);
absl::StatusOr<ModelPrice> ReadPrice(const FileValue& value);
absl::StatusOr<RedactionPreset> ReadPreset(const FileValue& value);
/// `index`: of the rule among the rules, by which it is counted when it has no name.
absl::StatusOr<ScopedRedactionRule> ReadRule(const FileValue& value, std::size_t index);

/// The element in one line, with `***` for the key where it has one.
std::string ShowElement(const FileValue& value, bool has_key);

}  // namespace weft::collector
