// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

struct grpc_call;

// Exported by gRPC's library for its own tests of these cases, without a header.
std::uint32_t grpc_call_test_only_get_message_flags(grpc_call* call);  // NOLINT

namespace weft::interop {

/// Whether what this side received last was compressed on the wire. `context` is a server's or a
/// client's.
template <typename Context>
bool LastMessageWasCompressed(Context& context) {
  constexpr std::uint32_t kCompressed = 0x40000000;  // GRPC_WRITE_INTERNAL_TEST_ONLY_WAS_COMPRESSED
  return (grpc_call_test_only_get_message_flags(context.c_call()) & kCompressed) != 0;
}

}  // namespace weft::interop
