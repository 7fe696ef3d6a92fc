// SPDX-License-Identifier: Apache-2.0
#include "message_envelope.h"

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/unknown_field_set.h>
#include <grpcpp/support/slice.h>

namespace weft {
inline namespace v0 {
namespace internal {
namespace {

using google::protobuf::Message;
using google::protobuf::UnknownFieldSet;

constexpr std::size_t kLongest = 8192;

std::string Find(const UnknownFieldSet& fields) {
  for (int i = fields.field_count() - 1; i >= 0; --i) {
    const google::protobuf::UnknownField& field = fields.field(i);
    if (field.number() == kEnvelopeField &&
        field.type() == google::protobuf::UnknownField::TYPE_LENGTH_DELIMITED) {
      return field.length_delimited();
    }
  }
  return {};
}

std::string TakeFromObject(Message& message) {
  const google::protobuf::Reflection& reflection = *message.GetReflection();
  if (reflection.GetUnknownFields(message).empty()) return {};
  UnknownFieldSet& fields = *reflection.MutableUnknownFields(&message);
  std::string text = Find(fields);
  fields.DeleteByNumber(kEnvelopeField);
  return text;
}

// The envelope is all that follows the application's bytes: the end is looked at, no message is
// parsed. Its tag can begin at as many places as there are bytes in it.
std::string TakeFromBytes(grpc::ByteBuffer& bytes) {
  std::vector<grpc::Slice> slices;
  const std::size_t size = bytes.Length();
  if (!bytes.Dump(&slices).ok()) return {};
  const std::size_t looked_at = std::min(size, kLongest);
  std::string end;
  for (const grpc::Slice& slice : slices) {
    end.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
    if (end.size() > 2 * kLongest) end.erase(0, end.size() - kLongest);
  }
  end.erase(0, end.size() - looked_at);
  const std::string tag = EncodeTextField(kEnvelopeField, {}).substr(0, 5);
  const std::size_t at = end.rfind(tag);
  if (at == end.npos) return {};
  const auto* const start = reinterpret_cast<const std::uint8_t*>(end.data()) + at;
  google::protobuf::io::CodedInputStream in(start, static_cast<int>(end.size() - at));
  std::uint32_t length = 0;
  std::string text;
  in.ReadTag();
  if (!in.ReadVarint32(&length) || !in.ReadString(&text, static_cast<int>(length)) ||
      in.CurrentPosition() != static_cast<int>(end.size() - at)) {
    return {};
  }
  std::size_t kept = size - (end.size() - at);
  std::vector<grpc::Slice> rest;
  for (grpc::Slice& slice : slices) {
    const std::size_t part = std::min(slice.size(), kept);
    rest.push_back(slice.sub(0, part));
    kept -= part;
    if (kept == 0) break;
  }
  grpc::ByteBuffer without(rest.data(), rest.size());
  bytes.Swap(&without);
  return text;
}

}  // namespace

bool CanEnvelope(const google::protobuf::Descriptor& type) noexcept {
  return type.FindFieldByNumber(kEnvelopeField) == nullptr &&
         type.FindExtensionRangeContainingNumber(kEnvelopeField) == nullptr;
}

std::string EncodeTextField(int number, std::string_view text) {
  std::string wire;
  const auto put = [&wire](std::uint64_t value) {
    for (; value >= 0x80; value >>= 7) wire += static_cast<char>(value | 0x80);
    wire += static_cast<char>(value);
  };
  put(static_cast<std::uint64_t>(number) << 3 | 2);
  put(text.size());
  return wire.append(text);
}

// The application has not seen the message yet, so nobody else looks at it now.
std::string TakeEnvelope(const MessageContent& received) {
  if (const Message* object = received.object()) {
    return TakeFromObject(const_cast<Message&>(*object));
  }
  if (const grpc::ByteBuffer* bytes = received.bytes()) {
    return TakeFromBytes(const_cast<grpc::ByteBuffer&>(*bytes));
  }
  return {};
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
