// SPDX-License-Identifier: Apache-2.0
#include <weft/collector/log.h>

#include <fcntl.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <system_error>
#include <utility>

#include <absl/strings/str_cat.h>

#include "log_crc32c.h"
#include "log_impl.h"

namespace weft::collector {
namespace {

constexpr std::uint64_t kGiB = 1ull << 30;
constexpr std::size_t kMaxGroupRecords = 250;
// Readers that are further behind read from the files.
constexpr std::uint64_t kRecentBytes = 16ull << 20;
// How long a group of several small records waits for more.
constexpr std::chrono::microseconds kGather{200};
constexpr std::uint64_t kSmallGroupBytes = 128 << 10;
constexpr std::chrono::milliseconds kSpaceCheckEvery{250};
constexpr std::chrono::seconds kSpaceRetry{1};
constexpr std::array<char, kRecordAlignment> kPadding{};

bool IsNoSpace(const absl::Status& status) {
  return absl::IsResourceExhausted(status);  // ENOSPC and EDQUOT
}

}  // namespace

absl::StatusOr<std::unique_ptr<Log>> Log::Open(LogOptions options) {
  return LogImpl::Open(std::move(options), FileSystem::Real());
}

absl::StatusOr<std::unique_ptr<Log>> LogImpl::Open(LogOptions options, FileSystem& files) {
  absl::StatusOr<File> lock = LockDirectory(options.directory);
  if (!lock.ok()) return lock.status();
  std::unique_ptr<LogImpl> log(new LogImpl(std::move(options), files, *std::move(lock)));
  if (absl::Status status = log->Start(); !status.ok()) return status;
  return log;
}

LogImpl::LogImpl(LogOptions options, FileSystem& files, File lock)
    : options_(std::move(options)),
      files_(files),
      lock_(std::move(lock)),
      segments_(options_.directory, files),
      recent_(kRecentBytes),
      active_file_(files) {}

LogImpl::~LogImpl() { Close(); }

absl::Status LogImpl::Start() {
  if (absl::Status status = segments_.Load(); !status.ok()) return status;
  FileSystem::Space space = files_.SpaceOf(options_.directory);
  free_bytes_ = space.free_bytes;  // for who asks while another thread looks for the first time
  min_free_bytes_ = options_.min_free_bytes.value_or(std::min(kGiB, space.total_bytes / 20));

  active_ = segments_.Last();
  if (!active_) {
    absl::StatusOr<std::shared_ptr<Segment>> first =
        segments_.Create(next_seq_, std::max(options_.segment_bytes, 2 * kSegmentHeaderBytes));
    if (!first.ok()) return first.status();
    active_ = *first;
  }
  absl::StatusOr<File> file = OpenFile(active_->path, O_RDWR);
  if (!file.ok()) return file.status();
  write_offset_ = active_->end_offset;
  next_seq_ = active_->end_seq;
  // What a crash left behind the last record goes, so that the room behind it is zeros again.
  if (::ftruncate(file->fd(), static_cast<off_t>(write_offset_)) != 0) {
    return FileError("cannot cut", active_->path, errno);
  }
  if (!ReadSalt(file->fd())) {
    std::string header = SegmentHeader(active_->first_seq, segments_.salt());
    if (::pwrite(file->fd(), header.data(), header.size(), 0) < 0) {
      return FileError("cannot write", active_->path, errno);
    }
  }
  std::uint64_t bytes = std::max(options_.segment_bytes, write_offset_);
  // Without room the segment stays as long as it is; the next append asks for a new one.
  if (files_.Allocate(file->fd(), bytes) != 0) bytes = write_offset_;
  if (::fsync(file->fd()) != 0) return FileError("cannot sync", active_->path, errno);
  active_->file_bytes = bytes;
  if (absl::Status status = active_file_.Open(active_->path, write_offset_); !status.ok()) {
    return status;
  }
  durable_end_ = active_->end();

  writer_ = std::thread([this] { WriteLoop(); });
  keeper_ = std::thread([this] { KeepLoop(); });
  return absl::OkStatus();
}

void LogImpl::Append(RecordHeader header, std::string payload, Done done) {
  Pending pending;
  pending.header = header.Encode();
  pending.record = std::make_shared<Record>();
  pending.record->header = std::move(header);
  pending.record->payload = std::move(payload);
  pending.done = std::move(done);
  std::uint64_t length = kFrameBytes + pending.header.size() + pending.record->payload.size();
  if (length > kMaxRecordBytes) {
    pending.done(absl::InvalidArgumentError("record is larger than 1 GiB"));
    return;
  }
  pending.frame.length = static_cast<std::uint32_t>(length);
  pending.frame.header_length = static_cast<std::uint32_t>(pending.header.size());
  pending.frame.header_crc = Crc32c(segments_.salt(), pending.header);
  pending.frame.payload_crc = Crc32c(segments_.salt(), pending.record->payload);

  absl::Status refusal = Ready();
  if (refusal.ok()) {
    std::lock_guard lock(mutex_);
    if (closing_ || !failed_.ok()) {
      refusal = absl::UnavailableError("the log has stopped");
    } else if (pending_bytes_ != 0 && pending_bytes_ + length > options_.max_pending_bytes) {
      refusal = absl::ResourceExhaustedError(
          absl::StrCat(pending_bytes_, " bytes wait for the disk, log.max_pending is ",
                       options_.max_pending_bytes));
    } else {
      pending_bytes_ += pending.bytes();
      queue_.push_back(std::move(pending));
      if (queue_.size() >= wanted_ || pending_bytes_ >= kSmallGroupBytes) work_.notify_one();
      return;
    }
  }
  pending.done(std::move(refusal));
}

absl::Status LogImpl::Ready() const {
  {
    std::lock_guard lock(mutex_);
    if (closing_) return absl::UnavailableError("the log is closing");
    if (!failed_.ok()) return failed_;
    if (!no_space_.ok() && Clock::now() < retry_at_) return no_space_;
  }
  return CheckSpace();
}

absl::Status LogImpl::CheckSpace() const {
  Clock::rep now = Clock::now().time_since_epoch().count();
  Clock::rep last = space_checked_at_.load(std::memory_order_relaxed);
  if ((last == 0 || now - last >= Clock::duration(kSpaceCheckEvery).count()) &&
      space_checked_at_.compare_exchange_strong(last, now)) {
    free_bytes_ = files_.SpaceOf(options_.directory).free_bytes;
  }
  std::uint64_t free_bytes = free_bytes_.load(std::memory_order_relaxed);
  if (free_bytes >= min_free_bytes_) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat("disk is low: ", free_bytes, " bytes free at ",
                                             options_.directory.native(), ", log.min_free is ",
                                             min_free_bytes_));
}

