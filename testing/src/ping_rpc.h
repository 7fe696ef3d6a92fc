// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "weft/ping/v1/ping.grpc.pb.h"

namespace weft {
inline namespace v0 {
namespace testing {
namespace internal {

/// Names the generated code to the templates of services and calls.
struct PingRpc {
  using Service = ::weft::ping::v1::Ping;
  using Message = ::weft::ping::v1::Message;
  static constexpr char kService[] = "weft.ping.v1.Ping";
};

}  // namespace internal
}  // namespace testing
}  // namespace v0
}  // namespace weft
