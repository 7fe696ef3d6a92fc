// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <weft/tracing/json.h>
#include <weft/tracing/run_record.h>

namespace weft {
inline namespace v0 {
namespace internal {

/// A message by protobuf's JSON mapping. Fields of type `bytes` that are longer than `attach_bytes`
/// are moved to `attachments`, named by `prefix` and the path of the field; in their place stands
/// `{"weft_attachment": name, "bytes": size}`.
Json MessageToJson(const google::protobuf::Message& message, std::size_t attach_bytes,
                   std::string_view prefix, std::vector<RunAttachment>& attachments);

/// A message whose end was cut off, in protobuf's format: text, bytes and messages that were cut
/// end where it ends, other fields are left out.
std::string CompleteMessage(std::string_view start, const google::protobuf::Descriptor& type);

}  // namespace internal
}  // namespace v0
}  // namespace weft
