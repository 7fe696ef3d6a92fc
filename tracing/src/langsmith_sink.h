// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include <weft/tracing/internal/langsmith_client.h>
#include <weft/tracing/langsmith_exporter.h>

#include "batch_exporter.h"
#include "failed_traces.h"
#include "langsmith_writer.h"

namespace weft {
inline namespace v0 {
namespace internal {

/// A client for the target of the options.
std::shared_ptr<LangSmithClient> MakeClient(const LangSmithExporterOptions& options);

/// Sends batches to LangSmith, and again what the folder holds.
class LangSmithSink final : public BatchSink {
 public:
  /// `failed` null: nothing is kept.
  LangSmithSink(const LangSmithExporterOptions& options, std::shared_ptr<LangSmithClient> client,
                std::shared_ptr<FailedTraces> failed);

  SendResult Send(const Batch& batch, const std::atomic<bool>& abort) override;
  bool Keep(Runs runs) override;
  std::optional<SendResult> Idle(const std::atomic<bool>& abort) override;
  std::size_t max_runs() const override { return max_runs_; }

 private:
  const std::string api_key_;
  const bool compress_;
  const std::shared_ptr<LangSmithClient> client_;
  LangSmithWriter writer_;
  const std::shared_ptr<FailedTraces> failed_;
  std::size_t max_runs_ = LangSmithInfo{}.max_runs;
};

/// Puts batches into the folder.
class LangSmithKeeper {
 public:
  LangSmithKeeper(const LangSmithExporterOptions& options, std::shared_ptr<LangSmithClient> client,
                  std::shared_ptr<FailedTraces> failed);

  bool Keep(BatchSink::Runs runs);

 private:
  const bool compress_;
  const std::shared_ptr<LangSmithClient> client_;
  LangSmithWriter writer_;
  const std::shared_ptr<FailedTraces> failed_;
};

}  // namespace internal
}  // namespace v0
}  // namespace weft
