// SPDX-License-Identifier: Apache-2.0
// What any file must do as the collector's configuration, and any text as one of its values: be
// taken, or be refused with a message.
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <optional>
#include <string>

#include <weft/collector/config.h>

#include "config_values.h"
#include "fuzz.h"

using namespace weft::collector;  // NOLINT: a program of one function
using weft::fuzz::Require;

namespace {

// Of a file in memory.
std::string PathOf(std::string_view content) {
  static const int file = memfd_create("config", 0);
  Require(ftruncate(file, 0) == 0 && pwrite(file, content.data(), content.size(), 0) ==
                                         static_cast<ssize_t>(content.size()),
          "memory for a file");
  return "/proc/self/fd/" + std::to_string(file);
}

template <typename T>
void CheckAnswer(const absl::StatusOr<T>& value) {
  Require(value.ok() || !value.status().message().empty(), "an error has a text");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text = weft::fuzz::Text(data, size);
  CheckAnswer(ParseSize(text));
  CheckAnswer(ParseDuration(text));
  CheckAnswer(ParseBool(text));
  CheckAnswer(ParseCount(text));
  CheckAnswer(ParseDestination(text));
  const auto address = ParseAddress(text);
  CheckAnswer(address);
  if (address.ok()) IsLoopback(*address);
  const std::string path = PathOf(text);
  const std::array<std::string_view, 2> flags = {"--config", path};
  CheckAnswer(LoadConfig(flags, [](const std::string&) { return std::nullopt; }));
  return 0;
}
