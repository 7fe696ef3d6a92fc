// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace weft {
inline namespace v0 {
namespace internal {

/// Writes protobuf's wire format to the end of a string.
///
///     ProtoWriter out(bytes);
///     out.Text(5, "name");
///     const auto nested = out.Begin(15);
///     out.Number(3, 2);
///     out.End(nested);
///
/// There are no message objects: what is written comes from a run, and generated classes of the
/// same names may be in the program already (see proto/opentelemetry).
class ProtoWriter {
 public:
  explicit ProtoWriter(std::string& out) noexcept : out_(out) {}

  /// Of a message that is not finished: where its content begins.
  using Mark = std::size_t;

  Mark Begin(int field) {
    Tag(field, kDelimited);
    out_ += '\0';  // the length, if it fits
    return out_.size();
  }
  void End(Mark begin) {
    std::size_t size = out_.size() - begin;
    char length[kMostBytes];
    std::size_t used = 0;
    for (; size >= 0x80; size >>= 7) length[used++] = static_cast<char>(size | 0x80);
    length[used++] = static_cast<char>(size);
    out_[begin - 1] = length[0];
    if (used > 1) out_.insert(begin, length + 1, used - 1);
  }

  /// `text` is UTF-8 already; see Utf8.
  void Text(int field, std::string_view text) {
    Tag(field, kDelimited);
    Varint(text.size());
    out_ += text;
  }
  void Number(int field, std::uint64_t value) {
    Tag(field, kVarint);
    Varint(value);
  }
  void Fixed64(int field, std::uint64_t value) {
    Tag(field, kFixed64);
    LittleEndian(value, 8);
  }
  void Fixed32(int field, std::uint32_t value) {
    Tag(field, kFixed32);
    LittleEndian(value, 4);
  }
  void Double(int field, double value) { Fixed64(field, std::bit_cast<std::uint64_t>(value)); }

 private:
  enum WireType : std::uint8_t { kVarint = 0, kFixed64 = 1, kDelimited = 2, kFixed32 = 5 };
  static constexpr std::size_t kMostBytes = 10;

  void Tag(int field, WireType type) { Varint(static_cast<std::uint64_t>(field) << 3 | type); }
  void Varint(std::uint64_t value) {
    for (; value >= 0x80; value >>= 7) out_ += static_cast<char>(value | 0x80);
    out_ += static_cast<char>(value);
  }
  void LittleEndian(std::uint64_t value, int bytes) {
    for (int i = 0; i < bytes; ++i) out_ += static_cast<char>(value >> (8 * i));
  }

  std::string& out_;
};

}  // namespace internal
}  // namespace v0
}  // namespace weft
