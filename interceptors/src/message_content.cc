// SPDX-License-Identifier: Apache-2.0
#include "message_content.h"

#include <atomic>
#include <cstdint>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include <grpcpp/support/proto_buffer_reader.h>
#include <grpcpp/support/slice.h>

#include "stats.h"

namespace weft {
inline namespace v0 {
namespace internal {
namespace {

using google::protobuf::Message;

constexpr int kMostUnknownMethods = 4096;

const Message* PrototypeOf(const google::protobuf::Descriptor* type) noexcept {
  return google::protobuf::MessageFactory::generated_factory()->GetPrototype(type);
}

}  // namespace

const google::protobuf::MethodDescriptor* FindGeneratedMethod(const MethodDescription& method) {
  static std::atomic<int> unknown{0};
  if (method.service.empty() || unknown.load(std::memory_order_relaxed) >= kMostUnknownMethods) {
    return nullptr;
  }
  const auto* service = google::protobuf::DescriptorPool::generated_pool()->FindServiceByName(
      std::string(method.service));
  if (service == nullptr) unknown.fetch_add(1, std::memory_order_relaxed);
  return service == nullptr ? nullptr : service->FindMethodByName(std::string(method.method));
}

std::shared_ptr<const MethodMessages> MethodMessages::Of(const MethodDescription& method,
                                                         bool are_bytes) {
  auto messages = std::make_shared<MethodMessages>();
  messages->are_bytes = are_bytes;
  messages->method = FindGeneratedMethod(method);
  if (messages->method != nullptr) {
    messages->request = PrototypeOf(messages->method->input_type());
    messages->reply = PrototypeOf(messages->method->output_type());
  }
  return messages;
}

const Message* MethodMessages::Prototype(CallSide side,
                                         MessageView::Direction direction) const noexcept {
  const bool is_request =
      (side == CallSide::kClient) == (direction == MessageView::Direction::kSent);
  return is_request ? request : reply;
}

// gRPC hands out a `void*` to the generated class or to a grpc::ByteBuffer. Generated classes are
// final and have no other base, so the object is one exactly if it begins with the same pointer to
// virtual functions as the default instance; a ByteBuffer begins with a pointer to the heap.
const Message* MessageContent::object() const noexcept {
  const void* const object = prototype_ != nullptr ? Object() : nullptr;
  if (object == nullptr) return nullptr;
  if (std::memcmp(object, static_cast<const void*>(prototype_), sizeof(void*)) != 0) return nullptr;
  return static_cast<const Message*>(object);
}

const grpc::ByteBuffer* MessageContent::bytes() const noexcept {
  const void* const given = Object();
  // Without an object the bytes are there: asking for them does not make gRPC serialize.
  if (batch_ != nullptr && given == nullptr) return batch_->GetSerializedSendMessage();
  if (!is_bytes_ || object() != nullptr) return nullptr;
  return static_cast<const grpc::ByteBuffer*>(given);
}

std::optional<std::size_t> MessageContent::size() noexcept {
  if (const Message* given = object()) return given->ByteSizeLong();
  if (const grpc::ByteBuffer* given = bytes()) return given->Length();
  return std::nullopt;
}

const Message* MessageContent::message() noexcept try {
  if (parsed_ != nullptr) return parsed_.get();
  if (const Message* given = object()) return given;
  const grpc::ByteBuffer* const given = bytes();
  if (given == nullptr || prototype_ == nullptr) return nullptr;
  std::unique_ptr<Message> parsed(prototype_->New());
  grpc::ByteBuffer copy(*given);  // The reader takes what it reads.
  grpc::ProtoBufferReader reader(&copy);
  if (!reader.status().ok() || !parsed->ParsePartialFromZeroCopyStream(&reader)) return nullptr;
  parsed_ = std::move(parsed);
  return parsed_.get();
} catch (...) {
  CountHookFailure();
  return nullptr;
}

bool MessageContent::Serialize(grpc::ByteBuffer* out) noexcept try {
  if (const grpc::ByteBuffer* given = bytes()) {
    *out = *given;
    return true;
  }
  // Not by GetSerializedSendMessage: gRPC would no longer say whether the message went out.
  const Message* const given = object();
  if (given == nullptr) return false;
  const grpc::Slice slice(given->ByteSizeLong());
  given->SerializeWithCachedSizesToArray(const_cast<std::uint8_t*>(slice.begin()));
  *out = grpc::ByteBuffer(&slice, 1);
  return true;
} catch (...) {
  CountHookFailure();
  return false;
}

bool MessageContent::Append(std::string_view wire) noexcept try {
  if (batch_ == nullptr || prototype_ == nullptr) return false;
  if (object() == nullptr && bytes() == nullptr) return false;
  grpc::ByteBuffer* const sent = batch_->GetSerializedSendMessage();
  std::vector<grpc::Slice> slices;
  if (!sent->Dump(&slices).ok()) return false;
  slices.emplace_back(wire.data(), wire.size());
  grpc::ByteBuffer longer(slices.data(), slices.size());
  sent->Swap(&longer);
  parsed_.reset();
  return true;
} catch (...) {
  CountHookFailure();
  return false;
}

}  // namespace internal

std::optional<std::size_t> MessageView::size() const noexcept {
  return content == nullptr ? std::nullopt : content->size();
}

const google::protobuf::Message* MessageView::message() const noexcept {
  return content == nullptr ? nullptr : content->message();
}

bool MessageView::Serialize(grpc::ByteBuffer* bytes) const noexcept {
  return content != nullptr && content->Serialize(bytes);
}

}  // namespace v0
}  // namespace weft
