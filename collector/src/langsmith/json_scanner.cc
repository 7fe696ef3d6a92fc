// SPDX-License-Identifier: Apache-2.0
#include "langsmith/json_scanner.h"

#include <bit>
#include <cstring>
#include <memory>

#include <simdjson.h>
#include <boost/json.hpp>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace weft::collector {
namespace {

/// Marks the bytes of a block that end a run of plain ASCII in a string: a quote, a backslash, a
/// control character, a byte of a longer character. The lowest mark tells the first of them; behind
/// it there may be wrong ones.
#if defined(__SSE2__)
constexpr std::size_t kBlock = 16;
constexpr int kMarkBits = 1;

std::uint32_t SpecialBytes(const char* block) {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(block));
  const __m128i quote = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('"'));
  const __m128i backslash = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\'));
  // As signed numbers the bytes of longer characters are below 0.
  const __m128i other = _mm_cmplt_epi8(bytes, _mm_set1_epi8(0x20));
  const __m128i marks = _mm_or_si128(_mm_or_si128(quote, backslash), other);
  return static_cast<std::uint32_t>(_mm_movemask_epi8(marks));
}
#else
constexpr std::size_t kBlock = 8;
constexpr int kMarkBits = 8;
constexpr std::uint64_t kOnes = 0x0101010101010101;
constexpr std::uint64_t kHighs = 0x8080808080808080;

std::uint64_t SpecialBytes(const char* block) {
  std::uint64_t word;
  std::memcpy(&word, block, sizeof word);
  const std::uint64_t quote = word ^ (kOnes * '"');
  const std::uint64_t backslash = word ^ (kOnes * '\\');
  const std::uint64_t found = ((word - kOnes * 0x20) & ~word) | ((quote - kOnes) & ~quote) |
                              ((backslash - kOnes) & ~backslash) | word;
  static_assert(std::endian::native == std::endian::little);
  return found & kHighs;
}
#endif

/// The first byte in [at, end) that is not plain, or of the last bytes that are no block the first.
/// Steps do not depend on what was read, so that the processor can be ahead.
const char* SkipPlainBlocks(const char* at, const char* end) {
  for (; static_cast<std::size_t>(end - at) >= kBlock; at += kBlock) {
    if (const auto marks = SpecialBytes(at); marks != 0) {
      return at + std::countr_zero(marks) / kMarkBits;
    }
  }
  return at;
}

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

int HexDigit(char c) {
  if (IsDigit(c)) return c - '0';
  const char lower = static_cast<char>(c | 0x20);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/// The code unit of `\uXXXX` at `text`, or -1.
int UnicodeEscape(const char* text, const char* end) {
  if (end - text < 6 || text[0] != '\\' || text[1] != 'u') return -1;
  int unit = 0;
  for (int i = 2; i < 6; ++i) {
    const int digit = HexDigit(text[i]);
    if (digit < 0) return -1;
    unit = unit * 16 + digit;
  }
  return unit;
}

bool IsHighSurrogate(int unit) { return unit >= 0xD800 && unit < 0xDC00; }
bool IsLowSurrogate(int unit) { return unit >= 0xDC00 && unit < 0xE000; }

/// What a UTF-8 sequence may look like, from its first byte; no sequence begins with others.
struct Utf8Form {
  int continuations;
  unsigned char second_min, second_max;
};

std::optional<Utf8Form> Utf8FormOf(unsigned char lead) {
  if (lead >= 0xC2 && lead <= 0xDF) return Utf8Form{1, 0x80, 0xBF};
  if (lead == 0xE0) return Utf8Form{2, 0xA0, 0xBF};
  if (lead == 0xED) return Utf8Form{2, 0x80, 0x9F};
  if (lead >= 0xE1 && lead <= 0xEF) return Utf8Form{2, 0x80, 0xBF};
  if (lead == 0xF0) return Utf8Form{3, 0x90, 0xBF};
  if (lead >= 0xF1 && lead <= 0xF3) return Utf8Form{3, 0x80, 0xBF};
  if (lead == 0xF4) return Utf8Form{3, 0x80, 0x8F};
  return std::nullopt;
}

/// Larger documents go to the scanner: simdjson's tape takes several times the document's size.
constexpr std::size_t kMaxTapeDocument = 1u << 20;

simdjson::dom::parser& ThreadParser() {
  thread_local auto parser = [] {
    auto made = std::make_unique<simdjson::dom::parser>(kMaxTapeDocument);
    // Without memory for it the scanner does the work.
    if (made->allocate(64 << 10, kMaxJsonDepth) != simdjson::SUCCESS) made->set_max_capacity(0);
    return made;
  }();
  return *parser;
}

}  // namespace

bool JsonScanner::Fail(const char* what) {
  if (error_ == nullptr) error_ = what;
  return false;
}

std::string JsonScanner::error() const {
  if (error_ == nullptr) return "";
  return "byte " + std::to_string(next_ - begin_) + ": " + error_;
}

void JsonScanner::SkipSomeBlanks() {
  while (next_ != end_ && (*next_ == ' ' || *next_ == '\n' || *next_ == '\r' || *next_ == '\t')) {
    ++next_;
  }
}

