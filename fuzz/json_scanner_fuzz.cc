// SPDX-License-Identifier: Apache-2.0
// What any text must do in the collector's readers of JSON: be judged the same way by all of them,
// and be valid once it is mended.
#include <string>

#include <boost/json/parse.hpp>

#include "fold.h"
#include "fold_json.h"
#include "fuzz.h"
#include "langsmith/json_scanner.h"

using namespace weft::collector;  // NOLINT: a program of one function
using weft::fuzz::Require;

namespace {

void CheckMended(std::string_view text) {
  std::string error;
  const std::string mended = RepairJson(text);
  Require(CheckJson(mended, 0, &error) == JsonState::kValid, "what is mended is valid");
  boost::system::error_code code;
  boost::json::parse_options options;
  options.max_depth = 2 * kMaxJsonDepth;
  boost::json::parse(mended, code, {}, options);
  Require(!code || code == boost::json::error::exponent_overflow, "another parser takes it");
}

void CheckFields(std::string_view object) {
  FieldCutter cutter(object);
  std::string_view key;
  std::string_view value;
  FieldSet fields;
  while (cutter.Next(key, value)) {
    Require(value.data() >= object.data() &&
                value.data() + value.size() <= object.data() + object.size(),
            "a field lies in its object");
    fields.Merge(key, value);
    WeightOf(value);
    JsonText(value);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(weft::fuzz::Text(data, size));
  const std::string padded = text + std::string(64, ' ');
  std::string error;
  const JsonState slow = CheckJson(text, 0, &error);
  const JsonState fast = CheckJson(std::string_view(padded).substr(0, text.size()), 64, &error);
  Require(slow == fast, "simdjson or not makes no difference");
  JsonStringValue(text);
  IsoTime(text);
  if (slow == JsonState::kInvalid) return 0;
  CheckMended(text);
  if (slow == JsonState::kValid) CheckFields(text);
  return 0;
}
