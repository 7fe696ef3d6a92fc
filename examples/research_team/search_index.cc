// SPDX-License-Identifier: Apache-2.0
#include "search_index.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <map>
#include <sstream>

#include "text.h"

namespace research_team {
namespace {

namespace fs = std::filesystem;

// The usual values; k1 says how soon repetition saturates, b how much long passages pay.
constexpr double kK1 = 1.2;
constexpr double kB = 0.75;
constexpr std::uintmax_t kMaxFileBytes = 4 << 20;
constexpr std::size_t kShortestPassage = 40;

std::vector<fs::path> MarkdownFiles(const fs::path& folder, std::error_code& error) {
  std::vector<fs::path> files;
  for (fs::recursive_directory_iterator at(folder, error), end; !error && at != end;
       at.increment(error)) {
    std::error_code ignored;
    if (at->is_regular_file(ignored) && at->path().extension() == ".md" &&
        at->file_size(ignored) <= kMaxFileBytes) {
      files.push_back(at->path());
    }
  }
  std::sort(files.begin(), files.end());
  return files;
}

/// A line of Markdown without its marks: emphasis, code quotes, bullets, the targets of links.
std::string Plain(std::string_view line) {
  while (!line.empty() && (line.front() == ' ' || line.front() == '>')) line.remove_prefix(1);
  if (line.starts_with("- ") || line.starts_with("* ")) line.remove_prefix(2);
  std::string plain;
  for (std::size_t i = 0; i < line.size(); ++i) {
    if (line[i] == '*' || line[i] == '`' || line[i] == '[') continue;
    if (line.substr(i).starts_with("](")) {
      i = std::min(line.find(')', i), line.size());
      continue;
    }
    if (line[i] != ']') plain += line[i];
  }
  return plain;
}

}  // namespace

absl::StatusOr<SearchIndex> SearchIndex::Load(const fs::path& folder) {
  std::error_code error;
  SearchIndex index;
  for (const fs::path& file : MarkdownFiles(folder, error)) {
    std::ostringstream markdown;
    markdown << std::ifstream(file, std::ios::binary).rdbuf();
    index.AddFile(file.lexically_relative(folder).string(), markdown.str());
  }
  if (error) {
    return absl::NotFoundError("cannot read " + folder.string() + ": " + error.message());
  }
  if (index.passages_.empty()) {
    return absl::NotFoundError("no Markdown text below " + folder.string());
  }
  return index;
}

void SearchIndex::AddFile(const std::string& source, std::string_view markdown) {
  IndexedPassage passage{source, "", ""};
  bool in_code = false;
  const auto finish = [&] {
    if (passage.text.size() >= kShortestPassage) AddPassage(passage);
    passage.text.clear();
  };
  while (!markdown.empty()) {
    const std::size_t end = std::min(markdown.find('\n'), markdown.size());
    const std::string_view line = markdown.substr(0, end);
    markdown.remove_prefix(std::min(end + 1, markdown.size()));
    const bool fence = line.starts_with("```");
    if (fence) in_code = !in_code;
    if (fence || in_code || line.starts_with("    ") || line.starts_with('|') || line.empty()) {
      finish();
    } else if (line.starts_with('#')) {
      finish();
      passage.heading = Plain(line.substr(std::min(line.find_first_not_of("# "), line.size())));
    } else {
      if (line.starts_with("- ")) finish();
      passage.text += (passage.text.empty() ? "" : " ") + Plain(line);
    }
  }
  finish();
}

void SearchIndex::AddPassage(IndexedPassage passage) {
  std::map<std::string, std::uint32_t> counts;
  std::uint32_t length = 0;
  for (std::string& term : Terms(passage.heading + " " + passage.text)) {
    ++counts[std::move(term)];
    ++length;
  }
  const auto number = static_cast<std::uint32_t>(passages_.size());
  for (const auto& [term, count] : counts) postings_[term].push_back({number, count});
  passages_.push_back(std::move(passage));
  lengths_.push_back(length);
  total_length_ += length;
}

std::uint32_t SearchIndex::PassagesWith(const std::string& term) const {
  const auto found = postings_.find(term);
  return found == postings_.end() ? 0 : static_cast<std::uint32_t>(found->second.size());
}

std::vector<SearchIndex::Hit> SearchIndex::Search(std::string_view query, std::size_t limit) const {
  const auto passages = static_cast<double>(passages_.size());
  const double mean_length = std::max(1.0, static_cast<double>(total_length_) / passages);
  std::unordered_map<std::uint32_t, double> scores;
  for (const std::string& term : TermSet(query)) {
    const auto found = postings_.find(term);
    if (found == postings_.end()) continue;
    const auto matches = static_cast<double>(found->second.size());
    const double rareness = std::log(1 + (passages - matches + 0.5) / (matches + 0.5));
    for (const Posting& posting : found->second) {
      const double length = lengths_[posting.passage] / mean_length;
      const double count = posting.count;
      scores[posting.passage] +=
          rareness * count * (kK1 + 1) / (count + kK1 * (1 - kB + kB * length));
    }
  }
  std::vector<Hit> hits;
  hits.reserve(scores.size());
  for (const auto& [passage, score] : scores) hits.push_back({&passages_[passage], score});
  std::sort(hits.begin(), hits.end(), [](const Hit& a, const Hit& b) {
    return a.score != b.score ? a.score > b.score : a.passage < b.passage;
  });
  hits.resize(std::min(hits.size(), limit));
  return hits;
}

}  // namespace research_team
