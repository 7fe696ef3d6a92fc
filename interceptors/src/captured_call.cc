// SPDX-License-Identifier: Apache-2.0
#include "captured_call.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include <grpcpp/support/slice.h>

#include "message_content.h"
#include "message_json.h"
#include "stats.h"

namespace weft {
inline namespace v0 {
namespace internal {
namespace {

using Direction = MessageView::Direction;

// Up to here bytes are copied: what gRPC received may be a small part of a large block of memory.
constexpr std::size_t kMostCopied = 4096;

bool IsSecret(std::string_view header) {
  constexpr std::array<std::string_view, 8> kWords = {
      "authorization", "cookie", "key", "token", "secret", "password", "credential", "session"};
  return std::any_of(kWords.begin(), kWords.end(),
                     [&](std::string_view word) { return header.find(word) != header.npos; });
}

std::string Flatten(const grpc::ByteBuffer& bytes) {
  std::vector<grpc::Slice> slices;
  std::string flat;
  if (!bytes.Valid() || !bytes.Dump(&slices).ok()) return flat;
  flat.reserve(bytes.Length());
  for (const grpc::Slice& slice : slices) {
    flat.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  }
  return flat;
}

// The first `size` bytes in memory of their own.
grpc::ByteBuffer CopyStart(const grpc::ByteBuffer& bytes, std::size_t size) {
  std::vector<grpc::Slice> slices;
  if (!bytes.Dump(&slices).ok()) return {};
  grpc::Slice copy(size);
  auto* at = const_cast<std::uint8_t*>(copy.begin());
  for (const grpc::Slice& slice : slices) {
    const std::size_t part = std::min(slice.size(), size);
    at = std::copy_n(slice.begin(), part, at);
    size -= part;
  }
  return {&copy, 1};
}

std::string_view TypeName(Direction direction) {
  return direction == Direction::kSent ? "SENT" : "RECEIVED";
}

JsonObject AsObject(Json value) {
  if (auto* const object = value.if_object()) return std::move(*object);
  return {{"value", std::move(value)}};
}

}  // namespace

bool Captures(const Capture& capture, const MethodDescription& method) noexcept {
  return capture.messages && (!capture.selector || capture.selector->Selects(method.full_method));
}

std::shared_ptr<const MethodCapture> MethodCapture::Of(const Capture& capture,
                                                       const MethodDescription& method) {
  if (!Captures(capture, method)) return nullptr;
  auto made = std::make_shared<MethodCapture>();
  made->max_bytes_ = capture.max_bytes;
  made->max_messages_ = capture.max_messages;
  made->attach_bytes_ = capture.attach_bytes;
  made->descriptors_ = capture.descriptors;
  const google::protobuf::MethodDescriptor* found = FindGeneratedMethod(method);
  if (found == nullptr && capture.descriptors != nullptr) {
    found = capture.descriptors->FindMethodByName(std::string(method.service) + "." +
                                                  std::string(method.method));
  }
  for (const Direction direction : {Direction::kSent, Direction::kReceived}) {
    Way& way = made->ways_[static_cast<std::size_t>(direction)];
    way.is_request = (method.side == CallSide::kClient) == (direction == Direction::kSent);
    if (found == nullptr) {
      way.is_stream =
          method.kind == RpcKind::kBidiStream ||
          method.kind == (way.is_request ? RpcKind::kClientStream : RpcKind::kServerStream);
      continue;
    }
    way.is_stream = way.is_request ? found->client_streaming() : found->server_streaming();
    way.prototype = made->PrototypeOf(way.is_request ? found->input_type() : found->output_type());
  }
  return made;
}

const google::protobuf::Message* MethodCapture::PrototypeOf(
    const google::protobuf::Descriptor* type) {
  const bool generated = type->file()->pool() == google::protobuf::DescriptorPool::generated_pool();
  const auto* const prototype =
      generated ? google::protobuf::MessageFactory::generated_factory()->GetPrototype(type)
                : nullptr;
  return prototype != nullptr ? prototype : dynamic_.GetPrototype(type);
}

void CapturedCall::Add(const MessageView& message,
                       std::chrono::system_clock::time_point time) noexcept try {
  const std::lock_guard lock(mutex_);
  Keep(kept_[static_cast<std::size_t>(message.direction)],
       method_->way(message.direction).is_stream, message, time);
} catch (...) {
  CountHookFailure();
}

CapturedCall::Message CapturedCall::Take(const MessageView& view, std::size_t room) {
  Message message;
  message.index = view.index;
  if (!view.Serialize(&message.bytes)) {
    message.unknown = true;
    return message;
  }
  message.size = message.bytes.Length();
  message.kept = std::min(message.size, room);
  if (message.kept < message.size || message.size <= kMostCopied) {
    message.bytes = CopyStart(message.bytes, message.kept);
  }
  return message;
}

void CapturedCall::Keep(Kept& kept, bool is_stream, const MessageView& view,
                        std::chrono::system_clock::time_point time) {
  const std::size_t max_bytes = method_->max_bytes();
  kept.seen = view.index + 1;
  if (!is_stream) {
    if (!kept.first.empty()) return;
    kept.first.push_back(Take(view, max_bytes));
    kept.first.back().time = time;
    return;
  }
  const std::size_t first_room = max_bytes - max_bytes / 2;
  const std::size_t first_count = method_->max_messages() - method_->max_messages() / 2;
  if (kept.first.size() >= first_count || kept.first_bytes >= first_room) kept.first_is_full = true;
  Message message = Take(view, kept.first_is_full ? max_bytes / 2 : first_room - kept.first_bytes);
  message.time = time;
  if (!kept.first_is_full) {
    kept.first_bytes += message.kept;
    kept.first.push_back(std::move(message));
    return;
  }
  kept.last_bytes += message.kept;
  kept.last.push_back(std::move(message));
  while (kept.last.size() > method_->max_messages() / 2 || kept.last_bytes > max_bytes / 2) {
    Omit(kept, kept.last.front());
    kept.last_bytes -= kept.last.front().kept;
    kept.last.pop_front();
  }
}

void CapturedCall::Omit(Kept& kept, const Message& message) const noexcept {
  ++kept.omitted;
  kept.omitted_bytes += message.size;
  kept.omitted_until = message.time;
}

void CapturedCall::SendsOpen() const noexcept {
  const std::lock_guard lock(mutex_);
  for (const Kept& kept : kept_) kept.sent_open = kept.seen;
}

std::size_t CapturedCall::size() const noexcept {
  const std::lock_guard lock(mutex_);
  std::size_t size = sizeof(*this);
  for (const Kept& kept : kept_) {
    size += kept.last_bytes + kept.last.size() * sizeof(Message);
    for (const Message& message : kept.first) size += message.kept + sizeof(Message);
  }
  return size;
}

void CapturedCall::RenderInto(RunRecord& record, Hidden hidden) const {
  // Hooks of a call that goes on must not wait for its JSON.
  std::array<Kept, 2> all;
  {
    const std::lock_guard lock(mutex_);
    all = kept_;
  }
  const std::size_t own_events = record.events.size();
  for (const Direction direction : {Direction::kSent, Direction::kReceived}) {
    const MethodCapture::Way& way = method_->way(direction);
    if (way.is_request ? hidden.inputs : hidden.outputs) continue;
    const Kept& kept = all[static_cast<std::size_t>(direction)];
    if (way.is_stream) {
      RenderStream(kept, direction, record);
    } else if (!kept.first.empty()) {
      RenderSingle(kept, direction, record);
    }
  }
  if (record.events.size() == own_events) return;
  std::stable_sort(record.events.begin(), record.events.end(),
                   [](const RunEvent& a, const RunEvent& b) { return a.time < b.time; });
}

void CapturedCall::RenderSingle(const Kept& kept, Direction direction, RunRecord& record) const {
  JsonObject fields = AsObject(ToJson(kept.first.front(), direction, kept, record));
  if (method_->way(direction).is_request) {
    if (record.inputs.empty()) record.inputs = std::move(fields);
  } else if (!record.outputs) {
    record.outputs = std::move(fields);
  }
}

void CapturedCall::RenderStream(const Kept& kept, Direction direction, RunRecord& record) const {
  const std::string_view type = TypeName(direction);
  const auto add = [&](const Message& message) {
    record.events.push_back(
        {.name = "message",
         .time = message.time,
         .kwargs = {{"type", boost::json::string_view(type.data(), type.size())},
                    {"id", message.index + 1},
                    {"bytes", message.size},
                    {"message", ToJson(message, direction, kept, record)}}});
  };
  std::for_each(kept.first.begin(), kept.first.end(), add);
  if (kept.omitted > 0) {
    record.events.push_back(
        {.name = "messages_omitted",
         .time = kept.omitted_until,
         .kwargs = {{"type", boost::json::string_view(type.data(), type.size())},
                    {"count", kept.omitted},
                    {"bytes", kept.omitted_bytes}}});
  }
  std::for_each(kept.last.begin(), kept.last.end(), add);
}

Json CapturedCall::ToJson(const Message& message, Direction direction, const Kept& kept,
                          RunRecord& record) const {
  // What came between the two goes with the end, so that the open run says the same to all
  // exporters.
  const bool whole = record.end && record.operation == RunRecord::Operation::kPost;
  const bool went_open = message.index < kept.sent_open;
  if (whole || went_open != record.end.has_value()) {
    return ToJson(message, direction, record.attachments);
  }
  std::vector<RunAttachment> elsewhere;
  return ToJson(message, direction, elsewhere);
}

Json CapturedCall::ToJson(const Message& message, Direction direction,
                          std::vector<RunAttachment>& attachments) const {
  const MethodCapture::Way& way = method_->way(direction);
  if (message.unknown) return JsonObject{{"weft_unknown_message", true}};
  if (way.prototype == nullptr)
    return JsonObject{{"weft_unknown_message", true}, {"bytes", message.size}};
  const bool cut = message.kept < message.size;
  std::string wire = Flatten(message.bytes);
  if (cut) wire = CompleteMessage(wire, *way.prototype->GetDescriptor());
  const std::unique_ptr<google::protobuf::Message> parsed(way.prototype->New());
  if (!parsed->ParsePartialFromString(wire)) {
    return JsonObject{{"weft_malformed_message", parsed->GetTypeName()}, {"bytes", message.size}};
  }
  std::string prefix = way.is_request ? "request" : "reply";
  if (way.is_stream) prefix += "_" + std::to_string(message.index + 1);
  Json json = MessageToJson(*parsed, method_->attach_bytes(), prefix, attachments);
  if (!cut) return json;
  JsonObject fields = AsObject(std::move(json));
  fields["weft_truncated"] = JsonObject{{"bytes", message.size}};
  return fields;
}

std::vector<std::string> WithoutSecrets(std::vector<std::string> headers) {
  std::erase_if(headers, [](const std::string& header) {
    return IsSecret(header) || header.ends_with("-bin");
  });
  return headers;
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
