// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <weft/tracing/internal/form_data.h>
#include <weft/tracing/run_record.h>

#include "replica.h"
#include "run_json.h"

namespace weft {
inline namespace v0 {
namespace internal {

/// Writes batches of runs as the bodies that LangSmith takes. The end of a run that began in the
/// same batch is folded into its beginning.
///
/// Threads: one.
class LangSmithWriter {
 public:
  using Runs = std::span<const RunRecord* const>;

  explicit LangSmithWriter(Replica replica) : replica_(std::move(replica)) {}

  /// For `/runs/multipart`. `shorten`: attachments are left out, large fields cut.
  FormData Form(Runs runs, bool shorten);
  /// For `/runs/batch`, which takes no attachments.
  std::string Batch(Runs runs, bool shorten);

 private:
  /// What is left after folding; `folded_` owns what had to be copied.
  std::vector<const RunRecord*> Fold(Runs runs, bool leave_attachments_out);
  void Write(const RunRecord& record, bool shorten);
  void SetId(const RunId& id);
  void AppendForm(const RunRecord& record, FormData& form);

  Replica replica_;
  RunJson json_;
  std::string id_;  // Of the run in json_.
  std::vector<RunRecord> folded_;
  std::size_t last_size_ = 0;
};

}  // namespace internal
}  // namespace v0
}  // namespace weft
