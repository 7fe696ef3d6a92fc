// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

#include <grpcpp/support/byte_buffer.h>

#include <weft/context/context.h>
#include <weft/interceptors/selector.h>

namespace google::protobuf {
class Message;
}

namespace weft {
inline namespace v0 {

/// Gives every message of a stream a run of its own on both sides: the sender's, and below it the
/// receiver's, which lasts until the next message is read.
///
///     {.tracer = tracer, .tracing = {.per_message = weft::PerMessage{.selector = "/chat.Room/*"}}}
///
///     while (stream->Read(&question)) {          // in a handler
///       weft::ContextScope scope(weft::MessageContext());
///       Answer(question);                        // its runs and calls are the message's children
///     }
///
/// A message is sent below the run that its sender works in, else below the stream's. It carries
/// its run in a string field of its own: the one with the option `(weft.trace_field) = true`
/// (weft/trace_field.proto), or `field`. What the application wrote there is taken for the parent
/// and replaced. Between two weft peers messages need no such field (`envelope`). Messages without
/// either, and those over 1 MiB, are children of the stream's run. A message of another trace is so
/// too, with a link to its sender
/// (`weft_links`), and so is the stream: that is how streams fan work in.
///
/// Cost: a run per message and side, and the hooks of a stream.
struct PerMessage {
  std::optional<Selector> selector{};  ///< Methods whose streams it is for; absent: all.
  /// The name of the field in messages that have none with the option.
  std::string field{};
  /// Messages of generated code that have neither carry their run in an envelope: a field of the
  /// highest number, which the other side takes out before its application sees the message. Only
  /// to peers that say in their metadata (`weft-messages`) that they do so.
  bool envelope = true;
};

/// The current context with the run of the message that was last received on the stream that is
/// being handled: ask between a read and the next one. Where nothing is received message by
/// message, the current context itself.
///
/// Inside of a handler, or below the context of its call (`ContextOf`), with all server interfaces.
Context MessageContext() noexcept;

/// The same for the message that was received into `message`, on either side: with clients, and
/// where the call's context is not current. Ask before it is read into again.
Context MessageContext(const google::protobuf::Message& message) noexcept;
Context MessageContext(const grpc::ByteBuffer& message) noexcept;

}  // namespace v0
}  // namespace weft
