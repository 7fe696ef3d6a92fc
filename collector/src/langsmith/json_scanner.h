// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bitset>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace weft::collector {

/// Nesting that a document may have; deeper ones are invalid.
inline constexpr std::size_t kMaxJsonDepth = 256;

/// Walks JSON text once, strictly, without building anything: memory does not depend on the text.
///
/// What SDKs are known to send although it is no JSON is a defect, not an error: `NaN` and
/// `Infinity`, unpaired surrogate escapes and invalid UTF-8 in strings. Given an output, the walk
/// copies the text there with each defect replaced (`null`, U+FFFD).
///
///     JsonScanner scanner(text);
///     for (auto m = scanner.EnterObject() ? scanner.NextMember() : std::nullopt; m;
///          m = scanner.NextMember()) Use(m->key, m->value);
///     if (!scanner.Finish()) Reject(scanner.error());
class JsonScanner {
 public:
  struct Member {
    std::string_view key;  ///< As written, without the quotes.
    std::string_view value;
  };

  explicit JsonScanner(std::string_view text, std::string* repaired = nullptr)
      : begin_(text.data()),
        next_(text.data()),
        end_(text.data() + text.size()),
        copied_(text.data()),
        repaired_(repaired) {}

  /// From now on what is nested too deep is no error: of it only the end is looked for.
  void AllowAnyDepth() { any_depth_ = true; }

  /// Walks one value of any kind.
  bool SkipValue();

  /// Opens the object or array that comes next; false when something else does.
  bool EnterObject() { return Enter('{'); }
  bool EnterArray() { return Enter('['); }

  /// The next member or element of what was entered; nothing after the last and after an error.
  std::optional<Member> NextMember();
  std::optional<std::string_view> NextElement();

  /// Whether the text held exactly what was walked and was valid; completes the repaired copy.
  bool Finish();

  std::size_t defects() const { return defects_; }
  bool failed() const { return error_ != nullptr; }
  /// `byte 17: expected a value`.
  std::string error() const;

 private:
  bool Enter(char bracket);
  bool NextItem(char closing);
  bool Fail(const char* what);
  void SkipBlanks() {
    // Most texts have none.
    if (next_ != end_ && *next_ <= ' ') SkipSomeBlanks();
  }
  void SkipSomeBlanks();
  bool IsTooDeep() const { return depth_ + entered_ >= kMaxJsonDepth; }
  bool SkipDeepValue();
  bool Push(bool is_object);
  bool Scalar();
  bool Key();
  bool String();
  bool Escape();
  bool MultibyteCharacter();
  bool Number();
  bool Literal(std::string_view text);
  void Replace(const char* first, const char* last, std::string_view by);

  const char* begin_;
  const char* next_;
  const char* end_;
  const char* copied_;  ///< Everything before it is in the repaired copy.
  std::string* repaired_;
  const char* error_ = nullptr;
  std::size_t defects_ = 0;
  std::size_t depth_ = 0;
  std::size_t entered_ = 0;
  bool first_item_ = false;
  bool any_depth_ = false;
  std::bitset<kMaxJsonDepth> is_object_;
};

enum class JsonState : std::uint8_t { kValid, kRepairable, kInvalid };
enum class JsonDepth : std::uint8_t { kLimited, kAny };

/// Judges a whole document once: simdjson for the usual case, the scanner for what simdjson refuses
/// or would need much memory for. `error` is filled for kInvalid.
///
/// `readable_after` bytes behind the text may be read (their values do not matter); with fewer than
/// 64 the scanner does all the work.
JsonState CheckJson(std::string_view text, std::size_t readable_after, std::string* error);

/// The same of a document in which parts may be nested too deep, which are to be judged on their
/// own; the scanner does the work.
JsonState CheckJsonOfAnyDepth(std::string_view text, std::string* error);

/// The text with its defects replaced. The text must not be kInvalid.
std::string RepairJson(std::string_view text, JsonDepth depth = JsonDepth::kLimited);

/// The characters of a JSON string given with its quotes; nothing for other values.
std::optional<std::string> JsonStringValue(std::string_view json);

}  // namespace weft::collector
