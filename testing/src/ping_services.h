// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include <weft/testing/ping_server.h>

#include "ping_callback_services.h"
#include "ping_cq_services.h"
#include "ping_fiber_service.h"
#include "ping_sync_service.h"

namespace weft {
inline namespace v0 {
namespace testing {
namespace internal {

template <typename Rpc>
std::unique_ptr<PingService> MakePingService(ServerFlavour flavour, PingProgress& progress,
                                             int workers) {
  switch (flavour) {
    case ServerFlavour::kSync:
      return std::make_unique<SyncPing<Rpc>>(progress);
    case ServerFlavour::kCallback:
      return std::make_unique<CallbackPing<Rpc>>(progress);
    case ServerFlavour::kCq:
      return std::make_unique<CqPing<Rpc>>(progress, workers);
    case ServerFlavour::kGenericCq:
      return std::make_unique<GenericCqPing<Rpc>>(progress, workers);
    case ServerFlavour::kGenericCallback:
      return std::make_unique<GenericCallbackPing<Rpc>>(progress);
    case ServerFlavour::kFiber:
      return std::make_unique<FiberPing<Rpc>>(progress, workers);
  }
  return nullptr;
}

}  // namespace internal
}  // namespace testing
}  // namespace v0
}  // namespace weft
