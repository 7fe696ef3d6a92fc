// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include <absl/status/statusor.h>

#include <weft/collector/config.h>

namespace weft::collector {

// Readers of single values. Their messages say what is wrong with the value and what is expected;
// the caller puts in front where it stands.

/// `64MiB`, `1GB`, `512` (bytes).
absl::StatusOr<std::uint64_t> ParseSize(std::string_view text);

/// What ParseSize takes for it, in the largest unit that divides it.
std::string SizeText(std::uint64_t size);
std::string DurationText(std::chrono::seconds duration);

/// `10s`, `500ms`, `5m`, `12h`, `14d`. Whole seconds at least.
absl::StatusOr<std::chrono::seconds> ParseDuration(std::string_view text);

absl::StatusOr<bool> ParseBool(std::string_view text);

absl::StatusOr<std::uint64_t> ParseCount(std::string_view text);

/// `2`, `1.5`, `0`.
absl::StatusOr<double> ParseFactor(std::string_view text);
std::string FactorText(double factor);

/// `HOST:PORT` or `[IPV6]:PORT`. Returns it unchanged.
absl::StatusOr<std::string> ParseAddress(std::string_view text);

/// Whether only this machine can reach the (valid) address.
bool IsLoopback(std::string_view address);

/// `langsmith=URL`, `otlp=grpc://HOST:PORT`, `otlp=http://HOST:PORT` or `file=PATH`.
absl::StatusOr<DestinationConfig> ParseDestination(std::string_view text);

}  // namespace weft::collector
