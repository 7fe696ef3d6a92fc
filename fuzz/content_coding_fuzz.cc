// SPDX-License-Identifier: Apache-2.0
// What any body must do when its coding is removed: give at most as much as is allowed, or an
// error. An input is the name of a coding on the first line and a body behind it.
#include <weft/tracing/internal/form_data.h>

#include "fuzz.h"
#include "http/content_coding.h"

using namespace weft::collector;  // NOLINT: a program of one function
using weft::fuzz::Require;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::size_t kLimit = 64 << 10;
  std::string_view body = weft::fuzz::Text(data, size);
  const auto coding = ParseContentCoding(weft::fuzz::TakeLine(body));
  if (!coding) return 0;
  DecodeBuffer out;
  if (!DecodeContent(*coding, body, kLimit, &out).ok()) return 0;
  Require(out.size() <= kLimit, "the limit holds");
  Require(out.capacity() >= out.size(), "the content lies in its buffer");
  DecodeBuffer again;
  const std::string compressed = weft::internal::CompressZstd(out.view());
  Require(DecodeContent(ContentCoding::kZstd, compressed, kLimit, &again).ok() &&
              again.view() == out.view(),
          "what is compressed comes back");
  return 0;
}
