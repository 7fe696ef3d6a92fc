// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include <grpcpp/impl/server_builder_plugin.h>

#include <weft/interceptors/middleware.h>

namespace weft {
inline namespace v0 {
namespace internal {

/// Notes the services of the server that a builder makes; for IsRegistered.
std::unique_ptr<grpc::ServerBuilderPlugin> MakeServiceListPlugin();

/// Whether a server of this process has the method, rather than a peer having made up its name.
/// The methods of a bidirectional kind are known for services with generated code only.
bool IsRegistered(const MethodDescription& method);

}  // namespace internal
}  // namespace v0
}  // namespace weft
