// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <weft/collector/config.h>

namespace weft::cli {

enum class Health : std::uint8_t { kOk, kWarning, kFailure };

/// What a check found, and what to do about it.
struct Finding {
  Health health = Health::kOk;
  std::string check;  ///< `disk`, `port`, `destination` ...
  std::string text;
  std::string advice{};  ///< Empty for kOk.
};

using Findings = std::vector<Finding>;

/// Of this machine: the data directory and who holds it, space and speed of the disk, ports,
/// certificates, keys.
///
/// Writes a small file into the data directory, where there is one, and removes it.
void CheckMachine(const collector::CollectorConfig& config, Findings& findings);

/// Of every destination: its name, connection, certificate, answer and key, and this machine's
/// clock against the target's. Sends no run. Each takes 5 s at most.
void CheckDestinations(const collector::CollectorConfig& config, Findings& findings);

/// Of a running collector, by its HTTP interface.
void CheckCollector(const std::string& endpoint, Findings& findings);

}  // namespace weft::cli
