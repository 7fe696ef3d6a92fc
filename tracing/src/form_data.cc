// SPDX-License-Identifier: Apache-2.0
#include <weft/tracing/internal/form_data.h>

#include <openssl/rand.h>
#include <zstd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include <absl/strings/escaping.h>

namespace weft {
inline namespace v0 {
namespace internal {
namespace {

// As browsers write names in headers.
void AppendHeaderName(std::string& out, std::string_view name) {
  // Each searched by itself, which is faster than for any of them.
  const auto has = [name](char c) { return name.find(c) != std::string_view::npos; };
  if (!has('"') && !has('\r') && !has('\n')) {
    out += name;
    return;
  }
  for (const char c : name) {
    if (c == '"') {
      out += "%22";
    } else if (c == '\r') {
      out += "%0D";
    } else if (c == '\n') {
      out += "%0A";
    } else {
      out += c;
    }
  }
}

bool IsHeaderText(std::string_view text) {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= ' ' && c < 0x7f; });
}

// A compressor takes a megabyte and its first pages are costly. Threads that send may live for one
// request only, so they hand on what they have.
class CompressorPool {
 public:
  using Compressor = std::unique_ptr<ZSTD_CCtx, decltype(&ZSTD_freeCCtx)>;

  // Never destroyed: threads may outlive main.
  static CompressorPool& Instance() {
    static auto* const pool = new CompressorPool;
    return *pool;
  }

  // The lock may be held forever in the child of a fork.
  Compressor Take() {
    const std::unique_lock lock(mutex_, std::try_to_lock);
    if (!lock || idle_.empty()) return {ZSTD_createCCtx(), &ZSTD_freeCCtx};
    Compressor compressor = std::move(idle_.back());
    idle_.pop_back();
    return compressor;
  }

  void Give(Compressor compressor) {
    const std::unique_lock lock(mutex_, std::try_to_lock);
    if (lock && idle_.size() < kMostIdle) idle_.push_back(std::move(compressor));
  }

 private:
  static constexpr std::size_t kMostIdle = 4;

  std::mutex mutex_;
  std::vector<Compressor> idle_;
};

std::string NewBoundary() {
  std::string bytes(16, '\0');
  RAND_bytes(reinterpret_cast<unsigned char*>(bytes.data()), static_cast<int>(bytes.size()));
  return absl::BytesToHexString(bytes);
}

}  // namespace

FormData::FormData() : boundary_(NewBoundary()) {}

void FormData::Append(std::string_view name, std::string_view type, std::string_view content) {
  body_.append("--").append(boundary_).append("\r\nContent-Disposition: form-data; name=\"");
  AppendHeaderName(body_, name);
  body_.append("\"\r\nContent-Type: ");
  body_.append(IsHeaderText(type) ? type : "application/octet-stream");
  std::array<char, 20> digits;
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), content.size()).ptr;
  body_.append("\r\nContent-Length: ").append(digits.data(), end);
  body_.append("\r\n\r\n").append(content).append("\r\n");
}

std::string FormData::Finish() && {
  body_.append("--").append(boundary_).append("--\r\n");
  return std::move(body_);
}

std::string CompressZstd(std::string_view content) {
  const std::size_t room = ZSTD_compressBound(content.size());
  const auto out = std::make_unique_for_overwrite<char[]>(room);
  CompressorPool::Compressor compressor = CompressorPool::Instance().Take();
  const std::size_t size =
      ZSTD_compressCCtx(compressor.get(), out.get(), room, content.data(), content.size(), 1);
  CompressorPool::Instance().Give(std::move(compressor));
  return {out.get(), ZSTD_isError(size) != 0 ? 0 : size};
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
