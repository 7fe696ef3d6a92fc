// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <weft/collector/v1/collector.pb.h>

namespace weft {
inline namespace v0 {
namespace testing {

/// A collector that keeps runs in memory and answers as a test tells it to.
///
///     FakeCollector collector;
///     auto exporter = CollectorExporter::Create({.target = collector.target()}).value();
///     collector.AnswerNext({.code = grpc::StatusCode::UNAVAILABLE, .retry_after_ms = 1});
///     ...
///     EXPECT_TRUE(collector.WaitForKept(3));
///
/// It listens on a socket file of its own, so that it can stop and start again at one address.
///
/// Threads: any.
class FakeCollector {
 public:
  /// What becomes of one batch.
  struct Answer {
    int code = 0;  ///< A google.rpc.Code; 0 keeps the batch.
    std::string message{};
    std::uint32_t retry_after_ms = 0;
    std::vector<std::uint32_t> rejected{};  ///< Indices of operations that are not kept.
    bool silence = false;                   ///< No answer at all.
    bool end_stream = false;                ///< The stream ends with `code` instead of an answer.
  };

  struct Options {
    bool keep = true;  ///< Off: operations are counted away, for long measurements.
  };

  FakeCollector() : FakeCollector(Options{}) {}
  explicit FakeCollector(Options options);
  ~FakeCollector();
  FakeCollector(const FakeCollector&) = delete;
  FakeCollector& operator=(const FakeCollector&) = delete;

  std::string target() const;

  /// Answers of the next batches, in order; after them all are kept.
  void AnswerNext(Answer answer);
  /// Answers wait from now on, until Release.
  void Hold();
  void Release();
  /// Told to clients with the answers from now on.
  void SetWindow(std::uint32_t window);

  /// Breaks every connection and refuses new ones, until Start. What was kept stays.
  void Die();
  void Start();

  using Operations = std::vector<collector::v1::RunOperation>;
  Operations Kept() const;
  std::size_t batches() const;  ///< Received, also those that were not kept.
  std::size_t streams() const;  ///< Opened so far.
  std::vector<std::string> api_keys() const;

  static constexpr std::chrono::seconds kPatience{20};
  // False: not in time.
  bool WaitForKept(std::size_t operations, std::chrono::steady_clock::duration = kPatience) const;
  bool WaitForBatches(std::size_t batches, std::chrono::steady_clock::duration = kPatience) const;
  bool WaitForStreams(std::size_t streams, std::chrono::steady_clock::duration = kPatience) const;

 private:
  class Service;

  const std::string directory_;
  std::unique_ptr<Service> service_;
};

}  // namespace testing
}  // namespace v0
}  // namespace weft
