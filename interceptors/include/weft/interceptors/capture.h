// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <weft/interceptors/selector.h>

namespace google::protobuf {
class DescriptorPool;
}

namespace weft {
inline namespace v0 {

/// What the runs of calls show of their messages and headers. Nothing by default: messages hold
/// what users said. TracerOptions::redaction applies to all of it.
///
///     weft::InterceptServer(builder, {.tracer = tracer, .tracing = {.capture = {.messages =
///     true}}});
///
/// A request becomes the inputs of its run, a reply the outputs. Messages of a stream become events
/// `message` with `type` (`SENT`, `RECEIVED`), `id` (from 1), `bytes` and `message`; what is left
/// out in the middle, an event `messages_omitted` with the count and the bytes.
///
/// Cost: on the calling thread a message is serialized, or its bytes are referenced where gRPC has
/// them. JSON is made on the exporter's thread.
struct Capture {
  bool messages = false;
  /// Methods whose messages are captured; absent: all.
  std::optional<Selector> selector{};
  /// Kept of a call, each way. What is larger is cut: the run shows its beginning and
  /// `weft_truncated` with the size.
  std::size_t max_bytes = 64 * 1024;
  /// Of a stream, each way: the first half of them, and the last.
  std::size_t max_messages = 32;
  /// Fields of type `bytes` that are longer become attachments of the run.
  std::size_t attach_bytes = 1024;
  /// Where methods are looked up that have no generated code in this program; those of generic
  /// services, for instance. The bytes of unknown messages are only counted.
  std::shared_ptr<const google::protobuf::DescriptorPool> descriptors{};
  /// Request headers, in lower case, that become metadata `rpc.grpc.request.metadata.<name>`. Those
  /// that carry credentials are left out all the same: `authorization`, cookies, and what has
  /// `key`, `token`, `secret`, `password`, `credential` or `session` in its name. So are binary
  /// ones.
  std::vector<std::string> headers{};
};

}  // namespace v0
}  // namespace weft
