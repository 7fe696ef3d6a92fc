// SPDX-License-Identifier: Apache-2.0
// What any bytes must do as the one segment of a log, and as a reader's cursor: the log opens,
// every record can be asked for, and what is appended then reads back.
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <future>
#include <string>

#include <weft/collector/log.h>

#include "fuzz.h"

using namespace weft::collector;  // NOLINT: a program of one function
using weft::fuzz::Require;

namespace {

std::filesystem::path FreshDirectory() {
  const auto directory =
      std::filesystem::temp_directory_path() / ("weft-log-fuzz-" + std::to_string(getpid()));
  std::filesystem::remove_all(directory);
  std::filesystem::create_directories(directory / "log");
  std::filesystem::create_directories(directory / "cursors");
  return directory;
}

void Write(const std::filesystem::path& path, std::string_view content) {
  std::ofstream(path, std::ios::binary) << content;
}

// Ends: each step goes on, to a record that can be read or past one that cannot.
void ReadAll(const Log& log) {
  const Position end = log.DurableEnd();
  for (Position at = log.Begin(); at < end;) {
    const auto record = log.Read(at);
    if (!record.ok()) return;
    Require(at < record->next, "reading goes on");
    record->Decoded().IgnoreError();
    at = record->next;
  }
}

Position Append(Log& log, const std::string& payload) {
  std::promise<absl::StatusOr<Position>> done;
  RecordHeader header;
  header.decoded_size = payload.size();
  log.Append(header, payload, [&](absl::StatusOr<Position> at) { done.set_value(std::move(at)); });
  const auto position = done.get_future().get();
  Require(position.ok(), "the log can be written");
  return *position;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text = weft::fuzz::Text(data, size);
  const auto directory = FreshDirectory();
  Write(directory / "log" / "1.log", text);
  Write(directory / "cursors" / "reader", text);
  {
    auto log = Log::Open({.directory = directory, .segment_bytes = 64 << 10, .min_free_bytes = 0});
    Require(log.ok() || !log.status().message().empty(), "an error has a text");
    if (log.ok()) {
      ReadAll(**log);
      const Position at = Append(**log, "after the damage");
      const auto record = (*log)->Read(at);
      Require(record.ok() && record->payload == "after the damage", "what is appended reads back");
      (*log)->Close();
    }
  }
  Require(Cursor::Load(directory, "reader", {}).ok(), "a cursor is there");
  std::filesystem::remove_all(directory);
  return 0;
}
