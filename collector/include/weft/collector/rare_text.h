// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace weft::collector {

/// A text that is nearly always empty, in the size of a pointer: for members of what there is a lot
/// of.
///
/// Cost: an allocation for a text that is not empty, and nothing for one that is.
class RareText {
 public:
  RareText() = default;
  RareText(const RareText& other)
      : text_(other.empty() ? nullptr : std::make_unique<const std::string>(other.str())) {}
  RareText(RareText&&) noexcept = default;
  // NOLINTNEXTLINE(google-explicit-constructor): it stands for the text.
  RareText(std::string text)
      : text_(text.empty() ? nullptr : std::make_unique<const std::string>(std::move(text))) {}
  // NOLINTNEXTLINE(google-explicit-constructor)
  RareText(std::string_view text) : RareText(std::string(text)) {}
  // NOLINTNEXTLINE(google-explicit-constructor)
  RareText(const char* text) : RareText(std::string(text)) {}
  RareText& operator=(const RareText& other) { return *this = RareText(other); }
  RareText& operator=(RareText&&) noexcept = default;
  ~RareText() = default;

  const std::string& str() const noexcept { return text_ == nullptr ? kEmpty : *text_; }
  bool empty() const noexcept { return text_ == nullptr; }

  friend bool operator==(const RareText& a, const RareText& b) noexcept {
    return a.str() == b.str();
  }

 private:
  inline static const std::string kEmpty;

  std::unique_ptr<const std::string> text_;
};

}  // namespace weft::collector
