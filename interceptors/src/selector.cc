// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <utility>

#include <weft/interceptors/selector.h>
#include <weft/tracing/internal/glob.h>

#include "stats.h"

namespace weft {
inline namespace v0 {
Selector::Selector(std::string_view glob)
    : Selector(Matching([glob = std::string(glob)](std::string_view full_method) {
        return internal::MatchesGlob(glob, full_method);
      })) {}

Selector Selector::Matching(Predicate predicate) {
  Selector selector;
  selector.predicate_ = std::make_shared<const Predicate>(std::move(predicate));
  return selector;
}

bool Selector::Selects(std::string_view full_method) const noexcept try {
  return predicate_ == nullptr || (*predicate_)(full_method);
} catch (...) {
  internal::CountHookFailure();
  return false;
}

Selector Not(Selector selector) {
  return Selector::Matching([selector = std::move(selector)](std::string_view full_method) {
    return !selector.Selects(full_method);
  });
}

Selector AnyOf(std::vector<Selector> selectors) {
  return Selector::Matching([selectors = std::move(selectors)](std::string_view full_method) {
    return std::ranges::any_of(
        selectors, [&](const Selector& selector) { return selector.Selects(full_method); });
  });
}

Selector Health() { return "/grpc.health.v1.Health/*"; }
Selector Reflection() { return "/grpc.reflection.*"; }
Selector WeftItself() { return "/weft.collector.*"; }
Selector ApplicationCalls() { return Not(AnyOf({Health(), Reflection(), WeftItself()})); }

}  // namespace v0
}  // namespace weft
