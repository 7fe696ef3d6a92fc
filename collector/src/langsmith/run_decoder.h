// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <weft/collector/ingest.h>
#include <weft/collector/record.h>

namespace weft::collector {

/// A body without its content coding. `readable_after` bytes behind it may be read.
struct DecodedBody {
  std::string_view text;
  std::size_t readable_after = 0;
};

/// The operations of a request. Parts are slices of the body followed by `appended`, where those
/// are that had to be repaired; everything else stays byte for byte where it arrived.
struct DecodedRuns {
  std::vector<RunOp> ops;
  std::vector<RejectedOp> rejected;
  std::string appended;
  std::size_t repaired_parts = 0;
  /// Not one operation could be read, and none was refused for what it says.
  bool nothing_readable = false;
};

/// LangSmith's request bodies as operations: every JSON text is validated once, ids are checked
/// against each other. An operation that is invalid is rejected alone, with a reason that names the
/// part and the member.
///
/// Errors: InvalidArgument when the body as a whole cannot be read; it names the place.
/// Cost: one pass, plus one over the small run objects; payloads are never copied.

/// `POST /runs/multipart`.
absl::StatusOr<DecodedRuns> DecodeMultipartRuns(DecodedBody body, std::string_view boundary);

/// `POST /runs/batch`: `{"post": [run...], "patch": [run...]}`.
absl::StatusOr<DecodedRuns> DecodeRunBatch(DecodedBody body);

/// `POST /runs` and `PATCH /runs/{id}`: one run; `id` is nil where only the run says it.
absl::StatusOr<DecodedRuns> DecodeSingleRun(DecodedBody body, OpKind kind, RunId id);

}  // namespace weft::collector
