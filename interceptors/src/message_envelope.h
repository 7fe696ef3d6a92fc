// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include <google/protobuf/descriptor.h>

#include "message_content.h"

namespace weft {
inline namespace v0 {
namespace internal {

// How a message carries its run where its type has no field for that: as one more field behind its
// bytes, with the highest number there is. A peer that does not know the field keeps it as unknown;
// so it is only sent to peers that said, in the metadata of the call, that they take it out.

inline constexpr std::string_view kEnvelopeHeader = "weft-messages";
inline constexpr int kEnvelopeField = google::protobuf::FieldDescriptor::kMaxNumber;

/// Whether messages of the type have no use of their own for the number.
bool CanEnvelope(const google::protobuf::Descriptor& type) noexcept;

/// A field of text in protobuf's format.
std::string EncodeTextField(int number, std::string_view text);

/// Takes the field out of a received message, before the application sees it. Empty: there is none.
std::string TakeEnvelope(const MessageContent& received);

}  // namespace internal
}  // namespace v0
}  // namespace weft
