// SPDX-License-Identifier: Apache-2.0
#include "log_segments.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <random>
#include <string>
#include <system_error>
#include <vector>

#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>

namespace weft::collector {
namespace {

constexpr std::size_t kMaxOpenFiles = 16;
constexpr char kExtension[] = ".log";

std::string FileName(std::uint64_t first_seq) {
  return absl::StrFormat("%020u%s", first_seq, kExtension);
}

absl::Status WriteAll(FileSystem& files, int fd, std::string_view bytes) {
  for (std::size_t done = 0; done < bytes.size();) {
    iovec part{const_cast<char*>(bytes.data()) + done, bytes.size() - done};
    ssize_t put = files.Write(fd, &part, 1, static_cast<off_t>(done));
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) return absl::ErrnoToStatus(put < 0 ? errno : EIO, "cannot write");
    done += static_cast<std::size_t>(put);
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status SegmentSet::Load() {
  for (const char* folder : {"log", "quarantine"}) {
    if (absl::Status status = MakeDirectory(root_ / folder); !status.ok()) return status;
  }
  if (absl::Status status = FindFiles(); !status.ok()) return status;
  if (absl::Status status = LearnSalt(); !status.ok()) return status;
  return segments_.empty() ? absl::OkStatus() : Recover(*segments_.rbegin()->second);
}

absl::Status SegmentSet::FindFiles() {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(root_ / "log", error)) {
    const std::filesystem::path& path = entry.path();
    std::uint64_t first = 0;
    if (path.extension() == ".new") {  // a segment that was being made when the process died
      std::filesystem::remove(path, error);
    } else if (path.extension() == kExtension && absl::SimpleAtoi(path.stem().native(), &first) &&
               first != 0) {
      segments_.emplace(first, std::make_shared<Segment>(path, first));
    }
  }
  if (error) return FileError("cannot list", root_ / "log", error.value());

  for (auto at = segments_.begin(); at != segments_.end(); ++at) {
    Segment& segment = *at->second;
    struct stat info {};
    if (::stat(segment.path.c_str(), &info) != 0) {
      return FileError("cannot read", segment.path, errno);
    }
    auto size = static_cast<std::uint64_t>(info.st_size);
    segment.file_bytes = size;
    segment.end_offset = std::max(size, kSegmentHeaderBytes);
    segment.last_write = std::chrono::system_clock::from_time_t(info.st_mtime);
    auto next = std::next(at);
    segment.sealed = next != segments_.end();
    if (segment.sealed) segment.end_seq = next->first;
  }
  return absl::OkStatus();
}

// All segments of a log have the same salt, so that one damaged header costs nothing.
absl::Status SegmentSet::LearnSalt() {
  for (auto at = segments_.rbegin(); at != segments_.rend(); ++at) {
    absl::StatusOr<std::shared_ptr<File>> file = FileOf(*at->second);
    if (!file.ok()) return file.status();
    if (std::optional<std::uint32_t> salt = ReadSalt((*file)->fd())) {
      salt_ = *salt;
      return absl::OkStatus();
    }
    // Written to, or set aside, it would be lost to the version that can read it.
    if (IsOfOtherVersion((*file)->fd())) {
      return absl::FailedPreconditionError(at->second->path.string() +
                                           " was written by a version of weft with another format");
    }
  }
  salt_ = std::random_device()();
  // Without the salt nothing in them can be told from noise: they are set aside whole.
  for (const auto& [first, segment] : segments_) {
    std::filesystem::path aside = root_ / "quarantine" / segment->path.filename();
    if (::rename(segment->path.c_str(), aside.c_str()) != 0) {
      return FileError("cannot set aside", segment->path, errno);
    }
    quarantined_bytes_ += segment->file_bytes;
  }
  segments_.clear();
  std::lock_guard lock(open_mutex_);
  open_.clear();
  return absl::OkStatus();
}

absl::Status SegmentSet::Recover(Segment& segment) {
  absl::StatusOr<std::shared_ptr<File>> file = FileOf(segment);
  if (!file.ok()) return file.status();
  int fd = (*file)->fd();
  const std::uint64_t limit = segment.file_bytes;
  std::uint64_t offset = kSegmentHeaderBytes;
  std::uint64_t seq = segment.first_seq;
  while (offset < limit) {
    RecordBytes record = ReadRecord(fd, salt_, offset, limit, true);
    if (record.result == FrameResult::kOk && record.frame.seq >= seq) {
      offset += record.frame.padded_length();
      seq = record.frame.seq + 1;
      continue;
    }
    std::optional<std::uint64_t> next =
        FindRecord(fd, salt_, offset + kRecordAlignment, limit, seq);
    if (!next) break;  // a torn tail, or the room that was never written
    Quarantine(segment, fd, offset, *next);
    offset = *next;
  }
  segment.end_offset = offset;
  segment.end_seq = seq;
  return absl::OkStatus();
}

absl::Status SegmentSet::WriteFresh(const std::filesystem::path& path, std::uint64_t first_seq,
                                    std::uint64_t bytes) {
  absl::StatusOr<File> file = OpenFile(path, O_RDWR | O_CREAT | O_TRUNC);
  if (!file.ok()) return file.status();
  if (int error = files_.Allocate(file->fd(), bytes); error != 0) {
    return FileError("cannot allocate", path, error);
  }
  absl::Status status = WriteAll(files_, file->fd(), SegmentHeader(first_seq, salt_));
  if (status.ok() && ::fsync(file->fd()) != 0) status = FileError("cannot sync", path, errno);
  return status;
}

// Under another name until it is whole, so that a segment always has its header.
absl::StatusOr<std::shared_ptr<Segment>> SegmentSet::Create(std::uint64_t first_seq,
                                                            std::uint64_t bytes) {
  std::filesystem::path path = root_ / "log" / FileName(first_seq);
  std::filesystem::path fresh = path;
  fresh += ".new";
  absl::Status status = WriteFresh(fresh, first_seq, bytes);
  if (status.ok() && ::rename(fresh.c_str(), path.c_str()) != 0) {
    status = FileError("cannot rename", fresh, errno);
  }
  if (status.ok()) status = SyncDirectory(path.parent_path());
  if (!status.ok()) {
    ::unlink(fresh.c_str());
    return status;
  }
  auto segment = std::make_shared<Segment>(path, first_seq);
  segment->file_bytes = bytes;
  std::unique_lock lock(mutex_);
  segments_[first_seq] = segment;
  return segment;
}

absl::Status SegmentSet::RemoveFirst() {
  std::shared_ptr<Segment> segment = First();
  {
    std::unique_lock lock(mutex_);
    segments_.erase(segment->first_seq);
    damaged_.erase(damaged_.lower_bound({segment->first_seq, 0}),
                   damaged_.lower_bound({segment->first_seq + 1, 0}));
  }
  {
    std::lock_guard lock(open_mutex_);  // an open file would keep its room
    std::erase_if(open_, [&](const auto& entry) { return entry.first == segment->first_seq; });
  }
  if (::unlink(segment->path.c_str()) != 0 && errno != ENOENT) {
    return FileError("cannot delete", segment->path, errno);
  }
  return SyncDirectory(segment->path.parent_path());
}

std::shared_ptr<Segment> SegmentSet::First() const {
  std::shared_lock lock(mutex_);
  return segments_.empty() ? nullptr : segments_.begin()->second;
}

std::shared_ptr<Segment> SegmentSet::Last() const {
  std::shared_lock lock(mutex_);
  return segments_.empty() ? nullptr : segments_.rbegin()->second;
}

std::map<std::uint64_t, std::shared_ptr<Segment>> SegmentSet::All() const {
  std::shared_lock lock(mutex_);
  return segments_;
}

std::shared_ptr<Segment> SegmentSet::Find(std::uint64_t first_seq) const {
  std::shared_lock lock(mutex_);
  auto at = segments_.find(first_seq);
  return at == segments_.end() ? nullptr : at->second;
}

std::shared_ptr<Segment> SegmentSet::Next(std::uint64_t first_seq) const {
  std::shared_lock lock(mutex_);
  auto at = segments_.upper_bound(first_seq);
  return at == segments_.end() ? nullptr : at->second;
}

absl::StatusOr<std::shared_ptr<File>> SegmentSet::FileOf(const Segment& segment) {
  std::lock_guard lock(open_mutex_);
  auto at = std::find_if(open_.begin(), open_.end(),
                         [&](const auto& entry) { return entry.first == segment.first_seq; });
  if (at != open_.end()) {
    std::rotate(at, at + 1, open_.end());
    return open_.back().second;
  }
  absl::StatusOr<File> file = OpenFile(segment.path, O_RDONLY);
  if (!file.ok()) return file.status();
  if (open_.size() == kMaxOpenFiles) open_.pop_front();
  open_.emplace_back(segment.first_seq, std::make_shared<File>(*std::move(file)));
  return open_.back().second;
}

std::uint64_t SegmentSet::StepOverDamage(const Segment& segment, std::uint64_t offset) const {
  std::shared_lock lock(mutex_);
  for (auto at = damaged_.find({segment.first_seq, offset}); at != damaged_.end();
       at = damaged_.find({segment.first_seq, offset})) {
    offset = at->second;
  }
  return offset;
}

// The bytes stay where they are too; the copy outlives the segment for who wants to look at it.
void SegmentSet::Quarantine(const Segment& segment, int fd, std::uint64_t begin,
                            std::uint64_t end) {
  {
    std::unique_lock lock(mutex_);
    if (!damaged_.try_emplace({segment.first_seq, begin}, end).second) return;
  }
  quarantined_bytes_ += end - begin;
  std::filesystem::path path =
      root_ / "quarantine" / absl::StrCat(segment.path.stem().native(), "-", begin, ".bad");
  absl::StatusOr<File> copy = OpenFile(path, O_WRONLY | O_CREAT | O_EXCL);
  if (!copy.ok()) return;
  std::vector<char> bytes(std::min<std::uint64_t>(end - begin, 1 << 20));
  for (std::uint64_t at = begin; at < end; at += bytes.size()) {
    absl::StatusOr<std::size_t> got =
        ReadAt(fd, at, bytes.data(), std::min<std::uint64_t>(bytes.size(), end - at));
    if (!got.ok() || ::write(copy->fd(), bytes.data(), *got) < 0) return;
  }
}

// Not kOk for what is damaged, too: that is looked at in the file.
RecordBytes SegmentSet::TakeRecord(const Segment& segment, std::uint64_t offset,
                                   std::uint64_t limit, ReadAhead& ahead) const {
  RecordBytes record;
  std::string_view bytes = ahead.Bytes(segment.first_seq, segment.path, offset, kFrameBytes, limit);
  const std::optional<Frame> frame =
      bytes.empty() ? std::nullopt : Frame::Read(salt_, bytes.data());
  if (!frame) return record;
  bytes = ahead.Bytes(segment.first_seq, segment.path, offset, frame->length, limit);
  return bytes.empty() ? record : ReadRecord(*frame, salt_, bytes);
}

absl::StatusOr<Record> SegmentSet::Read(Position position, bool with_payload, ReadAhead* ahead) {
  std::shared_ptr<Segment> segment = Find(position.segment);
  std::uint64_t offset = std::max(position.offset, kSegmentHeaderBytes);
  if (!segment && position.segment > First()->first_seq) {  // somebody deleted it: go on behind
    segment = Next(position.segment);
    offset = kSegmentHeaderBytes;
  }
  if (!segment) return absl::NotFoundError("the segment is not in the log");
  for (;;) {
    // In this order: a sealed segment does not grow.
    const bool sealed = segment->sealed.load(std::memory_order_acquire);
    const std::uint64_t limit = segment->end_offset.load(std::memory_order_acquire);
    offset = StepOverDamage(*segment, offset);
    if (offset >= limit) {
      std::shared_ptr<Segment> next = sealed ? Next(segment->first_seq) : nullptr;
      if (!next) return absl::OutOfRangeError("nothing durable is there yet");
      segment = std::move(next);
      offset = kSegmentHeaderBytes;
      continue;
    }
    absl::StatusOr<std::shared_ptr<File>> file = FileOf(*segment);
    if (!file.ok()) return file.status();
    const int fd = (*file)->fd();
    RecordBytes bytes;
    if (ahead != nullptr) bytes = TakeRecord(*segment, offset, limit, *ahead);
    if (bytes.result != FrameResult::kOk) {
      bytes = ReadRecord(fd, salt_, offset, limit, with_payload);
    }
    if (bytes.result == FrameResult::kOk) {
      absl::StatusOr<RecordHeader> header = RecordHeader::Decode(bytes.header);
      if (header.ok()) {
        std::uint64_t end = offset + bytes.frame.padded_length();
        return Record{.position = {segment->first_seq, offset, bytes.frame.seq},
                      .next = {segment->first_seq, end, bytes.frame.seq + 1},
                      .header = *std::move(header),
                      .payload = std::move(bytes.payload)};
      }
    }
    std::uint64_t end =
        bytes.result != FrameResult::kFrameDamaged
            ? offset + bytes.frame.padded_length()
            : FindRecord(fd, salt_, offset + kRecordAlignment, limit, segment->first_seq)
                  .value_or(limit);
    Quarantine(*segment, fd, offset, end);
    offset = end;
  }
}

}  // namespace weft::collector
