// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include <weft/tracing/internal/delivery.h>
#include <weft/tracing/internal/form_data.h>
#include <weft/tracing/internal/http_client.h>

namespace weft {
inline namespace v0 {
namespace internal {

/// What `/info` of a LangSmith says, as far as it matters to who sends runs.
struct LangSmithInfo {
  std::size_t max_runs = 100;
  std::uint64_t max_bytes = std::uint64_t{20} << 20;
  bool zstd = false;
  bool multipart = true;
};

/// Sends bodies to LangSmith, or to what speaks its API, and says what its answers mean.
///
/// Threads: any; what sends blocks, and `abort` breaks it off.
class LangSmithClient {
 public:
  /// `base`: without a slash at the end. `headers` (`Name: value`) go with every request.
  explicit LangSmithClient(std::string base, std::vector<std::string> headers = {},
                           TlsFiles tls = {})
      : base_(std::move(base)), headers_(std::move(headers)), tls_(std::move(tls)) {}

  const std::string& base() const { return base_; }

  /// Asks the target every ten minutes; between times, and while it does not answer, what was
  /// known.
  LangSmithInfo Info(std::string_view api_key, const std::atomic<bool>& abort);
  /// What was known last.
  LangSmithInfo last_info();
  /// Asks again next time, over a new connection, for which `tls` is read.
  void Renew(TlsFiles tls);

  /// Whether `/runs/multipart` is to be used: a target that knew no such path is asked again after
  /// ten minutes.
  bool TakesForms(const LangSmithInfo& info);
  void StopForms();

  /// To `/runs/multipart`; with zstd where the target takes it.
  SendResult SendForm(FormData form, const LangSmithInfo& info, std::string_view api_key,
                      const std::atomic<bool>& abort);
  /// `path`: `/runs/batch`. `coding`: of a body that has one.
  SendResult Send(const std::string& method, const std::string& path, const std::string& type,
                  const std::string& coding, std::string_view body, std::string_view api_key,
                  const std::atomic<bool>& abort);

  /// Whether the target answers.
  bool Probe(const std::atomic<bool>& abort);

 private:
  using Clock = std::chrono::steady_clock;

  std::vector<std::string> Headers(std::string_view api_key) const;
  TlsFiles Tls();

  const std::string base_;
  const std::vector<std::string> headers_;
  HttpClient http_;
  std::mutex mutex_;
  TlsFiles tls_;
  LangSmithInfo info_;
  Clock::time_point info_expires_{};
  Clock::time_point forms_from_{};
};

}  // namespace internal
}  // namespace v0
}  // namespace weft
