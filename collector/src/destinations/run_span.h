// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <absl/status/statusor.h>

#include <weft/tracing/internal/run_to_span.h>
#include <weft/tracing/json.h>

#include "destinations/sink.h"

namespace weft::collector {

/// A run as the mapping to a span sees it, from its JSON.
///
///     absl::StatusOr<RunSpan> run = RunSpan::Parse(op);
///     request.Add(run->Source(), max_bytes);
class RunSpan {
 public:
  /// The operation has the whole run. InvalidArgument when its text is no JSON object.
  static absl::StatusOr<RunSpan> Parse(const OutgoingOp& op);

  /// Refers to this object.
  internal::SpanSource Source() const;

 private:
  void FindTexts();
  void ReadTimes(const OutgoingOp& op);
  void ReadEvents();
  void ReadAttachments(const OutgoingOp& op);

  std::unique_ptr<const std::string> text_;
  std::string_view inputs_text_;
  std::string_view outputs_text_;
  JsonObject run_;
  RunId id_;
  RunId trace_id_;
  std::chrono::system_clock::time_point start_;
  std::optional<std::chrono::system_clock::time_point> end_;
  std::optional<std::string> error_;
  std::optional<JsonObject> inputs_;  ///< Where the run has a value that is no object.
  std::optional<JsonObject> outputs_;
  std::vector<RunEvent> events_;
  std::vector<RunAttachment> attachments_;
};

}  // namespace weft::collector
