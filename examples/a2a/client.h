// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include <grpcpp/channel.h>
#include <grpcpp/support/status.h>

namespace a2a_example {

/// Asks the agent behind `channel` in one conversation, and prints what its tasks made.
grpc::Status Converse(const std::shared_ptr<grpc::Channel>& channel);

}  // namespace a2a_example
