// SPDX-License-Identifier: Apache-2.0
#include <weft/collector/process_log.h>

#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <string>

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

}  // namespace

void LogLine(LogLevel level, std::string_view message,
             std::initializer_list<std::pair<std::string_view, std::string_view>> fields) {
  constexpr std::array<std::string_view, 3> kNames = {" INFO ", " WARN ", " ERROR "};
  std::string line = Now();
  (line += kNames[static_cast<std::size_t>(level)]) += message;
  for (const auto& [name, value] : fields) {
    ((line += ' ') += name) += '=';
    AppendValue(line, value);
  }
  line += '\n';
  // One write keeps lines whole; where stderr is closed there is nobody to tell.
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, line.data(), line.size());
}

}  // namespace weft::collector
