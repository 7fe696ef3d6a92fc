// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <weft/interceptors/middleware.h>

namespace google::protobuf {
class Descriptor;
}

namespace weft {
inline namespace v0 {

/// What is wrong with a message.
struct Violation {
  std::string field;  ///< Its path, such as `items[2].count`.
  std::string description;
};

/// What messages of one type must be like; see CheckMessage.
struct MessageCheck {
  const google::protobuf::Descriptor* type = nullptr;
  std::function<std::vector<Violation>(const google::protobuf::Message&)> check{};
};

/// A check for messages of the generated class M. `check` takes a `const M&` and returns the
/// violations, none for a good message. It runs on gRPC's threads, several at once: it must not
/// block.
template <typename M, typename F>
MessageCheck CheckMessage(F check) {
  return {.type = M::descriptor(),
          .check = [check = std::move(check)](const google::protobuf::Message& message) {
            return std::vector<Violation>(check(static_cast<const M&>(message)));
          }};
}

/// On a server: rejects messages that the application does not want, with INVALID_ARGUMENT.
///
///     auto add = weft::CheckMessage<shop::AddRequest>([](const shop::AddRequest& request) {
///       std::vector<weft::Violation> violations;
///       if (request.count() <= 0) violations.push_back({"count", "must be positive"});
///       return violations;
///     });
///     builder.RegisterService(&cart);
///     weft::InterceptServer(builder,
///                           {.tracer = tracer, .middlewares = {weft::Validation({add})}});
///
/// The message of the status is `count: must be positive; ...` (1 KiB at most); its details are a
/// `google.rpc.Status` with a `google.rpc.BadRequest`, which the clients of other languages read.
///
/// A single request is rejected before the handler runs (see InterceptServer).
/// A message of a stream ends the call, without details; its handler may still read it, but nobody
/// gets its replies.
///
/// Errors: fails closed: a check that throws rejects with INTERNAL, and is counted as a hook
///   failure.
/// Cost: nothing for methods whose requests nothing checks.
std::shared_ptr<Middleware> Validation(std::vector<MessageCheck> checks);

}  // namespace v0
}  // namespace weft
