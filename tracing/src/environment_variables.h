// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <charconv>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/strings/str_cat.h>

#include "base_url.h"
#include "text.h"

namespace weft {
inline namespace v0 {
namespace internal {

/// The value of a variable; null: not set.
using GetVariable = std::function<const char*(const char* name)>;

/// A variable that was found, with the name it was found under.
struct Variable {
  std::string name;
  std::string value;
};

inline absl::Status Unusable(const Variable& variable, const std::string& why) {
  return absl::InvalidArgumentError(
      absl::StrCat(variable.name, ": \"", ShownUrl(variable.value), "\" ", why));
}

/// A whole number above 0, or nothing.
inline std::optional<std::uint32_t> PositiveNumber(std::string_view text) noexcept {
  std::uint32_t number = 0;
  const char* const end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, number);
  if (parsed.ec != std::errc() || parsed.ptr != end || number == 0) return std::nullopt;
  return number;
}

class Environment {
 public:
  /// `get` must live as long.
  explicit Environment(const GetVariable& get) : get_(get) {}

  /// Blank counts as not set.
  std::optional<Variable> Find(const std::string& name) const {
    const char* const value = get_(name.c_str());
    if (value == nullptr) return std::nullopt;
    const std::string_view text = TrimBlanks(value);
    if (text.empty()) return std::nullopt;
    return Variable{name, std::string(text)};
  }

  /// LANGSMITH_<name>, else LANGCHAIN_<name>.
  std::optional<Variable> FindSdk(const std::string& name) const {
    std::optional<Variable> found = Find("LANGSMITH_" + name);
    return found ? found : Find("LANGCHAIN_" + name);
  }

  absl::StatusOr<bool> Flag(const std::optional<Variable>& variable, bool otherwise = false) const {
    if (!variable) return otherwise;
    if (variable->value == "false") return false;
    if (variable->value == "true") return true;
    return Unusable(*variable, "is neither true nor false");
  }

 private:
  const GetVariable& get_;
};

}  // namespace internal
}  // namespace v0
}  // namespace weft
