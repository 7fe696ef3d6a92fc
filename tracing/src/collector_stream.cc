// SPDX-License-Identifier: Apache-2.0
#include "collector_stream.h"

#include <utility>

#include <grpcpp/support/proto_buffer_reader.h>

#include <weft/tracing/internal/form_data.h>

#include "run_batch_writer.h"

namespace weft {
inline namespace v0 {
namespace internal {
namespace {

void* ToPointer(CollectorStream::Tag tag) { return reinterpret_cast<void*>(tag); }

}  // namespace

CollectorStream::CollectorStream(std::shared_ptr<grpc::Channel> channel,
                                 grpc::CompletionQueue* queue, std::string api_key, bool compress)
    : stub_(std::move(channel)), queue_(queue), api_key_(std::move(api_key)), compress_(compress) {}

void CollectorStream::Open() {
  context_ = std::make_unique<grpc::ClientContext>();
  context_->set_wait_for_ready(true);
  if (!api_key_.empty()) context_->AddMetadata("x-api-key", api_key_);
  finished_ = false;
  takes_zstd_ = false;
  call_ =
      stub_.PrepareCall(context_.get(), "/weft.collector.v1.CollectorService/ExportStream", queue_);
  state_ = State::kStarting;
  call_->StartCall(ToPointer(Tag::kStarted));
}

void CollectorStream::Write(std::uint64_t batch_id, const grpc::Slice& batch) {
  std::string frame;
  if (compress_ && takes_zstd_) {
    frame = CompressZstd({reinterpret_cast<const char*>(batch.begin()), batch.size()});
  }
  const bool is_zstd = !frame.empty();
  const grpc::Slice payload = is_zstd ? grpc::Slice(frame) : batch;
  const grpc::Slice slices[] = {
      grpc::Slice(RunBatchWriter::RequestHead(batch_id, payload.size(), is_zstd)), payload};
  writing_ = true;
  call_->Write(grpc::ByteBuffer(slices, 2), ToPointer(Tag::kWrote));
}

void CollectorStream::CloseWrites() {
  writing_ = true;
  call_->WritesDone(ToPointer(Tag::kWritesDone));
}

void CollectorStream::Cancel() {
  if (context_) context_->TryCancel();
}

void CollectorStream::Finish() {
  state_ = State::kFinishing;
  call_->Finish(&status_, ToPointer(Tag::kFinished));
}

CollectorStream::Event CollectorStream::ClosedIfDone() {
  if (!finished_ || writing_) return {};
  state_ = State::kClosed;
  call_.reset();
  context_.reset();
  return {.response = std::nullopt, .closed = std::move(status_)};
}

CollectorStream::Event CollectorStream::Handle(Tag tag, bool ok) {
  switch (tag) {
    case Tag::kStarted:
      if (!ok) {
        Finish();
        return {};
      }
      state_ = State::kOpen;
      call_->Read(&received_, ToPointer(Tag::kRead));
      return {};
    case Tag::kRead: {
      if (!ok) {
        Finish();
        return {};
      }
      Event event;
      grpc::ProtoBufferReader reader(&received_);
      if (!event.response.emplace().ParseFromZeroCopyStream(&reader)) {
        event.response.reset();
        Cancel();
      } else if (event.response->takes_zstd()) {
        takes_zstd_ = true;
      }
      call_->Read(&received_, ToPointer(Tag::kRead));
      return event;
    }
    case Tag::kWrote:
    case Tag::kWritesDone:
      // A write that failed needs no answer of its own: the read fails too.
      writing_ = false;
      return ClosedIfDone();
    case Tag::kFinished:
      finished_ = true;
      return ClosedIfDone();
  }
  return {};
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
