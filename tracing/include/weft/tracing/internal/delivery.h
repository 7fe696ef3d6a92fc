// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <random>
#include <string>

namespace weft {
inline namespace v0 {
namespace internal {

/// What a target made of a batch.
enum class Verdict {
  kSent,
  kRetry,     ///< The target cannot now: the same batch again, later.
  kTooLarge,  ///< In smaller batches.
  kRefused,   ///< Something in it is wrong.
  kDenied,    ///< The key is wrong.
};

struct SendResult {
  Verdict verdict = Verdict::kSent;
  std::string code{};    ///< `503`, `connection`.
  std::string reason{};  ///< What the target said, shortened.
  std::optional<std::chrono::milliseconds> retry_after{};
  bool unreachable = false;  ///< Not even an answer came.
  std::size_t rejected = 0;  ///< Of those sent, how many the target did not take.
};

struct RetryPauses {
  std::chrono::milliseconds first_backoff{200};
  std::chrono::milliseconds max_backoff{60'000};
  std::chrono::milliseconds max_retry_after{300'000};
  /// The longest wait for a target that cannot be reached.
  std::chrono::milliseconds probe_interval{2'000};
};

/// How long to wait after so many failures in a row, 1 or more: what the target said, else doubling
/// with full jitter.
template <typename Random>
std::chrono::milliseconds RetryPause(const RetryPauses& pauses, const SendResult& result,
                                     int failures, Random& random) {
  if (result.retry_after) return std::min(*result.retry_after, pauses.max_retry_after);
  const auto limit = result.unreachable ? pauses.probe_interval : pauses.max_backoff;
  const auto doubled = pauses.first_backoff * (1 << std::clamp(failures - 1, 0, 16));
  const auto most = std::min<std::chrono::milliseconds>(limit, doubled);
  return std::chrono::milliseconds(std::uniform_int_distribution<std::int64_t>(
      1, std::max<std::int64_t>(most.count(), 1))(random));
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
