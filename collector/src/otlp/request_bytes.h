// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace weft::collector {

/// An ExportTraceServiceRequest with fewer spans: those of which `keep` says true, asked in the
/// order in which they lie there with the offset of their Span message in `request` (the offset of
/// a part PartField::kSpan). Everything else is copied as it is; resources and scopes without spans
/// go. The request must have passed CheckTraceRequest.
std::string KeepSpans(std::string_view request,
                      const std::function<bool(std::uint64_t offset)>& keep);

/// An ExportTraceServiceRequest with one span, of the contents of its messages; an empty resource
/// or scope is left out.
std::string OneSpanRequest(std::string_view span, std::string_view resource,
                           std::string_view scope);

}  // namespace weft::collector