void LogImpl::WriteLoop() {
  for (;;) {
    Group group = TakeGroup();
    if (group.empty()) return;
    absl::Status status = WriteGroup(group);
    if (status.ok()) Publish(group);
    Answer(group, status);
  }
}

// While one group is being synced the next one gathers: a single request is written at once, and
// under load the groups are as large as the disk is slow.
LogImpl::Group LogImpl::TakeGroup() {
  Group group;
  std::unique_lock lock(mutex_);
  wanted_ = 1;
  work_.wait(lock, [&] { return closing_ || !queue_.empty(); });
  // Clients that were answered just now come back at once, and a sync costs the same with them.
  if (last_group_ > 1 && pending_bytes_ < kSmallGroupBytes) {
    wanted_ = std::min(queue_.size() + last_group_, kMaxGroupRecords);
    work_.wait_for(lock, kGather, [&] {
      return closing_ || queue_.size() >= wanted_ || pending_bytes_ >= kSmallGroupBytes;
    });
  }
  std::uint64_t bytes = 0;
  std::uint64_t room =
      active_ ? active_->file_bytes - std::min<std::uint64_t>(write_offset_, active_->file_bytes)
              : 0;
  while (!queue_.empty() && group.size() < kMaxGroupRecords) {
    std::uint64_t next = bytes + queue_.front().bytes();
    if (!group.empty() && (next > options_.max_group_bytes || next > room)) break;
    bytes = next;
    group.push_back(std::move(queue_.front()));
    queue_.pop_front();
  }
  last_group_ = group.size();
  return group;
}

