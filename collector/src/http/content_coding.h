// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <absl/status/status.h>

namespace weft::collector {

enum class ContentCoding : std::uint8_t { kIdentity, kGzip, kDeflate, kZstd };

/// The coding that a Content-Encoding names; nothing for one that is not known and for lists.
std::optional<ContentCoding> ParseContentCoding(std::string_view name);

/// Room for a decoded body that is used again by the next request of the thread. 64 bytes behind
/// the content may be read, as simdjson wants.
class DecodeBuffer {
 public:
  static constexpr std::size_t kReadableAfter = 64;

  char* data() { return data_.get(); }
  std::size_t capacity() const { return capacity_; }
  std::size_t size() const { return size_; }
  void set_size(std::size_t size) { size_ = size; }
  std::string_view view() const { return {data_.get(), size_}; }

  /// Makes room for `capacity` bytes; keeps the first `keep`.
  void Reserve(std::size_t capacity, std::size_t keep = 0);
  void Append(std::string_view text);
  /// Gives large memory back.
  void Shrink();

 private:
  std::unique_ptr<char[]> data_;
  std::size_t capacity_ = 0;
  std::size_t size_ = 0;
};

/// Removes the coding. ResourceExhausted when the content is larger than `limit`, InvalidArgument
/// when the body is not what the coding promises, trailing bytes included.
///
/// Cost: memory of `limit` for zstd and twice that for the others, whatever the body says about
/// itself.
absl::Status DecodeContent(ContentCoding coding, std::string_view body, std::size_t limit,
                           DecodeBuffer* out);

}  // namespace weft::collector
