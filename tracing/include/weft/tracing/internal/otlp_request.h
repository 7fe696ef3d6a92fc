// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include <weft/tracing/internal/run_to_span.h>
#include <weft/tracing/json.h>
#include <weft/tracing/run_record.h>

namespace weft {
inline namespace v0 {
namespace internal {

/// The bytes of an OTLP `ExportTraceServiceRequest` with the spans of many runs.
///
/// One object is used for many requests. Runs of one service share a resource.
class OtlpRequest {
 public:
  /// `resource`: attributes of all resources; `service.name` among them names every run's.
  explicit OtlpRequest(JsonObject resource);

  /// Appends a run, as a span of at most `max_size` bytes.
  void Add(const SpanSource& run, std::size_t max_size);
  /// A finished record (FinishRecord).
  void Add(const RunRecord& record, std::size_t max_size) { Add(SpanSourceOf(record), max_size); }

  std::size_t runs() const noexcept { return runs_; }
  /// The request. What was added is gone then.
  std::string Take();

 private:
  struct Service {
    std::string name;
    std::string spans;  ///< Of one ScopeSpans, with their tags.
  };

  Service& ServiceNamed(std::string_view name);

  const JsonObject resource_;
  std::vector<Service> services_;
  std::string span_;
  std::size_t runs_ = 0;
};

}  // namespace internal
}  // namespace v0
}  // namespace weft
