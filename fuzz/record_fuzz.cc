// SPDX-License-Identifier: Apache-2.0
// What any bytes must do as a record's header: be refused, or survive being written.
#include <weft/collector/record.h>

#include "fuzz.h"

using namespace weft::collector;  // NOLINT: a program of one function
using weft::fuzz::Require;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto header = RecordHeader::Decode(weft::fuzz::Text(data, size));
  if (!header.ok()) return 0;
  const auto again = RecordHeader::Decode(header->Encode());
  Require(again.ok() && *again == *header, "a header survives");
  return 0;
}
