// SPDX-License-Identifier: Apache-2.0
#include "received_redrive.h"

#include <charconv>
#include <future>
#include <optional>
#include <string>
#include <utility>

#include <absl/strings/escaping.h>
#include <simdjson.h>
#include <weft/tracing/internal/form_data.h>

#include "fold_json.h"
#include "langsmith/multipart.h"
#include "langsmith/run_decoder.h"
#include "otlp/trace_request.h"

namespace weft::collector {
namespace {

using simdjson::SIMDJSON_PADDING;

struct ReceivedLine {
  std::string receiver;
  std::string reason;
  std::optional<std::string> bytes;
  std::string tenant;
  std::string project;
  std::uint64_t key_id = 0;
};

ReceivedLine ReadLine(std::string_view text) {
  ReceivedLine line;
  FieldCutter cutter(text);
  for (std::string_view key, value; cutter.Next(key, value);) {
    const std::optional<std::string> content = JsonText(value);
    if (!content) continue;
    if (key == "receiver") line.receiver = *content;
    if (key == "reason") line.reason = *content;
    if (key == "bytes") line.bytes = *content;
    if (key == "project") line.project = *content;
    std::string bytes;
    if (key == "bytes_base64" && absl::Base64Unescape(*content, &bytes)) line.bytes = bytes;
    if (key == "tenant") line.tenant = *content;
    if (key == "key") {
      std::from_chars(content->data(), content->data() + content->size(), line.key_id, 16);
    }
  }
  return line;
}

// Several parts were kept as `post.ID`, a newline, the run, a newline, `post.ID.inputs`, ...
internal::FormData FormOf(std::string_view bytes) {
  internal::FormData form;
  const std::string label(bytes.substr(0, bytes.find('\n')));
  std::size_t name = 0;
  while (name < bytes.size()) {
    const std::size_t content = bytes.find('\n', name) + 1;
    std::size_t next = bytes.find("\n" + label + ".", content);
    if (next == std::string_view::npos) next = bytes.size() - (bytes.ends_with('\n') ? 1 : 0);
    form.Append(bytes.substr(name, content - 1 - name), "application/json",
                bytes.substr(content, next - content));
    name = next + 1;
  }
  return form;
}

bool IsForm(std::string_view bytes) {
  return bytes.starts_with("post.") || bytes.starts_with("patch.");
}

absl::StatusOr<DecodedRuns> Decode(const ReceivedLine& line, std::string& body) {
  const bool is_patch = line.reason.starts_with("patch");
  if (!IsForm(*line.bytes)) {
    body = *line.bytes;
    body.append(SIMDJSON_PADDING, '\0');
    return DecodeSingleRun({.text = std::string_view(body).substr(0, line.bytes->size()),
                            .readable_after = SIMDJSON_PADDING},
                           is_patch ? OpKind::kPatch : OpKind::kPost, RunId{});
  }
  internal::FormData form = FormOf(*line.bytes);
  const absl::StatusOr<std::string> boundary = MultipartBoundary(form.content_type());
  if (!boundary.ok()) return boundary.status();
  body = std::move(form).Finish();
  const std::size_t size = body.size();
  body.append(SIMDJSON_PADDING, '\0');
  return DecodeMultipartRuns(
      {.text = std::string_view(body).substr(0, size), .readable_after = SIMDJSON_PADDING},
      *boundary);
}

absl::Status Accept(Ingest& ingest, const ReceivedLine& line, IngestBatch batch) {
  batch.admitted = true;
  batch.header.key_id = line.key_id;
  batch.header.tenant = line.tenant;
  batch.header.decoded_size = batch.payload.size();
  std::promise<absl::Status> answer;
  ingest.Accept(std::move(batch),
                [&](absl::Status status) { answer.set_value(std::move(status)); });
  return answer.get_future().get();
}

// What was valid, but too much; of other spans less was kept than a request.
absl::Status AcceptSpan(Ingest& ingest, const ReceivedLine& line) {
  IngestBatch batch;
  batch.payload = *line.bytes;
  absl::StatusOr<DecodedSpans> spans = DecodeTraceRequest(line.project, &batch.payload);
  if (!spans.ok() || spans->ops.empty()) {
    return absl::InvalidArgumentError("of invalid spans too little was kept");
  }
  batch.header.receiver = Receiver::kOtlp;
  batch.header.ops = std::move(spans->ops);
  return Accept(ingest, line, std::move(batch));
}

absl::Status Accept(Ingest& ingest, const ReceivedLine& line) {
  if (line.bytes && line.receiver == "otlp") return AcceptSpan(ingest, line);
  // Of weft's own service only what was valid, but too much, was kept as runs.
  const bool is_run = line.bytes && (line.receiver == "langsmith" ||
                                     (line.receiver == "weft" && IsForm(*line.bytes)));
  if (!is_run) return absl::InvalidArgumentError("only what was kept as JSON can be taken again");
  std::string body;
  absl::StatusOr<DecodedRuns> runs = Decode(line, body);
  if (!runs.ok()) return runs.status();
  if (!runs->rejected.empty()) return absl::InvalidArgumentError(runs->rejected.front().reason);
  if (runs->ops.empty()) return absl::InvalidArgumentError("there is no run in it");
  IngestBatch batch;
  batch.header.receiver = Receiver::kLangSmith;
  batch.header.ops = std::move(runs->ops);
  body.resize(body.size() - SIMDJSON_PADDING);
  batch.payload = body + runs->appended;
  return Accept(ingest, line, std::move(batch));
}

}  // namespace

absl::StatusOr<ParkedItems::Redriven> RedriveReceived(Ingest& ingest, ParkedFile& parked,
                                                      const std::vector<std::uint64_t>& ids) {
  ParkedItems::Redriven redriven;
  for (const std::uint64_t id : ids) {
    const absl::StatusOr<std::string> text = parked.Read(id);
    if (!text.ok()) continue;
    const absl::Status status = Accept(ingest, ReadLine(*text));
    if (absl::IsInvalidArgument(status)) {
      ++redriven.refused;
      if (redriven.reason.empty()) redriven.reason = std::string(status.message());
      continue;
    }
    if (!status.ok()) return status;
    if (auto settled = parked.Settle({id}); !settled.ok()) return settled.status();
    ++redriven.accepted;
  }
  return redriven;
}

}  // namespace weft::collector
