// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <cstring>
#include <string_view>

namespace weft::collector {

/// Walks the fields of a message in protobuf's wire format.
///
///     ProtoReader in(bytes);
///     while (in.Next()) {
///       if (in.Is(5, ProtoReader::kDelimited)) name = in.bytes();
///     }
///     if (!in.ok()) ...  // not a message
///
/// A known field that has another wire type is an unknown field, as for protobuf itself. Groups are
/// refused: nothing has written them for years.
class ProtoReader {
 public:
  enum WireType : std::uint8_t { kVarint = 0, kFixed64 = 1, kDelimited = 2, kFixed32 = 5 };

  explicit ProtoReader(std::string_view in) noexcept
      : next_(in.data()), end_(in.data() + in.size()) {}

  /// False at the end, and at the first byte that cannot be read.
  bool Next() noexcept {
    if (next_ == end_) return false;
    start_ = next_;
    // Most fields: a message, a text or bytes with a small number, below 128 bytes long.
    if (end_ - next_ >= 2) {
      const auto tag = static_cast<unsigned char>(next_[0]);
      const auto size = static_cast<unsigned char>(next_[1]);
      if ((tag & 0x87) == kDelimited && tag >= 8 && size < 0x80 && size <= end_ - next_ - 2) {
        field_ = tag >> 3;
        type_ = kDelimited;
        bytes_ = {next_ + 2, size};
        next_ += 2 + size;
        return true;
      }
    }
    return NextOfAnyKind();
  }

  bool ok() const noexcept { return ok_; }
  std::uint32_t field() const noexcept { return field_; }
  bool Is(std::uint32_t field, WireType type) const noexcept {
    return field_ == field && type_ == type;
  }
  WireType type() const noexcept { return type_; }
  std::uint64_t number() const noexcept { return number_; }   ///< Not of kDelimited.
  std::string_view bytes() const noexcept { return bytes_; }  ///< Of kDelimited.
  /// The whole field as it is written, with its tag.
  std::string_view raw() const noexcept {
    return {start_, static_cast<std::size_t>(next_ - start_)};
  }

 private:
  [[gnu::noinline]] bool NextOfAnyKind() noexcept {
    std::uint64_t tag = 0;
    if (!Varint(&tag) || tag > 0xffffffffu || tag < 8) return Fail();
    field_ = static_cast<std::uint32_t>(tag >> 3);
    type_ = static_cast<WireType>(tag & 7);
    switch (type_) {
      case kVarint:
        return Varint(&number_) || Fail();
      case kFixed64:
        return Fixed(8) || Fail();
      case kFixed32:
        return Fixed(4) || Fail();
      case kDelimited: {
        std::uint64_t size = 0;
        if (!Varint(&size) || size > static_cast<std::uint64_t>(end_ - next_)) return Fail();
        bytes_ = {next_, size};
        next_ += size;
        return true;
      }
    }
    return Fail();
  }

  bool Fail() noexcept {
    ok_ = false;
    next_ = end_;
    return false;
  }

  bool Varint(std::uint64_t* value) noexcept {
    if (next_ != end_ && (*next_ & 0x80) == 0) {
      *value = static_cast<unsigned char>(*next_++);
      return true;
    }
    std::uint64_t result = 0;
    for (int shift = 0; shift < 64 && next_ != end_; shift += 7) {
      const auto byte = static_cast<unsigned char>(*next_++);
      if (shift == 63 && byte > 1) return false;
      result |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
      if ((byte & 0x80) == 0) {
        *value = result;
        return true;
      }
    }
    return false;
  }

  bool Fixed(int size) noexcept {
    if (end_ - next_ < size) return false;
    number_ = 0;
    for (int i = 0; i < size; ++i) {
      number_ |= static_cast<std::uint64_t>(static_cast<unsigned char>(next_[i])) << (8 * i);
    }
    next_ += size;
    return true;
  }

  const char* start_ = nullptr;
  const char* next_;
  const char* end_;
  std::string_view bytes_;
  std::uint64_t number_ = 0;
  std::uint32_t field_ = 0;
  WireType type_ = kVarint;
  bool ok_ = true;
};

}  // namespace weft::collector
