// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>
#include <string_view>

#include <absl/status/status.h>

#include <weft/collector/config.h>

namespace weft::collector {

/// A scalar setting. Its name in the file is `key`; its variable is WEFT_ and the key in capitals
/// with `_` for `.`; its flag, where it has one, is the key with `-` for `_`.
struct Setting {
  std::string_view key;
  absl::Status (*set)(CollectorConfig& config, std::string_view text);  ///< Null: `config`.
  std::string (*show)(const CollectorConfig& config);
  std::string_view argument;  ///< Of the flag; empty = no flag, or a flag without a value.
  std::string_view help;
  std::string_view default_text = "";
  bool has_flag = false;
};

std::span<const Setting> Settings();

/// Null when there is none.
const Setting* FindSetting(std::string_view key);

/// A list setting: `forward`, `auth.keys`, ...
struct ListSetting {
  std::string_view key;
  std::string_view help;
  std::string_view example;  ///< An element, as it stands in the file.
};

std::span<const ListSetting> ListSettings();
bool IsList(std::string_view key);

/// Whether settings stand below `key`.
bool IsSection(std::string_view key);

std::string FlagOf(std::string_view key);
std::string VariableOf(std::string_view key);

}  // namespace weft::collector
