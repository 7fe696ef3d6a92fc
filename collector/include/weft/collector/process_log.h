// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string_view>
#include <utility>

namespace weft::collector {

enum class LogFormat : std::uint8_t;
enum class LogLevel { kInfo, kWarning, kError };

/// Writes one line to stderr: `2026-11-21T13:00:00.000Z INFO listening grpc=127.0.0.1:4317`.
/// Values with blanks or control characters are quoted, so that a line stays a line. As JSON:
/// `{"time":"2026-...","level":"info","message":"listening","grpc":"127.0.0.1:4317"}`.
///
/// Threads: any; lines do not mix.
void LogLine(LogLevel level, std::string_view message,
             std::initializer_list<std::pair<std::string_view, std::string_view>> fields = {});

/// Keeps the lines of all threads back while it lives, so that another can be the first of all.
class HeldLogLines {
 public:
  HeldLogLines();
  /// Writes what was kept back.
  ~HeldLogLines();
  HeldLogLines(const HeldLogLines&) = delete;
  HeldLogLines& operator=(const HeldLogLines&) = delete;

  /// Writes this line before those that were kept back, and keeps no more.
  void ReleaseAfter(
      LogLevel level, std::string_view message,
      std::initializer_list<std::pair<std::string_view, std::string_view>> fields = {});
};

/// Of the lines from now on; text at the start.
void SetLogFormat(LogFormat format);

}  // namespace weft::collector
