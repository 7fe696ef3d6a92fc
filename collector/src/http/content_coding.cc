// SPDX-License-Identifier: Apache-2.0
#include "http/content_coding.h"

#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include <algorithm>
#include <cstring>

namespace weft::collector {
namespace {

constexpr std::size_t kFirstCapacity = 1u << 20;
constexpr std::size_t kKeptCapacity = 4u << 20;
constexpr std::size_t kMostAtOnce = 1u << 30;  // zlib counts in 32 bits

struct FreeZstd {
  void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
};

absl::Status TooLarge(std::size_t limit) {
  return absl::ResourceExhaustedError("the body is larger than " + std::to_string(limit) +
                                      " bytes without its content coding");
}

/// Frames are decoded whole: no window is kept, and no size is believed. A body that does not fit
/// is decoded again with more room.
absl::Status DecodeZstd(std::string_view body, std::size_t limit, DecodeBuffer* out) {
  thread_local const std::unique_ptr<ZSTD_DCtx, FreeZstd> context(ZSTD_createDCtx());
  std::size_t capacity = std::min(limit, std::max(kFirstCapacity, body.size() * 8));
  for (;;) {
    out->Reserve(capacity);
    capacity = std::min(limit, out->capacity());
    const std::size_t size =
        ZSTD_decompressDCtx(context.get(), out->data(), capacity, body.data(), body.size());
    if (ZSTD_isError(size) == 0) {
      out->set_size(size);
      return absl::OkStatus();
    }
    if (ZSTD_getErrorCode(size) != ZSTD_error_dstSize_tooSmall) {
      return absl::InvalidArgumentError(std::string("Content-Encoding zstd: ") +
                                        ZSTD_getErrorName(size));
    }
    if (capacity == limit) return TooLarge(limit);
    capacity = std::min(limit, capacity * 4);
  }
}

class Inflater {
 public:
  explicit Inflater(int window_bits) { ready_ = ::inflateInit2(&stream_, window_bits) == Z_OK; }
  ~Inflater() { ::inflateEnd(&stream_); }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;

  /// Several members may follow one another, as gzip allows.
  absl::Status Run(std::string_view body, std::size_t limit, DecodeBuffer* out) {
    if (!ready_) return absl::InternalError("zlib has no memory");
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(body.data()));
    stream_.avail_in = static_cast<uInt>(body.size());
    out->Reserve(std::min(limit, std::max(kFirstCapacity, body.size() * 4)));
    std::size_t size = 0;
    for (;;) {
      // One byte over the limit tells a body that fits from one that does not.
      if (size == out->capacity()) out->Reserve(std::min(limit + 1, size * 2), size);
      const std::size_t room = std::min(std::min(out->capacity(), limit + 1) - size, kMostAtOnce);
      stream_.next_out = reinterpret_cast<Bytef*>(out->data() + size);
      stream_.avail_out = static_cast<uInt>(room);
      const int result = ::inflate(&stream_, Z_NO_FLUSH);
      size += room - stream_.avail_out;
      if (size > limit) return TooLarge(limit);
      if (result == Z_STREAM_END) {
        out->set_size(size);
        if (stream_.avail_in == 0) return absl::OkStatus();
        if (::inflateReset(&stream_) != Z_OK) return absl::InternalError("zlib failed");
      } else if (result != Z_OK && !(result == Z_BUF_ERROR && stream_.avail_out == 0)) {
        return absl::InvalidArgumentError(result == Z_BUF_ERROR ? "the compressed body ends early"
                                                                : "the compressed body is damaged");
      }
    }
  }

 private:
  z_stream stream_{};
  bool ready_ = false;
};

}  // namespace

std::optional<ContentCoding> ParseContentCoding(std::string_view name) {
  std::string lower(name);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (lower.empty() || lower == "identity") return ContentCoding::kIdentity;
  if (lower == "gzip" || lower == "x-gzip") return ContentCoding::kGzip;
  if (lower == "deflate") return ContentCoding::kDeflate;
  if (lower == "zstd") return ContentCoding::kZstd;
  return std::nullopt;
}

void DecodeBuffer::Reserve(std::size_t capacity, std::size_t keep) {
  if (capacity <= capacity_) return;
  if (keep == 0) data_.reset();
  auto larger = std::make_unique_for_overwrite<char[]>(capacity + kReadableAfter);
  if (keep > 0) std::memcpy(larger.get(), data_.get(), keep);
  data_ = std::move(larger);
  capacity_ = capacity;
}

void DecodeBuffer::Append(std::string_view text) {
  if (size_ + text.size() > capacity_) Reserve(std::max(capacity_ * 2, size_ + text.size()), size_);
  std::memcpy(data_.get() + size_, text.data(), text.size());
  size_ += text.size();
}

void DecodeBuffer::Shrink() {
  size_ = 0;
  if (capacity_ <= kKeptCapacity) return;
  data_.reset();
  capacity_ = 0;
}

absl::Status DecodeContent(ContentCoding coding, std::string_view body, std::size_t limit,
                           DecodeBuffer* out) {
  out->set_size(0);
  switch (coding) {
    case ContentCoding::kIdentity:
      if (body.size() > limit) return TooLarge(limit);
      out->Reserve(std::max(body.size(), kFirstCapacity));
      out->Append(body);
      return absl::OkStatus();
    case ContentCoding::kZstd:
      return DecodeZstd(body, limit, out);
    case ContentCoding::kGzip:
      return Inflater(15 + 16).Run(body, limit, out);
    case ContentCoding::kDeflate: {
      // The name means zlib's format; some senders leave its header out.
      absl::Status status = Inflater(15).Run(body, limit, out);
      if (!absl::IsInvalidArgument(status)) return status;
      return Inflater(-15).Run(body, limit, out);
    }
  }
  return absl::InternalError("unknown content coding");
}

}  // namespace weft::collector
