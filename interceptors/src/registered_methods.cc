// SPDX-License-Identifier: Apache-2.0
#include "registered_methods.h"

#include <mutex>
#include <set>
#include <string>

#include <google/protobuf/descriptor.h>
#include <grpcpp/impl/server_initializer.h>

namespace weft {
inline namespace v0 {
namespace internal {
namespace {

class RegisteredServices {
 public:
  static RegisteredServices& Get() {
    // Never destroyed: calls may still end while the program leaves.
    static RegisteredServices& services = *new RegisteredServices;
    return services;
  }
  void Add(const std::vector<std::string>& names) {
    const std::lock_guard lock(mutex_);
    names_.insert(names.begin(), names.end());
  }
  bool Contains(std::string_view name) const {
    const std::lock_guard lock(mutex_);
    return names_.find(name) != names_.end();
  }

 private:
  mutable std::mutex mutex_;
  std::set<std::string, std::less<>> names_;
};

class ServiceListPlugin final : public grpc::ServerBuilderPlugin {
 public:
  std::string name() override { return "weft_service_list"; }
  void InitServer(grpc::ServerInitializer* /*initializer*/) override {}
  void Finish(grpc::ServerInitializer* initializer) override {
    RegisteredServices::Get().Add(*initializer->GetServiceList());
  }
  void ChangeArguments(const std::string& /*name*/, void* /*value*/) override {}
};

}  // namespace

std::unique_ptr<grpc::ServerBuilderPlugin> MakeServiceListPlugin() {
  return std::make_unique<ServiceListPlugin>();
}

bool IsRegistered(const MethodDescription& method) {
  // gRPC takes the calls of generic services and of unknown methods for bidirectional streams.
  if (method.kind != RpcKind::kBidiStream) return true;
  // Asked only for services that are there: protobuf remembers for ever what it did not find.
  if (!RegisteredServices::Get().Contains(method.service)) return false;
  const auto* service = google::protobuf::DescriptorPool::generated_pool()->FindServiceByName(
      std::string(method.service));
  return service != nullptr && service->FindMethodByName(std::string(method.method)) != nullptr;
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
