// SPDX-License-Identifier: Apache-2.0
#include <weft/interceptors/logging.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <utility>

#include <weft/interceptors/real_peer.h>
#include <weft/interceptors/recovery.h>
#include <weft/tracing/run.h>

#include "stats.h"

namespace weft {
inline namespace v0 {
namespace {

constexpr std::size_t kLongestValue = 512;

constexpr bool IsPlain(char c) noexcept { return c > 0x20 && c < 0x7f && c != '"' && c != '='; }

/// A line that is put together on the stack, as long as it is short.
class Line {
 public:
  Line() noexcept = default;
  Line(const Line&) = delete;
  Line& operator=(const Line&) = delete;

  Line& operator<<(std::string_view text) {
    std::memcpy(Room(text.size()), text.data(), text.size());
    size_ += text.size();
    return *this;
  }
  Line& operator<<(char c) { return *this << std::string_view(&c, 1); }

  /// Where the next `bytes` go, as far as they are used: see SetEnd.
  char* Room(std::size_t bytes) {
    if (capacity_ - size_ < bytes) [[unlikely]]
      Grow(bytes);
    return data_ + size_;
  }
  void SetEnd(const char* end) noexcept { size_ = static_cast<std::size_t>(end - data_); }

  std::string_view text() const noexcept { return {data_, size_}; }

 private:
  void Grow(std::size_t bytes) {
    const std::size_t capacity = 2 * capacity_ + bytes;
    std::unique_ptr<char[]> larger(new char[capacity]);
    std::memcpy(larger.get(), data_, size_);
    capacity_ = capacity;
    data_ = larger.get();
    long_ = std::move(larger);
  }

  std::array<char, 512> short_;
  std::unique_ptr<char[]> long_;
  char* data_ = short_.data();
  std::size_t capacity_ = short_.size();
  std::size_t size_ = 0;
};

// The functions below that begin with Put write to memory that is large enough, and return the end.

/// A text whose length the compiler knows.
template <std::size_t N>
char* Put(char* out, const char (&text)[N]) noexcept {
  std::memcpy(out, text, N - 1);
  return out + N - 1;
}

char* Put(char* out, std::string_view text) noexcept {
  std::memcpy(out, text.data(), text.size());
  return out + text.size();
}

// An id in lower case; peers may write them in upper case. What an id consists of (digits, letters
// and hyphens) is not changed otherwise.
char* PutId(char* out, const char* id) noexcept {
  using TwoWords [[gnu::vector_size(16)]] = std::uint64_t;
  const auto lower = [&](std::size_t at, auto bits) {
    auto text = bits;
    std::memcpy(&text, id + at, sizeof(text));
    text |= bits;
    std::memcpy(out + at, &text, sizeof(text));
  };
  constexpr std::uint64_t kLower = 0x2020202020202020;
  static_assert(RunId::kTextSize == 36);
  lower(0, TwoWords{kLower, kLower});
  lower(16, TwoWords{kLower, kLower});
  lower(32, static_cast<std::uint32_t>(kLower));
  return out + RunId::kTextSize;
}

// The first segment of a dotted order names the trace, the last one the run.
char* PutIds(char* out, std::string_view dotted_order) noexcept {
  constexpr std::size_t kTime = std::string_view("20260102T030405000000Z").size();
  // Only peers write times that are shorter.
  const std::size_t first = dotted_order[kTime - 1] == 'Z'
                                ? kTime + RunId::kTextSize
                                : std::min(dotted_order.find('.'), dotted_order.size());
  out = PutId(Put(out, " trace_id="), dotted_order.data() + first - RunId::kTextSize);
  return PutId(Put(out, " run_id="), dotted_order.data() + dotted_order.size() - RunId::kTextSize);
}

void AppendQuoted(Line& line, std::string_view value) {
  constexpr std::string_view kHex = "0123456789abcdef";
  line << '"';
  for (const char c : value) {
    if (c == '"' || c == '\\') {
      line << '\\' << c;
    } else if (c >= 0x20 && c < 0x7f) {
      line << c;
    } else {
      const auto byte = static_cast<unsigned char>(c);
      line << "\\x" << kHex[byte >> 4] << kHex[byte & 15];
    }
  }
  line << '"';
}

void AppendField(Line& line, std::string_view name, std::string_view value) {
  line << ' ' << name << '=';
  value = value.substr(0, kLongestValue);
  if (!value.empty() && std::ranges::all_of(value, IsPlain)) {
    line << value;
  } else {
    AppendQuoted(line, value);
  }
}

constexpr std::size_t kMostTime = 24;  // 20 digits at most, and the fraction

constexpr std::array<char, 200> kTwoDigits = [] {
  std::array<char, 200> digits{};
  for (std::size_t i = 0; i < digits.size(); ++i) {
    digits[i] = static_cast<char>('0' + (i % 2 == 0 ? i / 20 : i / 2 % 10));
  }
  return digits;
}();

// Microseconds, without zeros at the end.
char* PutMilliseconds(char* out, std::chrono::system_clock::duration duration) noexcept {
  const std::int64_t nanos = std::chrono::nanoseconds(duration).count();
  const auto micros = (static_cast<std::uint64_t>(std::max<std::int64_t>(nanos, 0)) + 500) / 1000;
  const std::uint64_t whole = micros / 1000;
  out = std::to_chars(out, out + kMostTime, whole).ptr;
  const auto rest = static_cast<unsigned>(micros - whole * 1000);
  if (rest == 0) return out;
  out[0] = '.';
  std::memcpy(out + 1, &kTwoDigits[rest / 10 * 2], 2);
  out[3] = static_cast<char>('0' + rest % 10);
  return out + (out[3] != '0' ? 4 : out[2] != '0' ? 3 : 2);
}

constexpr std::array<std::string_view, 4> kLevelNames = {"debug", "info", "warning", "error"};

/// What lines of a method begin with, by level.
using Heads = std::array<std::string, kLevelNames.size()>;

Heads HeadsOf(const MethodDescription& method) {
  Heads heads;
  for (std::size_t level = 0; level < heads.size(); ++level) {
    Line head;
    head << "level=" << kLevelNames[level];
    AppendField(head, "grpc.component", method.side == CallSide::kClient ? "client" : "server");
    AppendField(head, "grpc.service", method.service);
    AppendField(head, "grpc.method", method.method);
    AppendField(head, "grpc.method_type", RpcKindName(method.kind));
    heads[level] = head.text();
  }
  return heads;
}

class LoggingMiddleware final : public Middleware {
 public:
  LoggingMiddleware(LogSink sink, LoggingOptions options)
      : sink_(std::move(sink)), options_(std::move(options)) {
    options_.one_of = std::max(options_.one_of, 1U);
    const auto* const level = options_.level.target<LogLevel (*)(grpc::StatusCode) noexcept>();
    if (level != nullptr && *level == LogLevelOf) options_.level = nullptr;
  }

  std::string_view name() const noexcept override { return "logging"; }
  HookSet hooks() const noexcept override { return HooksOf<LoggingMiddleware>(); }

  std::shared_ptr<void> OnMethod(const MethodDescription& method) noexcept override {
    return std::make_shared<Heads>(HeadsOf(method));
  }

  void OnEnd(Call& call, const CallReport& report) noexcept override try {
    const grpc::StatusCode code = report.status.error_code();
    const LogLevel level = LevelOf(code);
    if (level < options_.least) return;
    if (code == grpc::StatusCode::OK && options_.one_of > 1 &&
        ended_ok_.fetch_add(1, std::memory_order_relaxed) % options_.one_of != 0) {
      return;
    }
    Line line;
    Write(level, call, report, line);
    sink_(level, line.text());
  } catch (...) {
    internal::CountHookFailure();
  }

 private:
  LogLevel LevelOf(grpc::StatusCode code) const {
    if (options_.level) return options_.level(code);
    // Most calls, without a jump through a table.
    return code == grpc::StatusCode::OK ? LogLevel::kInfo : LogLevelOf(code);
  }

  static void Write(LogLevel level, const Call& call, const CallReport& report, Line& line) {
    constexpr std::size_t kMost = 256;  // names, the longest code, time and ids: 160
    const std::string_view head = call.method_state<Heads>()[static_cast<std::size_t>(level)];
    char* out = Put(line.Room(head.size() + kMost), head);
    const Context& context = call.context();
    if (const std::string_view peer = RealPeerOf(context); !peer.empty()) {
      line.SetEnd(out);
      AppendField(line, "peer.address", peer);
      out = line.Room(kMost);
    }
    if (report.status.error_code() == grpc::StatusCode::OK) {
      out = Put(out, " grpc.code=OK grpc.time_ms=");
    } else {
      out = Put(Put(out, " grpc.code="), StatusCodeName(report.status.error_code()));
      out = Put(out, " grpc.time_ms=");
    }
    out = PutMilliseconds(out, report.end - call.start());
    // On a server the call's own run, on a client the one that made the call.
    if (const RunContext* const run = internal::FindRun(context)) {
      out = PutIds(out, run->dotted_order());
    }
    line.SetEnd(out);
    if (!report.rejected_by.empty()) AppendField(line, "rejected_by", report.rejected_by);
    if (!report.status.ok()) {
      const std::string error = report.status.error_message();
      if (!error.empty()) AppendField(line, "grpc.error", error);
    }
    if (call.exception()) {
      AppendField(line, "exception", ExceptionText(call.exception()));
    }
  }

  LogSink sink_;
  LoggingOptions options_;
  std::atomic<std::uint64_t> ended_ok_{0};
};

}  // namespace

std::string_view LogLevelName(LogLevel level) noexcept {
  return kLevelNames[static_cast<std::size_t>(level)];
}

LogLevel LogLevelOf(grpc::StatusCode code) noexcept {
  switch (code) {
    case grpc::StatusCode::OK:
    case grpc::StatusCode::CANCELLED:
    case grpc::StatusCode::INVALID_ARGUMENT:
    case grpc::StatusCode::NOT_FOUND:
    case grpc::StatusCode::ALREADY_EXISTS:
    case grpc::StatusCode::UNAUTHENTICATED:
      return LogLevel::kInfo;
    case grpc::StatusCode::DEADLINE_EXCEEDED:
    case grpc::StatusCode::PERMISSION_DENIED:
    case grpc::StatusCode::RESOURCE_EXHAUSTED:
    case grpc::StatusCode::FAILED_PRECONDITION:
    case grpc::StatusCode::ABORTED:
    case grpc::StatusCode::OUT_OF_RANGE:
    case grpc::StatusCode::UNAVAILABLE:
      return LogLevel::kWarning;
    default:
      return LogLevel::kError;
  }
}

std::shared_ptr<Middleware> Logging(LogSink sink, LoggingOptions options) {
  if (!sink) return nullptr;
  return std::make_shared<LoggingMiddleware>(std::move(sink), std::move(options));
}

}  // namespace v0
}  // namespace weft
