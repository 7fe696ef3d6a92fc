// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace weft {
inline namespace v0 {

/// A place in the source of a program: std::source_location, which clang 14 does not have.
///
///     void Begin(std::string_view name, SourceLocation where = SourceLocation::Current());
class SourceLocation {
 public:
  /// The place of the call; as a default argument, of the call that leaves it out.
  static constexpr SourceLocation Current(const char* file = __builtin_FILE(),
                                          unsigned line = __builtin_LINE()) noexcept {
    return SourceLocation(file, line);
  }
  static constexpr SourceLocation Unknown() noexcept { return SourceLocation("", 0); }

  constexpr const char* file() const noexcept { return file_; }  ///< Empty: not known.
  constexpr unsigned line() const noexcept { return line_; }

 private:
  constexpr SourceLocation(const char* file, unsigned line) noexcept : file_(file), line_(line) {}

  const char* file_;
  unsigned line_;
};

}  // namespace v0
}  // namespace weft
