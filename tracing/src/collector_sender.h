// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include <grpcpp/channel.h>
#include <grpcpp/support/slice.h>

#include <weft/tracing/collector_exporter.h>

#include "collector_stream.h"
#include "export_queue.h"
#include "failed_traces.h"
#include "loss_report.h"
#include "run_batch_writer.h"
#include "sender_wait.h"

namespace weft {
inline namespace v0 {
namespace internal {

/// Where the folder says that a request is a RunBatch.
inline constexpr char kKeptBatchPath[] = "weft.collector.v1.RunBatch";

/// Puts a RunBatch into the folder. False: it is full, or cannot be written.
bool KeepBatch(FailedTraces& failed, std::string batch);

/// The exporter's thread: takes runs from the queue, makes batches, sends them, and sends again
/// what is not answered.
class CollectorSender {
 public:
  using Clock = std::chrono::steady_clock;

  /// `failed` null: nothing is kept.
  CollectorSender(const CollectorExporterOptions& options, std::shared_ptr<grpc::Channel> channel,
                  ExportQueue* queue, SenderWait* wait, std::shared_ptr<FailedTraces> failed);

  /// Until the queue says stop. Then nothing is left on the completion queue, and every run is
  /// resolved.
  void Loop();

 private:
  // Runs that were taken together.
  struct Chunk {
    std::vector<QueuedRun> runs;
    std::size_t next = 0;     // The first that is in no batch.
    std::uint64_t first = 0;  // The number of runs[0].
    Clock::time_point taken;
  };
  struct Batch {
    std::uint64_t first = 0;
    std::size_t runs = 0;
    std::size_t charge = 0;
    grpc::Slice bytes;
    Clock::time_point taken;
    Clock::time_point not_before;
    Clock::time_point written;
    int ended_streams = 0;  // Alone on them.
    bool in_flight = false;
    bool was_sent = false;
    int refusals = 0;
    std::optional<FailedTraces::Claim> kept;  // It is from the folder, and none of its runs counts.
  };
  using Batches = std::map<std::uint64_t, Batch>;

  /// Takes the runs out of `orders`.
  void AddToBacklog(ExportQueue::Orders& orders, Clock::time_point now);
  void DropExpired(Clock::time_point now);
  void DropFirstChunk();
  void GiveUpOldestRuns();
  /// What becomes of a batch that cannot be delivered.
  ExportQueue::Outcome GiveUp(const Batch& batch);
  /// Takes a batch from the folder when there is nothing else to do.
  void TakeKept(Clock::time_point now);
  /// The oldest batch that is not from the folder.
  Batches::const_iterator OldestOwn() const noexcept;
  void Forget(Batches::iterator batch, ExportQueue::Outcome outcome);
  void OpenIfNeeded(Clock::time_point now);
  void CancelIfStalled(Clock::time_point now);
  std::size_t Window() const noexcept;
  void WriteWhatIsDue(Clock::time_point now, std::uint64_t flush_below);
  bool IsDue(Clock::time_point now, std::uint64_t flush_below) const;
  /// Whether gRPC has something to do for the stream, so that the thread waits there.
  bool NeedsGrpc(Clock::time_point now, std::uint64_t flush_below) const;
  Batches::iterator MakeBatch();
  void HandleEvent(const SenderWait::Event& completion);
  void HandleResponse(const collector::v1::ExportStreamResponse& response);
  void HandleResult(Batches::iterator batch, const collector::v1::BatchResult& result);
  void HandleClosed(const grpc::Status& status);
  void Settle();
  Clock::duration Backoff(int failures);
  Clock::time_point NextLook(Clock::time_point now) const;
  void SayGoodbye(Clock::time_point until);

  const CollectorExporterOptions options_;
  ExportQueue& queue_;
  SenderWait& wait_;
  CollectorStream stream_;
  RunBatchWriter writer_;

  std::deque<Chunk> backlog_;
  std::size_t backlog_runs_ = 0;
  std::size_t backlog_bytes_ = 0;
  std::uint64_t taken_ = 0;  // How many runs were taken from the queue so far.
  std::vector<QueuedRun> spare_;
  Clock::time_point take_at_;  // Even less than a batch.
  Batches batches_;            // Unanswered, by id.
  std::uint64_t last_id_ = 0;
  std::size_t in_flight_ = 0;
  std::size_t window_;
  // Up to this id one batch at a time is sent: one of them may end every stream it is sent on.
  std::uint64_t suspects_ = 0;
  int failures_ = 0;
  Clock::time_point open_after_;
  bool quiet_ = false;   // Nothing happened during the last wait.
  bool asleep_ = false;  // The queue was told to wake us.
  const std::shared_ptr<FailedTraces> failed_;
  bool may_be_kept_;  // There may be something in the folder.
  LossReport loss_;
  std::minstd_rand random_;
};

}  // namespace internal
}  // namespace v0
}  // namespace weft
