// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include <absl/status/statusor.h>

namespace weft::collector {

/// A value of the configuration file and where it stands.
struct FileValue {
  std::string key;     ///< `log.min_free`; elements of a list have the list's key.
  std::string value;   ///< A scalar's text; empty for an empty list or section.
  std::string origin;  ///< `FILE:LINE: KEY`, for messages.
  bool in_list = false;
  /// The members of a list's element that is no scalar: `auth.keys`, `forward`.
  std::vector<FileValue> members;
};

/// Reads the YAML file into values, in the file's order. Knows no key; refuses what is given twice.
absl::StatusOr<std::vector<FileValue>> ReadConfigFile(const std::filesystem::path& path);

}  // namespace weft::collector
