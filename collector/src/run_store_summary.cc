// SPDX-License-Identifier: Apache-2.0
#include "run_store_summary.h"

#include <fcntl.h>

#include <algorithm>
#include <array>
#include <cstring>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "log_crc32c.h"

namespace weft::collector {
namespace {

// A blocked Bloom filter: all bits of an id are in one block of 64 bytes, whose last four are its
// checksum. With 200,000 ids, what a segment of batches holds, one look-up in 5,000 is wrong.
constexpr std::size_t kBlocks = 8192;
constexpr std::size_t kWords = 8;
constexpr std::size_t kBlockBytes = kWords * sizeof(std::uint64_t);
constexpr std::uint32_t kBits = kBlockBytes * 8 - 32;
constexpr int kProbes = 7;
// So many blocks are fetched at once: all of them together are more than a core's nearest cache.
constexpr std::size_t kAhead = 16;
constexpr std::string_view kMagic = "WEFTSUM1";
constexpr std::uint32_t kSeed = 0x57454654;  // of the checksums

using Block = std::array<std::uint64_t, kWords>;

struct FileHeader {
  char magic[8];
  std::uint32_t has_traceless;
  std::uint32_t projects_crc;
  std::uint64_t projects_bytes;
};

struct Place {
  std::size_t block;
  std::array<std::uint32_t, kProbes> bits;
};

Place PlaceOf(const RunId& id) {
  XXH128_hash_t hash = XXH3_128bits(id.bytes.data(), id.bytes.size());
  Place place{.block = hash.low64 % kBlocks, .bits = {}};
  auto a = static_cast<std::uint32_t>(hash.high64);
  auto b = static_cast<std::uint32_t>(hash.high64 >> 32) | 1;
  for (std::uint32_t& bit : place.bits) {
    bit = static_cast<std::uint32_t>((std::uint64_t{a} * kBits) >> 32);
    a += b;
  }
  return place;
}

std::uint32_t BlockCrc(const std::uint64_t* block) {
  return Crc32c(kSeed, {reinterpret_cast<const char*>(block), kBlockBytes - 4});
}

void AppendNumber(std::string& out, std::uint64_t number) {
  out.append(reinterpret_cast<const char*>(&number), sizeof number);
}

bool TakeNumber(std::string_view& in, std::uint64_t& number) {
  if (in.size() < sizeof number) return false;
  std::memcpy(&number, in.data(), sizeof number);
  in.remove_prefix(sizeof number);
  return true;
}

}  // namespace

SegmentSummary::SegmentSummary() : blocks_(kBlocks * kWords) {}

void SegmentSummary::Add(const RecordHeader& header) {
  const auto block_of = [this](const Place& place) { return &blocks_[place.block * kWords]; };
  const auto set = [&](const Place& place) {
    std::uint64_t* const block = block_of(place);
    for (std::uint32_t bit : place.bits) block[bit / 64] |= std::uint64_t{1} << (bit % 64);
  };
  const std::vector<RunOp>& ops = header.ops;
  std::array<Place, kAhead> places;
  RunId before, otel_before;
  const std::string* project = nullptr;
  for (std::size_t i = 0; i < ops.size(); ++i) {
    if (i % kAhead == 0) {
      const std::size_t count = std::min(kAhead, ops.size() - i);
      for (std::size_t j = 0; j < count; ++j) {
        places[j] = PlaceOf(ops[i + j].run_id);
        __builtin_prefetch(block_of(places[j]), 1);
      }
    }
    const RunOp& op = ops[i];
    set(places[i % kAhead]);
    if (!op.child_run_id.IsNil()) set(PlaceOf(op.child_run_id));
    if (!op.otel_trace_id.IsNil() && op.otel_trace_id != otel_before) {
      set(PlaceOf(op.otel_trace_id));
      otel_before = op.otel_trace_id;
    }
    if (op.trace_id.IsNil()) {
      has_traceless_ = true;
    } else if (op.trace_id != op.run_id && op.trace_id != before) {
      set(PlaceOf(op.trace_id));
      before = op.trace_id;
    }
    if (op.project.empty() || (project != nullptr && *project == op.project)) continue;
    project = &op.project;
    Seen& seen = projects_.try_emplace(op.project, Seen{header.received_us, 0}).first->second;
    seen.last_us = header.received_us;
  }
}

absl::Status SegmentSummary::Save(const std::filesystem::path& path) const {
  std::string projects;
  for (const auto& [name, seen] : projects_) {
    AppendNumber(projects, seen.first_us);
    AppendNumber(projects, seen.last_us);
    AppendNumber(projects, name.size());
    projects += name;
  }
  FileHeader header{.magic = {},
                    .has_traceless = has_traceless_,
                    .projects_crc = Crc32c(kSeed, projects),
                    .projects_bytes = projects.size()};
  std::copy(kMagic.begin(), kMagic.end(), header.magic);
  std::string bytes(reinterpret_cast<const char*>(&header), sizeof header);
  bytes.resize(kBlockBytes);
  for (std::size_t at = 0; at < blocks_.size(); at += kWords) {
    std::uint32_t crc = BlockCrc(&blocks_[at]);
    bytes.append(reinterpret_cast<const char*>(&blocks_[at]), kBlockBytes - sizeof crc);
    bytes.append(reinterpret_cast<const char*>(&crc), sizeof crc);
  }
  return ReplaceFile(path, bytes + projects);
}

std::optional<SavedSummary> SavedSummary::Open(const std::filesystem::path& path) {
  absl::StatusOr<File> file = OpenFile(path, O_RDONLY);
  if (!file.ok()) return std::nullopt;
  FileHeader header;
  absl::StatusOr<std::size_t> got =
      ReadAt(file->fd(), 0, reinterpret_cast<char*>(&header), sizeof header);
  constexpr std::uint64_t kMaxProjectsBytes = 64 << 20;
  if (!got.ok() || *got != sizeof header ||
      std::string_view(header.magic, sizeof header.magic) != kMagic ||
      header.projects_bytes > kMaxProjectsBytes) {
    return std::nullopt;
  }
  SavedSummary summary;
  summary.file_ = *std::move(file);
  summary.projects_bytes_ = header.projects_bytes;
  summary.projects_crc_ = header.projects_crc;
  summary.has_traceless_ = header.has_traceless != 0;
  return summary;
}

SegmentSummary::Projects SavedSummary::ReadProjects() const {
  std::string text(projects_bytes_, '\0');
  absl::StatusOr<std::size_t> got =
      ReadAt(file_.fd(), (1 + kBlocks) * kBlockBytes, text.data(), text.size());
  if (!got.ok() || *got != text.size() || Crc32c(kSeed, text) != projects_crc_) return {};
  SegmentSummary::Projects projects;
  SegmentSummary::Seen seen;
  std::uint64_t size = 0;
  for (std::string_view in = text; TakeNumber(in, seen.first_us) && TakeNumber(in, seen.last_us) &&
                                   TakeNumber(in, size) && size <= in.size();) {
    projects.emplace(in.substr(0, size), seen);
    in.remove_prefix(size);
  }
  return projects;
}

bool SavedSummary::MayHold(const RunId& id) const {
  Place place = PlaceOf(id);
  Block block;
  absl::StatusOr<std::size_t> got = ReadAt(file_.fd(), (1 + place.block) * kBlockBytes,
                                           reinterpret_cast<char*>(block.data()), kBlockBytes);
  if (!got.ok() || *got != kBlockBytes ||
      BlockCrc(block.data()) != static_cast<std::uint32_t>(block.back() >> 32)) {
    return true;
  }
  return std::all_of(place.bits.begin(), place.bits.end(),
                     [&](std::uint32_t bit) { return ((block[bit / 64] >> (bit % 64)) & 1) != 0; });
}

}  // namespace weft::collector
