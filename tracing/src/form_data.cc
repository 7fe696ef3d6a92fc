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

bool IsHeaderName(std::string_view text) {
  // Each searched by itself, which is faster than for any of them.
  const auto has = [text](char c) { return text.find(c) != std::string_view::npos; };
  return !has('"') && !has('\r') && !has('\n');
}

// As browsers write names in headers.
std::string HeaderName(std::string_view name) {
  std::string out;
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
  return out;
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

FormData::FormData()
    : boundary_(NewBoundary()),
      before_name_("--" + boundary_ + "\r\nContent-Disposition: form-data; name=\"") {}

void FormData::Append(std::string_view name, std::string_view type, std::string_view content) {
  std::string written_name;
  if (!IsHeaderName(name)) name = written_name = HeaderName(name);
  if (!IsHeaderText(type)) type = "application/octet-stream";
  std::string behind_name = "\"\r\nContent-Type: ";
  behind_name.append(type).append("\r\nContent-Length: ");
  AppendPart({name}, behind_name, content);
}

void FormData::AppendJson(std::string_view operation, std::string_view id, std::string_view field,
                          std::string_view json) {
  constexpr std::string_view kBehindName =
      "\"\r\nContent-Type: application/json\r\nContent-Length: ";
  AppendPart({operation, id, field}, kBehindName, json);
}

void FormData::AppendPart(const std::array<std::string_view, 3>& name, std::string_view behind_name,
                          std::string_view content) {
  constexpr std::string_view kEnd = "\r\n\r\n";
  std::array<char, 24> length;
  char* const end = std::to_chars(length.data(), length.data() + 20, content.size()).ptr;
  kEnd.copy(end, kEnd.size());
  const std::string_view pieces[] = {
      before_name_, name[0],
      name[1],      name[2],
      behind_name,  {length.data(), static_cast<std::size_t>(end - length.data()) + kEnd.size()}};
  std::size_t size = 0;
  for (const std::string_view piece : pieces) size += piece.size();
  // Put together here, the header of a part is one piece for the body.
  std::array<char, 320> header;
  if (size <= header.size()) {
    char* out = header.data();
    for (const std::string_view piece : pieces) out = std::copy(piece.begin(), piece.end(), out);
    body_.append(header.data(), size);
  } else {
    for (const std::string_view piece : pieces) body_.append(piece);
  }
  body_.append(content).append("\r\n", 2);
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
