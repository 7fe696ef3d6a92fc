// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string_view>

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/interceptor.h>

#include <weft/interceptors/middleware.h>

namespace weft {
inline namespace v0 {
namespace internal {

/// What is known of the messages of a method; made once, if a middleware wants messages.
struct MethodMessages {
  const google::protobuf::MethodDescriptor* method = nullptr;  ///< Null: no generated code has it.
  // Default instances of the generated classes; null: none.
  const google::protobuf::Message* request = nullptr;
  const google::protobuf::Message* reply = nullptr;
  bool are_bytes = false;  ///< grpc::ByteBuffer objects in the application.

  /// Of the message that goes in `direction` on `side`.
  const google::protobuf::Message* Prototype(CallSide side,
                                             MessageView::Direction direction) const noexcept;
  static std::shared_ptr<const MethodMessages> Of(const MethodDescription& method, bool are_bytes);
};

/// The method in the generated pool, or null. Peers invent names, and protobuf remembers each that
/// it did not find: after some thousand of those nothing is looked up any more.
const google::protobuf::MethodDescriptor* FindGeneratedMethod(const MethodDescription& method);

/// The message of a hook, in whatever form gRPC has it: an object of a class that it does not name,
/// or bytes. Nothing is done before somebody asks.
class MessageContent {
 public:
  using Batch = grpc::experimental::InterceptorBatchMethods;

  /// A message that `batch` sends. `is_bytes`: gRPC was given a grpc::ByteBuffer, unless the object
  /// is of the prototype's class.
  MessageContent(Batch& batch, bool is_bytes, const google::protobuf::Message* prototype) noexcept
      : batch_(&batch), is_bytes_(is_bytes), prototype_(prototype) {}

  /// One that was received as `object`.
  MessageContent(void* object, bool is_bytes, const google::protobuf::Message* prototype) noexcept
      : received_(object), is_bytes_(is_bytes), prototype_(prototype) {}

  MessageContent(const MessageContent&) = delete;
  MessageContent& operator=(const MessageContent&) = delete;

  std::optional<std::size_t> size() noexcept;
  const google::protobuf::Message* message() noexcept;
  bool Serialize(grpc::ByteBuffer* bytes) noexcept;

  /// The object that gRPC works on; null: it is of no generated class.
  const google::protobuf::Message* object() const noexcept;
  /// Where the application finds what it receives; null: it is sent.
  const void* received() const noexcept { return received_; }
  /// What gRPC has as bytes; null: nothing.
  const grpc::ByteBuffer* bytes() const noexcept;

  /// Puts the fields of `wire`, in protobuf's format, behind those of a message that is about to be
  /// sent; gRPC does not say afterwards (POST_SEND_MESSAGE) whether it went out. False: it is none,
  /// or nobody knows what its bytes mean.
  bool Append(std::string_view wire) noexcept;

 private:
  const void* Object() const noexcept {
    return batch_ != nullptr ? batch_->GetSendMessage() : received_;
  }

  Batch* batch_ = nullptr;  // Of a sent message.
  void* received_ = nullptr;
  bool is_bytes_;
  const google::protobuf::Message* prototype_;
  std::unique_ptr<google::protobuf::Message> parsed_;
};

}  // namespace internal
}  // namespace v0
}  // namespace weft
