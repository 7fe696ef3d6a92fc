// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>

#include <weft/interceptors/middleware.h>

#include "stats.h"

namespace weft {
inline namespace v0 {
namespace {

// HTTP/2 adds 32 to each pair when it compares with the peer's limit (RFC 9113, 6.5.2).
constexpr std::size_t kPairOverhead = 32;

// Owned by HTTP/2 or by gRPC itself; a second one, or a wrong one, can fail the call.
constexpr std::array<std::string_view, 10> kReserved = {
    "connection", "content-length",   "content-type", "host",    "keep-alive",
    "te",         "proxy-connection", "upgrade",      "trailer", "transfer-encoding"};

constexpr bool IsKeyByte(char c) noexcept {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.';
}

constexpr bool IsPrintable(char c) noexcept { return c >= 0x20 && c <= 0x7e; }

}  // namespace

const char* MetadataProblem(std::string_view key, std::string_view value) noexcept {
  if (key.empty()) return "empty-key";
  if (!std::ranges::all_of(key, IsKeyByte)) return "bad-key";
  if (key.starts_with("grpc-") || key == "user-agent" ||
      std::ranges::find(kReserved, key) != kReserved.end()) {
    return "reserved-key";
  }
  if (!key.ends_with("-bin") && !std::ranges::all_of(value, IsPrintable)) return "bad-value";
  return nullptr;
}

std::optional<std::string_view> MetadataView::Get(std::string_view key) const noexcept {
  const auto found = map().find(grpc::string_ref(key.data(), key.size()));
  if (found == map().end()) return std::nullopt;
  return std::string_view(found->second.data(), found->second.size());
}

const MetadataView::Map& MetadataView::map() const noexcept {
  if (map_ == nullptr) {
    map_ = part_ == Part::kInitial ? batch_->GetRecvInitialMetadata()
                                   : batch_->GetRecvTrailingMetadata();
  }
  return *map_;
}

bool MetadataWriter::Add(std::string_view key, std::string_view value) noexcept {
  const char* problem = MetadataProblem(key, value);
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
