// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>

#include <weft/interceptors/middleware.h>

#include "header_index.h"
#include "stats.h"

namespace weft {
inline namespace v0 {
namespace {

// HTTP/2 adds 32 to each pair when it compares with the peer's limit (RFC 9113, 6.5.2).
constexpr std::size_t kPairOverhead = 32;

constexpr std::array<bool, 256> kKeyBytes = [] {
  std::array<bool, 256> allowed{};
  for (const char c : std::string_view("abcdefghijklmnopqrstuvwxyz0123456789_-.")) {
    allowed[static_cast<unsigned char>(c)] = true;
  }
  return allowed;
}();

bool IsKeyByte(char c) noexcept { return kKeyBytes[static_cast<unsigned char>(c)]; }

constexpr bool IsPrintable(char c) noexcept { return c >= 0x20 && c <= 0x7e; }

bool AllPrintable(std::uint64_t word) noexcept {
  constexpr std::uint64_t kOnes = 0x0101010101010101;
  constexpr std::uint64_t kHighBits = 0x80 * kOnes;
  const std::uint64_t below_blank = (word - 0x20 * kOnes) & ~word;
  const std::uint64_t is_delete = ((word ^ 0x7f * kOnes) - kOnes) & ~(word ^ 0x7f * kOnes);
  return ((word | below_blank | is_delete) & kHighBits) == 0;
}

// Eight bytes at a time, the last ones perhaps twice: every header of every call goes through here.
bool AllPrintable(std::string_view text) noexcept {
  std::uint64_t word = 0;
  if (text.size() < sizeof(word)) return std::ranges::all_of(text, IsPrintable);
  const std::size_t last = text.size() - sizeof(word);
  for (std::size_t at = 0; at < last; at += sizeof(word)) {
    std::memcpy(&word, text.data() + at, sizeof(word));
    if (!AllPrintable(word)) return false;
  }
  std::memcpy(&word, text.data() + last, sizeof(word));
  return AllPrintable(word);
}

// Owned by HTTP/2 or by gRPC itself; a second one, or a wrong one, can fail the call.
bool IsReserved(std::string_view key) noexcept {
  switch (key.front()) {
    case 'c':
      return key == "connection" || key == "content-length" || key == "content-type";
    case 'g':
      return key.starts_with("grpc-");
    case 'h':
      return key == "host";
    case 'k':
      return key == "keep-alive";
    case 'p':
      return key == "proxy-connection";
    case 't':
      return key == "te" || key == "trailer" || key == "transfer-encoding";
    case 'u':
      return key == "upgrade" || key == "user-agent";
    default:
      return false;
  }
}

}  // namespace

const char* MetadataProblem(std::string_view key, std::string_view value) noexcept {
  if (key.empty()) return "empty-key";
  if (!std::ranges::all_of(key, IsKeyByte)) return "bad-key";
  if (IsReserved(key)) return "reserved-key";
  // gRPC takes the key "-bin" alone for one of text.
  const bool binary = key.size() > 4 && key.ends_with("-bin");
  if (!binary && !AllPrintable(value)) return "bad-value";
  return nullptr;
}

MetadataView::Pairs MetadataView::Find(std::string_view key) const noexcept {
  return index_ != nullptr ? index_->Find(key) : internal::HeaderIndex::FindIn(map(), key);
}

const MetadataView::Map& MetadataView::map() const noexcept {
  if (map_ == nullptr && context_ != nullptr) {
    map_ = &context_->client_metadata();
  } else if (map_ == nullptr) {
    map_ = part_ == Part::kInitial ? batch_->GetRecvInitialMetadata()
                                   : batch_->GetRecvTrailingMetadata();
  }
  return *map_;
}

bool MetadataWriter::Add(std::string_view key, std::string_view value) noexcept {
  return AddUnless(MetadataProblem(key, value), key, value);
}

bool MetadataWriter::AddOwn(std::string_view key, std::string_view value) noexcept {
  return AddUnless(nullptr, key, value);
}

bool MetadataWriter::AddUnless(const char* problem, std::string_view key,
                               std::string_view value) noexcept {
  if (problem == nullptr && key.size() + value.size() + kPairOverhead > Room()) problem = "no-room";
  if (problem != nullptr) {
    internal::CountDroppedHeader(problem);
    return false;
  }
  map_.emplace(key, value);
  return true;
}

std::size_t MetadataWriter::Remove(std::string_view key) noexcept {
  return map_.empty() ? 0 : map_.erase(std::string(key));
}

std::optional<std::string_view> MetadataWriter::Get(std::string_view key) const noexcept {
  if (map_.empty()) return std::nullopt;
  const auto found = map_.find(std::string(key));
  if (found == map_.end()) return std::nullopt;
  return found->second;
}

std::size_t MetadataWriter::Size() const noexcept {
  std::size_t size = 0;
  for (const auto& [key, value] : map_) size += key.size() + value.size() + kPairOverhead;
  return size;
}

std::size_t MetadataWriter::Room() const noexcept {
  const std::size_t size = Size();
  return size < limit_ ? limit_ - size : 0;
}

}  // namespace v0
}  // namespace weft
