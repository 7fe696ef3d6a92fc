// SPDX-License-Identifier: Apache-2.0
#include <weft/collector/run_store.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <shared_mutex>
#include <system_error>
#include <thread>
#include <utility>

#include <absl/strings/numbers.h>

#include "run_store_index.h"
#include "run_store_reader.h"
#include "run_store_summary.h"

namespace weft::collector {
namespace {

// How soon the threads see that they must stop.
constexpr std::chrono::milliseconds kPoll{100};
// Not each record is worth waking up for.
constexpr std::chrono::milliseconds kGather{5};
constexpr std::uint64_t kGatheredRecords = 64;
constexpr std::chrono::seconds kRebuildPatience{2};

// Two threads: the follower indexes what is written, from the start of the segment that was the
// last at the start; the backfiller goes from there to older segments until the index is full.
class RunStoreImpl final : public RunStore {
 public:
  RunStoreImpl(std::shared_ptr<Log> log, const RunStoreOptions& options)
      : log_(std::move(log)),
        prices_(options.prices),
        backfill_end_(log_->Segments().back().begin),
        followed_(backfill_end_),
        index_(options.max_index_bytes, backfill_end_, options.max_trace_runs) {
    std::error_code
        ignored;  // without the folder there are no summaries, and old segments are read
    std::filesystem::create_directories(log_->directory() / "index", ignored);
    backfill_left_ = backfill_end_.seq - log_->Begin().seq;
    follower_ = std::thread([this] { Follow(); });
    backfiller_ = std::thread([this] { Backfill(); });
  }

  ~RunStoreImpl() override { Stop(); }

  absl::StatusOr<StoredRun> FindRun(RunId id) const override { return Reader().Run(id); }

  absl::StatusOr<std::vector<StoredRun>> FindTrace(RunId trace_id) const override {
    return Reader().Trace(trace_id);
  }

  absl::StatusOr<std::vector<StoredRun>> ListTraces(const TraceQuery& query) const override {
    return Reader().Traces(query);
  }
  std::vector<RunId> ListTraceIds(const TraceQuery& query) const override {
    return Reader().TraceIds(query);
  }
  absl::StatusOr<std::vector<StoredRun>> FindRoots(
      std::span<const RunId> trace_ids) const override {
    return Reader().Roots(trace_ids);
  }

  absl::StatusOr<AttachmentContent> FindAttachment(RunId id, std::string_view name) const override {
    return Reader().Attachment(id, name);
  }

  std::vector<Project> Projects() const override {
    std::shared_lock lock(index_mutex_);
    return index_.Projects();
  }

  bool IsFull(const RunId& trace_id, const RunId& run_id, std::uint64_t max_runs) const override {
    std::shared_lock lock(index_mutex_);
    return index_.IsFull(trace_id, run_id, max_runs);
  }

  void SetMaxTraceRuns(std::uint16_t runs) override {
    std::unique_lock lock(index_mutex_);
    index_.SetMaxTraceRuns(runs);
  }

  bool has_full_traces() const override { return full_traces_ > 0; }

  bool WaitUntilIndexed(std::chrono::milliseconds timeout) const override {
    const std::uint64_t target = log_->DurableEnd().seq;
    std::unique_lock lock(progress_mutex_);
    auto done = [&] { return followed_.seq >= target && backfill_left_ == 0; };
    progress_.wait_for(lock, timeout, [&] { return stopping_ || done(); });
    return done();
  }

  std::uint64_t lag_records() const override {
    const std::uint64_t end = log_->DurableEnd().seq;
    std::lock_guard lock(progress_mutex_);
    return end - std::min(end, followed_.seq) + backfill_left_;
  }

  std::chrono::microseconds lag() const override {
    Position next;
    {
      std::lock_guard lock(progress_mutex_);
      next = followed_;
    }
    if (next.seq >= log_->DurableEnd().seq) return {};
    const absl::StatusOr<std::shared_ptr<const Record>> record = HeaderAt(next);
    if (!record.ok()) return {};  // Deleted or damaged: the follower steps over it.
    const auto now = std::chrono::duration_cast<std::chrono::microseconds>(
        std::chrono::system_clock::now().time_since_epoch());
    const auto received =
        std::chrono::microseconds(static_cast<std::int64_t>((*record)->header.received_us));
    return std::max(now - received, std::chrono::microseconds(1));
  }

  std::uint64_t index_bytes() const override {
    std::shared_lock lock(index_mutex_);
    return index_.bytes();
  }

  void Stop() override {
    {
      std::lock_guard lock(progress_mutex_);
      stopping_ = true;
    }
    progress_.notify_all();
    std::lock_guard lock(stop_mutex_);
    if (follower_.joinable()) follower_.join();
    if (backfiller_.joinable()) backfiller_.join();
  }

 private:
  // While the index is rebuilt a question would read much of the log. Waiting is faster: it takes
  // under a second for millions of runs.
  StoreReader Reader() const {
    std::unique_lock lock(progress_mutex_);
    progress_.wait_for(lock, kRebuildPatience, [&] { return stopping_ || backfill_left_ == 0; });
    lock.unlock();
    return StoreReader(*log_, index_, index_mutex_, prices_.get());
  }

