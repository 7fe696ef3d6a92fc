// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

namespace weft {
inline namespace v0 {
namespace internal {

class Chain;

/// What handles the calls of a method, as far as the builder was told.
enum class ServedBy : std::uint8_t {
  kUnknown,
  kQueue,          ///< A loop over a completion queue.
  kHandler,        ///< A handler that gets its request: it can do what an interceptor does.
  kStreamHandler,  ///< One that reads its requests: it cannot tell how a read ended.
};

/// Which services of a server do not handle calls that were rejected. Filled while the server is
/// built; lives as long as the server.
class ServerGuards {
 public:
  /// Of the server that `builder` makes.
  static std::shared_ptr<ServerGuards> Of(grpc::ServerBuilder& builder);

  /// The middlewares of the server, which keep this. False: was told before.
  bool SetChain(std::weak_ptr<const Chain> chain);

  /// `guarded`: what serves the method does not get calls that were rejected, or asks. What is
  /// known of a method stays.
  void AddMethod(const std::string& full_method, ServedBy served_by, bool guarded) {
    methods_.try_emplace(full_method, Method{served_by, guarded});
  }
  /// Whether all services of the builder are to be guarded when it builds.
  void SetGuardsAll(bool guards_all) noexcept { guards_all_ = guards_all; }
  bool guards_all() const noexcept { return guards_all_; }
  void AddGeneric() noexcept { generic_ = true; }
  /// A method of `service` that a queue serves.
  void AddQueueMethod(grpc::Service* service, const std::string& full_method) {
    queue_services_[service].insert(full_method);
  }
  /// The server is started: see queue_call.h. Services that no middleware sees are left alone.
  void WatchQueueServices();
  /// A generic service that asks before it passes a call on to `service`.
  grpc::CallbackGenericService* Decorate(grpc::CallbackGenericService* service);

  /// Names the services that may get calls that they should not.
  void WarnAtStart(const std::vector<std::string>& services);

  bool Guards(std::string_view full_method, std::string_view service) const noexcept;
  ServedBy WhatServes(std::string_view full_method) const noexcept {
    const auto method = methods_.find(full_method);
    return method == methods_.end() ? ServedBy::kUnknown : method->second.served_by;
  }
  /// Says once of each service that it handled a rejected call.
  void WarnOf(std::string_view service) noexcept;

 private:
  struct Method {
    ServedBy served_by;
    bool guarded;
  };

  std::shared_ptr<const Chain> chain() const noexcept;
  bool GuardsService(std::string_view service) const noexcept;

  std::map<std::string, Method, std::less<>> methods_;
  bool guards_all_ = false;
  bool generic_ = false;
  std::map<grpc::Service*, std::set<std::string>> queue_services_;  // their methods
  std::vector<std::unique_ptr<grpc::ServerInterface>> watching_;
  std::unique_ptr<grpc::CallbackGenericService> decorated_;
  std::optional<std::weak_ptr<const Chain>> chain_;
  std::set<std::string, std::less<>> unguarded_;  // services of the server
  std::mutex mutex_;
  std::set<std::string, std::less<>> warned_;
};

/// Guards every service that `builder` was given and that can be guarded from outside: not the
/// loops of completion queues, nor synchronous methods whose messages are not of protobuf.
void GuardServices(grpc::ServerBuilder& builder, ServerGuards& guards);

}  // namespace internal
}  // namespace v0
}  // namespace weft
