// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace weft {
inline namespace v0 {

/// Says which methods something applies to.
///
///     weft::Selector("/shop.Cart/*")
///     weft::Not(weft::AnyOf({weft::Health(), weft::Selector("/*.Admin/*")}))
///
/// The default selector takes every method. A chain asks once per method and remembers the answer.
///
/// Threads: any; immutable.
class Selector {
 public:
  using Predicate = std::function<bool(std::string_view full_method)>;

  Selector() noexcept = default;

  /// A glob on `/package.Service/Method`: `*` stands for any characters, `?` for one.
  Selector(std::string_view glob);  // NOLINT(google-explicit-constructor): reads as a value.
  Selector(const char* glob) : Selector(std::string_view(glob)) {}  // NOLINT

  /// Whatever `predicate` says. It must not change its answers. Errors: one that throws selects
  /// nothing, and is counted as a hook failure.
  static Selector Matching(Predicate predicate);

  bool Selects(std::string_view full_method) const noexcept;

 private:
  std::shared_ptr<const Predicate> predicate_;  // Null: everything.
};

Selector Not(Selector selector);
Selector AnyOf(std::vector<Selector> selectors);

/// `grpc.health.v1.Health`.
Selector Health();
/// gRPC's server reflection, in all versions.
Selector Reflection();
/// Calls to weft's own collector. Tracing them would make runs about sending runs.
Selector WeftItself();

/// Everything but Health, Reflection and WeftItself.
Selector ApplicationCalls();

}  // namespace v0
}  // namespace weft
