// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "otlp/attributes.h"
#include "otlp/span_ids.h"

namespace weft::collector {

struct SpanEvent {
  std::uint64_t time_unix_ns = 0;
  std::string_view name{};
  Attributes attributes{};
  bool used = false;  ///< It went into another field than `events`.
};

struct SpanLink {
  std::string_view trace_id{};
  std::string_view span_id{};
  Attributes attributes{};
};

/// A span with everything found in it. Texts lie in the record.
struct SpanView {
  /// `ids` are those of the span, and outlive this.
  SpanView(const SpanSlices& slices, const SpanIds& span_ids);

  const SpanIds& ids;
  std::string_view name{};
  std::string_view trace_state{};
  std::uint64_t kind = 0;
  std::uint64_t status_code = 0;
  std::string_view status_message{};
  Attributes attributes{};
  std::vector<SpanEvent> events{};
  std::vector<SpanLink> links{};
  Attributes resource{};
  std::string_view scope_name{};
  std::string_view scope_version{};

  /// What `attributes` decide and other rules ask for.
  std::string_view run_type = "chain";
};

}  // namespace weft::collector
