// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include <weft/interceptors/middleware.h>
#include <weft/interceptors/tracing_middleware.h>
#include <weft/tracing/json.h>
#include <weft/tracing/run_context.h>
#include <weft/tracing/trace_headers.h>

namespace weft {
inline namespace v0 {
namespace internal {

inline constexpr std::string_view kTraceHeader = "langsmith-trace";
inline constexpr std::string_view kBaggageHeader = "baggage";
inline constexpr std::string_view kTraceparentHeader = "traceparent";
inline constexpr std::string_view kTracestateHeader = "tracestate";
/// Says that the trace is to be kept: with a request to the services below, in the trailers of a
/// reply to those above.
inline constexpr std::string_view kKeepHeader = "weft-keep";
inline constexpr std::string_view kKeepValue = "1";

/// What headers a call gets.
struct HeaderPolicy {
  /// Absent: LangSmith's, and W3C's below a call that came with them.
  std::optional<Propagation> propagation{};
  std::size_t budget = 0;
  Disclosure disclosure = Disclosure::kAll;
  bool keep = false;  ///< The trace is kept: who is told everything is told so, too.
};

/// Adds the headers that make `run` the parent of the called server's run, within the budget.
/// Headers of the same names that the application set are replaced; other members of its `baggage`
/// stay. Returns what did not fit, for people: `metadata, tags`; empty when all did.
std::string WriteTraceHeaders(const RunContext& run, const HeaderPolicy& policy,
                              MetadataWriter& metadata);

/// The same for a call that no run makes: what `run_baggage` (of RunRef::ToHeaders) has, all or
/// nothing.
std::string WriteBaggageHeader(std::string_view run_baggage, const HeaderPolicy& policy,
                               MetadataWriter& metadata);

/// Whether the application itself wrote who the parent is.
bool HasOwnParent(const MetadataWriter& metadata) noexcept;

/// What the application itself wrote into a call's metadata.
ParsedHeaders ReadOwnHeaders(const MetadataWriter& metadata);

/// Whether a peer sent anything that ReadReceivedHeaders gives back.
bool HasReceivedHeaders(const MetadataView& metadata) noexcept;

/// What a peer sent; problems are counted. At most 16 KiB are looked at.
ParsedHeaders ReadReceivedHeaders(const MetadataView& metadata);

/// The metadata `weft_links` that names a caller's run which is not the parent; `headers.parent` is
/// not empty.
JsonObject LinkTo(const ParsedHeaders& headers);

/// Joins two `baggage` values. Of members with one key, LangSmith's are taken from `ours`, all
/// others from `application`.
std::string MergeBaggage(std::string_view application, std::string_view ours);

}  // namespace internal
}  // namespace v0
}  // namespace weft
