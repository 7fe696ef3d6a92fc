// SPDX-License-Identifier: Apache-2.0
#include "options.h"

#include <algorithm>
#include <charconv>
#include <ostream>

#include "text.h"

namespace weft::cli {
namespace {

absl::Status Invalid(const std::string& text) { return absl::InvalidArgumentError(text); }

absl::Status ReadCount(std::string_view name, std::string_view text, std::size_t* target) {
  std::size_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || number == 0) {
    return Invalid(std::string(name) + " needs a whole number above 0, not '" +
                   EscapeControls(text) + "'");
  }
  *target = number;
  return absl::OkStatus();
}

}  // namespace

Options& Options::Flag(std::string_view name, bool* target) {
  options_.push_back({.name = name, .flag = target});
  return *this;
}

Options& Options::Value(std::string_view name, std::string* target) {
  options_.push_back({.name = name, .value = target});
  return *this;
}

Options& Options::Count(std::string_view name, std::size_t* target) {
  options_.push_back({.name = name, .count = target});
  return *this;
}

Options& Options::Positional(std::string_view name, std::string* target) {
  positionals_.push_back({.name = name, .value = target});
  return *this;
}

const Options::Option* Options::Find(std::string_view name) const {
  const auto found = std::find_if(options_.begin(), options_.end(),
                                  [name](const Option& option) { return option.name == name; });
  return found == options_.end() ? nullptr : &*found;
}

absl::Status Options::Parse(Args args) const {
  std::size_t positional = 0;
  bool only_positionals = false;
  for (std::size_t i = 0; i < args.size(); ++i) {
    const std::string_view arg = args[i];
    if (!only_positionals && arg == "--") {
      only_positionals = true;
      continue;
    }
    if (only_positionals || arg.size() < 2 || arg[0] != '-') {
      if (positional == positionals_.size()) {
        return Invalid("unexpected argument '" + EscapeControls(arg) + "'");
      }
      *positionals_[positional++].value = arg;
      continue;
    }
    const std::size_t equals = arg.find('=');
    const std::string_view name = arg.substr(0, equals);
    const Option* option = Find(name);
    if (option == nullptr) return Invalid("unknown option " + EscapeControls(name));
    if (option->flag != nullptr) {
      if (equals != arg.npos) return Invalid(std::string(name) + " takes no value");
      *option->flag = true;
      continue;
    }
    if (equals == arg.npos && i + 1 == args.size()) {
      return Invalid(std::string(name) + " needs a value");
    }
    const std::string_view value = equals == arg.npos ? args[++i] : arg.substr(equals + 1);
    if (option->count != nullptr) {
      if (absl::Status status = ReadCount(name, value, option->count); !status.ok()) return status;
    } else {
      *option->value = value;
    }
  }
  if (positional < positionals_.size()) {
    return Invalid(std::string(positionals_[positional].name) + " is missing");
  }
  return absl::OkStatus();
}

bool WantsHelp(Args args) {
  for (const std::string_view arg : args) {
    if (arg == "--") return false;
    if (arg == "--help" || arg == "-h") return true;
  }
  return false;
}

int WrongUse(std::string_view command, const absl::Status& status, std::ostream& err) {
  const std::string name = command.empty() ? "weft" : "weft " + std::string(command);
  err << name << ": " << status.message() << "\nSee: " << name << " --help\n";
  return kWrongUse;
}

}  // namespace weft::cli
