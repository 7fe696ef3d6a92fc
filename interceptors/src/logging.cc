// SPDX-License-Identifier: Apache-2.0
#include <weft/interceptors/logging.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include <weft/interceptors/real_peer.h>
#include <weft/interceptors/recovery.h>

#include "call_run.h"
#include "stats.h"

namespace weft {
inline namespace v0 {
namespace {

constexpr std::size_t kLongestValue = 512;

constexpr bool IsPlain(char c) noexcept { return c > 0x20 && c < 0x7f && c != '"' && c != '='; }

void AppendQuoted(std::string& line, std::string_view value) {
  constexpr std::string_view kHex = "0123456789abcdef";
  line += '"';
  for (const char c : value) {
    if (c == '"' || c == '\\') {
      (line += '\\') += c;
    } else if (c >= 0x20 && c < 0x7f) {
      line += c;
    } else {
      const auto byte = static_cast<unsigned char>(c);
      ((line += "\\x") += kHex[byte >> 4]) += kHex[byte & 15];
    }
  }
  line += '"';
}

void AppendField(std::string& line, std::string_view name, std::string_view value) {
  if (!line.empty()) line += ' ';
  (line += name) += '=';
  value = value.substr(0, kLongestValue);
  if (!value.empty() && std::ranges::all_of(value, IsPlain)) {
    line += value;
  } else {
    AppendQuoted(line, value);
  }
}

void AppendMilliseconds(std::string& line, std::chrono::system_clock::duration duration) {
  const auto rounded = std::chrono::round<std::chrono::microseconds>(duration);
  const std::int64_t micros = std::max<std::int64_t>(rounded.count(), 0);
  std::array<char, 32> buffer;
  char* end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), micros / 1000).ptr;
  auto rest = static_cast<int>(micros % 1000);
  if (rest != 0) *end++ = '.';
  for (int unit = 100; rest != 0; rest %= unit, unit /= 10) {
    *end++ = static_cast<char>('0' + rest / unit);
  }
  line.append(buffer.data(), end);
}

void AppendId(std::string& line, const RunId& id) {
  const std::size_t size = line.size();
  line.resize(size + RunId::kTextSize);
  id.Write(line.data() + size);
}

/// What all lines of a method have in common.
std::string FieldsOf(const MethodDescription& method) {
  std::string fields;
  AppendField(fields, "grpc.component", method.side == CallSide::kClient ? "client" : "server");
  AppendField(fields, "grpc.service", method.service);
  AppendField(fields, "grpc.method", method.method);
  AppendField(fields, "grpc.method_type", RpcKindName(method.kind));
  return fields;
}

class LoggingMiddleware final : public Middleware {
 public:
  LoggingMiddleware(LogSink sink, LoggingOptions options)
      : sink_(std::move(sink)), options_(std::move(options)) {
    options_.one_of = std::max(options_.one_of, 1U);
  }

  std::string_view name() const noexcept override { return "logging"; }
  HookSet hooks() const noexcept override { return HooksOf<LoggingMiddleware>(); }

  std::shared_ptr<void> OnMethod(const MethodDescription& method) noexcept override {
    return std::make_shared<std::string>(FieldsOf(method));
  }

  void OnEnd(Call& call, const CallReport& report) noexcept override try {
    const grpc::StatusCode code = report.status.error_code();
    const LogLevel level = options_.level ? options_.level(code) : LogLevelOf(code);
    if (level < options_.least) return;
    if (code == grpc::StatusCode::OK && options_.one_of > 1 &&
        ended_ok_.fetch_add(1, std::memory_order_relaxed) % options_.one_of != 0) {
      return;
    }
    sink_(level, Line(level, call, report));
  } catch (...) {
    internal::CountHookFailure();
  }

 private:
  static std::string Line(LogLevel level, const Call& call, const CallReport& report) {
    std::string line;
    line.reserve(320);
    ((line += "level=") += LogLevelName(level)) += ' ';
    line += call.method_state<std::string>();
    if (const std::string_view peer = RealPeerOf(call.context()); !peer.empty()) {
      AppendField(line, "peer.address", peer);
    }
    (line += " grpc.code=") += StatusCodeName(report.status.error_code());
    AppendMilliseconds(line += " grpc.time_ms=", report.end - call.start());
    if (const RunContext run = internal::RunOf(call)) {
      AppendId(line += " trace_id=", run.trace_id());
      AppendId(line += " run_id=", run.id());
    }
    if (!report.rejected_by.empty()) AppendField(line, "rejected_by", report.rejected_by);
    const std::string error = report.status.error_message();
    if (!error.empty()) AppendField(line, "grpc.error", error);
    if (call.exception() != nullptr) {
      AppendField(line, "exception", ExceptionText(call.exception()));
    }
    return line;
  }

  LogSink sink_;
  LoggingOptions options_;
  std::atomic<std::uint64_t> ended_ok_{0};
};

}  // namespace

std::string_view LogLevelName(LogLevel level) noexcept {
  constexpr std::array<std::string_view, 4> kNames = {"debug", "info", "warning", "error"};
  return kNames[static_cast<std::size_t>(level)];
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
