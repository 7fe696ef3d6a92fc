// SPDX-License-Identifier: Apache-2.0
// What any body must do in the multipart reader: give parts that lie in it, in order, and end.
// An input is a Content-Type on the first line and a body behind it.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "langsmith/multipart.h"

using namespace weft::collector;  // NOLINT: a program of one function

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::size_t line = input.find('\n');
  const auto boundary = MultipartBoundary(input.substr(0, line));
  if (!boundary.ok() || line == std::string_view::npos) return 0;
  const std::string_view body = input.substr(line + 1);
  MultipartReader reader(body, *boundary);
  FormPart part;
  const char* reached = body.data();
  while (reader.Next(&part)) {
    if (part.content.data() < reached) std::abort();
    reached = part.content.data() + part.content.size();
    if (reached > body.data() + body.size()) std::abort();
    if (UnescapedName(part.name).size() > part.name.size()) std::abort();
    if (WithoutParameter(part.content_type, "length").size() > part.content_type.size()) {
      std::abort();
    }
  }
  return 0;
}
