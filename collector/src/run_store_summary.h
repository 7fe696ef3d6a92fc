// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <absl/status/status.h>

#include <weft/collector/record.h>

#include "log_files.h"

namespace weft::collector {

/// What a sealed segment holds, in half a mebibyte: which runs and traces may be in it, and which
/// projects are. A look-up of an id that memory does not hold reads 64 bytes a segment.
///
/// It is a cache: one that is missing or damaged means that the segment is scanned.
class SegmentSummary {
 public:
  struct Seen {
    std::uint64_t first_us = 0;
    std::uint64_t last_us = 0;
  };
  using Projects = std::map<std::string, Seen>;

  SegmentSummary();

  void Add(const RecordHeader& header);
  absl::Status Save(const std::filesystem::path& path) const;
  const Projects& projects() const { return projects_; }

 private:
  std::vector<std::uint64_t> blocks_;
  Projects projects_;
  bool has_traceless_ = false;
};

/// A summary on disk.
class SavedSummary {
 public:
  /// Nothing when there is none that can be used.
  static std::optional<SavedSummary> Open(const std::filesystem::path& path);

  bool MayHold(const RunId& id) const;
  /// Whether operations are in it that name no trace.
  bool has_traceless() const { return has_traceless_; }
  /// Empty when they cannot be read.
  SegmentSummary::Projects ReadProjects() const;

 private:
  File file_;
  std::uint64_t projects_bytes_ = 0;
  std::uint32_t projects_crc_ = 0;
  bool has_traceless_ = false;
};

}  // namespace weft::collector
