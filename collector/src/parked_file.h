// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string_view>

#include <absl/status/statusor.h>

#include <weft/tracing/json.h>

#include "line_file.h"

namespace weft::collector {

/// Where operations go that cannot be kept or delivered: JSON lines with the reason, for a person.
///
/// Threads: any.
class ParkedFile {
 public:
  /// Appends to `path`, whose folder is made; the file grows to `max_bytes` at most.
  static absl::StatusOr<std::unique_ptr<ParkedFile>> Open(const std::filesystem::path& path,
                                                          std::uint64_t max_bytes);

  /// The line is on disk when this returns OK; ResourceExhausted when the file is full.
  absl::Status Park(const JsonObject& entry);
  absl::Status ParkLine(std::string line);

  std::uint64_t bytes() const;

 private:
  ParkedFile(LineFile file, std::uint64_t max_bytes)
      : max_bytes_(max_bytes), file_(std::move(file)) {}

  const std::uint64_t max_bytes_;
  mutable std::mutex mutex_;
  LineFile file_;
};

/// Puts bytes that may be no UTF-8 into an entry: as `<name>`, or as `<name>_base64`.
void SetBytes(JsonObject& entry, std::string_view name, std::string_view bytes);

/// The time as ISO 8601 with 6 digits and `Z`.
std::string IsoTime(std::uint64_t unix_microseconds);

}  // namespace weft::collector
