// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <absl/status/statusor.h>

#include <weft/collector/keys.h>

namespace weft::collector {

/// Where runs are forwarded to: one `--forward`.
struct DestinationConfig {
  enum class Kind { kLangSmith, kFile };
  Kind kind = Kind::kFile;
  std::string target;  ///< A URL without a trailing slash, or a path.
  /// The key for runs whose caller gave none; empty = none.
  std::string api_key;

  /// `langsmith=https://...`, as it is given.
  std::string Spec() const;
  friend bool operator==(const DestinationConfig&, const DestinationConfig&) = default;
};

struct CollectorConfig {
  std::filesystem::path data;
  std::string listen_grpc = "127.0.0.1:4317";
  std::string listen_otlp_http = "127.0.0.1:4318";
  std::string listen_http = "127.0.0.1:1984";
  bool allow_insecure_listen = false;
  std::vector<DestinationConfig> forward;
  std::filesystem::path ready_file;  ///< Empty = none.

  std::vector<NamedKey> keys;
  std::vector<std::string> allowed_hosts;

  std::optional<std::uint64_t> min_free;  ///< Absent: the smaller of 1 GiB and 5 %.
  std::uint64_t retention_size = 20ull << 30;
  std::chrono::seconds retention_age{14 * 24 * 3600};
  std::uint64_t segment_size = 64ull << 20;
  std::uint64_t max_parked_bytes = 64ull << 20;

  std::uint64_t max_wire_bytes = 64ull << 20;
  std::uint64_t max_decoded_bytes = 256ull << 20;
  std::uint64_t max_grpc_message_bytes = 64ull << 20;
  std::uint64_t max_inflight_bytes = 512ull << 20;
  std::uint64_t max_connections = 20'000;
  std::chrono::seconds header_timeout{10};
  std::chrono::seconds idle_timeout{75};
};

/// Reads an environment variable: nothing when it is not set.
using Environment = std::function<std::optional<std::string>(const std::string& name)>;

/// The environment of this process.
Environment ProcessEnvironment();

/// The configuration from flags, else the environment, else the file of `--config`, else defaults.
///
/// Errors: InvalidArgument = wrong use of a flag, the message names it (exit status 2);
///   FailedPrecondition = a wrong configuration, the message names file, line and key, or the
///   variable (exit status 78).
absl::StatusOr<CollectorConfig> LoadConfig(std::span<const std::string_view> flags,
                                           const Environment& environment);

/// The table of options for `--help`: flags with their variables and defaults.
std::string ConfigHelp();

}  // namespace weft::collector
