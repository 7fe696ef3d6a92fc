// SPDX-License-Identifier: Apache-2.0
#include "destinations/waiting_file.h"

#include <cinttypes>
#include <cstdio>
#include <system_error>

#include "log_files.h"

namespace weft::collector {
namespace {

constexpr char kFirstLine[] = "weft-waiting 1\n";
constexpr char kLine[] = "%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu32 "\n";

}  // namespace

std::vector<OpPlace> WaitingFile::Load(Position end) const {
  std::vector<OpPlace> places;
  const absl::StatusOr<std::string> content = ReadFile(path_);
  if (!content.ok() || !content->starts_with(kFirstLine)) return places;
  for (std::size_t at = sizeof kFirstLine - 1; at < content->size();) {
    OpPlace place;
    Position& position = place.position;
    const char* const line = content->c_str() + at;
    if (std::sscanf(line, kLine, &position.segment, &position.offset, &position.seq,
                    &place.index) != 4) {
      break;
    }
    if (position < end) places.push_back(place);
    at = content->find('\n', at);
    if (at == std::string::npos) break;
    ++at;
  }
  return places;
}

absl::Status WaitingFile::Save(const std::vector<OpPlace>& places) {
  if (places.empty()) {
    std::error_code error;
    if (!is_empty_) std::filesystem::remove(path_, error);
    is_empty_ = !error;
    return absl::OkStatus();  // more is sent twice, nothing is lost
  }
  std::string content = kFirstLine;
  char line[96];
  for (const OpPlace& place : places) {
    const Position& position = place.position;
    const int size = std::snprintf(line, sizeof line, kLine, position.segment, position.offset,
                                   position.seq, place.index);
    content.append(line, static_cast<std::size_t>(size));
  }
  is_empty_ = false;
  return ReplaceFile(path_, content);
}

}  // namespace weft::collector
