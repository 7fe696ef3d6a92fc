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
constexpr std::size_t kAboveLooks = 4;

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

std::size_t RoomOf(const HeldTraceRuns::Block& block) noexcept {
  return sizeof(block) + block.capacity() * sizeof(HeldTraceRuns::Entry);
}

bool HasMore(const RunRecord& record) noexcept {
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
      rest_{.kind = std::move(record.kind),
            .name = std::move(record.name),
            .start = record.start,
            .end = record.end.value_or(record.start),
            .more = nullptr,
            .bytes = 0,
            .type = record.type} {
  std::string& name = rest_.name;
  if (name.size() > kTextBytes) name = Beginning(name, kTextBytes);
  name.shrink_to_fit();
  std::size_t bytes = name.capacity();
  if (HasMore(record)) {
    rest_.more = std::make_unique<RunRecord>();
    RunRecord& more = *rest_.more;
    more.inputs = std::move(record.inputs);
    more.metadata = std::move(record.metadata);
    more.tags = std::move(record.tags);
    more.attributes = std::move(record.attributes);
    Shorten(more, redacted);
    bytes += BytesOf(more);
  }
  rest_.bytes = static_cast<std::uint32_t>(bytes);
}

std::size_t HeldRun::bytes() const noexcept {
  return rest_.bytes + kContextBytes + context_.dotted_order().size();
}

RunRecord HeldRun::Restore() && {
  RunRecord record = rest_.more ? std::move(*rest_.more) : RunRecord();
  record.context = std::move(context_);
  record.kind = std::move(rest_.kind);
  record.name = std::move(rest_.name);
  record.type = rest_.type;
  record.start = rest_.start;
  record.end = rest_.end;
  return record;
}

std::size_t HeldTraceRuns::Add(HeldRun&& run) {
  if (!first_) {
    first_.emplace(std::move(run));
    return first_->bytes();
  }
  std::size_t bytes = run.rest_.bytes;
  if (blocks_.empty() || blocks_.back().size() == blocks_.back().capacity()) {
    const std::size_t runs =
        blocks_.empty() ? kFirstBlock : std::min(2 * blocks_.back().capacity(), kLargestBlock);
    if (blocks_.empty()) blocks_.reserve(4);
    blocks_.emplace_back().reserve(runs);
    bytes += RoomOf(blocks_.back());
  }
  const std::string_view dotted_order = run.context_.dotted_order();
  // A run of this process: the last segment is weft's own.
  const std::size_t own = dotted_order.size() - std::min(dotted_order.size(), kSegmentSize);
  Entry& entry = blocks_.back().emplace_back();
  dotted_order.copy(entry.segment.data(), kSegmentSize, own);
  entry.above = FindAbove(dotted_order.substr(0, own), run.context_.shared_baggage(), bytes);
  entry.rest = std::move(run.rest_);
  return bytes;
}

std::uint32_t HeldTraceRuns::FindAbove(std::string_view dotted_order,
                                       const std::shared_ptr<const TraceBaggage>& baggage,
                                       std::size_t& bytes) {
  // Runs end before their parents: what is above this one was mostly above one of the last.
  const std::size_t looks = std::min(above_.size(), kAboveLooks);
  for (std::size_t i = above_.size(); i-- > above_.size() - looks;) {
    if (above_[i].baggage == baggage && above_[i].dotted_order == dotted_order) {
      return static_cast<std::uint32_t>(i);
    }
  }
  above_.push_back({std::string(dotted_order), baggage});
  bytes += sizeof(Above) + above_.back().dotted_order.capacity();
  return static_cast<std::uint32_t>(above_.size() - 1);
}

HeldRun HeldTraceRuns::Unpack(Entry& entry) const {
  const Above& above = above_[entry.above];
  const std::string dotted_order =
      above.dotted_order + std::string(entry.segment.data(), entry.segment.size());
  return {RunContext::Remote(dotted_order, above.baggage).WithSampled(false),
          std::move(entry.rest)};
}

std::pair<HeldTraceRuns::Block, std::size_t> HeldTraceRuns::TakeSome() {
  Block block = std::move(blocks_.back());
  blocks_.pop_back();
  std::size_t bytes = RoomOf(block);
  for (const Entry& entry : block) bytes += entry.rest.bytes;
  return {std::move(block), bytes};
}

std::size_t HeldTraceRuns::size() const noexcept {
  std::size_t runs = first_ ? 1 : 0;
  for (const Block& block : blocks_) runs += block.size();
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
