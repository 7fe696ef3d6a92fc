// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include <weft/tracing/run_record.h>

#include "run_json.h"

namespace weft {
inline namespace v0 {
namespace internal {

/// Writes runs as the bytes of a weft.collector.v1.RunBatch. No message objects are made: a run's
/// JSON texts are copied once.
class RunBatchWriter {
 public:
  void Append(const RunRecord& record);

  std::size_t size() const noexcept { return bytes_.size(); }
  std::size_t runs() const noexcept { return runs_; }

  /// The batch; the writer is empty after it.
  std::string Take();

  /// What stands before the bytes of a batch in an ExportStreamRequest.
  static std::string RequestHead(std::uint64_t batch_id, std::size_t batch_size,
                                 bool is_zstd = false);

 private:
  RunJson json_;
  std::string bytes_;
  std::size_t runs_ = 0;
};

}  // namespace internal
}  // namespace v0
}  // namespace weft
