// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <weft/tracing/internal/proto_writer.h>
#include <weft/tracing/json.h>

namespace weft {
inline namespace v0 {
namespace internal {

/// Writes attributes (OTLP's `KeyValue`) as one repeated field of a message. Text is made UTF-8.
class SpanAttributes {
 public:
  /// Text longer than `longest` bytes is cut.
  SpanAttributes(std::string& out, int field, std::size_t longest) noexcept
      : out_(out), field_(field), longest_(longest) {}

  void Text(std::string_view key, std::string_view value);
  void Bool(std::string_view key, bool value);
  void Int(std::string_view key, std::int64_t value);
  void Texts(std::string_view key, const std::vector<std::string>& values);
  /// JSON text.
  void JsonText(std::string_view key, const JsonObject& value);
  void JsonText(std::string_view key, std::string_view text);
  /// A scalar as it is, anything else as JSON text; null: nothing.
  void Value(std::string_view key, const Json& value);
  /// The same, but lists and objects as OTLP's lists and maps.
  void Tree(std::string_view key, const Json& value);

 private:
  void Tree(const Json& value, int depth);
  template <typename Write>
  void Put(std::string_view key, const Write& write);

  ProtoWriter out_;
  const int field_;
  const std::size_t longest_;
};

/// Writes `gen_ai.*` and what else is read from the inputs and outputs of a run.
struct SpanSource;
void WriteModelAttributes(const SpanSource& run, SpanAttributes& attributes);

/// `text` as a string of protobuf's: UTF-8, at most `longest` bytes. `buffer` is used if it has to
/// be changed.
std::string_view ProtoText(std::string_view text, std::size_t longest, std::string& buffer);

}  // namespace internal
}  // namespace v0
}  // namespace weft
