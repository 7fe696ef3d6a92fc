// SPDX-License-Identifier: Apache-2.0
#include "segment.h"

#include <array>
#include <bit>
#include <cstring>
#include <vector>

#include "log_crc32c.h"
#include "log_files.h"

namespace weft::collector {
namespace {

static_assert(std::endian::native == std::endian::little, "the format is little endian");

constexpr std::string_view kMagic = "WEFTLOG1";
constexpr std::size_t kHeaderCopyBytes = kSegmentHeaderBytes / 2;
constexpr std::size_t kScanBytes = 256 << 10;

template <typename T>
void Put(char*& out, T value) {
  std::memcpy(out, &value, sizeof value);
  out += sizeof value;
}

template <typename T>
T Get(const char*& in) {
  T value;
  std::memcpy(&value, in, sizeof value);
  in += sizeof value;
  return value;
}

bool ReadExactly(int fd, std::uint64_t offset, char* out, std::size_t size) {
  absl::StatusOr<std::size_t> got = ReadAt(fd, offset, out, size);
  return got.ok() && *got == size;
}

bool ReadPart(int fd, std::uint64_t offset, std::uint64_t size, std::uint32_t salt,
              std::uint32_t crc, std::string& out) {
  out.resize(size);
  return ReadExactly(fd, offset, out.data(), out.size()) && Crc32c(salt, out) == crc;
}

struct HeaderFacts {
  char version = 0;
  std::uint32_t salt = 0;
};

// Of any version: the layout of the header stays.
std::optional<HeaderFacts> ReadHeader(int fd) {
  constexpr std::string_view kAnyMagic = kMagic.substr(0, kMagic.size() - 1);
  std::array<char, kSegmentHeaderBytes> header{};
  if (!ReadExactly(fd, 0, header.data(), header.size())) return std::nullopt;
  for (const char* copy : {header.data(), header.data() + kHeaderCopyBytes}) {
    const char* in = copy + kMagic.size() + sizeof(std::uint64_t);
    const auto salt = Get<std::uint32_t>(in);
    const std::string_view checked(copy, static_cast<std::size_t>(in - copy));
    if (checked.starts_with(kAnyMagic) && Get<std::uint32_t>(in) == Crc32c(0, checked)) {
      return HeaderFacts{copy[kAnyMagic.size()], salt};
    }
  }
  return std::nullopt;
}

}  // namespace

void Frame::Write(std::uint32_t salt, char* out) const {
  const char* begin = out;
  Put(out, length);
  Put(out, header_length);
  Put(out, seq);
  Put(out, header_crc);
  Put(out, payload_crc);
  Put(out, Crc32c(salt, {begin, static_cast<std::size_t>(out - begin)}));
  Put(out, std::uint32_t{0});
}

std::optional<Frame> Frame::Read(std::uint32_t salt, const char* bytes) {
  const char* in = bytes;
  Frame frame;
  frame.length = Get<std::uint32_t>(in);
  frame.header_length = Get<std::uint32_t>(in);
  frame.seq = Get<std::uint64_t>(in);
  frame.header_crc = Get<std::uint32_t>(in);
  frame.payload_crc = Get<std::uint32_t>(in);
  std::size_t checked = static_cast<std::size_t>(in - bytes);
  if (frame.length < kFrameBytes || frame.length > kMaxRecordBytes ||
      frame.header_length > frame.length - kFrameBytes || frame.seq == 0 ||
      Get<std::uint32_t>(in) != Crc32c(salt, {bytes, checked})) {
    return std::nullopt;
  }
  return frame;
}

std::string SegmentHeader(std::uint64_t first_seq, std::uint32_t salt) {
  std::array<char, kHeaderCopyBytes> copy{};
  std::memcpy(copy.data(), kMagic.data(), kMagic.size());
  char* out = copy.data() + kMagic.size();
  Put(out, first_seq);
  Put(out, salt);
  Put(out, Crc32c(0, {copy.data(), static_cast<std::size_t>(out - copy.data())}));
  std::string header(copy.data(), copy.size());
  return header + header;
}

std::optional<std::uint32_t> ReadSalt(int fd) {
  const std::optional<HeaderFacts> header = ReadHeader(fd);
  return header && header->version == kMagic.back() ? std::optional(header->salt) : std::nullopt;
}

bool IsOfOtherVersion(int fd) {
  const std::optional<HeaderFacts> header = ReadHeader(fd);
  return header && header->version != kMagic.back();
}

RecordBytes ReadRecord(int fd, std::uint32_t salt, std::uint64_t offset, std::uint64_t limit,
                       bool with_payload) {
  RecordBytes record;
  // One read fetches the header of most requests along with the frame.
  std::array<char, 4096> first;
  if (offset >= limit || limit - offset < kFrameBytes) return record;
  absl::StatusOr<std::size_t> got =
      ReadAt(fd, offset, first.data(), std::min<std::uint64_t>(first.size(), limit - offset));
  if (!got.ok() || *got < kFrameBytes) return record;
  std::optional<Frame> frame = Frame::Read(salt, first.data());
  if (!frame || frame->padded_length() > limit - offset) return record;
  record.frame = *frame;
  record.result = FrameResult::kDamaged;

  if (kFrameBytes + frame->header_length <= *got) {
    record.header.assign(first.data() + kFrameBytes, frame->header_length);
    if (Crc32c(salt, record.header) != frame->header_crc) return record;
  } else if (!ReadPart(fd, offset + kFrameBytes, frame->header_length, salt, frame->header_crc,
                       record.header)) {
    return record;
  }
  if (with_payload &&
      !ReadPart(fd, offset + kFrameBytes + frame->header_length, frame->payload_length(), salt,
                frame->payload_crc, record.payload)) {
    return record;
  }
  record.result = FrameResult::kOk;
  return record;
}

RecordBytes ReadRecord(const Frame& frame, std::uint32_t salt, std::string_view bytes) {
  const std::string_view header = bytes.substr(kFrameBytes, frame.header_length);
  const std::string_view payload =
      bytes.substr(kFrameBytes + frame.header_length, frame.payload_length());
  RecordBytes record;
  record.frame = frame;
  record.result = FrameResult::kDamaged;
  if (Crc32c(salt, header) != frame.header_crc || Crc32c(salt, payload) != frame.payload_crc) {
    return record;
  }
  record.header = header;
  record.payload = payload;
  record.result = FrameResult::kOk;
  return record;
}

std::optional<std::uint64_t> FindRecord(int fd, std::uint32_t salt, std::uint64_t offset,
                                        std::uint64_t limit, std::uint64_t least_seq) {
  std::vector<char> bytes(kScanBytes);
  offset = (offset + kRecordAlignment - 1) & ~(kRecordAlignment - 1);
  while (offset + kFrameBytes <= limit) {
    absl::StatusOr<std::size_t> got =
        ReadAt(fd, offset, bytes.data(), std::min<std::uint64_t>(bytes.size(), limit - offset));
    if (!got.ok()) {  // a bad sector: what is behind it may be good
      offset += kScanBytes / 2;
      continue;
    }
    if (*got < kFrameBytes) break;
    std::size_t at = 0;
    for (; at + kFrameBytes <= *got; at += kRecordAlignment) {
      std::optional<Frame> frame = Frame::Read(salt, bytes.data() + at);
      if (frame && frame->seq >= least_seq &&
          ReadRecord(fd, salt, offset + at, limit, true).result == FrameResult::kOk) {
        return offset + at;
      }
    }
    offset += at;
  }
  return std::nullopt;
}

}  // namespace weft::collector
