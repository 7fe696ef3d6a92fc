// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <weft/collector/record.h>

namespace weft::collector {

// The bytes of a segment file (docs/log-format.md). All numbers are little endian.

inline constexpr std::uint64_t kSegmentHeaderBytes = 64;
inline constexpr std::uint64_t kFrameBytes = 32;
inline constexpr std::uint64_t kRecordAlignment = 8;
/// Larger records are refused; a limit that no receiver reaches.
inline constexpr std::uint64_t kMaxRecordBytes = 1ull << 30;

/// The fixed part of a record. Its checksums are salted with a number that only this log knows, so
/// that no payload can hold bytes that recovery takes for a record.
struct Frame {
  std::uint32_t length = 0;  ///< Of the whole record without its padding.
  std::uint32_t header_length = 0;
  std::uint64_t seq = 0;
  std::uint32_t header_crc = 0;
  std::uint32_t payload_crc = 0;

  std::uint64_t padded_length() const {
    return (std::uint64_t{length} + kRecordAlignment - 1) & ~(kRecordAlignment - 1);
  }
  std::uint64_t payload_length() const { return length - kFrameBytes - header_length; }

  void Write(std::uint32_t salt, char* out) const;
  /// Nothing when `bytes` is no frame of a log with this salt.
  static std::optional<Frame> Read(std::uint32_t salt, const char* bytes);
};

std::string SegmentHeader(std::uint64_t first_seq, std::uint32_t salt);

/// The salt in a segment's header, from either of its two copies.
std::optional<std::uint32_t> ReadSalt(int fd);

/// Whether the header is whole, but of a version of the format that is not this one.
bool IsOfOtherVersion(int fd);

enum class FrameResult : std::uint8_t {
  kOk,
  kDamaged,       ///< The frame is good, so the next record is where it says; the rest is not.
  kFrameDamaged,  ///< There is no frame here.
};

/// Reads the record at `offset` of a file whose records end at `limit`.
struct RecordBytes {
  FrameResult result = FrameResult::kFrameDamaged;
  Frame frame;
  std::string header;
  std::string payload;
};
RecordBytes ReadRecord(int fd, std::uint32_t salt, std::uint64_t offset, std::uint64_t limit,
                       bool with_payload);

/// The same of a record that lies at the begin of `bytes`, whole.
RecordBytes ReadRecord(const Frame& frame, std::uint32_t salt, std::string_view bytes);

/// The first intact record in [offset, limit) with a sequence number of at least `least_seq`.
std::optional<std::uint64_t> FindRecord(int fd, std::uint32_t salt, std::uint64_t offset,
                                        std::uint64_t limit, std::uint64_t least_seq);

}  // namespace weft::collector
