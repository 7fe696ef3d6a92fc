// SPDX-License-Identifier: Apache-2.0
#include "server_guards.h"

#include <algorithm>
#include <cstdio>
#include <exception>
#include <map>
#include <utility>

#include <grpcpp/impl/server_builder_option.h>
#include <grpcpp/impl/server_builder_plugin.h>
#include <grpcpp/impl/server_initializer.h>

#include <weft/async/internal/call_sentinel.h>
#include <weft/async/internal/thrown.h>
#include <weft/async/rejected.h>

#include "chain.h"
#include "queue_call.h"
#include "registered_methods.h"

namespace weft {
inline namespace v0 {
namespace internal {
namespace {

/// The guards of the servers that are being built.
class Builders {
 public:
  static Builders& Get() {
    static Builders& builders = *new Builders;
    return builders;
  }
  /// The second is whether it is new.
  std::pair<std::shared_ptr<ServerGuards>, bool> Find(const grpc::ServerBuilder* builder) {
    const std::lock_guard lock(mutex_);
    auto [entry, added] = guards_.try_emplace(builder);
    if (added) entry->second = std::make_shared<ServerGuards>();
    return {entry->second, added};
  }
  void Remove(const grpc::ServerBuilder* builder) {
    const std::lock_guard lock(mutex_);
    guards_.erase(builder);
  }

 private:
  std::mutex mutex_;
  std::map<const grpc::ServerBuilder*, std::shared_ptr<ServerGuards>> guards_;
};

/// A service without methods, which a server keeps as long as it lives.
class Keeper final : public grpc::Service {
 public:
  explicit Keeper(std::shared_ptr<ServerGuards> guards) noexcept : guards_(std::move(guards)) {}

 private:
  std::shared_ptr<ServerGuards> guards_;
};

class Plugin final : public grpc::ServerBuilderPlugin {
 public:
  explicit Plugin(std::shared_ptr<ServerGuards> guards) noexcept : guards_(std::move(guards)) {}

  std::string name() override { return "weft"; }
  void UpdateServerBuilder(grpc::ServerBuilder* builder) override {
    if (guards_->guards_all()) GuardServices(*builder, *guards_);
  }
  void InitServer(grpc::ServerInitializer* server) override {
    server->RegisterService(std::make_shared<Keeper>(guards_));
  }
  void Finish(grpc::ServerInitializer* server) override {
    guards_->WatchQueueServices();
    guards_->WarnAtStart(*server->GetServiceList());
  }
  void ChangeArguments(const std::string& /*name*/, void* /*value*/) override {}

 private:
  std::shared_ptr<ServerGuards> guards_;
};

// A builder does not tell what it was given, but it destroys its options with itself: so this one
// remembers exactly as long as the builder lives.
class Mark final : public grpc::ServerBuilderOption {
 public:
  Mark(const grpc::ServerBuilder* builder, std::shared_ptr<ServerGuards> guards) noexcept
      : builder_(builder), guards_(std::move(guards)) {}
  ~Mark() override { Builders::Get().Remove(builder_); }

  void UpdateArguments(grpc::ChannelArguments* /*arguments*/) override {}
  void UpdatePlugins(std::vector<std::unique_ptr<grpc::ServerBuilderPlugin>>* plugins) override {
    plugins->push_back(std::make_unique<Plugin>(guards_));
    plugins->push_back(MakeServiceListPlugin());
  }

 private:
  const grpc::ServerBuilder* builder_;
  std::shared_ptr<ServerGuards> guards_;
};

class GuardedGenericService final : public grpc::CallbackGenericService {
 public:
  explicit GuardedGenericService(grpc::CallbackGenericService* service) noexcept
      : service_(service) {}

  grpc::ServerGenericBidiReactor* CreateReactor(
      grpc::GenericCallbackServerContext* context) override {
    if (const grpc::Status* const rejected = Rejected(*context)) return new Rejection(*rejected);
    try {
      return service_->CreateReactor(context);
    } catch (...) {
      return new Failure(std::current_exception());
    }
  }

 private:
  class Rejection final : public grpc::ServerGenericBidiReactor {
   public:
    explicit Rejection(const grpc::Status& status) { Finish(status); }
    void OnDone() override { delete this; }
  };

  // A reactor that gRPC does not know yet cannot say what was thrown: its status waits in it.
  class Failure final : public grpc::ServerGenericBidiReactor {
   public:
    explicit Failure(std::exception_ptr thrown) noexcept : thrown_(std::move(thrown)) {
      StartSendInitialMetadata();
    }
    void OnSendInitialMetadataDone(bool /*ok*/) override {
      FinishWith(std::move(thrown_), [this](const grpc::Status& status) { Finish(status); });
    }
    void OnDone() override { delete this; }

   private:
    std::exception_ptr thrown_;
  };

  grpc::CallbackGenericService* service_;
};

}  // namespace

std::shared_ptr<ServerGuards> ServerGuards::Of(grpc::ServerBuilder& builder) {
  auto [guards, added] = Builders::Get().Find(&builder);
  if (added) builder.SetOption(std::make_unique<Mark>(&builder, guards));
  return guards;
}

bool ServerGuards::SetChain(std::weak_ptr<const Chain> chain) {
  if (chain_) return false;
  chain_ = std::move(chain);
  return true;
}

std::shared_ptr<const Chain> ServerGuards::chain() const noexcept {
  return chain_ ? chain_->lock() : nullptr;
}

grpc::CallbackGenericService* ServerGuards::Decorate(grpc::CallbackGenericService* service) {
  if (service == decorated_.get()) return service;
  generic_ = true;
  decorated_ = std::make_unique<GuardedGenericService>(service);
  return decorated_.get();
}

void ServerGuards::WatchQueueServices() {
  const std::shared_ptr<const Chain> seen_by = chain();
  if (seen_by == nullptr) return;
  for (const auto& [service, methods] : queue_services_) {
    if (std::ranges::any_of(methods, [&](const auto& name) { return seen_by->Sees(name); })) {
      watching_.push_back(WatchQueueService(*service));
    } else {
      // In case that a selector says otherwise when it is asked again.
      for (const std::string& name : methods) methods_.at(name).served_by = ServedBy::kUnknown;
    }
  }
}

void ServerGuards::WarnAtStart(const std::vector<std::string>& services) {
  for (const std::string& service : services) {
    if (!GuardsService(service)) unguarded_.insert(service);
  }
  const std::shared_ptr<const Chain> told = chain();
  if (told == nullptr || ThisThreadRejects()) return;
  for (const std::string& service : unguarded_) {
    const std::string by = told->RejectorOf(service);
    if (by.empty()) continue;
    warned_.insert(service);
    std::fprintf(stderr,
                 "weft: %s is not registered with weft::RegisterService: calls that \"%s\" rejects "
                 "are cancelled with its status, but their handlers run\n",
                 service.c_str(), by.c_str());
  }
}

bool ServerGuards::GuardsService(std::string_view service) const noexcept {
  const std::string prefix = std::string("/").append(service).append("/");
  const auto of_service = [&](const auto& entry) { return entry->first.starts_with(prefix); };
  auto method = methods_.lower_bound(prefix);
  if (method == methods_.end() || !of_service(method)) return false;
  while (method != methods_.end() && of_service(method) && method->second.guarded) ++method;
  return method == methods_.end() || !of_service(method);
}

bool ServerGuards::Guards(std::string_view full_method, std::string_view service) const noexcept {
  const auto method = methods_.find(full_method);
  if (method != methods_.end()) return method->second.guarded;
  return generic_ && !unguarded_.contains(service);
}

void ServerGuards::WarnOf(std::string_view service) noexcept {
  // Whatever else a peer may name is one more: a generic service's.
  const std::string name(unguarded_.contains(service) ? service : "a generic service");
  const std::lock_guard lock(mutex_);
  if (!warned_.insert(name).second) return;
  std::fprintf(stderr,
               "weft: a call of %s was rejected and cancelled, but its handler ran: register it "
               "with weft::RegisterService or weft::Register...GenericService\n",
               name.c_str());
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