void JsonScanner::Replace(const char* first, const char* last, std::string_view by) {
  ++defects_;
  if (repaired_ == nullptr) return;
  repaired_->append(copied_, first);
  repaired_->append(by);
  copied_ = last;
}

// Objects and arrays are not told apart: that would take memory for each level.
bool JsonScanner::SkipDeepValue() {
  std::size_t levels = 0;
  do {
    if (next_ == end_) return Fail("ends inside an object or array");
    if (*next_ == '"') {
      if (!String()) return false;
      continue;
    }
    if (*next_ == '{' || *next_ == '[') ++levels;
    if (*next_ == '}' || *next_ == ']') --levels;
    ++next_;
  } while (levels > 0);
  return true;
}

bool JsonScanner::Push(bool is_object) {
  if (IsTooDeep()) return Fail("nested deeper than 256");
  is_object_[depth_++] = is_object;
  return true;
}

bool JsonScanner::SkipValue() {
  if (failed()) return false;
  for (;;) {
    SkipBlanks();
    if (next_ == end_) return Fail("ends where a value was expected");
    const char c = *next_;
    const bool is_container = c == '{' || c == '[';
    if (is_container && any_depth_ && IsTooDeep()) {
      if (!SkipDeepValue()) return false;
    } else if (is_container) {
      if (!Push(c == '{')) return false;
      ++next_;
      SkipBlanks();
      const bool empty = next_ != end_ && *next_ == (c == '{' ? '}' : ']');
      if (!empty) {
        if (c == '{' && !Key()) return false;
        continue;
      }
      ++next_;
      --depth_;
    } else if (!Scalar()) {
      return false;
    }
    for (;;) {  // What follows a value.
      if (depth_ == 0) return true;
      SkipBlanks();
      if (next_ == end_) return Fail("ends inside an object or array");
      const bool in_object = is_object_[depth_ - 1];
      if (*next_ == ',') {
        ++next_;
        if (in_object && !Key()) return false;
        break;
      }
      if (*next_ != (in_object ? '}' : ']')) return Fail("expected a comma or a closing bracket");
      ++next_;
      --depth_;
    }
  }
}

bool JsonScanner::Scalar() {
  switch (*next_) {
    case '"':
      return String();
    case 't':
      return Literal("true");
    case 'f':
      return Literal("false");
    case 'n':
      return Literal("null");
    case 'N':
    case 'I': {
      const char* first = next_;
      if (!Literal(*next_ == 'N' ? "NaN" : "Infinity")) return false;
      Replace(first, next_, "null");
      return true;
    }
    default:
      return Number();
  }
}

bool JsonScanner::Literal(std::string_view text) {
  if (std::string_view(next_, static_cast<std::size_t>(end_ - next_)).substr(0, text.size()) !=
      text)
    return Fail("expected a value");
  next_ += text.size();
  return true;
}

bool JsonScanner::Number() {
  const char* first = next_;
  const auto digits = [this] {
    const char* from = next_;
    while (next_ != end_ && IsDigit(*next_)) ++next_;
    return next_ != from;
  };
  if (*next_ == '-') ++next_;
  if (next_ != end_ && *next_ == 'I' && *first == '-') {
    if (!Literal("Infinity")) return false;
    Replace(first, next_, "null");
    return true;
  }
  if (next_ == end_ || !IsDigit(*next_)) return Fail("expected a value");
  if (*next_ == '0') {
    ++next_;
  } else {
    digits();
  }
  if (next_ != end_ && *next_ == '.') {
    ++next_;
    if (!digits()) return Fail("expected a digit after the decimal point");
  }
  if (next_ != end_ && (*next_ | 0x20) == 'e') {
    ++next_;
    if (next_ != end_ && (*next_ == '+' || *next_ == '-')) ++next_;
    if (!digits()) return Fail("expected a digit in the exponent");
  }
  return true;
}

bool JsonScanner::Key() {
  SkipBlanks();
  if (next_ == end_ || *next_ != '"') return Fail("expected a member's name");
  if (!String()) return false;
  SkipBlanks();
  if (next_ == end_ || *next_ != ':') return Fail("expected a colon");
  ++next_;
  return true;
}

bool JsonScanner::String() {
  ++next_;
  for (;;) {
    next_ = SkipPlainBlocks(next_, end_);
    if (next_ == end_) return Fail("ends inside a string");
    const auto c = static_cast<unsigned char>(*next_);
    if (c == '"') {
      ++next_;
      return true;
    }
    if (c == '\\') {
      if (!Escape()) return false;
    } else if (c < 0x20) {
      return Fail("control character in a string");
    } else if (c >= 0x80) {
      if (!MultibyteCharacter()) return false;
    } else {
      ++next_;
    }
  }
}

