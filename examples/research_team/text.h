// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace research_team {

/// The words of a text in lower case; digits and bytes above 127 count as letters.
std::vector<std::string> Words(std::string_view text);

/// Words without those that say nothing (`the`, `how`), and without their endings (`keeps`,
/// `keep`).
std::vector<std::string> Terms(std::string_view text);
std::set<std::string> TermSet(std::string_view text);

/// The sentences of a plain text.
std::vector<std::string> Sentences(std::string_view text);

/// Words and punctuation marks: how long a text is for a model, without the model's own tokenizer.
std::int64_t CountTokens(std::string_view text);
inline constexpr std::string_view kTokenizer = "words and punctuation marks";

}  // namespace research_team
