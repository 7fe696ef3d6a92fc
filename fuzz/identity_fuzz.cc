// SPDX-License-Identifier: Apache-2.0
// What any text must do as a run id and as a dotted order: be refused, or be one that is written
// and read back as it was.
#include <string>

#include <weft/tracing/run_context.h>
#include <weft/tracing/run_id.h>

#include "dotted_order.h"
#include "fuzz.h"

using weft::fuzz::Require;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text = weft::fuzz::Text(data, size);
  if (const auto id = weft::RunId::Parse(text)) {
    Require(weft::RunId::Parse(id->ToString()) == id, "an id survives");
  }
  const auto order = weft::internal::ParseDottedOrder(text);
  if (!order) return 0;
  std::string last(weft::internal::kSegmentSize, '\0');
  weft::internal::WriteSegment(order->micros, order->id, last.data());
  const auto again = weft::internal::ParseDottedOrder(last);
  Require(again.has_value(), "the last segment can be written");
  Require(again->id == order->id && again->micros == order->micros, "the last segment survives");
  Require(order->parent_id.has_value() == (text.find('.') != text.npos),
          "only a root has no parent");
  return 0;
}
