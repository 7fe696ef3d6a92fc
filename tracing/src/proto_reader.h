// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/wire_format_lite.h>

namespace weft {
inline namespace v0 {
namespace internal {

/// Calls `field(tag, in)` for each field of a message in protobuf's wire format; it returns whether
/// it read the field, else the field is skipped. What is malformed ends the message.
template <typename Field>
void ReadProto(std::string_view bytes, const Field& field) {
  using google::protobuf::internal::WireFormatLite;
  google::protobuf::io::CodedInputStream in(reinterpret_cast<const std::uint8_t*>(bytes.data()),
                                            static_cast<int>(bytes.size()));
  while (const std::uint32_t tag = in.ReadTag()) {
    if (field(tag, in)) continue;
    if (!WireFormatLite::SkipField(&in, tag)) return;
  }
}

inline bool ReadProtoBytes(google::protobuf::io::CodedInputStream& in, std::string& out) {
  std::uint32_t size = 0;
  return in.ReadVarint32(&size) && in.ReadString(&out, static_cast<int>(size));
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
