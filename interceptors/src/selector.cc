// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <utility>

#include <weft/interceptors/selector.h>

#include "stats.h"

namespace weft {
inline namespace v0 {
namespace {

// Goes back to the last star only, so the time is at most glob times text.
bool Matches(std::string_view glob, std::string_view text) noexcept {
  std::size_t g = 0;
  std::size_t t = 0;
  std::size_t star = glob.npos;
  std::size_t resume = 0;
  while (t < text.size()) {
    if (g < glob.size() && glob[g] == '*') {
      star = g++;
      resume = t;
    } else if (g < glob.size() && (glob[g] == '?' || glob[g] == text[t])) {
      ++g;
      ++t;
    } else if (star != glob.npos) {
      g = star + 1;
      t = ++resume;
    } else {
      return false;
    }
  }
  return glob.find_first_not_of('*', g) == glob.npos;
}

}  // namespace

Selector::Selector(std::string_view glob)
    : Selector(Matching([glob = std::string(glob)](std::string_view full_method) {
        return Matches(glob, full_method);
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
