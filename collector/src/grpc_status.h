// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <string>

#include <grpcpp/support/status.h>

namespace weft::collector {

/// A refusal that says, as `google.rpc.RetryInfo` in its details, when to come again. OTLP's
/// clients give up what RESOURCE_EXHAUSTED refuses without it. `wait` 0: in 1 to 5 s, in turn.
grpc::Status ComeAgain(grpc::StatusCode code, const std::string& message,
                       std::chrono::milliseconds wait = {});

}  // namespace weft::collector
