// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include <weft/testing/ping_server.h>

#include "echo.pb.h"

namespace weft::echo_test {

using namespace weft::testing::behaviour;  // NOLINT(google-build-using-namespace)
inline constexpr const char* kBehaviour = weft::testing::behaviour::kKey;

using Progress = weft::testing::PingProgress;

/// `echo.Echo/Unary` ...
std::string RunNameOf(RpcKind kind);

}  // namespace weft::echo_test
