// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <stdlib.h>

#include <filesystem>
#include <future>
#include <memory>
#include <string>
#include <utility>

#include <gtest/gtest.h>

#include <weft/collector/log.h>

namespace weft::collector {

/// A directory that is gone at the end of the test.
class TemporaryDirectory {
 public:
  TemporaryDirectory() : path_(::testing::TempDir() + "weft-XXXXXX") {
    EXPECT_NE(::mkdtemp(path_.data()), nullptr);
  }
  ~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  std::filesystem::path path() const { return path_; }

 private:
  std::string path_;
};

/// The id whose last bytes are `number`.
inline RunId IdOf(std::uint64_t number) {
  RunId id;
  for (std::size_t i = 0; i < 8; ++i) {
    id.bytes[15 - i] = static_cast<std::uint8_t>(number >> (8 * i));
  }
  id.bytes[0] = 1;
  return id;
}

/// Options under which a test needs no disk to speak of.
inline LogOptions SmallLog(const std::filesystem::path& directory) {
  LogOptions options;
  options.directory = directory;
  options.segment_bytes = 64 << 10;
  options.min_free_bytes = 0;
  return options;
}

inline RecordHeader HeaderFor(std::string_view payload) {
  RecordHeader header;
  header.decoded_size = payload.size();
  header.received_us = 1'700'000'000'000'000;
  return header;
}

/// Appends and waits for the answer.
inline absl::StatusOr<Position> AppendNow(Log& log, RecordHeader header, std::string payload) {
  auto answer = std::make_shared<std::promise<absl::StatusOr<Position>>>();
  std::future<absl::StatusOr<Position>> result = answer->get_future();
  log.Append(std::move(header), std::move(payload),
             [answer](absl::StatusOr<Position> position) { answer->set_value(position); });
  return result.get();
}

inline absl::StatusOr<Position> AppendNow(Log& log, const std::string& payload) {
  return AppendNow(log, HeaderFor(payload), payload);
}

}  // namespace weft::collector
