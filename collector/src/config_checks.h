// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include <absl/status/status.h>

#include <weft/collector/config.h>

namespace weft::collector {

/// An element of a list and how it is shown.
struct ConfigElement {
  std::string text;
  std::string source;
};

/// Where the values of a configuration come from, by their keys.
struct ConfigOrigins {
  std::map<std::string, std::string, std::less<>> settings;
  std::map<std::string, std::vector<ConfigElement>> elements;
};

/// What is wrong with values that are right one by one.
std::vector<absl::Status> CheckConfig(const CollectorConfig& config, const ConfigOrigins& origins);

}  // namespace weft::collector
