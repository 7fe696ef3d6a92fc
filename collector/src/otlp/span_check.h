// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "otlp/span_ids.h"

namespace weft::collector {

/// Attributes that a span or a resource may have; more are invalid.
inline constexpr std::size_t kMaxSpanAttributes = 2000;
/// Events, links and their attributes that a span may have, together.
inline constexpr std::size_t kMaxSpanItems = 20'000;
/// Lists and maps that may lie in each other in an attribute's value. Protobuf's own parsers, which
/// we forward to, would refuse more.
inline constexpr int kMaxValueDepth = 30;

/// What the wire format of a span says, as slices of it; empty = absent.
struct SpanFacts {
  std::string_view trace_id, span_id, parent_span_id;
  std::uint64_t start_unix_ns = 0;
  std::uint64_t end_unix_ns = 0;
  bool has_error = false;
  std::size_t attributes = 0;
  std::size_t items = 0;  ///< Events, links, and their attributes.

  // LangSmith's attributes.
  std::string_view langsmith_trace_id, langsmith_span_id, langsmith_parent_id;
  std::string_view dotted_order, project, traceable_parent;
  bool says_root = false;

  /// Why the span cannot be kept; names the field. Null: it can.
  const char* Defect() const;

  SpanIds Ids() const;
};

/// Walks messages of OTLP once, without making objects: their structure, the UTF-8 of their texts,
/// and of spans what SpanFacts has.
///
/// Cost: about 1 ns a byte for small spans; no allocations.
class SpanChecker {
 public:
  /// `invalid_text` gets the texts that are not UTF-8; null: nobody asks.
  explicit SpanChecker(std::vector<std::string_view>* invalid_text = nullptr)
      : invalid_text_(invalid_text) {}

  /// False when the bytes are not such a message; error() says why.
  bool CheckSpan(std::string_view span, SpanFacts* facts);
  bool CheckResource(std::string_view resource);
  bool CheckScope(std::string_view scope);
  bool CheckText(std::string_view text);

  const char* error() const { return error_; }

 private:
  bool CheckEvent(std::string_view event, SpanFacts* facts);
  bool CheckLink(std::string_view link, SpanFacts* facts);
  bool CheckStatus(std::string_view status, SpanFacts* facts);
  bool CheckKeyValue(std::string_view pair, int depth, std::string_view* key,
                     std::string_view* value);
  bool CheckValue(std::string_view value, int depth);
  bool CheckAttribute(std::string_view pair);
  bool Fail(const char* error);

  std::vector<std::string_view>* invalid_text_;
  const char* error_ = "";
};

}  // namespace weft::collector
