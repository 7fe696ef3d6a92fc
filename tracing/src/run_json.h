// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include <weft/tracing/run_record.h>

namespace weft {
inline namespace v0 {
namespace internal {

/// A run as LangSmith's JSON texts: the main part and the fields that LangSmith splits out.
///
/// One object is used for many runs, so that the buffers are allocated once.
class RunJson {
 public:
  /// What one run may have before its largest fields are cut; see Write.
  static constexpr std::size_t kMaxSize = std::size_t{20} << 20;

  /// Replaces what was there. Fields that are too large together are replaced, the largest first,
  /// by `{"weft_truncated": {"bytes": N, "start": "..."}}`. A name and tags that are too large even
  /// then are cut, and the tag `weft_truncated` says so.
  void Write(const RunRecord& record, std::size_t max_size = kMaxSize) {
    Write(record, record.context, max_size);
  }
  /// `context`: whose ids and project the run gets.
  void Write(const RunRecord& record, const RunContext& context, std::size_t max_size);

  /// Appends the run as one object, with the fields in it.
  void AppendTo(std::string& out) const;

  // Valid until the next Write; empty: the run does not say the field.
  std::string_view run() const noexcept { return run_; }
  std::string_view inputs() const noexcept { return inputs_; }
  std::string_view outputs() const noexcept { return outputs_; }
  std::string_view events() const noexcept { return events_; }
  std::string_view extra() const noexcept { return extra_; }
  std::string_view error() const noexcept { return error_; }

 private:
  void WriteMain(const RunRecord& record, const RunContext& context, bool shorten);
  void WriteTags(const RunRecord& record);
  void WriteEvents(const RunRecord& record);
  void WriteExtra(const RunRecord& record);
  void WriteMetadata(const RunRecord& record);
  /// False: it is too large all the same.
  bool Shorten(std::size_t max_size);

  std::string run_;
  std::string inputs_;
  std::string outputs_;
  std::string events_;
  std::string extra_;
  std::string error_;
};

}  // namespace internal
}  // namespace v0
}  // namespace weft