  // What was just written is still in memory.
  absl::StatusOr<std::shared_ptr<const Record>> HeaderAt(const Position& at) const {
    if (auto recent = log_->Recent(at)) return recent;
    absl::StatusOr<Record> record = log_->ReadHeader(at);
    if (!record.ok()) return record.status();
    return std::make_shared<const Record>(*std::move(record));
  }

  void Follow() {
    SegmentSummary summary;
    Position at = backfill_end_;
    std::uint64_t segment = at.segment;
    bool whole = at.seq == segment;  // the summary has all records of the segment
    while (!stopping_) {
      const Position end = log_->DurableEnd();
      const absl::StatusOr<std::shared_ptr<const Record>> found = HeaderAt(at);
      if (absl::IsNotFound(found.status())) {  // retention overtook the follower
        at = log_->Begin();
        continue;
      }
      if (!found.ok()) {
        // Damaged records before the end are not waited for.
        if (absl::IsOutOfRange(found.status())) Advance(std::max(at, end));
        if (!log_->WaitForRecord(end, kPoll)) continue;
        log_->WaitForRecord({end.segment, end.offset, end.seq + kGatheredRecords}, kGather);
        continue;
      }
      const Record& record = **found;
      if (record.position.segment != segment) {
        // Without a summary the segment is read when asked, and gets one at the next start.
        if (whole) Save(summary, segment);
        whole = true;
        summary = SegmentSummary();
        segment = record.position.segment;
        std::unique_lock lock(index_mutex_);
        index_.ForgetBefore(log_->Begin());
      }
      summary.Add(record.header);
      {
        std::unique_lock lock(index_mutex_);
        index_.Add(record, false);
        full_traces_ = index_.full_traces();
      }
      at = record.next;
      Advance(at);
    }
  }

  void Advance(Position position) {
    std::lock_guard lock(progress_mutex_);
    followed_ = position;
    progress_.notify_all();
  }

  void Backfill() {
    std::vector<SegmentInfo> segments = log_->Segments();
    std::erase_if(segments, [&](const auto& info) { return info.begin >= backfill_end_; });
    bool into_index = true;  // the index must have no gap
    for (auto info = segments.rbegin(); info != segments.rend() && !stopping_; ++info) {
      {
        std::shared_lock lock(index_mutex_);
        into_index = into_index && !index_.is_full();
      }
      BackfillSegment(*info, into_index);
      std::lock_guard lock(progress_mutex_);
      backfill_left_ = info->begin.seq - segments.front().begin.seq;
    }
    std::lock_guard lock(progress_mutex_);
    backfill_left_ = 0;
    progress_.notify_all();
  }

  void BackfillSegment(const SegmentInfo& info, bool into_index) {
    const std::uint64_t segment = info.begin.segment;
    std::optional<SavedSummary> saved = SavedSummary::Open(SummaryPath(*log_, segment));
    if (saved) AddProjects(saved->ReadProjects());
    if (saved && !into_index) return;
    SegmentSummary summary;
    for (Position at = info.begin; at < info.end && !stopping_;) {
      absl::StatusOr<Record> record = log_->ReadHeader(at);
      if (!record.ok() || record->position.segment != segment) break;
      if (!saved) summary.Add(record->header);
      if (into_index) {
        std::unique_lock lock(index_mutex_);
        index_.Add(*record, true);
        full_traces_ = index_.full_traces();
      }
      at = record->next;
    }
    if (stopping_) return;
    if (!saved) {
      AddProjects(summary.projects());
      if (info.sealed) Save(summary, segment);
    }
    if (!into_index) return;
    std::unique_lock lock(index_mutex_);
    index_.SetBackfilledTo(info.begin);
  }

  void AddProjects(const SegmentSummary::Projects& projects) {
    std::unique_lock lock(index_mutex_);
    for (const auto& [name, seen] : projects) index_.AddProject(name, seen.first_us, seen.last_us);
  }

  // A summary that cannot be written is made anew at the next start; until then its segment is
  // read.
  void Save(const SegmentSummary& summary, std::uint64_t segment) {
    summary.Save(SummaryPath(*log_, segment)).IgnoreError();
    std::error_code error;
    const std::uint64_t first = log_->Begin().segment;
    for (const auto& entry :
         std::filesystem::directory_iterator(log_->directory() / "index", error)) {
      std::uint64_t of = 0;
      if (absl::SimpleAtoi(entry.path().stem().native(), &of) && of < first) {
        std::filesystem::remove(entry.path(), error);
      }
    }
  }

  const std::shared_ptr<Log> log_;
  const std::shared_ptr<const Prices> prices_;
  const Position backfill_end_;

  std::atomic<bool> stopping_{false};
  mutable std::mutex progress_mutex_;
  mutable std::condition_variable progress_;
  Position followed_;
  std::uint64_t backfill_left_ = 0;

  mutable std::shared_mutex index_mutex_;
  TraceIndex index_;
  std::atomic<std::size_t> full_traces_{0};

  std::mutex stop_mutex_;
  std::thread follower_;
  std::thread backfiller_;
};

}  // namespace

std::unique_ptr<RunStore> RunStore::Start(std::shared_ptr<Log> log, RunStoreOptions options) {
  return std::make_unique<RunStoreImpl>(std::move(log), options);
}

}  // namespace weft::collector
