// SPDX-License-Identifier: Apache-2.0
#include "otlp/trace_request.h"

#include <algorithm>
#include <unordered_set>
#include <utility>

#include <absl/status/status.h>

#include "otlp/proto_reader.h"
#include "otlp/request_bytes.h"
#include "otlp/span_check.h"

namespace weft::collector {
namespace {

constexpr auto kDelimited = ProtoReader::kDelimited;
constexpr std::size_t kMaxRejectedBytes = 1 << 20;
// A span takes 30 bytes at least, and its operation some 400: a small body that is packed well must
// not take memory without end.
constexpr std::size_t kMaxSpans = 100'000;
// Room is made for so many at once, if the request can have them.
constexpr std::size_t kUsualSpans = 128;

// How many bytes the character that begins `text` has; 0 when it is not UTF-8.
std::size_t CharacterSize(std::string_view text) {
  const auto at = [text](std::size_t i) {
    return static_cast<unsigned char>(i < text.size() ? text[i] : 0);
  };
  const auto follows = [&](std::size_t i) { return (at(i) & 0xc0) == 0x80; };
  const unsigned char first = at(0);
  if (first < 0x80) return 1;
  if (first >= 0xc2 && first < 0xe0) return follows(1) ? 2 : 0;
  if (first >= 0xe0 && first < 0xf0) {
    const unsigned char least = first == 0xe0 ? 0xa0 : 0x80, most = first == 0xed ? 0x9f : 0xbf;
    return at(1) >= least && at(1) <= most && follows(2) ? 3 : 0;
  }
  if (first >= 0xf0 && first < 0xf5) {
    const unsigned char least = first == 0xf0 ? 0x90 : 0x80, most = first == 0xf4 ? 0x8f : 0xbf;
    return at(1) >= least && at(1) <= most && follows(2) && follows(3) ? 4 : 0;
  }
  return 0;
}

void RepairText(char* text, std::size_t size) {
  for (std::size_t i = 0; i < size;) {
    const std::size_t step = CharacterSize({text + i, size - i});
    if (step == 0) text[i] = '?';
    i += std::max<std::size_t>(step, 1);
  }
}

class RequestWalk {
 public:
  RequestWalk(std::string_view request, std::string_view project)
      : request_(request), project_(project), checker_(&invalid_text_) {}

  absl::Status Read() {
    ProtoReader in(request_);
    while (in.Next()) {
      if (in.Is(1, kDelimited) && !ReadResourceSpans(in.bytes())) return Unreadable();
    }
    return in.ok() ? absl::OkStatus() : Unreadable();
  }

  DecodedSpans& result() { return result_; }
  const std::vector<std::string_view>& invalid_text() const { return invalid_text_; }
  const std::unordered_set<std::uint64_t>& rejected_at() const { return rejected_at_; }

 private:
  absl::Status Unreadable() const {
    if (index_ > kMaxSpans) return absl::ResourceExhaustedError("more than 100000 spans");
    const std::string_view why = checker_.error();
    return absl::InvalidArgumentError("not an ExportTraceServiceRequest: " +
                                      std::string(why.empty() ? "cut off or damaged" : why));
  }

  // The resource may stand behind its spans.
  bool ReadResourceSpans(std::string_view message) {
    resource_ = {};
    ProtoReader first(message);
    while (first.Next()) {
      if (first.Is(1, kDelimited)) resource_ = first.bytes();
      if (first.Is(3, kDelimited)) checker_.CheckText(first.bytes());
    }
    if (!first.ok() || !checker_.CheckResource(resource_)) return false;
    for (ProtoReader in(message); in.Next();) {
      if (in.Is(2, kDelimited) && !ReadScopeSpans(in.bytes())) return false;
    }
    return true;
  }

  bool ReadScopeSpans(std::string_view message) {
    scope_ = {};
    ProtoReader first(message);
    while (first.Next()) {
      if (first.Is(1, kDelimited)) scope_ = first.bytes();
      if (first.Is(3, kDelimited)) checker_.CheckText(first.bytes());
    }
    if (!first.ok() || !checker_.CheckScope(scope_)) return false;
    for (ProtoReader in(message); in.Next();) {
      if (in.Is(2, kDelimited) && !ReadSpan(in.bytes())) return false;
    }
    return true;
  }

  bool ReadSpan(std::string_view span) {
    SpanFacts facts;
    if (!checker_.CheckSpan(span, &facts)) return false;
    const std::size_t index = index_++;
    if (index_ > kMaxSpans) return false;
    if (const char* const defect = facts.Defect(); defect != nullptr) {
      result_.rejected.push_back({index, defect, std::string(span.substr(0, kMaxRejectedBytes))});
      rejected_at_.insert(OffsetOf(span));
      return true;
    }
    SpanIds ids = facts.Ids();
    if (result_.ops.empty())
      result_.ops.reserve(std::min(kUsualSpans, request_.size() / span.size()));
    RunOp& op = result_.ops.emplace_back();
    op.run_id = ids.run_id;
    op.trace_id = ids.trace_id;
    if (ids.trace_id != ids.otel_trace_id) op.otel_trace_id = ids.otel_trace_id;
    op.is_root = ids.is_root;
    if (ids.is_root && !ids.names_run_id) op.child_run_id = PaddedRunId(ids.span_id);
    op.has_error = ids.has_error;
    op.project = ids.project.empty() ? project_ : ids.project;
    AddPart(PartField::kSpan, span, &op);
    AddPart(PartField::kResource, resource_, &op);
    AddPart(PartField::kScope, scope_, &op);
    return true;
  }

  std::uint64_t OffsetOf(std::string_view slice) const {
    return static_cast<std::uint64_t>(slice.data() - request_.data());
  }

  void AddPart(PartField field, std::string_view slice, RunOp* op) const {
    if (slice.empty()) return;
    Part& part = op->parts.emplace_back();
    part.field = field;
    part.offset = OffsetOf(slice);
    part.length = slice.size();
  }

  const std::string_view request_;
  const std::string project_;
  std::vector<std::string_view> invalid_text_;
  SpanChecker checker_;
  DecodedSpans result_;
  std::unordered_set<std::uint64_t> rejected_at_;
  std::string_view resource_, scope_;
  std::size_t index_ = 0;
};

}  // namespace

absl::StatusOr<DecodedSpans> DecodeTraceRequest(std::string_view project, std::string* request) {
  if (project.size() > kMaxProjectBytes) {
    return absl::InvalidArgumentError("Langsmith-Project: longer than 1024 bytes");
  }
  RequestWalk walk(*request, project);
  if (absl::Status status = walk.Read(); !status.ok()) return status;
  for (const std::string_view text : walk.invalid_text()) {
    RepairText(request->data() + (text.data() - request->data()), text.size());
  }
  DecodedSpans decoded = std::move(walk.result());
  decoded.changed = !walk.invalid_text().empty();
  if (decoded.rejected.empty() || decoded.ops.empty()) return decoded;

  std::string rest = KeepSpans(
      *request, [&](std::uint64_t offset) { return !walk.rejected_at().contains(offset); });
  RequestWalk again(rest, project);
  if (absl::Status status = again.Read(); !status.ok()) return status;
  decoded.ops = std::move(again.result().ops);
  decoded.changed = true;
  *request = std::move(rest);
  return decoded;
}

}  // namespace weft::collector
