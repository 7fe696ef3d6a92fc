// SPDX-License-Identifier: Apache-2.0
#include "run_batch_writer.h"

#include <array>
#include <bit>
#include <cstring>
#include <string_view>
#include <utility>

#include "utf8.h"

namespace weft {
inline namespace v0 {
namespace internal {
namespace {

// Field numbers of proto/weft/collector/v1/collector.proto.
enum RequestField : std::uint32_t { kBatchId = 1, kBatch = 2, kZstdBatch = 3 };
enum BatchField : std::uint32_t { kOperations = 1 };
enum OperationField : std::uint32_t {
  kKind = 1,
  kRunId = 2,
  kTraceId = 3,
  kRun = 4,
  kInputs = 5,
  kOutputs = 6,
  kEvents = 7,
  kExtra = 8,
  kError = 9,
  kAttachments = 11,
  kKeep = 12
};
enum AttachmentField : std::uint32_t { kName = 1, kMimeType = 2, kContent = 3 };
enum Kind : std::uint8_t { kPost = 1, kPatch = 2 };

std::size_t VarintSize(std::uint64_t value) noexcept {
  return (static_cast<std::size_t>(std::bit_width(value | 1)) + 6) / 7;
}

// All field numbers here are below 16: a tag is one byte.
std::size_t SizeOf(std::size_t length) noexcept { return 1 + VarintSize(length) + length; }

// Each writes at `at`, where there is room, and returns the end.

char* PutVarint(char* at, std::uint64_t value) noexcept {
  for (; value >= 0x80; value >>= 7) *at++ = static_cast<char>(value | 0x80);
  *at++ = static_cast<char>(value);
  return at;
}

char* PutNumber(char* at, std::uint32_t field, std::uint64_t value) noexcept {
  *at++ = static_cast<char>(field << 3);
  return PutVarint(at, value);
}

char* PutHead(char* at, std::uint32_t field, std::size_t length) noexcept {
  *at++ = static_cast<char>(field << 3 | 2);
  return PutVarint(at, length);
}

char* Put(char* at, std::uint32_t field, std::string_view bytes) noexcept {
  at = PutHead(at, field, bytes.size());
  std::memcpy(at, bytes.data(), bytes.size());
  return at + bytes.size();
}

std::string_view BytesOf(const RunId& id) noexcept {
  return {reinterpret_cast<const char*>(id.bytes.data()), id.bytes.size()};
}

std::string EncodeAttachment(const RunAttachment& attachment) {
  // A `string` field that is no UTF-8 would make the whole batch unreadable.
  const std::string name = ToValidUtf8(attachment.name);
  const std::string mime_type = ToValidUtf8(attachment.mime_type);
  std::string bytes(
      SizeOf(name.size()) + SizeOf(mime_type.size()) + SizeOf(attachment.content.size()), '\0');
  char* at = Put(bytes.data(), kName, name);
  at = Put(at, kMimeType, mime_type);
  Put(at, kContent, attachment.content);
  return bytes;
}

}  // namespace

void RunBatchWriter::Append(const RunRecord& record) {
  json_.Write(record);
  struct Field {
    OperationField number;
    std::string_view bytes;
  };
  const RunId run_id = record.context.id();
  const RunId trace_id = record.context.trace_id();
  const Field fields[] = {{kRunId, BytesOf(run_id)},   {kTraceId, BytesOf(trace_id)},
                          {kRun, json_.run()},         {kInputs, json_.inputs()},
                          {kOutputs, json_.outputs()}, {kEvents, json_.events()},
                          {kExtra, json_.extra()},     {kError, json_.error()}};
  std::vector<std::string> attachments;
  std::size_t size = record.keep ? 4 : 2;  // The kind, and whether it is kept.
  for (const Field& field : fields) {
    if (!field.bytes.empty()) size += SizeOf(field.bytes.size());
  }
  for (const RunAttachment& attachment : record.attachments) {
    attachments.push_back(EncodeAttachment(attachment));
    size += SizeOf(attachments.back().size());
  }
  const std::size_t start = bytes_.size();
  bytes_.resize(start + SizeOf(size));
  char* at = PutHead(bytes_.data() + start, kOperations, size);
  at = PutNumber(at, kKind, record.operation == RunRecord::Operation::kPost ? kPost : kPatch);
  for (const Field& field : fields) {
    if (!field.bytes.empty()) at = Put(at, field.number, field.bytes);
  }
  for (const std::string& attachment : attachments) at = Put(at, kAttachments, attachment);
  if (record.keep) PutNumber(at, kKeep, 1);
  ++runs_;
}

std::string RunBatchWriter::Take() {
  runs_ = 0;
  std::string taken = std::exchange(bytes_, {});
  bytes_.reserve(taken.size());  // The next batch is like this one.
  return taken;
}

std::string RunBatchWriter::RequestHead(std::uint64_t batch_id, std::size_t batch_size,
                                        bool is_zstd) {
  std::array<char, 22> head;  // Two tags, two of the longest numbers.
  char* const end = PutHead(PutNumber(head.data(), kBatchId, batch_id),
                            is_zstd ? kZstdBatch : kBatch, batch_size);
  return std::string(head.data(), end);
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
