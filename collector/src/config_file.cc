// SPDX-License-Identifier: Apache-2.0
#include "config_file.h"

#include <cerrno>
#include <cstring>
#include <fstream>
#include <set>
#include <sstream>
#include <utility>

#include <yaml-cpp/yaml.h>

namespace weft::collector {
namespace {

// Deeper than any setting; keeps a hostile file from exhausting the stack.
constexpr int kMaxDepth = 8;
constexpr std::size_t kMaxFileBytes = 1 << 20;

class Flattener {
 public:
  explicit Flattener(std::string file) : file_(std::move(file)) {}

  absl::Status Map(const YAML::Node& node, const std::string& prefix, int depth,
                   std::vector<FileValue>& out) const {
    std::set<std::string> seen;
    for (const auto& member : node) {
      if (!member.first.IsScalar()) return Error(member.first, prefix, "a key must be a word");
      const std::string key = prefix + member.first.Scalar();
      if (!seen.insert(key).second) return Error(member.first, key, "is given twice");
      absl::Status status = Value(member.second, member.first.Mark().line, key, depth, out);
      if (!status.ok()) return status;
    }
    return absl::OkStatus();
  }

 private:
  absl::Status Value(const YAML::Node& node, int line, const std::string& key, int depth,
                     std::vector<FileValue>& out) const {
    if (depth > kMaxDepth) return Error(node, key, "is nested too deeply");
    const bool empty = node.IsNull() || (!node.IsScalar() && node.size() == 0);
    if (node.IsMap() && !empty) return Map(node, key + ".", depth + 1, out);
    if (node.IsSequence() && !empty) {
      for (const YAML::Node& element : node) {
        absl::Status status = Element(element, key, depth, out);
        if (!status.ok()) return status;
      }
      return absl::OkStatus();
    }
    out.push_back({key, empty ? "" : node.Scalar(), Origin(line, key), false, {}});
    return absl::OkStatus();
  }

  absl::Status Element(const YAML::Node& element, const std::string& key, int depth,
                       std::vector<FileValue>& out) const {
    FileValue value{key, "", Origin(element.Mark().line, key), true, {}};
    if (element.IsMap()) {
      absl::Status status = Map(element, "", depth + 1, value.members);
      if (!status.ok()) return status;
    } else if (element.IsScalar()) {
      value.value = element.Scalar();
    } else {
      return Error(element, key, "holds something that is neither text nor a map");
    }
    out.push_back(std::move(value));
    return absl::OkStatus();
  }

  std::string Origin(int line, const std::string& key) const {
    return file_ + ":" + std::to_string(line + 1) + ": " + key;
  }

  absl::Status Error(const YAML::Node& node, const std::string& key, std::string_view what) const {
    return absl::FailedPreconditionError(Origin(node.Mark().line, key) + " " + std::string(what));
  }

  std::string file_;
};

absl::StatusOr<std::string> ReadWhole(const std::filesystem::path& path) {
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) {
    return absl::FailedPreconditionError(path.string() + ": cannot be read: it is a directory");
  }
  std::ifstream in(path, std::ios::binary);
  std::string text(kMaxFileBytes + 1, '\0');
  if (in) in.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (!in.is_open() || in.bad()) {
    return absl::FailedPreconditionError(path.string() +
                                         ": cannot be read: " + std::strerror(errno));
  }
  text.resize(static_cast<std::size_t>(in.gcount()));
  if (text.size() > kMaxFileBytes) {
    return absl::FailedPreconditionError(path.string() + ": is larger than 1 MiB");
  }
  return text;
}

}  // namespace

absl::StatusOr<std::vector<FileValue>> ReadConfigFile(const std::filesystem::path& path) {
  absl::StatusOr<std::string> text = ReadWhole(path);
  if (!text.ok()) return text.status();
  std::vector<FileValue> values;
  try {
    const YAML::Node root = YAML::Load(*text);
    if (root.IsNull()) return values;
    if (!root.IsMap()) {
      return absl::FailedPreconditionError(path.string() +
                                           ":1: the file must hold KEY: VALUE lines");
    }
    if (absl::Status status = Flattener(path.string()).Map(root, "", 0, values); !status.ok()) {
      return status;
    }
  } catch (const YAML::Exception& error) {
    return absl::FailedPreconditionError(path.string() + ":" + std::to_string(error.mark.line + 1) +
                                         ": " + error.msg);
  }
  return values;
}

}  // namespace weft::collector
