// SPDX-License-Identifier: Apache-2.0
#include "grpc_message.h"

#include <optional>
#include <string_view>
#include <vector>

#include <grpcpp/support/byte_buffer.h>

#include "http/content_coding.h"

namespace weft::collector {
namespace {

// As tags of protobuf, the first is of a type that does not exist, and the second of field 15.
std::optional<ContentCoding> CodingOf(std::string_view bytes) {
  constexpr std::string_view kGzip = "\x1f\x8b";
  constexpr char kDeflate = '\x78';
  if (bytes.starts_with(kGzip)) return ContentCoding::kGzip;
  if (bytes.starts_with(kDeflate)) return ContentCoding::kDeflate;
  return std::nullopt;
}

}  // namespace

absl::StatusOr<std::string> PlainMessage(const grpc::ByteBuffer& message, std::size_t limit,
                                         std::size_t room) {
  std::string bytes;
  std::vector<grpc::Slice> slices;
  if (!message.Dump(&slices).ok()) return absl::InvalidArgumentError("the message is no bytes");
  bytes.reserve(message.Length() + room);
  for (const grpc::Slice& slice : slices) {
    bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  }
  const std::optional<ContentCoding> coding = CodingOf(bytes);
  if (!coding) return bytes;
  thread_local DecodeBuffer scratch;
  const absl::Status status = DecodeContent(*coding, bytes, limit, &scratch);
  if (status.ok()) {
    bytes.clear();
    bytes.reserve(scratch.size() + room);
    bytes = scratch.view();
  }
  scratch.Shrink();
  if (!status.ok()) return status;
  return bytes;
}

}  // namespace weft::collector
