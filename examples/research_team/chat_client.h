// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include <absl/status/statusor.h>

namespace research_team {

/// Calls the chat endpoint of any server that speaks OpenAI's HTTP interface.
///
/// Threads: any.
/// Errors: of Complete: Unavailable when nobody answers, Internal for what is no completion.
class ChatClient {
 public:
  struct Completion {
    std::string text;
    std::int64_t input_tokens = 0;
    std::int64_t output_tokens = 0;
  };

  /// As OPENAI_BASE_URL, OPENAI_API_KEY and OPENAI_MODEL say; absent without the first.
  static std::optional<ChatClient> FromEnvironment();

  absl::StatusOr<Completion> Complete(const std::string& instruction,
                                      const std::string& text) const;

  const std::string& model() const { return model_; }

 private:
  ChatClient() = default;

  std::string url_;
  std::string key_;
  std::string model_;
};

}  // namespace research_team
