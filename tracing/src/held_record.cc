// SPDX-License-Identifier: Apache-2.0
#include "held_record.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>

namespace weft {
inline namespace v0 {
namespace internal {
namespace {

constexpr char kMarker[] = "weft_truncated";
// Of inputs, and of metadata.
constexpr std::size_t kFieldBytes = 1024;
constexpr std::size_t kTextBytes = 256;
constexpr std::size_t kMostTags = 16;
constexpr int kMostLevels = 8;
// A node of a list, a member of a JSON object, what allocators add.
constexpr std::size_t kNodeBytes = 64;
constexpr std::size_t kMemberBytes = 48;
// RunContext's state besides its text.
constexpr std::size_t kContextBytes = 160;

std::string_view Beginning(std::string_view text, std::size_t size) noexcept {
  if (text.size() <= size) return text;
  // Not within a character: continuation bytes of UTF-8 are 10xxxxxx.
  while (size > 0 && (static_cast<unsigned char>(text[size]) & 0xC0) == 0x80) --size;
  return text.substr(0, size);
}

/// Cuts one field to a number of bytes.
class Shortener {
 public:
  /// Not `with_beginnings`: of a text that is cut nothing is left, so that half a secret cannot
  /// stay where the whole would have been found.
  explicit Shortener(bool with_beginnings) noexcept : with_beginnings_(with_beginnings) {}

  void Shorten(JsonObject& object, int level = 0) {
    std::size_t kept = 0;
    for (auto& [key, value] : object) {
      if (left_ < key.size() + kMemberBytes || level == kMostLevels) break;
      left_ -= key.size() + kMemberBytes;
      Shorten(value, level);
      ++kept;
    }
    if (kept == object.size()) return;
    cut_ = true;
    // Built anew: erasing would keep the memory.
    JsonObject shorter;
    for (auto member = object.begin(); kept > 0; ++member, --kept) {
      shorter.emplace(member->key(), std::move(member->value()));
    }
    object = std::move(shorter);
  }

  bool cut() const noexcept { return cut_; }

 private:
  void Shorten(Json& value, int level) {
    if (value.is_string()) return ShortenText(value);
    if (value.is_object()) return Shorten(value.get_object(), level + 1);
    if (value.is_array()) ShortenArray(value.get_array(), level + 1);
  }

  void ShortenText(Json& value) {
    const std::string_view text = value.get_string();
    const std::string_view shown = Beginning(text, std::min(left_, kTextBytes));
    left_ -= shown.size();
    if (shown.size() == text.size()) return;
    cut_ = true;
    std::string cut = with_beginnings_ ? std::string(shown) : std::string();
    value =
        boost::json::string(cut.append("... (").append(std::to_string(text.size())) + " bytes)");
  }

  void ShortenArray(JsonArray& array, int level) {
    std::size_t kept = 0;
    for (Json& value : array) {
      if (left_ < sizeof(Json) || level >= kMostLevels) break;
      left_ -= sizeof(Json);
      Shorten(value, level);
      ++kept;
    }
    if (kept == array.size()) return;
    cut_ = true;
    array = JsonArray(std::make_move_iterator(array.begin()),
                      std::make_move_iterator(array.begin() + static_cast<std::ptrdiff_t>(kept)));
  }

  const bool with_beginnings_;
  std::size_t left_ = kFieldBytes;
  bool cut_ = false;
};

void ShortenField(JsonObject& field, bool with_beginnings) {
  if (field.empty()) return;
  Shortener shortener(with_beginnings);
  shortener.Shorten(field);
  if (shortener.cut()) field[kMarker] = true;
}

std::size_t BytesOf(const Json& value) noexcept;

std::size_t BytesOf(const JsonObject& object) noexcept {
  std::size_t bytes = 0;
  for (const auto& [key, value] : object) bytes += kMemberBytes + key.size() + BytesOf(value);
  return bytes;
}

std::size_t BytesOf(const Json& value) noexcept {
  if (const auto* text = value.if_string()) return text->capacity();
  if (const auto* object = value.if_object()) return BytesOf(*object);
  std::size_t bytes = 0;
  if (const auto* array = value.if_array()) {
    for (const Json& element : *array) bytes += sizeof(Json) + BytesOf(element);
  }
  return bytes;
}

std::size_t BytesOf(const std::vector<std::string>& texts) noexcept {
  std::size_t bytes = 0;
  for (const std::string& text : texts) bytes += sizeof(text) + text.capacity();
  return bytes;
}

}  // namespace

void ShortenHeld(RunRecord& record) {
  record.outputs.reset();
  record.events = {};
  record.attachments = {};
  record.payload = nullptr;
  const bool redacted = record.environment && record.environment->redactor;
  ShortenField(record.inputs, !redacted);
  ShortenField(record.metadata, !redacted);
  if (record.tags.size() > kMostTags) record.tags.resize(kMostTags);
  for (std::string& tag : record.tags) {
    if (tag.size() > kTextBytes) tag = redacted ? "..." : std::string(Beginning(tag, kTextBytes));
  }
  if (record.name.size() > kTextBytes) record.name = Beginning(record.name, kTextBytes);
  record.name.shrink_to_fit();
}

std::size_t HeldBytes(const RunRecord& record) noexcept {
  std::size_t bytes = sizeof(RunRecord) + kNodeBytes + kContextBytes;
  bytes += record.context.dotted_order().size() + record.name.capacity();
  if (!record.inputs.empty()) bytes += BytesOf(record.inputs);
  if (!record.metadata.empty()) bytes += BytesOf(record.metadata);
  bytes += BytesOf(record.tags);
  for (const RunAttribute& attribute : record.attributes) {
    bytes += sizeof(RunAttribute);
    if (const auto* text = std::get_if<std::string>(&attribute.value)) bytes += text->capacity();
  }
  return bytes;
}

std::size_t HeldBytes(const TraceBaggage& baggage) noexcept {
  std::size_t bytes = sizeof(TraceBaggage) + BytesOf(baggage.metadata) + BytesOf(baggage.tags);
  for (const auto& [key, value] : baggage.foreign) {
    bytes += sizeof(key) + sizeof(value) + key.capacity() + value.capacity();
  }
  bytes += baggage.tracestate.capacity();
  if (baggage.project) bytes += baggage.project->capacity();
  return bytes;
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
