// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <absl/container/flat_hash_map.h>
#include <absl/container/flat_hash_set.h>
#include <absl/status/statusor.h>

#include <weft/tracing/json.h>

#include "line_file.h"

namespace weft::collector {

/// A line that is to be parked.
struct ParkedLine {
  std::uint64_t id = 0;
  std::uint64_t operations = 1;  ///< That it stands for.
  std::string code{};            ///< Why, in a word: `422`.
  std::string text{};            ///< JSON, without the newline.
};

/// Where operations go that cannot be kept or delivered: JSON lines with the reason, for a person,
/// who may look at them, throw them away, or have them sent again.
///
/// Lines that are gone, and those that are to be sent again, are written down in a file beside it,
/// `NAME.marks`, until the lines are copied without them. So all of it survives a crash.
///
/// Threads: any.
class ParkedFile {
 public:
  struct Item {
    std::uint64_t id = 0;
    std::uint64_t offset = 0;
    std::uint64_t length = 0;  ///< Without the newline.
    std::uint64_t operations = 1;
    std::string code{};
    bool redrive = false;      ///< To be sent again.
    bool from_before = false;  ///< Was there when the file was opened, and was not parked again.
  };

  /// Appends to `path`, whose folder is made; the file grows to `max_bytes` at most.
  static absl::StatusOr<std::unique_ptr<ParkedFile>> Open(const std::filesystem::path& path,
                                                          std::uint64_t max_bytes);

  /// The line is on disk when this returns OK, and before, if its id is there already.
  /// ResourceExhausted when the file is full.
  absl::Status Park(ParkedLine line);
  /// Lines whose ids are made from their texts, with one sync for all. Those that find the file
  /// full are left out: returns how many.
  absl::StatusOr<std::size_t> Park(const std::vector<JsonObject>& entries);

  /// Items in the order in which they were parked, from behind `after` on (0: the first).
  std::vector<Item> List(std::uint64_t after, std::size_t limit) const;
  /// Up to `limit` items that are to be sent again.
  std::vector<Item> ToRedrive(std::size_t limit) const;
  /// The line, or the first `limit` bytes of it. NotFound.
  absl::StatusOr<std::string> Read(std::uint64_t id, std::size_t limit = ~std::size_t{0}) const;

  /// Unknown ids are passed over. Returns how many operations there were; the change is on disk.
  absl::StatusOr<std::uint64_t> Discard(const std::vector<std::uint64_t>& ids);
  /// As Discard, of lines that were delivered.
  absl::StatusOr<std::uint64_t> Settle(const std::vector<std::uint64_t>& ids);
  /// Marks lines, or takes the mark away. Returns how many lines.
  absl::StatusOr<std::uint64_t> SetRedrive(const std::vector<std::uint64_t>& ids, bool redrive);
  std::vector<std::uint64_t> Ids() const;

  std::uint64_t bytes() const;
  std::uint64_t operations() const;              ///< Parked now.
  std::uint64_t operations_from_before() const;  ///< Those that were there when it was opened.
  std::uint64_t discarded() const;               ///< Operations, since it was opened.
  std::map<std::string, std::uint64_t> OperationsByCode() const;

 private:
  ParkedFile(LineFile file, std::uint64_t max_bytes)
      : max_bytes_(max_bytes), file_(std::move(file)) {}

  std::filesystem::path MarksPath() const;
  absl::Status LoadItems();
  absl::Status ApplyMarks();
  absl::Status Mark(std::string_view lines);
  absl::Status Compact();
  /// Without a sync.
  absl::Status Append(ParkedLine line);
  /// After appending `ids`, the last lines: when they cannot be made durable they are taken back,
  /// so that who parks them again does not have them twice.
  absl::Status Sync(const std::vector<std::uint64_t>& ids);
  void Insert(Item item);
  void Erase(std::uint64_t id);
  void TakeBack(const std::vector<std::uint64_t>& ids);
  absl::StatusOr<std::uint64_t> Remove(const std::vector<std::uint64_t>& ids);
  std::uint64_t FreeId(std::uint64_t id) const;

  const std::uint64_t max_bytes_;
  mutable std::mutex mutex_;
  LineFile file_;
  std::unique_ptr<LineFile> marks_;                            ///< Null until there is a mark.
  std::map<std::uint64_t, Item> items_;                        ///< By offset.
  absl::flat_hash_map<std::uint64_t, std::uint64_t> offsets_;  ///< By id.
  absl::flat_hash_set<std::uint64_t> gone_;  ///< Ids of lines that are still in the file.
  std::uint64_t operations_ = 0;
  std::uint64_t redrives_ = 0;
  std::uint64_t from_before_ = 0;
  std::uint64_t discarded_ = 0;
};

/// 16 hexadecimal digits.
std::string HexId(std::uint64_t id);

/// Puts bytes that may be no UTF-8 into an entry: as `<name>`, or as `<name>_base64`.
void SetBytes(JsonObject& entry, std::string_view name, std::string_view bytes);

/// The time as ISO 8601 with 6 digits and `Z`.
std::string IsoTime(std::uint64_t unix_microseconds);

}  // namespace weft::collector
