// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <string>

#include <weft/collector/config.h>

#include "config_settings.h"

namespace weft::collector {
namespace {

constexpr std::string_view kExampleHead =
    R"(# Configuration of `weft collect --config FILE`. Everything stands here with its default;
# remove the `#` in front of what is to be another way. `weft config validate FILE` says what is
# wrong, `weft config show --config FILE` what holds. Sizes: 64MiB, 1.5GB. Times: 10s, 12h, 14d.
)";

// One line of the example: `  min_free: 1GiB  # help`, commented out.
std::string ExampleLine(std::size_t depth, const std::string& text, std::string_view help) {
  std::string line = "#" + std::string(2 * depth, ' ') + text;
  if (!help.empty()) {
    line.resize(std::max(line.size() + 2, std::size_t{44}), ' ');
    line += "# " + std::string(help);
  }
  return line + "\n";
}

// The sections of a key: `tls.grpc.` of `tls.grpc.cert`.
std::string_view SectionOf(std::string_view key) {
  const std::size_t dot = key.rfind('.');
  return dot == key.npos ? std::string_view() : key.substr(0, dot);
}

class Example {
 public:
  void Add(std::string_view key, const std::string& value, std::string_view help) {
    const std::string_view section = SectionOf(key);
    Enter(section);
    text_ += ExampleLine(Depth(section), Name(key) + ": " + value, help);
  }

  void AddList(const ListSetting& list) {
    const std::string_view section = SectionOf(list.key);
    Enter(section);
    text_ += ExampleLine(Depth(section), Name(list.key) + ":", list.help);
    text_ += ExampleLine(Depth(section) + 1, "- " + std::string(list.example), "");
  }

  std::string Take() { return std::move(text_); }

 private:
  static std::size_t Depth(std::string_view section) {
    if (section.empty()) return 0;
    return 1 + static_cast<std::size_t>(std::count(section.begin(), section.end(), '.'));
  }
  static std::string Name(std::string_view key) {
    return std::string(key.substr(key.rfind('.') + 1));
  }

  void Enter(std::string_view section) {
    if (section == section_) return;
    if (Depth(section) <= 1) text_ += "\n";
    if (!section.empty()) text_ += ExampleLine(Depth(section) - 1, Name(section) + ":", "");
    section_ = section;
  }

  std::string text_{kExampleHead};
  std::string section_;
};

}  // namespace

std::string ConfigExample() {
  Example example;
  const CollectorConfig defaults;
  const auto add_lists = [&](std::string_view section) {
    for (const ListSetting& list : ListSettings()) {
      if (SectionOf(list.key) == section) example.AddList(list);
    }
  };
  std::string_view before;
  for (const Setting& setting : Settings()) {
    if (setting.show == nullptr) continue;
    const std::string_view section = SectionOf(setting.key);
    if (section != before) add_lists(before);
    before = section;
    std::string value = setting.show(defaults);
    if (value.empty()) {
      value = "/etc/weft/" + std::string(setting.key.substr(setting.key.rfind('.') + 1));
    }
    if (setting.key == "data") value = "/var/lib/weft";
    if (setting.key == "log.min_free") value = "1GiB";
    if (setting.key == "redaction.max_attachment") value = "1MiB";
    if (setting.key == "redaction.marker") value = "\"" + value + "\"";
    example.Add(setting.key, value, setting.help);
  }
  add_lists(before);
  add_lists("auth");
  add_lists("http");
  return example.Take();
}

std::string ConfigHelp() {
  static constexpr std::size_t kColumn = 29;
  const auto line = [](std::string left, std::string_view help, const std::string& variable,
                       std::string_view default_text) {
    left.resize(std::max(left.size() + 1, kColumn), ' ');
    return left + std::string(help) + "\n" + std::string(kColumn, ' ') + "[" + variable +
           "; default: " + std::string(default_text) + "]\n";
  };
  std::string text;
  for (const Setting& setting : Settings()) {
    if (!setting.has_flag) continue;
    std::string left = "  " + FlagOf(setting.key);
    if (!setting.argument.empty()) left += " " + std::string(setting.argument);
    text += line(left, setting.help, VariableOf(setting.key), setting.default_text);
  }
  return text + line("  --forward SPEC", "langsmith=URL, otlp=URL or file=PATH; repeatable",
                     "WEFT_FORWARD, separated by commas", "none");
}

}  // namespace weft::collector
