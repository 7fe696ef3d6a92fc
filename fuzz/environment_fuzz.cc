// SPDX-License-Identifier: Apache-2.0
// What any values must do in the environment of a tracer: give settings, or an error that says
// something. An input is lines of NAME=VALUE.
#include <map>
#include <string>

#include "environment.h"
#include "fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view text = weft::fuzz::Text(data, size);
  std::map<std::string, std::string, std::less<>> variables;
  while (!text.empty()) {
    const std::string_view line = weft::fuzz::TakeLine(text);
    const std::size_t equals = line.find('=');
    if (equals == line.npos) continue;
    variables.emplace(line.substr(0, equals), line.substr(equals + 1));
  }
  const auto settings = weft::internal::ReadEnvironment([&](const char* name) -> const char* {
    const auto found = variables.find(std::string_view(name));
    return found == variables.end() ? nullptr : found->second.c_str();
  });
  weft::fuzz::Require(settings.ok() || !settings.status().message().empty(), "an error has a text");
  return 0;
}
