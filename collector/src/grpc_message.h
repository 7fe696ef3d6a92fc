// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>

#include <absl/status/statusor.h>

namespace grpc {
class ByteBuffer;
}

namespace weft::collector {

/// The bytes of a message without the compression of its call, and with `room` for more behind
/// them.
///
/// gRPC itself unpacks whatever comes, before it asks for a key and however much it becomes, so the
/// listener does not let it. What is packed is known by its first bytes, with which none of the
/// messages here can begin.
///
/// Errors: ResourceExhausted = larger than `limit`, packed or not; InvalidArgument = damaged.
absl::StatusOr<std::string> PlainMessage(const grpc::ByteBuffer& message, std::size_t limit,
                                         std::size_t room = 0);

}  // namespace weft::collector
