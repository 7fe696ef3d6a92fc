// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/server_builder.h>

namespace weft {
inline namespace v0 {
namespace internal {

/// Which services of a server do not handle calls that were rejected. Filled while the server is
/// built; lives as long as the server.
class ServerGuards {
 public:
  /// Of the server that `builder` makes.
  static std::shared_ptr<ServerGuards> Of(grpc::ServerBuilder& builder);

  /// Tells which middleware may reject calls of a service; empty: none. False: was told before.
  using Rejector = std::function<std::string(std::string_view service)>;
  bool SetRejector(Rejector rejector);

  /// `handled`: its handler can do for its calls what an interceptor does.
  void AddMethod(const std::string& full_method, bool handled) {
    methods_.insert(full_method);
    if (handled) handled_.insert(full_method);
  }
  void AddGeneric() noexcept { generic_ = true; }
  /// A generic service that asks before it passes a call on to `service`.
  grpc::CallbackGenericService* Decorate(grpc::CallbackGenericService* service);

  /// Names the services that may get calls that they should not.
  void WarnAtStart(const std::vector<std::string>& services);

  bool Guards(std::string_view full_method, std::string_view service) const noexcept;
  bool Handles(std::string_view full_method) const noexcept {
    return handled_.contains(full_method);
  }
  /// Says once of each service that it handled a rejected call.
  void WarnOf(std::string_view service) noexcept;

 private:
  bool GuardsService(std::string_view service) const noexcept;

  std::set<std::string, std::less<>> methods_;
  std::set<std::string, std::less<>> handled_;  // some of them
  bool generic_ = false;
  std::unique_ptr<grpc::CallbackGenericService> decorated_;
  Rejector rejector_;
  std::set<std::string, std::less<>> unguarded_;  // services of the server
  std::mutex mutex_;
  std::set<std::string, std::less<>> warned_;
};

}  // namespace internal
}  // namespace v0
}  // namespace weft
