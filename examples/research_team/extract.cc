// SPDX-License-Identifier: Apache-2.0
#include "extract.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <string>

#include "text.h"

namespace research_team {
namespace {

struct Candidate {
  std::string text;
  std::string source;
  std::set<std::string> terms;
  double score = 0;
};

std::size_t Shared(const std::set<std::string>& a, const std::set<std::string>& b) {
  return static_cast<std::size_t>(std::count_if(
      a.begin(), a.end(), [&b](const std::string& term) { return b.contains(term); }));
}

std::vector<Candidate> Candidates(std::string_view question,
                                  const std::vector<v1::Passage>& passages) {
  const std::set<std::string> wanted = TermSet(question);
  std::vector<Candidate> candidates;
  for (const v1::Passage& passage : passages) {
    for (std::string& sentence : Sentences(passage.text())) {
      Candidate candidate{std::move(sentence), passage.source(), {}, 0};
      candidate.terms = TermSet(candidate.text);
      if (candidate.terms.size() < 4) continue;
      // Long sentences share more words by chance.
      candidate.score =
          (static_cast<double>(Shared(wanted, candidate.terms)) + 0.1 * passage.score()) /
          std::sqrt(static_cast<double>(candidate.terms.size()) + 6);
      candidates.push_back(std::move(candidate));
    }
  }
  return candidates;
}

}  // namespace

std::vector<v1::Claim> ExtractClaims(std::string_view question,
                                     const std::vector<v1::Passage>& passages, std::size_t count) {
  std::vector<Candidate> candidates = Candidates(question, passages);
  std::stable_sort(candidates.begin(), candidates.end(),
                   [](const Candidate& a, const Candidate& b) { return a.score > b.score; });
  std::vector<v1::Claim> claims;
  std::vector<const std::set<std::string>*> chosen;
  for (const Candidate& candidate : candidates) {
    if (claims.size() == count) break;
    const bool repeats = std::any_of(chosen.begin(), chosen.end(), [&](const auto* terms) {
      return 2 * Shared(*terms, candidate.terms) > candidate.terms.size();
    });
    if (repeats) continue;
    chosen.push_back(&candidate.terms);
    v1::Claim& claim = claims.emplace_back();
    claim.set_text(candidate.text);
    claim.set_source(candidate.source);
  }
  return claims;
}

std::string BestSource(std::string_view text, const std::vector<v1::Passage>& passages) {
  const std::set<std::string> terms = TermSet(text);
  std::string best;
  std::size_t most = 0;
  for (const v1::Passage& passage : passages) {
    const std::size_t shared = Shared(terms, TermSet(passage.text()));
    if (shared > most) {
      most = shared;
      best = passage.source();
    }
  }
  return best;
}

}  // namespace research_team