absl::Status LogImpl::WriteGroup(Group& group) {
  {
    std::lock_guard lock(mutex_);
    if (!failed_.ok()) return failed_;
  }
  std::uint64_t bytes = 0;
  for (const Pending& pending : group) bytes += pending.bytes();
  absl::Status status = MakeRoom(bytes);
  if (status.ok()) {
    std::vector<std::array<char, kFrameBytes>> frames(group.size());
    std::vector<std::string_view> parts;
    parts.reserve(4 * group.size());
    for (std::size_t i = 0; i < group.size(); ++i) {
      Pending& pending = group[i];
      pending.frame.seq = next_seq_ + i;
      pending.frame.Write(segments_.salt(), frames[i].data());
      parts.emplace_back(frames[i].data(), kFrameBytes);
      parts.emplace_back(pending.header);
      parts.emplace_back(pending.record->payload);
      parts.emplace_back(kPadding.data(), pending.bytes() - pending.frame.length);
    }
    status = WriteBytes(parts, bytes);
  }
  if (status.ok()) return status;
  std::lock_guard lock(mutex_);
  if (IsNoSpace(status)) {
    retry_at_ = Clock::now() + kSpaceRetry;
    return no_space_ = absl::UnavailableError(absl::StrCat("disk is full: ", status.message()));
  }
  return failed_ = absl::UnavailableError(
             absl::StrCat("the log is read-only until it is opened again: ", status.message(), " (",
                          active_ ? active_->path.native() : options_.directory.native(), ")"));
}

absl::Status LogImpl::WriteBytes(std::span<const std::string_view> parts, std::uint64_t bytes) {
  if (absl::Status status = active_file_.Append(parts); !status.ok()) {
    // Not every file system keeps the room that it promised. What was written of the group is cut
    // off when there is room again, and the log goes on in another segment.
    if (IsNoSpace(status)) active_->file_bytes = write_offset_;
    return status;
  }
  Clock::time_point start = Clock::now();
  // Whatever the reason, nobody knows what is on disk: never an error that may be tried again.
  if (files_.SyncData(active_file_.fd()) != 0) {
    return absl::DataLossError(
        absl::StrCat("sync failed: ", std::generic_category().message(errno)));
  }
  syncs_.Record(Clock::now() - start);
  write_offset_ += bytes;
  return absl::OkStatus();
}

absl::Status LogImpl::MakeRoom(std::uint64_t bytes) {
  if (write_offset_ + bytes <= active_->file_bytes) return absl::OkStatus();
  const std::uint64_t size = std::max(options_.segment_bytes, kSegmentHeaderBytes + bytes);
  if (write_offset_ == kSegmentHeaderBytes) {  // nothing in it: it grows instead
    if (::ftruncate(active_file_.fd(), static_cast<off_t>(write_offset_)) != 0) {
      return FileError("cannot cut", active_->path, errno);
    }
    if (int error = files_.Allocate(active_file_.fd(), size); error != 0) {
      return FileError("cannot allocate", active_->path, error);
    }
    active_->file_bytes = size;
    return active_file_.Open(active_->path, write_offset_);
  }
  if (absl::Status status = Seal(); !status.ok()) return status;
  absl::StatusOr<std::shared_ptr<Segment>> next = segments_.Create(next_seq_, size);
  if (!next.ok()) return next.status();
  if (absl::Status status = active_file_.Open((*next)->path, kSegmentHeaderBytes); !status.ok()) {
    return status;
  }
  // Readers may step to the next segment now that it is there.
  active_->sealed.store(true, std::memory_order_release);
  active_ = *std::move(next);
  write_offset_ = kSegmentHeaderBytes;
  std::lock_guard lock(mutex_);
  durable_end_ = active_->end();
  rolled_ = true;
  keep_.notify_one();
  return absl::OkStatus();
}

// Gives back what was not used.
absl::Status LogImpl::Seal() {
  if (::ftruncate(active_file_.fd(), static_cast<off_t>(write_offset_)) != 0 ||
      ::fsync(active_file_.fd()) != 0) {
    return FileError("cannot seal", active_->path, errno);
  }
  active_->file_bytes = write_offset_;
  active_->last_write = std::chrono::system_clock::now();
  return absl::OkStatus();
}

