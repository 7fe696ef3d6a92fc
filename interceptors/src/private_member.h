// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace weft {
inline namespace v0 {
namespace internal {

/// Names a private member of a class of gRPC's that has no other way to it. An explicit
/// instantiation may do that, so it compiles as long as the member is there and has that type, and
/// not otherwise. Tags are in this namespace.
///
///     struct MethodsTag {
///       friend constexpr auto Get(MethodsTag);
///     };
///     template struct PrivateMember<&grpc::Service::methods_, MethodsTag>;
///     service.*Get(MethodsTag())
template <auto kMember, typename Tag>
struct PrivateMember {
  friend constexpr auto Get(Tag) { return kMember; }
};

}  // namespace internal
}  // namespace v0
}  // namespace weft
