// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <absl/status/statusor.h>

#include <weft/collector/ingest.h>
#include <weft/collector/record.h>

namespace weft::collector {

/// The spans of a request, as operations whose parts count in the request.
struct DecodedSpans {
  std::vector<RunOp> ops;
  std::vector<RejectedOp> rejected;
  /// The request is not as it came: texts were repaired, or invalid spans taken out.
  bool changed = false;
};

/// Checks an ExportTraceServiceRequest in one pass over its wire format and finds its spans.
///
/// Spans that cannot be runs (ids, limits) are taken out of `request` and rejected, each with the
/// reason. Texts that are not UTF-8 are repaired where they are: `?` for each bad byte, so that no
/// length changes. `project` is for spans that name none.
///
/// Errors: InvalidArgument when the bytes are not such a message; ResourceExhausted when it has
/// more
///   than 100,000 spans.
/// Cost: about 0.3 us a span of 281 bytes.
absl::StatusOr<DecodedSpans> DecodeTraceRequest(std::string_view project, std::string* request);

}  // namespace weft::collector
