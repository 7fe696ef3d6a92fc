// SPDX-License-Identifier: Apache-2.0
#include "fold_json.h"

#include <algorithm>
#include <cstdint>
#include <random>

#include <absl/hash/hash.h>
#include <absl/strings/string_view.h>
#include <boost/json.hpp>

namespace weft::collector {
namespace {

bool IsBlank(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }

}  // namespace

FieldCutter::FieldCutter(std::string_view object) : in_(object) {
  SkipBlanks();
  ok_ = Take('{');
}

bool FieldCutter::Next(std::string_view& key, std::string_view& value) {
  SkipBlanks();
  if (!ok_ || Take('}')) return ok_ = false;
  if (!first_) {
    ok_ = Take(',');
    SkipBlanks();
  }
  first_ = false;
  std::size_t start = at_ + 1;
  if (!ok_ || !SkipString()) return ok_ = false;
  key = in_.substr(start, at_ - start - 1);
  SkipBlanks();
  if (!Take(':')) return ok_ = false;
  SkipBlanks();
  start = at_;
  if (!SkipValue()) return ok_ = false;
  value = in_.substr(start, at_ - start);
  return true;
}

void FieldCutter::SkipBlanks() {
  while (at_ < in_.size() && IsBlank(in_[at_])) ++at_;
}

bool FieldCutter::Take(char expected) {
  if (at_ >= in_.size() || in_[at_] != expected) return false;
  ++at_;
  return true;
}

bool FieldCutter::SkipString() {
  if (!Take('"')) return false;
  for (; at_ < in_.size(); ++at_) {
    if (in_[at_] == '\\') {
      ++at_;
    } else if (in_[at_] == '"') {
      ++at_;
      return true;
    }
  }
  at_ = in_.size();
  return false;
}

bool FieldCutter::SkipValue() {
  if (at_ >= in_.size()) return false;
  if (in_[at_] == '"') return SkipString();
  if (in_[at_] != '{' && in_[at_] != '[') {
    std::size_t start = at_;
    while (at_ < in_.size() && !IsBlank(in_[at_]) && in_[at_] != ',' && in_[at_] != '}') ++at_;
    return at_ > start;
  }
  int depth = 0;
  while (at_ < in_.size()) {
    char c = in_[at_];
    if (c == '"') {
      if (!SkipString()) return false;
      continue;
    }
    ++at_;
    if (c == '{' || c == '[') ++depth;
    if ((c == '}' || c == ']') && --depth == 0) return true;
  }
  return false;
}

JsonWeight WeightOf(std::string_view value) {
  if (value.empty()) return JsonWeight::kNothing;
  if (value == "null") return JsonWeight::kNull;
  if (value.front() != '{') return JsonWeight::kSomething;
  bool blank = std::all_of(value.begin() + 1, value.end() - 1, IsBlank);
  return blank ? JsonWeight::kEmptyObject : JsonWeight::kSomething;
}

std::size_t KeyHash::operator()(std::string_view key) const noexcept {
  static const std::uint64_t kSeed = [] {
    std::random_device random;
    return std::uint64_t{random()} << 32 | random();
  }();
  return absl::HashOf(kSeed, absl::string_view(key.data(), key.size()));
}

void FieldSet::Merge(std::string_view key, std::string_view value) {
  // One key may be spelled in several ways: "\u00e9" is "é".
  if (key.find('\\') != std::string_view::npos) key = Canonical(key);
  auto [place, fresh] = places_.try_emplace(key, fields_.size());
  if (fresh) {
    fields_.emplace_back(key, value);
  } else if (std::string_view& old = fields_[place->second].second;
             WeightOf(value) >= WeightOf(old)) {
    old = value;
  }
}

std::string_view FieldSet::Canonical(std::string_view key) {
  std::optional<std::string> text = JsonText('"' + std::string(key) + '"');
  if (!text) return key;  // a lone surrogate: it has no other spelling
  std::string& spelled = spelled_.emplace_back();
  AppendQuoted(spelled, *text);
  return std::string_view(spelled).substr(1, spelled.size() - 2);
}

std::string_view FieldSet::Find(std::string_view key) const {
  auto place = places_.find(key);
  return place == places_.end() ? std::string_view() : fields_[place->second].second;
}

std::optional<std::string> JsonText(std::string_view value) {
  if (value.size() < 2 || value.front() != '"') return std::nullopt;
  if (value.find('\\') == std::string_view::npos) {
    return std::string(value.substr(1, value.size() - 2));
  }
  boost::json::error_code error;
  boost::json::value text = boost::json::parse({value.data(), value.size()}, error);
  if (error || !text.is_string()) return std::nullopt;
  return std::string(text.get_string());
}

void AppendQuoted(std::string& out, std::string_view text) {
  out += boost::json::serialize(boost::json::string(text.data(), text.size()));
}

void AppendField(std::string& out, std::string_view key, std::string_view value) {
  if (out.back() != '{') out += ',';
  out += '"';
  out += key;
  out += "\":";
  std::size_t start = out.size();
  out += value;
  std::replace_if(
      out.begin() + static_cast<std::ptrdiff_t>(start), out.end(),
      [](char c) { return c == '\n' || c == '\r'; }, ' ');
}

}  // namespace weft::collector
