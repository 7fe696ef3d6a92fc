// SPDX-License-Identifier: Apache-2.0
#include <weft/testing/in_memory_exporter.h>

#include <algorithm>
#include <utility>

namespace weft {
inline namespace v0 {
namespace testing {
namespace {

void LayOver(RunRecord& run, const RunRecord& patch) {
  RunRecord result = patch;
  result.operation = run.operation;
  if (result.inputs.empty()) result.inputs = run.inputs;
  if (!result.outputs) result.outputs = run.outputs;
  if (!result.error) result.error = run.error;
  result.attachments.insert(result.attachments.begin(), run.attachments.begin(),
                            run.attachments.end());
  run = std::move(result);
}

}  // namespace

void InMemoryExporter::Export(RunRecord&& record) noexcept {
  const std::lock_guard lock(mutex_);
  if (record.end) ++ended_;
  records_.push_back(std::move(record));
  changed_.notify_all();
}

ExporterStats InMemoryExporter::Stats() const noexcept {
  const std::lock_guard lock(mutex_);
  ExporterStats stats;
  stats.queued = stats.sent = stats.acknowledged = records_.size();
  return stats;
}

std::vector<RunRecord> InMemoryExporter::Records() const {
  const std::lock_guard lock(mutex_);
  return records_;
}

std::vector<RunRecord> InMemoryExporter::Runs() const {
  std::vector<RunRecord> runs;
  for (RunRecord& record : Records()) {
    const auto same = std::find_if(runs.begin(), runs.end(), [&](const RunRecord& run) {
      return run.context.id() == record.context.id();
    });
    if (same == runs.end()) {
      runs.push_back(std::move(record));
    } else {
      LayOver(*same, record);
    }
  }
  return runs;
}

bool InMemoryExporter::WaitFor(std::size_t count,
                               std::chrono::steady_clock::duration timeout) const {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, timeout, [&] { return ended_ >= count; });
}

bool InMemoryExporter::WaitForRecords(std::size_t count,
                                      std::chrono::steady_clock::duration timeout) const {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, timeout, [&] { return records_.size() >= count; });
}

void InMemoryExporter::Clear() {
  const std::lock_guard lock(mutex_);
  records_.clear();
  ended_ = 0;
}

}  // namespace testing
}  // namespace v0
}  // namespace weft
