// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <string>

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/completion_queue.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/slice.h>

#include <weft/collector/v1/collector.pb.h>

namespace weft {
inline namespace v0 {
namespace internal {

/// One CollectorService.ExportStream after another, driven by a completion queue.
///
/// Threads: the one that polls the queue.
class CollectorStream {
 public:
  enum class Tag : std::intptr_t { kStarted = 1, kWrote, kRead, kWritesDone, kFinished };
  enum class State { kClosed, kStarting, kOpen, kFinishing };

  /// What an event of the queue meant.
  struct Event {
    std::optional<collector::v1::ExportStreamResponse> response;
    std::optional<grpc::Status> closed;  ///< The stream is over and may be opened again.
  };

  CollectorStream(std::shared_ptr<grpc::Channel> channel, grpc::CompletionQueue* queue,
                  std::string api_key, bool compress = false);

  State state() const noexcept { return state_; }
  /// Whether something other than an answer is to come: the stream starts or ends, or a write is on
  /// its way.
  bool busy() const noexcept {
    return state_ == State::kOpen ? writing_ : state_ != State::kClosed;
  }
  bool CanWrite() const noexcept { return state_ == State::kOpen && !writing_; }

  /// Waits for the collector as long as it takes.
  void Open();
  void Write(std::uint64_t batch_id, const grpc::Slice& batch);
  /// Says that no more will be written; the collector then ends the stream.
  void CloseWrites();
  void Cancel();
  Event Handle(Tag tag, bool ok);

 private:
  void Finish();
  Event ClosedIfDone();

  grpc::GenericStub stub_;
  grpc::CompletionQueue* const queue_;
  const std::string api_key_;
  const bool compress_;
  bool takes_zstd_ = false;  // The collector, on this stream.
  State state_ = State::kClosed;
  bool writing_ = false;   // Also while the writes are being closed.
  bool finished_ = false;  // The status is there.
  std::unique_ptr<grpc::ClientContext> context_;
  std::unique_ptr<grpc::GenericClientAsyncReaderWriter> call_;
  grpc::ByteBuffer received_;
  grpc::Status status_;
};

}  // namespace internal
}  // namespace v0
}  // namespace weft
