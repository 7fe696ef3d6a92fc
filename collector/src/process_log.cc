// SPDX-License-Identifier: Apache-2.0
#include <weft/collector/process_log.h>

#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <mutex>
#include <string>

#include <weft/collector/config.h>

#include "http/message.h"

namespace weft::collector {
namespace {

std::string Now() {
  const auto now = std::chrono::system_clock::now();
  const std::time_t seconds = std::chrono::system_clock::to_time_t(now);
  const auto milliseconds =
      std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch()).count() % 1000;
  std::tm utc{};
  ::gmtime_r(&seconds, &utc);
  std::array<char, 32> text{};
  std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%S", &utc);
  std::array<char, 8> fraction{};
  std::snprintf(fraction.data(), fraction.size(), ".%03dZ", static_cast<int>(milliseconds));
  return std::string(text.data()) + fraction.data();
}

void AppendValue(std::string& line, std::string_view value) {
  const bool plain = !value.empty() && std::all_of(value.begin(), value.end(), [](char c) {
    return static_cast<unsigned char>(c) > ' ' && c != '"' && c != '\\' && c != 0x7f;
  });
  if (plain) {
    line += value;
    return;
  }
  line += '"';
  for (const char c : value) {
    if (c == '"' || c == '\\') line += '\\';
    line += static_cast<unsigned char>(c) < ' ' || c == 0x7f ? ' ' : c;
  }
  line += '"';
}

using Fields = std::initializer_list<std::pair<std::string_view, std::string_view>>;

std::atomic<LogFormat> log_format{LogFormat::kText};

std::string TextLine(LogLevel level, std::string_view message, const Fields& fields) {
  constexpr std::array<std::string_view, 3> kNames = {" INFO ", " WARN ", " ERROR "};
  std::string line = Now();
  (line += kNames[static_cast<std::size_t>(level)]) += message;
  for (const auto& [name, value] : fields) {
    ((line += ' ') += name) += '=';
    AppendValue(line, value);
  }
  return line;
}

std::string JsonLine(LogLevel level, std::string_view message, const Fields& fields) {
  constexpr std::array<std::string_view, 3> kNames = {"info", "warning", "error"};
  std::string line = R"({"time":")" + Now() + R"(","level":")";
  (line += kNames[static_cast<std::size_t>(level)]) += R"(","message":)";
  line += JsonQuoted(message);
  for (const auto& [name, value] : fields) {
    ((line += ',') += JsonQuoted(name)) += ':';
    line += JsonQuoted(value);
  }
  return line += '}';
}

std::string Line(LogLevel level, std::string_view message, const Fields& fields) {
  return (log_format == LogFormat::kJson ? JsonLine(level, message, fields)
                                         : TextLine(level, message, fields)) +
         '\n';
}

// One write keeps lines whole; where stderr is closed there is nobody to tell.
void Write(std::string_view lines) {
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, lines.data(), lines.size());
}

std::mutex held_mutex;
bool holding = false;
std::string held;

void Release(std::string_view first) {
  std::lock_guard lock(held_mutex);
  Write(std::string(first) + held);
  held.clear();
  holding = false;
}

}  // namespace

void LogLine(LogLevel level, std::string_view message, Fields fields) {
  const std::string line = Line(level, message, fields);
  std::lock_guard lock(held_mutex);
  if (holding) {
    held += line;
  } else {
    Write(line);
  }
}

HeldLogLines::HeldLogLines() {
  std::lock_guard lock(held_mutex);
  holding = true;
}

HeldLogLines::~HeldLogLines() { Release(""); }

void HeldLogLines::ReleaseAfter(LogLevel level, std::string_view message, Fields fields) {
  Release(Line(level, message, fields));
}

void SetLogFormat(LogFormat format) { log_format = format; }

}  // namespace weft::collector
