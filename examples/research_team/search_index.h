// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include <absl/status/statusor.h>

namespace research_team {

/// A paragraph of a Markdown file, as plain text.
struct IndexedPassage {
  std::string source;
  std::string heading;
  std::string text;
};

/// Finds the passages of a folder of Markdown files that fit a query best (BM25).
///
/// Threads: any, once loaded.
class SearchIndex {
 public:
  struct Hit {
    const IndexedPassage* passage;
    double score;
  };

  /// Reads every `.md` file below `folder`.
  /// Errors: NotFound when there is none.
  static absl::StatusOr<SearchIndex> Load(const std::filesystem::path& folder);

  std::vector<Hit> Search(std::string_view query, std::size_t limit) const;

  /// In how many passages a term (as Terms() gives it) occurs.
  std::uint32_t PassagesWith(const std::string& term) const;
  std::size_t size() const { return passages_.size(); }

 private:
  struct Posting {
    std::uint32_t passage;
    std::uint32_t count;
  };

  void AddFile(const std::string& source, std::string_view markdown);
  void AddPassage(IndexedPassage passage);

  std::vector<IndexedPassage> passages_;
  std::vector<std::uint32_t> lengths_;
  std::uint64_t total_length_ = 0;
  std::unordered_map<std::string, std::vector<Posting>> postings_;
};

}  // namespace research_team
