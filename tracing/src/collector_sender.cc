// SPDX-License-Identifier: Apache-2.0
#include "collector_sender.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include <absl/status/status.h>

#include "signals.h"

namespace weft {
inline namespace v0 {
namespace internal {
namespace {

using Outcome = ExportQueue::Outcome;
using std::chrono::milliseconds;

// What a stream starts with, by collector.proto, and what a collector may raise it to.
constexpr std::size_t kFirstWindow = 8;
constexpr std::size_t kMaxWindow = 256;
// An answer that takes longer means that the peer is gone without a word.
constexpr std::chrono::seconds kAnswerTimeout{30};
// With the channel's own wait (create in collector_exporter.cc) a collector that is back is found
// within two seconds.
constexpr milliseconds kFirstBackoff{100};
constexpr milliseconds kMaxBackoff{800};
// How often answers are looked for when nobody waits for them, and, when there is nothing to send,
// whether the collector wants to end the stream.
constexpr milliseconds kAnswerLook{10};
constexpr milliseconds kStreamLook{500};
constexpr std::chrono::hours kForever{1};
// A larger run does not wait for another one to take its place; see ExportQueue::Take.
constexpr std::size_t kMostKept = 4096;

std::string Describe(int code, const std::string& message) {
  return OneLine(absl::StatusCodeToString(static_cast<absl::StatusCode>(code)), message);
}

bool InvitesRetry(int code) {
  switch (static_cast<absl::StatusCode>(code)) {
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kOutOfRange:
    case absl::StatusCode::kDataLoss:
      return false;
    default:
      return true;
  }
}

/// Whether a stream that ended so may have ended because of what was sent on it.
bool BlamesABatch(grpc::StatusCode code) {
  return code == grpc::StatusCode::INVALID_ARGUMENT ||
         code == grpc::StatusCode::RESOURCE_EXHAUSTED || code == grpc::StatusCode::OUT_OF_RANGE;
}

/// How many streams a batch may end. Of a message that is too large gRPC says what a receiver says
/// that is short of memory, perhaps for the sake of others.
int MostEndedStreams(grpc::StatusCode code) {
  return code == grpc::StatusCode::RESOURCE_EXHAUSTED ? 5 : 1;
}

grpc::Slice OwnedSlice(std::string bytes) {
  auto* const owner = new std::string(std::move(bytes));
  return grpc::Slice(
      owner->data(), owner->size(), [](void* text) { delete static_cast<std::string*>(text); },
      owner);
}

}  // namespace

bool KeepBatch(FailedTraces& failed, std::string batch) {
  return failed.Write({.path = kKeptBatchPath,
                       .type = "application/x-protobuf",
                       .coding = {},
                       .body = std::move(batch)});
}

CollectorSender::CollectorSender(const CollectorExporterOptions& options,
                                 std::shared_ptr<grpc::Channel> channel, ExportQueue* queue,
                                 SenderWait* wait, std::shared_ptr<FailedTraces> failed)
    : options_(options),
      queue_(*queue),
      wait_(*wait),
      stream_(std::move(channel), wait->completions(), options.api_key, options.compress),
      window_(kFirstWindow),
      failed_(std::move(failed)),
      may_be_kept_(failed_ != nullptr),
      loss_("the collector " + options.target),
      random_(std::random_device{}()) {}

void CollectorSender::Loop() {
  BlockSignals();
  bool wake_seen = false;
  while (true) {
    const bool may_sleep = quiet_ && backlog_.empty() && batches_.empty() && !may_be_kept_;
    const auto now = Clock::now();
    // A look for answers leaves what is coming in alone.
    const bool only_full = !wake_seen && !may_sleep && now < take_at_;
    if (!only_full) take_at_ = now + options_.flush_interval;
    ExportQueue::Orders orders = queue_.Take(std::exchange(spare_, {}), {.wake_seen = wake_seen,
                                                                         .may_sleep = may_sleep,
                                                                         .runs = backlog_runs_,
                                                                         .bytes = backlog_bytes_,
                                                                         .only_full = only_full});
    asleep_ = may_sleep && orders.runs.empty();
    AddToBacklog(orders, now);
    if (orders.stop && !orders.wake_pending) return SayGoodbye(orders.stop_until);
    DropExpired(now);
    CancelIfStalled(now);
    TakeKept(now);
    OpenIfNeeded(now);
    WriteWhatIsDue(now, orders.flush_below);
    Settle();
    if (loss_.IsDue(now)) loss_.Say(queue_.Stats(), now);

    const auto longest = NextLook(now) - now;
    const SenderWait::Event event =
        NeedsGrpc(now, orders.flush_below) ? wait_.Poll(longest) : wait_.Rest(longest);
    quiet_ = event.kind == SenderWait::Event::Kind::kNone;
    wake_seen = event.kind == SenderWait::Event::Kind::kWoken;
    if (event.kind == SenderWait::Event::Kind::kCompletion) HandleEvent(event);
  }
}

void CollectorSender::AddToBacklog(ExportQueue::Orders& orders, Clock::time_point now) {
  if (orders.runs.empty()) {
    spare_ = std::move(orders.runs);
    return;
  }
  backlog_runs_ += orders.runs.size();
  backlog_bytes_ += orders.bytes;
  const std::uint64_t first = taken_;
  taken_ += orders.runs.size();
  // While nothing can be sent, what trickles in must not hold the room of a full batch each time.
  if (backlog_.size() > 1) backlog_.back().runs.shrink_to_fit();
  backlog_.push_back({.runs = std::move(orders.runs), .next = 0, .first = first, .taken = now});
}

void CollectorSender::Forget(Batches::iterator batch, Outcome outcome) {
  if (batch->second.in_flight) --in_flight_;
  if (auto& kept = batch->second.kept) {
    if (outcome == Outcome::kAcknowledged) kept->Remove();
    if (outcome == Outcome::kRejected) kept->SetAside();
  } else if (outcome == Outcome::kExpired) {
    outcome = GiveUp(batch->second);
  }
  queue_.Resolve(outcome, batch->second.runs, batch->second.charge);
  batches_.erase(batch);
}

void CollectorSender::DropFirstChunk() {
  Chunk& chunk = backlog_.front();
  std::size_t charge = 0;
  for (std::size_t i = chunk.next; i < chunk.runs.size(); ++i) charge += chunk.runs[i].size;
  const std::size_t runs = chunk.runs.size() - chunk.next;
  backlog_runs_ -= runs;
  backlog_bytes_ -= charge;
  queue_.Resolve(Outcome::kExpired, runs, charge);
  backlog_.pop_front();
}

ExportQueue::Outcome CollectorSender::GiveUp(const Batch& batch) {
  if (failed_ == nullptr) return Outcome::kExpired;
  const std::string_view bytes(reinterpret_cast<const char*>(batch.bytes.begin()),
                               batch.bytes.size());
  if (!KeepBatch(*failed_, std::string(bytes))) return Outcome::kExpired;
  may_be_kept_ = true;
  return Outcome::kSpilled;
}

void CollectorSender::GiveUpOldestRuns() {
  if (failed_ == nullptr) return DropFirstChunk();
  Forget(MakeBatch(), Outcome::kExpired);
}

void CollectorSender::TakeKept(Clock::time_point now) {
  if (!may_be_kept_ || !backlog_.empty() || !batches_.empty()) return;
  std::optional<FailedTraces::Claim> claim = failed_->Next();
  may_be_kept_ = claim.has_value();
  if (!claim) return;
  Batch batch;
  batch.bytes = OwnedSlice(claim->trace().body);
  batch.taken = now;
  batch.kept.emplace(*std::move(claim));
  batches_.emplace(++last_id_, std::move(batch));
}

CollectorSender::Batches::const_iterator CollectorSender::OldestOwn() const noexcept {
  // From the folder comes one at a time, and only while there is no other.
  const auto oldest = batches_.begin();
  return oldest != batches_.end() && oldest->second.kept ? std::next(oldest) : oldest;
}

void CollectorSender::DropExpired(Clock::time_point now) {
  const auto oldest = now - options_.retry_for;
  // What is from the folder is tried until the collector is back.
  for (auto next = batches_.begin();
       next != batches_.end() && (next->second.kept || next->second.taken <= oldest);) {
    const auto batch = next++;
    if (!batch->second.kept) Forget(batch, Outcome::kExpired);
  }
  while (!backlog_.empty() && backlog_.front().taken <= oldest) GiveUpOldestRuns();
}

void CollectorSender::CancelIfStalled(Clock::time_point now) {
  const bool stalled = std::any_of(batches_.begin(), batches_.end(), [&](const auto& entry) {
    return entry.second.in_flight && entry.second.written + kAnswerTimeout <= now;
  });
  if (!stalled) return;
  loss_.set_last_answer("no answer in time");
  stream_.Cancel();
}

void CollectorSender::OpenIfNeeded(Clock::time_point now) {
  if (stream_.state() != CollectorStream::State::kClosed || now < open_after_) return;
  if (!backlog_.empty() || !batches_.empty()) stream_.Open();
}

bool CollectorSender::IsDue(Clock::time_point now, std::uint64_t flush_below) const {
  if (backlog_.empty()) return false;
  const Chunk& oldest = backlog_.front();
  return backlog_runs_ >= options_.batch_runs || backlog_bytes_ >= options_.batch_bytes ||
         oldest.taken + options_.flush_interval <= now || oldest.first + oldest.next < flush_below;
}

bool CollectorSender::NeedsGrpc(Clock::time_point now, std::uint64_t flush_below) const {
  if (stream_.busy()) return true;
  const auto oldest = OldestOwn();
  if (oldest != batches_.end() && oldest->second.first < flush_below) return true;
  return in_flight_ >= Window() && IsDue(now, flush_below);
}

CollectorSender::Batches::iterator CollectorSender::MakeBatch() {
  Batch batch;
  batch.first = backlog_.front().first + backlog_.front().next;
  batch.taken = backlog_.front().taken;
  while (!backlog_.empty() && writer_.runs() < options_.batch_runs &&
         writer_.size() < options_.batch_bytes) {
    Chunk& chunk = backlog_.front();
    QueuedRun& run = chunk.runs[chunk.next++];
    FinishRecord(run.record);
    writer_.Append(run.record);
    batch.charge += run.size;
    if (run.size > kMostKept) run.record = {};
    if (chunk.next == chunk.runs.size()) {
      spare_ = std::move(chunk.runs);
      backlog_.pop_front();
    }
  }
  batch.runs = writer_.runs();
  batch.bytes = OwnedSlice(writer_.Take());
  backlog_runs_ -= batch.runs;
  backlog_bytes_ -= batch.charge;
  return batches_.emplace(++last_id_, std::move(batch)).first;
}

std::size_t CollectorSender::Window() const noexcept {
  return !batches_.empty() && batches_.begin()->first <= suspects_ ? 1 : window_;
}

void CollectorSender::WriteWhatIsDue(Clock::time_point now, std::uint64_t flush_below) {
  if (!stream_.CanWrite() || in_flight_ >= Window()) return;
  auto batch = std::find_if(batches_.begin(), batches_.end(), [&](const auto& entry) {
    return !entry.second.in_flight && entry.second.not_before <= now;
  });
  if (batch == batches_.end()) {
    if (!IsDue(now, flush_below)) return;
    batch = MakeBatch();
  }
  Batch& chosen = batch->second;
  chosen.in_flight = true;
  chosen.written = now;
  ++in_flight_;
  if (!std::exchange(chosen.was_sent, true)) queue_.Sent(chosen.runs);
  stream_.Write(batch->first, chosen.bytes);
}

void CollectorSender::HandleEvent(const SenderWait::Event& completion) {
  CollectorStream::Event event =
      stream_.Handle(static_cast<CollectorStream::Tag>(completion.tag), completion.ok);
  if (event.response) HandleResponse(*event.response);
  if (event.closed) HandleClosed(*event.closed);
}

void CollectorSender::HandleResponse(const collector::v1::ExportStreamResponse& response) {
  if (response.window() > 0) window_ = std::min<std::size_t>(response.window(), kMaxWindow);
  if (!response.has_result()) return;
  const auto batch = batches_.find(response.batch_id());
  // Unknown: it expired meanwhile, or the peer is confused.
  if (batch == batches_.end() || !batch->second.in_flight) return;
  HandleResult(batch, response.result());
}

void CollectorSender::HandleResult(Batches::iterator batch,
                                   const collector::v1::BatchResult& result) {
  Batch& answered = batch->second;
  if (result.code() == 0) {
    failures_ = 0;
    // The charge goes with the first call; the second only counts.
    const std::size_t rejected =
        std::min<std::size_t>(static_cast<std::size_t>(result.rejected_size()), answered.runs);
    if (rejected > 0) {
      loss_.set_last_answer(Describe(static_cast<int>(absl::StatusCode::kInvalidArgument),
                                     result.rejected(0).reason()));
      queue_.Resolve(Outcome::kRejected, rejected, 0);
      answered.runs -= rejected;
    }
    return Forget(batch, Outcome::kAcknowledged);
  }
  loss_.set_last_answer(Describe(result.code(), result.message()));
  if (!InvitesRetry(result.code())) return Forget(batch, Outcome::kRejected);
  answered.in_flight = false;
  --in_flight_;
  ++answered.refusals;
  answered.not_before =
      Clock::now() +
      (result.retry_after_ms() > 0
           ? std::min<Clock::duration>(milliseconds(result.retry_after_ms()), options_.retry_for)
           : Backoff(answered.refusals));
}

void CollectorSender::HandleClosed(const grpc::Status& status) {
  // Cancelled by us: the reason is there already.
  const bool by_peer = !status.ok() && status.error_code() != grpc::StatusCode::CANCELLED;
  if (by_peer) loss_.set_last_answer(Describe(status.error_code(), status.error_message()));
  if (BlamesABatch(status.error_code()) && in_flight_ > 0) {
    // With one batch unanswered it is the one to blame; with more, the next streams find out.
    if (in_flight_ == 1) {
      const auto batch = std::find_if(batches_.begin(), batches_.end(),
                                      [](const auto& entry) { return entry.second.in_flight; });
      if (++batch->second.ended_streams >= MostEndedStreams(status.error_code())) {
        Forget(batch, Outcome::kRejected);
      }
    }
    suspects_ = last_id_;
  }
  for (auto& [id, batch] : batches_) batch.in_flight = false;
  in_flight_ = 0;
  window_ = kFirstWindow;
  open_after_ = Clock::now() + Backoff(++failures_);
}

CollectorSender::Clock::duration CollectorSender::Backoff(int failures) {
  const milliseconds longest =
      std::min(kFirstBackoff * (1 << std::min(failures - 1, 10)), kMaxBackoff);
  return milliseconds(std::uniform_int_distribution<milliseconds::rep>(longest.count() / 2,
                                                                       longest.count())(random_));
}

void CollectorSender::Settle() {
  const auto oldest = OldestOwn();
  queue_.Settle(oldest != batches_.end() ? oldest->second.first
                : !backlog_.empty()      ? backlog_.front().first + backlog_.front().next
                                         : taken_);
}

CollectorSender::Clock::time_point CollectorSender::NextLook(Clock::time_point now) const {
  // Far enough to be no load, and never so far that the sum overflows in gRPC's clock.
  if (asleep_) {
    return now + (stream_.state() == CollectorStream::State::kClosed ? milliseconds(kForever)
                                                                     : kStreamLook);
  }
  auto next = std::max(take_at_, now + milliseconds(1));
  if (in_flight_ > 0) next = std::min(next, now + kAnswerLook);
  if (!backlog_.empty() && stream_.CanWrite()) {
    next = std::min(next, backlog_.front().taken + options_.flush_interval);
  }
  if (stream_.state() == CollectorStream::State::kClosed && open_after_ > now) {
    next = std::min(next, open_after_);
  }
  for (const auto& [id, batch] : batches_) {
    if (!batch.in_flight && batch.not_before > now) next = std::min(next, batch.not_before);
  }
  return std::max(next, now);
}

void CollectorSender::SayGoodbye(Clock::time_point until) {
  using State = CollectorStream::State;
  bool waits = stream_.CanWrite() && batches_.empty() && Clock::now() < until;
  if (waits) {
    stream_.CloseWrites();
  } else {
    stream_.Cancel();
  }
  while (stream_.state() != State::kClosed) {
    // A cancelled stream ends by itself, without the network.
    const auto longest = waits ? std::max<Clock::duration>(until - Clock::now(), milliseconds(0))
                               : Clock::duration(std::chrono::seconds(1));
    const SenderWait::Event event = wait_.Poll(longest);
    if (event.kind == SenderWait::Event::Kind::kCompletion) {
      stream_.Handle(static_cast<CollectorStream::Tag>(event.tag), event.ok);
    } else if (event.kind == SenderWait::Event::Kind::kNone) {
      waits = false;
      stream_.Cancel();
    }
  }
  while (!batches_.empty()) Forget(batches_.begin(), Outcome::kExpired);
  while (!backlog_.empty()) GiveUpOldestRuns();
  Settle();
  loss_.Say(queue_.Stats(), Clock::now());
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
