// SPDX-License-Identifier: Apache-2.0
#include "parked_file.h"

#include <array>
#include <cstdio>
#include <ctime>
#include <string>

#include <absl/strings/escaping.h>
#include <simdjson.h>

namespace weft::collector {

absl::StatusOr<std::unique_ptr<ParkedFile>> ParkedFile::Open(const std::filesystem::path& path,
                                                             std::uint64_t max_bytes) {
  if (absl::Status status = MakeDirectory(path.parent_path()); !status.ok()) return status;
  absl::StatusOr<LineFile> file = LineFile::Open(path);
  if (!file.ok()) return file.status();
  return std::unique_ptr<ParkedFile>(new ParkedFile(*std::move(file), max_bytes));
}

absl::Status ParkedFile::Park(const JsonObject& entry) {
  return ParkLine(boost::json::serialize(entry));
}

absl::Status ParkedFile::ParkLine(std::string line) {
  line += '\n';
  std::lock_guard lock(mutex_);
  if (file_.size() + line.size() > max_bytes_) {
    return absl::ResourceExhaustedError(file_.path().string() + " is full");
  }
  absl::Status status = file_.Append(line);
  if (status.ok()) status = file_.Sync();
  // A full disk has room again; only a full file is final.
  return absl::IsResourceExhausted(status) ? absl::UnavailableError(status.message()) : status;
}

std::uint64_t ParkedFile::bytes() const {
  std::lock_guard lock(mutex_);
  return file_.size();
}

void SetBytes(JsonObject& entry, std::string_view name, std::string_view bytes) {
  const bool utf8 = simdjson::validate_utf8(bytes.data(), bytes.size());
  if (utf8) {
    entry[name] = bytes;
    return;
  }
  entry[std::string(name) + "_base64"] =
      absl::Base64Escape(absl::string_view(bytes.data(), bytes.size()));
}

std::string IsoTime(std::uint64_t unix_microseconds) {
  const auto seconds = static_cast<std::time_t>(unix_microseconds / 1000000);
  std::tm utc{};
  ::gmtime_r(&seconds, &utc);
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%04d-%02d-%02dT%02d:%02d:%02d.%06uZ", utc.tm_year + 1900,
                utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec,
                static_cast<unsigned>(unix_microseconds % 1000000));
  return text.data();
}

}  // namespace weft::collector
