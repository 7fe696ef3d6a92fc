// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <absl/container/inlined_vector.h>

namespace weft::collector {

/// An AnyValue, read where it lies.
struct AttributeValue {
  enum class Type : std::uint8_t { kNone, kText, kBool, kInt, kDouble, kList, kMap, kBytes };
  Type type = Type::kNone;
  std::string_view bytes{};  ///< kText, kBytes; of kList and kMap the message.
  std::int64_t number = 0;   ///< kInt, and kBool as 0 or 1.
  double real = 0;           ///< kDouble

  static AttributeValue Read(std::string_view any_value);

  bool is_text() const { return type == Type::kText; }
  /// As JSON: integers exact, what is no number `null`, bytes as base64.
  std::string Json() const;
  void AppendJson(std::string& out) const;
  /// A text as it is, anything else as JSON; nothing for kNone.
  std::string Text() const;
  /// An integer, also where it was sent as a double or as a text.
  std::optional<std::int64_t> Integer() const;
};

/// The attributes of a span, an event or a resource, found by key. The last of equal keys counts.
///
/// Who uses an attribute says so (Take): the others are kept with the run.
class Attributes {
 public:
  struct Entry {
    std::string_view key;
    std::string_view value;  ///< An AnyValue.
    bool used = false;
  };

  void Add(std::string_view key_value);
  /// After the last Add.
  void Sort();

  /// Null when there is none.
  Entry* Find(std::string_view key) { return (bits_ & BitOf(key)) == 0 ? nullptr : Search(key); }
  bool Has(std::string_view key) { return Find(key) != nullptr; }
  AttributeValue Value(std::string_view key) {
    const Entry* const entry = Find(key);
    return entry == nullptr ? AttributeValue() : AttributeValue::Read(entry->value);
  }
  /// Of a text; empty for anything else.
  std::string_view Text(std::string_view key);
  /// The same, and marks it as used.
  AttributeValue Take(std::string_view key);
  std::string_view TakeText(std::string_view key);
  void MarkUsed(std::string_view key);

  /// Those whose keys begin with `prefix`, in the order of their keys.
  std::vector<Entry*> Under(std::string_view prefix) {
    return MayHaveUnder(prefix) ? SearchUnder(prefix) : std::vector<Entry*>();
  }
  /// False: there is none. For who would ask for many keys.
  bool MayHaveUnder(std::string_view prefix) const {
    return prefix.size() < kHead || (heads_ & HeadBitOf(prefix)) != 0;
  }
  auto& all() { return entries_; }
  bool empty() const { return entries_.empty(); }

 private:
  static constexpr std::uint64_t BitOf(std::string_view key) {
    const auto last = key.empty() ? 0u : static_cast<unsigned char>(key.back());
    return std::uint64_t{1} << ((key.size() * 7 + last) % 64);
  }
  static constexpr std::size_t kHead = sizeof(std::uint64_t);
  // Of how it begins.
  static std::uint64_t HeadBitOf(std::string_view key) {
    std::uint64_t head;
    std::memcpy(&head, key.data(), kHead);
    return std::uint64_t{1} << (head * 0x9E3779B97F4A7C15 >> 58);
  }
  Entry* Search(std::string_view key);
  std::vector<Entry*> SearchUnder(std::string_view prefix);

  absl::InlinedVector<Entry, 8> entries_;
  /// A bit for each key: of the many keys that are asked for, most are not there.
  std::uint64_t bits_ = 0;
  /// And one for the first bytes of each that has so many.
  std::uint64_t heads_ = 0;
};

}  // namespace weft::collector