bool JsonScanner::Escape() {
  if (end_ - next_ < 2) return Fail("ends inside a string");
  if (next_[1] != 'u') {
    if (std::string_view("\"\\/bfnrt").find(next_[1]) == std::string_view::npos)
      return Fail("unknown escape in a string");
    next_ += 2;
    return true;
  }
  const int unit = UnicodeEscape(next_, end_);
  if (unit < 0) return Fail("unknown escape in a string");
  if (IsHighSurrogate(unit) && IsLowSurrogate(UnicodeEscape(next_ + 6, end_))) {
    next_ += 12;
    return true;
  }
  if (IsHighSurrogate(unit) || IsLowSurrogate(unit)) Replace(next_, next_ + 6, "\\ufffd");
  next_ += 6;
  return true;
}

bool JsonScanner::MultibyteCharacter() {
  const char* first = next_;
  const auto form = Utf8FormOf(static_cast<unsigned char>(*next_++));
  bool valid = form.has_value();
  for (int i = 0; valid && i < form->continuations; ++i) {
    const unsigned char low = i == 0 ? form->second_min : 0x80;
    const unsigned char high = i == 0 ? form->second_max : 0xBF;
    const auto c = next_ == end_ ? 0 : static_cast<unsigned char>(*next_);
    valid = c >= low && c <= high;
    if (valid) ++next_;
  }
  if (!valid) Replace(first, next_, "\xEF\xBF\xBD");
  return true;
}

bool JsonScanner::Enter(char bracket) {
  SkipBlanks();
  if (failed() || next_ == end_ || *next_ != bracket) return false;
  ++next_;
  ++entered_;
  first_item_ = true;
  return true;
}

/// Moves to the next item of the container that was entered last; false at its end.
bool JsonScanner::NextItem(char closing) {
  if (failed() || entered_ == 0) return false;
  SkipBlanks();
  if (next_ != end_ && *next_ == closing) {
    ++next_;
    --entered_;
    first_item_ = false;
    return false;
  }
  if (!first_item_) {
    if (next_ == end_ || *next_ != ',') return Fail("expected a comma or a closing bracket");
    ++next_;
    SkipBlanks();
  }
  first_item_ = false;
  return true;
}

std::optional<JsonScanner::Member> JsonScanner::NextMember() {
  if (!NextItem('}')) return std::nullopt;
  SkipBlanks();
  const char* key = next_ + 1;
  if (next_ == end_ || *next_ != '"') {
    Fail("expected a member's name");
    return std::nullopt;
  }
  if (!String()) return std::nullopt;
  Member member{std::string_view(key, static_cast<std::size_t>(next_ - 1 - key)), {}};
  SkipBlanks();
  if (next_ == end_ || *next_ != ':') {
    Fail("expected a colon");
    return std::nullopt;
  }
  ++next_;
  SkipBlanks();
  const char* value = next_;
  if (!SkipValue()) return std::nullopt;
  member.value = std::string_view(value, static_cast<std::size_t>(next_ - value));
  return member;
}

std::optional<std::string_view> JsonScanner::NextElement() {
  if (!NextItem(']')) return std::nullopt;
  const char* value = next_;
  if (!SkipValue()) return std::nullopt;
  return std::string_view(value, static_cast<std::size_t>(next_ - value));
}

bool JsonScanner::Finish() {
  if (failed()) return false;
  SkipBlanks();
  if (next_ != end_ || entered_ != 0) return Fail("more text after the value");
  if (repaired_ != nullptr) repaired_->append(copied_, end_);
  copied_ = end_;
  return true;
}

namespace {

JsonState Judge(JsonScanner scanner, std::string* error) {
  if (!scanner.SkipValue() || !scanner.Finish()) {
    *error = scanner.error();
    return JsonState::kInvalid;
  }
  return scanner.defects() == 0 ? JsonState::kValid : JsonState::kRepairable;
}

}  // namespace

JsonState CheckJson(std::string_view text, std::size_t readable_after, std::string* error) {
  // SDKs send these by the million.
  if (text == "{}" || text == "[]" || text == "null") return JsonState::kValid;
  if (text.size() <= kMaxTapeDocument && readable_after >= simdjson::SIMDJSON_PADDING) {
    simdjson::dom::element ignored;
    if (ThreadParser().parse(text.data(), text.size(), false).get(ignored) == simdjson::SUCCESS) {
      return JsonState::kValid;
    }
  }
  return Judge(JsonScanner(text), error);
}

JsonState CheckJsonOfAnyDepth(std::string_view text, std::string* error) {
  JsonScanner scanner(text);
  scanner.AllowAnyDepth();
  return Judge(scanner, error);
}

std::string RepairJson(std::string_view text, JsonDepth depth) {
  std::string repaired;
  repaired.reserve(text.size());
  JsonScanner scanner(text, &repaired);
  if (depth == JsonDepth::kAny) scanner.AllowAnyDepth();
  scanner.SkipValue();
  scanner.Finish();
  return repaired;
}

std::optional<std::string> JsonStringValue(std::string_view json) {
  if (json.size() < 2 || json.front() != '"') return std::nullopt;
  const std::string_view inner = json.substr(1, json.size() - 2);
  if (inner.find('\\') == std::string_view::npos) return std::string(inner);
  boost::system::error_code error;
  const auto value = boost::json::parse({json.data(), json.size()}, error);
  if (error || !value.is_string()) return std::nullopt;
  return std::string(value.get_string());
}

}  // namespace weft::collector
