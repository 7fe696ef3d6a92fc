// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>
#include <vector>

#include "research_team.pb.h"

namespace research_team {

/// The few sentences of the passages that say most about the question, without repeating one
/// another, each with the passage it comes from.
std::vector<v1::Claim> ExtractClaims(std::string_view question,
                                     const std::vector<v1::Passage>& passages, std::size_t count);

/// The source of the passage that shares most words with `text`.
std::string BestSource(std::string_view text, const std::vector<v1::Passage>& passages);

}  // namespace research_team
