// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <absl/status/statusor.h>

#include <weft/collector/rare_text.h>
#include <weft/collector/short_list.h>
#include <weft/tracing/run_id.h>

namespace weft::collector {

/// What a part of an operation holds. The numbers are on disk: never reuse one.
enum class PartField : std::uint8_t {
  kRun = 0,  ///< The run object; fields that stand in it may be split out into the parts below.
  kInputs = 1,
  kOutputs = 2,
  kEvents = 3,
  kExtra = 4,
  kError = 5,
  kSerialized = 6,
  kAttachment = 7,
  kFeedback = 8,
  // Of Receiver::kOtlp: the contents of protobuf messages of an ExportTraceServiceRequest, without
  // tag and length. One span each; a resource and a scope only where there are any.
  kSpan = 9,
  kResource = 10,
  kScope = 11,
};

/// LangSmith's name of the field: `inputs`, ... ; empty for kRun and for the parts of spans.
std::string_view PartFieldName(PartField field) noexcept;

/// A longer name is refused: each operation of a request has the name of its project, and the index
/// keeps all of them.
inline constexpr std::size_t kMaxProjectBytes = 1024;

/// A slice of a record's decoded payload. JSON, but for attachments and spans.
struct Part {
  PartField field = PartField::kRun;
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
  RareText name{};       ///< Attachments only.
  RareText mime_type{};  ///< Attachments only.

  friend bool operator==(const Part&, const Part&) = default;
};

/// Most operations have so many at most: a run with three fields, or a span with resource and
/// scope.
using PartList = ShortList<Part, 4>;

/// The numbers are on disk.
enum class OpKind : std::uint8_t { kPost = 0, kPatch = 1, kFeedback = 2 };

/// One operation on one run, as slices of the payload it arrived in.
struct RunOp {
  OpKind kind = OpKind::kPost;
  RunId run_id{};
  RunId trace_id{};  ///< Nil when the operation named none (PATCH /runs/{id}).
  /// Of a span that belongs to another trace than its own trace id tells: that id. Else nil.
  RunId otel_trace_id{};
  /// Of a span that looks like the root of its trace: the run id that it has if another one is. Its
  /// first 8 bytes are zero. Else nil.
  RunId child_run_id{};
  bool is_root = false;
  bool has_error = false;
  bool keep = false;
  std::string project{};  ///< As the operation says; empty = not said.
  PartList parts{};

  friend bool operator==(const RunOp&, const RunOp&) = default;
};

enum class Receiver : std::uint8_t { kLangSmith = 0, kWeft = 1, kOtlp = 2 };
enum class PayloadCoding : std::uint8_t { kIdentity = 0, kZstd = 1 };

/// What the log keeps about a request besides its payload, so that readers need not parse it.
struct RecordHeader {
  Receiver receiver = Receiver::kLangSmith;
  PayloadCoding coding = PayloadCoding::kIdentity;
  std::uint64_t decoded_size = 0;
  std::uint64_t received_us = 0;  ///< Unix time in microseconds.
  /// Names the caller's API key (KeyRing); 0 = none. The key itself is never in the log.
  std::uint64_t key_id = 0;
  std::vector<RunOp> ops{};
  /// The decoded payload is a body of multipart/form-data with this boundary that LangSmith takes
  /// as it is: these operations and nothing else. Empty for any other payload. Who edits a payload
  /// must clear it.
  std::string form_boundary{};
  std::string tenant{};  ///< Of the key that the caller showed; empty = none.

  /// A compact form (docs/log-format.md): about 45 bytes an operation.
  std::string Encode() const;

  /// Reads what Encode made. Anything else is DataLoss: every length is checked, and no part may
  /// reach beyond `decoded_size`.
  static absl::StatusOr<RecordHeader> Decode(std::string_view bytes);

  friend bool operator==(const RecordHeader&, const RecordHeader&) = default;
};

/// Where a record lies in the log. Sequence numbers start at 1 and have no gaps but for records
/// that were damaged on disk. Positions are ordered, and equal, by `seq`; the rest says where to
/// look.
struct Position {
  std::uint64_t segment = 0;  ///< First sequence number of the segment.
  std::uint64_t offset = 0;
  std::uint64_t seq = 0;

  friend auto operator<=>(const Position& a, const Position& b) { return a.seq <=> b.seq; }
  friend bool operator==(const Position& a, const Position& b) { return a.seq == b.seq; }
};

/// A record as it was read back.
struct Record {
  Position position;
  Position next;  ///< Where the next record begins or will begin.
  RecordHeader header;
  std::string payload;  ///< As stored: see RecordHeader::coding.

  /// The payload without its coding; offsets of parts count in it. DataLoss when it is not
  /// `decoded_size` bytes.
  absl::StatusOr<std::string> Decoded() const;
};

}  // namespace weft::collector
