// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <ostream>
#include <string>

#include <weft/interceptors/interceptor_options.h>

namespace weft::interop {

/// The plain ones are registered with the builder alone, not with weft::RegisterService: other code
/// of weft sees their calls.
enum class Flavour : std::uint8_t { kSync, kCallback, kFiber, kPlainSync, kPlainCallback };
std::ostream& operator<<(std::ostream& out, Flavour flavour);

/// The server of gRPC's interop cases, intercepted, on a free port.
class InteropServer {
 public:
  virtual ~InteropServer() = default;
  virtual const std::string& address() const = 0;
  /// Returns when no call is left.
  virtual void Shutdown() = 0;
};

/// With `gzip` it compresses what it sends to those who take it.
std::unique_ptr<InteropServer> Serve(Flavour flavour, InterceptorOptions options, bool gzip);

}  // namespace weft::interop
