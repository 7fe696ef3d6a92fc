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
constexpr std::size_t kMemberBytes = 48;  // Of a JSON object.
// RunContext's state besides its text, and what allocators add.
constexpr std::size_t kContextBytes = 192;
constexpr std::size_t kFirstBlock = 4;  // Runs.
constexpr std::size_t kLargestBlock = 16;

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

std::size_t BytesOf(const RunRecord& rest) noexcept {
  std::size_t bytes =
      sizeof(RunRecord) + BytesOf(rest.inputs) + BytesOf(rest.metadata) + BytesOf(rest.tags);
  for (const RunAttribute& attribute : rest.attributes) {
    bytes += sizeof(RunAttribute);
    if (const auto* text = std::get_if<std::string>(&attribute.value)) bytes += text->capacity();
  }
  return bytes;
}

bool HasRest(const RunRecord& record) noexcept {
  return !record.inputs.empty() || !record.metadata.empty() || !record.tags.empty() ||
         !record.attributes.empty();
}

void Shorten(RunRecord& rest, bool redacted) {
  ShortenField(rest.inputs, !redacted);
  ShortenField(rest.metadata, !redacted);
  if (rest.tags.size() > kMostTags) rest.tags.resize(kMostTags);
  for (std::string& tag : rest.tags) {
    if (tag.size() > kTextBytes) tag = redacted ? "..." : std::string(Beginning(tag, kTextBytes));
  }
}

}  // namespace

HeldRun::HeldRun(RunRecord&& record, bool redacted)
    : context_(std::move(record.context)),
      kind_(std::move(record.kind)),
      name_(std::move(record.name)),
      start_(record.start),
      end_(record.end.value_or(record.start)),
      type_(record.type) {
  if (name_.size() > kTextBytes) name_ = Beginning(name_, kTextBytes);
  name_.shrink_to_fit();
  if (HasRest(record)) {
    rest_ = std::make_unique<RunRecord>();
    rest_->inputs = std::move(record.inputs);
    rest_->metadata = std::move(record.metadata);
    rest_->tags = std::move(record.tags);
    rest_->attributes = std::move(record.attributes);
    Shorten(*rest_, redacted);
  }
  bytes_ = static_cast<std::uint32_t>(kContextBytes + context_.dotted_order().size() +
                                      name_.capacity() + (rest_ ? BytesOf(*rest_) : 0));
}

RunRecord HeldRun::Restore() && {
  RunRecord record = rest_ ? std::move(*rest_) : RunRecord();
  record.context = std::move(context_);
  record.kind = std::move(kind_);
  record.name = std::move(name_);
  record.type = type_;
  record.start = start_;
  record.end = end_;
  return record;
}

std::size_t HeldTraceRuns::Add(HeldRun&& run) {
  if (!first_) {
    first_.emplace(std::move(run));
    return 0;
  }
  std::size_t bytes = 0;
  if (blocks_.empty() || blocks_.back().size() == blocks_.back().capacity()) {
    const std::size_t runs =
        blocks_.empty() ? kFirstBlock : std::min(2 * blocks_.back().capacity(), kLargestBlock);
    if (blocks_.empty()) blocks_.reserve(4);
    blocks_.emplace_back().reserve(runs);
    bytes = sizeof(std::vector<HeldRun>) + runs * sizeof(HeldRun);
  }
  blocks_.back().push_back(std::move(run));
  return bytes;
}

std::size_t HeldTraceRuns::size() const noexcept {
  std::size_t runs = first_ ? 1 : 0;
  for (const std::vector<HeldRun>& block : blocks_) runs += block.size();
  return runs;
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
