// SPDX-License-Identifier: Apache-2.0
#include "text.h"

#include <algorithm>
#include <array>

namespace research_team {
namespace {

constexpr auto kStopWords = std::to_array<std::string_view>(
    {"a",    "about", "all",   "also",  "an",    "and",  "any",  "are",  "as",    "at",    "be",
     "been", "but",   "by",    "can",   "could", "did",  "do",   "does", "each",  "every", "for",
     "from", "get",   "had",   "has",   "have",  "how",  "i",    "if",   "in",    "into",  "is",
     "it",   "its",   "may",   "me",    "more",  "most", "must", "no",   "not",   "of",    "on",
     "one",  "only",  "or",    "other", "our",   "over", "so",   "some", "such",  "than",  "that",
     "the",  "then",  "there", "these", "they",  "this", "to",   "up",   "us",    "was",   "we",
     "what", "when",  "where", "which", "who",   "why",  "will", "with", "would", "you"});
static_assert(std::is_sorted(kStopWords.begin(), kStopWords.end()));

bool IsLetter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         static_cast<unsigned char>(c) >= 0x80;
}

char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

/// Takes off a common English ending when enough is left to tell words apart.
std::string Stem(std::string word) {
  for (const std::string_view ending : {"ings", "ing", "ies", "ed", "es", "s"}) {
    if (word.size() >= ending.size() + 3 && word.ends_with(ending) && !word.ends_with("ss")) {
      word.resize(word.size() - ending.size());
      break;
    }
  }
  if (word.size() > 3 && word.ends_with('e')) word.pop_back();
  return word;
}

}  // namespace

std::vector<std::string> Words(std::string_view text) {
  std::vector<std::string> words;
  std::string word;
  for (const char c : text) {
    if (IsLetter(c)) {
      word += Lower(c);
    } else if (!word.empty()) {
      words.push_back(std::move(word));
      word.clear();
    }
  }
  if (!word.empty()) words.push_back(std::move(word));
  return words;
}

std::vector<std::string> Terms(std::string_view text) {
  std::vector<std::string> terms;
  for (std::string& word : Words(text)) {
    if (!std::binary_search(kStopWords.begin(), kStopWords.end(), word)) {
      terms.push_back(Stem(std::move(word)));
    }
  }
  return terms;
}

std::set<std::string> TermSet(std::string_view text) {
  const std::vector<std::string> terms = Terms(text);
  return {terms.begin(), terms.end()};
}

std::vector<std::string> Sentences(std::string_view text) {
  std::vector<std::string> sentences;
  std::string sentence;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i] == '\n' ? ' ' : text[i];
    if (c == ' ' && (sentence.empty() || sentence.back() == ' ')) continue;
    sentence += c;
    const bool ends = (c == '.' || c == '?' || c == '!') &&
                      (i + 1 == text.size() || text[i + 1] == ' ' || text[i + 1] == '\n');
    if (ends) {
      sentences.push_back(std::move(sentence));
      sentence.clear();
    }
  }
  if (!sentence.empty()) sentences.push_back(std::move(sentence));
  return sentences;
}

std::int64_t CountTokens(std::string_view text) {
  std::int64_t tokens = 0;
  bool in_word = false;
  for (const char c : text) {
    const bool letter = IsLetter(c);
    const bool blank = c == ' ' || c == '\n' || c == '\t' || c == '\r';
    if ((letter && !in_word) || (!letter && !blank)) ++tokens;
    in_word = letter;
  }
  return tokens;
}

}  // namespace research_team