void LogImpl::Publish(Group& group) {
  std::uint64_t offset = active_->end_offset;
  for (Pending& pending : group) {
    Record& record = *pending.record;
    record.position = {active_->first_seq, offset, pending.frame.seq};
    offset += pending.bytes();
    record.next = {active_->first_seq, offset, pending.frame.seq + 1};
    recent_.Add(std::move(pending.record));
  }
  next_seq_ += group.size();
  active_->end_seq.store(next_seq_, std::memory_order_release);
  active_->end_offset.store(write_offset_, std::memory_order_release);
  std::unique_lock lock(mutex_);
  durable_end_ = active_->end();
  appended_records_ += group.size();
  no_space_ = absl::OkStatus();
  // To wake a thread costs as much as many records do: it is done for those that go on now.
  if (durable_end_.seq <= awaited_) return;
  awaited_ = kNobody;
  lock.unlock();
  durable_.notify_all();
}

void LogImpl::Answer(Group& group, const absl::Status& status) {
  std::uint64_t bytes = 0;
  for (const Pending& pending : group) bytes += pending.bytes();
  {
    // Before the answers: who is answered may append again at once.
    std::lock_guard lock(mutex_);
    pending_bytes_ -= bytes;
  }
  Position position = active_->end();
  position.offset -= bytes;
  for (Pending& pending : group) {
    position.seq = pending.frame.seq;
    pending.done(status.ok() ? absl::StatusOr<Position>(position) : status);
    position.offset += pending.bytes();
  }
}

absl::StatusOr<Record> LogImpl::Read(Position position) const {
  return segments_.Read(position, true);
}

absl::StatusOr<Record> LogImpl::ReadNext(Position position, ReadAhead& ahead) const {
  return segments_.Read(position, true, &ahead);
}

absl::StatusOr<Record> LogImpl::ReadHeader(Position position) const {
  return segments_.Read(position, false);
}

std::shared_ptr<const Record> LogImpl::Recent(Position position) const {
  return recent_.Find(position.seq);
}

Position LogImpl::Begin() const { return segments_.First()->begin(); }

Position LogImpl::DurableEnd() const {
  std::lock_guard lock(mutex_);
  return durable_end_;
}

std::vector<SegmentInfo> LogImpl::Segments() const {
  std::vector<SegmentInfo> infos;
  for (const auto& [first, segment] : segments_.All()) {
    bool sealed = segment->sealed.load(std::memory_order_acquire);
    infos.push_back({.begin = segment->begin(), .end = segment->end(), .sealed = sealed});
  }
  return infos;
}

bool LogImpl::WaitForRecord(Position position, std::chrono::milliseconds timeout) const {
  const Clock::time_point deadline = Clock::now() + timeout;
  std::unique_lock lock(mutex_);
  while (!closing_ && durable_end_.seq <= position.seq) {
    awaited_ = std::min(awaited_, position.seq);
    if (durable_.wait_until(lock, deadline) == std::cv_status::timeout) break;
  }
  return durable_end_.seq > position.seq;
}

void LogImpl::SetRequired(const std::string& reader, Position position) {
  std::lock_guard lock(mutex_);
  required_[reader] = position;
}

void LogImpl::Close() {
  std::lock_guard closing(close_mutex_);
  {
    std::lock_guard lock(mutex_);
    closing_ = true;
    work_.notify_all();
    durable_.notify_all();
    keep_.notify_all();
  }
  if (writer_.joinable()) writer_.join();
  if (keeper_.joinable()) keeper_.join();
}

LogStats LogImpl::Stats() const {
  LogStats stats;
  stats.writable = Ready().ok();
  stats.syncs = syncs_.Counts();
  stats.quarantined_bytes = segments_.quarantined_bytes();
  for (const auto& [first, segment] : segments_.All()) {
    stats.bytes += segment->file_bytes;
    ++stats.segments;
  }
  Position begin = Begin();
  {
    std::lock_guard lock(mutex_);
    stats.appended_records = appended_records_;
    stats.expired_records = expired_records_;
    stats.oldest_received_us = oldest_received_.second;
    if (oldest_received_.first == begin.seq || durable_end_ == begin) return stats;
  }
  absl::StatusOr<Record> oldest = ReadHeader(begin);
  std::lock_guard lock(mutex_);
  oldest_received_ = {begin.seq, oldest.ok() ? oldest->header.received_us : 0};
  stats.oldest_received_us = oldest_received_.second;
  return stats;
}

}  // namespace weft::collector
