// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "echo.grpc.pb.h"

namespace weft::echo_test {

/// Names the generated code to the templates of weft::testing.
struct EchoRpc {
  using Service = ::echo::Echo;
  using Message = ::echo::Message;
  static constexpr char kService[] = "echo.Echo";
};

}  // namespace weft::echo_test
