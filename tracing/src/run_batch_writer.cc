// SPDX-License-Identifier: Apache-2.0
#include "run_batch_writer.h"

#include <array>
#include <string_view>
#include <utility>

#include "utf8.h"

namespace weft {
inline namespace v0 {
namespace internal {
namespace {

// Field numbers of proto/weft/collector/v1/collector.proto.
enum RequestField : std::uint32_t { kBatchId = 1, kBatch = 2 };
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
  kAttachments = 11
};
enum AttachmentField : std::uint32_t { kName = 1, kMimeType = 2, kContent = 3 };
enum Kind : std::uint8_t { kPost = 1, kPatch = 2 };

std::size_t VarintSize(std::uint64_t value) noexcept {
  std::size_t size = 1;
  while (value >= 0x80) {
    value >>= 7;
    ++size;
  }
  return size;
}

void PutVarint(std::string& out, std::uint64_t value) {
  while (value >= 0x80) {
    out += static_cast<char>(value | 0x80);
    value >>= 7;
  }
  out += static_cast<char>(value);
}

void PutNumber(std::string& out, std::uint32_t field, std::uint64_t value) {
  PutVarint(out, field << 3);
  PutVarint(out, value);
}

// All field numbers here are below 16: a tag is one byte.
std::size_t SizeOf(std::size_t length) noexcept { return 1 + VarintSize(length) + length; }

void PutHead(std::string& out, std::uint32_t field, std::size_t length) {
  std::array<char, 11> head;
  std::size_t size = 0;
  head[size++] = static_cast<char>(field << 3 | 2);
  for (; length >= 0x80; length >>= 7) head[size++] = static_cast<char>(length | 0x80);
  head[size++] = static_cast<char>(length);
  out.append(head.data(), size);
}

void Put(std::string& out, std::uint32_t field, std::string_view bytes) {
  PutHead(out, field, bytes.size());
  out += bytes;
}

std::string_view BytesOf(const RunId& id) noexcept {
  return {reinterpret_cast<const char*>(id.bytes.data()), id.bytes.size()};
}

std::string EncodeAttachment(const RunAttachment& attachment) {
  std::string bytes;
  // A `string` field that is no UTF-8 would make the whole batch unreadable.
  Put(bytes, kName, ToValidUtf8(attachment.name));
  Put(bytes, kMimeType, ToValidUtf8(attachment.mime_type));
  Put(bytes, kContent, attachment.content);
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
  std::size_t size = 2;  // The kind.
  for (const Field& field : fields) {
    if (!field.bytes.empty()) size += SizeOf(field.bytes.size());
  }
  for (const RunAttachment& attachment : record.attachments) {
    attachments.push_back(EncodeAttachment(attachment));
    size += SizeOf(attachments.back().size());
  }
  PutHead(bytes_, kOperations, size);
  PutNumber(bytes_, kKind, record.operation == RunRecord::Operation::kPost ? kPost : kPatch);
  for (const Field& field : fields) {
    if (!field.bytes.empty()) Put(bytes_, field.number, field.bytes);
  }
  for (const std::string& attachment : attachments) Put(bytes_, kAttachments, attachment);
  ++runs_;
}

std::string RunBatchWriter::Take() {
  runs_ = 0;
  std::string taken = std::exchange(bytes_, {});
  bytes_.reserve(taken.size());  // The next batch is like this one.
  return taken;
}

std::string RunBatchWriter::RequestHead(std::uint64_t batch_id, std::size_t batch_size) {
  std::string head;
  PutNumber(head, kBatchId, batch_id);
  PutHead(head, kBatch, batch_size);
  return head;
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
