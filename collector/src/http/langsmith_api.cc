// SPDX-License-Identifier: Apache-2.0
#include "http/langsmith_api.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include <weft/tracing/internal/form_data.h>
#include <weft/version.h>

#include "destinations/langsmith_body.h"
#include "http/content_coding.h"
#include "http/guard.h"
#include "langsmith/multipart.h"
#include "langsmith/run_decoder.h"
#include "langsmith/run_query.h"

namespace weft::collector {
namespace {

/// simdjson reads a little past the end of a text.
constexpr std::size_t kReadableAfter = DecodeBuffer::kReadableAfter;

/// Smaller payloads gain nothing.
constexpr std::size_t kCompressFrom = 1024;

/// A read waits this long for what was acknowledged just before it.
constexpr std::chrono::milliseconds kIndexPatience{500};

/// All of the configuration or none: the Python SDK's sender dies on a part of it. The version is
/// the API's, by which the SDKs decide what they may send.
constexpr std::string_view kInfo =
    R"({"version":"0.16.9","license_expiration_time":null,)"
    R"("batch_ingest_config":{"use_multipart_endpoint":true,"size_limit":100,)"
    R"("size_limit_bytes":20971520,"scale_up_qsize_trigger":1000,"scale_up_nthreads_limit":16,)"
    R"("scale_down_nempty_trigger":4},)"
    R"("instance_flags":{"gzip_body_enabled":true,"zstd_compression_enabled":true},)"
    R"("customer_info":null,"git_sha":null,"sdk_versions":null})";

constexpr std::string_view kHomePage =
    R"(<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>weft collector</title></head>
<body>
<h1>weft collector</h1>
<p>This is a collector of LLM agents' traces. It speaks LangSmith's API here and under <code>/api/v1</code>:
set <code>LANGSMITH_ENDPOINT</code> to this address and <code>LANGSMITH_TRACING</code> to <code>true</code>.</p>
<ul>
<li><a href="/sessions">/sessions</a>: the projects</li>
<li><code>/runs/ID</code>: a run; <code>POST /runs/query</code>: the runs of a trace or a project</li>
<li><a href="/ready">/ready</a>, <a href="/live">/live</a>, <a href="/metrics">/metrics</a></li>
</ul>
<p>On the command line: <code>weft ls</code>, <code>weft show TRACE_ID</code>.</p>
</body>
</html>
)";
constexpr std::string_view kPagePolicy =
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

std::string_view MediaType(std::string_view content_type) {
  content_type = content_type.substr(0, content_type.find(';'));
  while (!content_type.empty() && content_type.back() == ' ') content_type.remove_suffix(1);
  return content_type;
}

bool EqualsIgnoringCase(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](unsigned char x, unsigned char y) {
    return std::tolower(x) == std::tolower(y);
  });
}

HttpReply JsonReply(std::string body) {
  HttpReply reply;
  reply.body = std::move(body);
  return reply;
}

HttpReply TooLarge(std::string_view message) { return ErrorReply(413, message, "too_large"); }

/// A body that could not be used at all.
HttpReply Unreadable(const absl::Status& status) {
  const std::string_view message(status.message().data(), status.message().size());
  if (absl::IsResourceExhausted(status)) return TooLarge(message);
  if (!absl::IsInvalidArgument(status)) return ErrorReply(status);
  return ErrorReply(400, message, "unreadable");
}

/// 202, with what was parked; 400 when nothing could be read at all.
HttpReply AcceptedReply(const DecodedRuns& runs) {
  HttpReply reply;
  reply.status = 202;
  if (runs.rejected.empty()) {
    reply.body = R"({"message":"accepted"})";
    return reply;
  }
  constexpr std::size_t kMaxShown = 20;
  if (runs.nothing_readable) reply.status = 400;
  reply.body = "{" + std::string(runs.nothing_readable ? "\"detail\":" : "\"message\":");
  reply.body += JsonQuoted(runs.nothing_readable ? runs.rejected.front().reason
                                                 : "accepted, but for what is listed");
  reply.body += ",\"accepted\":" + std::to_string(runs.ops.size()) +
                ",\"parked\":" + std::to_string(runs.rejected.size()) + ",\"rejected\":[";
  for (std::size_t i = 0; i < std::min(runs.rejected.size(), kMaxShown); ++i) {
    if (i > 0) reply.body += ',';
    reply.body += "{\"index\":" + std::to_string(runs.rejected[i].index) +
                  ",\"reason\":" + JsonQuoted(runs.rejected[i].reason) + "}";
  }
  reply.body += "]}";
  return reply;
}

absl::StatusOr<DecodedRuns> Decode(const HttpRequest& request, const Target& target,
                                   DecodedBody body) {
  switch (target.route) {
    case Route::kRunsMultipart: {
      const auto boundary = MultipartBoundary(request.content_type);
      if (!boundary.ok()) return boundary.status();
      return DecodeMultipartRuns(body, *boundary);
    }
    case Route::kRunsBatch:
      return DecodeRunBatch(body);
    case Route::kRuns:
      return DecodeSingleRun(body, OpKind::kPost, RunId{});
    default: {
      const auto id = RunId::Parse(target.id);
      if (!id) return absl::InvalidArgumentError("path: '" + target.id + "' is not a UUID");
      return DecodeSingleRun(body, OpKind::kPatch, *id);
    }
  }
}

/// The payload as the log keeps it. A zstd body that nothing was added to is kept as it came.
void SetPayload(ContentCoding coding, std::string body, std::string_view decoded,
                std::string_view appended, IngestBatch* batch) {
  batch->header.decoded_size = decoded.size() + appended.size();
  batch->header.coding = PayloadCoding::kZstd;
  if (coding == ContentCoding::kZstd && appended.empty()) {
    batch->payload = std::move(body);
    return;
  }
  if (!appended.empty()) {
    body = std::string(decoded).append(appended);
    decoded = body;
  }
  if (decoded.size() >= kCompressFrom) batch->payload = internal::CompressZstd(decoded);
  if (!batch->payload.empty()) return;
  batch->header.coding = PayloadCoding::kIdentity;
  batch->payload = decoded;
}

/// The boundary of a form that can be forwarded as it is; empty: it cannot.
std::string BoundaryToForward(const HttpRequest& request, const std::vector<RunOp>& ops,
                              std::string_view form) {
  std::string boundary = MultipartBoundary(request.content_type).value_or("");
  const bool is_plain = std::all_of(boundary.begin(), boundary.end(), [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '-' || c == '_';
  });
  const bool begins = form.starts_with("--" + boundary);
  const bool is_complete = std::all_of(ops.begin(), ops.end(), [&](const RunOp& op) {
    OutgoingOp outgoing;
    outgoing.op = &op;
    outgoing.payload = form;
    return HasBatchFields(outgoing);
  });
  return is_plain && begins && is_complete ? boundary : "";
}

std::string SessionJson(const Project& project) {
  return "{\"id\":\"" + project.id.ToString() + "\",\"name\":" + JsonQuoted(project.name) +
         ",\"tenant_id\":\"00000000-0000-0000-0000-000000000000\",\"start_time\":\"" +
         TimeText(project.first_seen_us) + "\",\"last_run_start_time\":\"" +
         TimeText(project.last_seen_us) +
         "\",\"end_time\":null,\"description\":null,\"extra\":null,\"reference_dataset_id\":null}";
}

std::size_t NumberOr(const std::optional<std::string>& text, std::size_t otherwise) {
  std::size_t value = otherwise;
  if (text) std::from_chars(text->data(), text->data() + text->size(), value);
  return value;
}

}  // namespace

std::optional<HttpReply> LangSmithApi::CheckHeader(const HttpRequest& request,
                                                   const Target& target) const {
  if (target.route == Route::kUnknown) {
    return ErrorReply(404, "path: nothing is at '" + request.target + "'");
  }
  if (!IsAllowed(target.route, request.method)) {
    HttpReply reply = ErrorReply(405, "method: " + request.method + " is not one of " +
                                          std::string(AllowedMethods(target.route)));
    reply.headers.emplace_back("Allow", AllowedMethods(target.route));
    return reply;
  }
  if (target.route == Route::kOtlpTraces) return otlp_.CheckHeader(request);
  if (services_.otlp_only && !IsForProbes(target.route)) {
    return ErrorReply(404, "path: this listener is for OTLP, not for '" + request.target + "'");
  }
  if (!IsWrite(request, target) && target.route != Route::kRunsQuery) return std::nullopt;
  if (!ParseContentCoding(request.content_encoding)) {
    HttpReply reply = ErrorReply(415,
                                 "Content-Encoding: '" + request.content_encoding +
                                     "' is none of identity, gzip, deflate, zstd",
                                 "coding");
    reply.headers.emplace_back("Accept-Encoding", "gzip, deflate, zstd");
    return reply;
  }
  const bool is_form = target.route == Route::kRunsMultipart;
  const std::string_view type = MediaType(request.content_type);
  const std::string_view wanted = is_form ? "multipart/form-data" : "application/json";
  if (!EqualsIgnoringCase(type, wanted) && (is_form || !type.empty())) {
    return ErrorReply(
        415, "Content-Type: '" + request.content_type + "' is not " + std::string(wanted), "type");
  }
  return std::nullopt;
}

bool LangSmithApi::IsWrite(const HttpRequest& request, const Target& target) {
  return target.route == Route::kOtlpTraces || target.route == Route::kRuns ||
         target.route == Route::kRunsBatch || target.route == Route::kRunsMultipart ||
         (target.route == Route::kRun && request.method == "PATCH");
}

bool LangSmithApi::ReadsStore(const Target& target) {
  return target.route == Route::kAdmin || target.route == Route::kRun ||
         target.route == Route::kAttachment || target.route == Route::kRunsQuery ||
         target.route == Route::kSessions || target.route == Route::kSession;
}

void LangSmithApi::Write(const HttpRequest& request, const Target& target, std::string body,
                         Done done) const {
  if (target.route == Route::kOtlpTraces) {
    return otlp_.Write(request, std::move(body), std::move(done));
  }
  thread_local DecodeBuffer scratch;
  const ContentCoding coding =
      ParseContentCoding(request.content_encoding).value_or(ContentCoding::kIdentity);
  const std::size_t wire_size = body.size();
  if (coding == ContentCoding::kIdentity) {
    if (wire_size > options_.max_decoded_bytes) return done(TooLarge("body: too large"));
    body.append(kReadableAfter, '\0');
  } else if (auto status = DecodeContent(coding, body, options_.max_decoded_bytes, &scratch);
             !status.ok()) {
    scratch.Shrink();
    return done(Unreadable(status));
  }
  const std::string_view decoded = coding == ContentCoding::kIdentity
                                       ? std::string_view(body).substr(0, wire_size)
                                       : scratch.view();
  auto runs = Decode(request, target, {.text = decoded, .readable_after = kReadableAfter});
  if (!runs.ok()) {
    scratch.Shrink();
    return done(Unreadable(runs.status()));
  }
  stats_.repaired_parts += runs->repaired_parts;
  HttpReply reply = AcceptedReply(*runs);
  if (runs->ops.empty() && runs->rejected.empty()) return done(std::move(reply));
  IngestBatch batch;
  batch.header.receiver = Receiver::kLangSmith;
  batch.header.ops = std::move(runs->ops);
  batch.rejected = std::move(runs->rejected);
  batch.api_key = request.api_key;
  if (batch.api_key.empty()) batch.caller_key = KeyOf(request);
  batch.reserved = true;
  if (target.route == Route::kRunsMultipart && runs->appended.empty() && batch.rejected.empty()) {
    batch.header.form_boundary = BoundaryToForward(request, batch.header.ops, decoded);
  }
  SetPayload(coding, std::move(body), decoded, runs->appended, &batch);
  scratch.Shrink();
  services_.ingest->Accept(std::move(batch), [reply = std::move(reply), done = std::move(done)](
                                                 const absl::Status& status) mutable {
    done(status.ok() ? std::move(reply) : ErrorReply(status));
  });
}

HttpReply LangSmithApi::Read(const HttpRequest& request, const Target& target,
                             const std::string& body) const {
  switch (target.route) {
    case Route::kHome: {
      HttpReply page = JsonReply(std::string(kHomePage));
      page.content_type = "text/html; charset=utf-8";
      page.headers.emplace_back("Content-Security-Policy", kPagePolicy);
      page.headers.emplace_back("X-Content-Type-Options", "nosniff");
      return page;
    }
    case Route::kInfo: {
      HttpReply info = JsonReply(std::string(kInfo));
      info.headers.emplace_back("Server", "weft/" WEFT_VERSION);
      return info;
    }
    case Route::kLive:
      return JsonReply(R"({"status":"live"})");
    case Route::kReady:
      return Ready();
    case Route::kMetrics: {
      HttpReply metrics = JsonReply(services_.metrics ? services_.metrics() : "");
      metrics.content_type = "text/plain; version=0.0.4; charset=utf-8";
      return metrics;
    }
    default:
      break;
  }
  if (target.route == Route::kAdmin) return admin_.Answer(request, target, body);
  if (services_.store == nullptr) return ErrorReply(503, "the store is not open");
  services_.store->WaitUntilIndexed(kIndexPatience);
  switch (target.route) {
    case Route::kRun:
      return FindRun(target);
    case Route::kAttachment:
      return FindAttachment(target);
    case Route::kRunsQuery:
      return QueryRuns(request, body);
    case Route::kSessions:
      return ListSessions(target);
    default:
      return FindSession(target);
  }
}

HttpReply LangSmithApi::Ready() const {
  const absl::Status status = services_.ready ? services_.ready() : absl::OkStatus();
  if (status.ok()) return JsonReply(R"({"status":"ready"})");
  return ErrorReply(503, std::string(status.message()));
}

HttpReply LangSmithApi::FindRun(const Target& target) const {
  const auto id = RunId::Parse(target.id);
  if (!id) return ErrorReply(400, "path: '" + target.id + "' is not a UUID");
  auto run = services_.store->FindRun(*id);
  if (!run.ok()) return ErrorReply(run.status());
  return JsonReply(std::move(run->json));
}

HttpReply LangSmithApi::FindAttachment(const Target& target) const {
  const auto id = RunId::Parse(target.id);
  if (!id) return ErrorReply(400, "path: '" + target.id + "' is not a UUID");
  auto attachment = services_.store->FindAttachment(*id, target.name);
  if (!attachment.ok()) return ErrorReply(attachment.status());
  HttpReply reply = JsonReply(std::move(attachment->content));
  reply.content_type = std::move(attachment->mime_type);
  // Somebody else chose the bytes and their type: a browser must not run them as ours.
  reply.headers.emplace_back("Content-Security-Policy", "default-src 'none'; sandbox");
  reply.headers.emplace_back("X-Content-Type-Options", "nosniff");
  return reply;
}

HttpReply LangSmithApi::QueryRuns(const HttpRequest& request, const std::string& body) const {
  constexpr std::size_t kMaxQuery = 1u << 20;
  DecodeBuffer decoded;
  const ContentCoding coding =
      ParseContentCoding(request.content_encoding).value_or(ContentCoding::kIdentity);
  if (const auto status = DecodeContent(coding, body, kMaxQuery, &decoded); !status.ok()) {
    return absl::IsResourceExhausted(status) ? TooLarge(std::string(status.message()))
                                             : ErrorReply(status);
  }
  const auto query = RunQuery::Parse(decoded.view());
  if (!query.ok()) return ErrorReply(query.status());
  auto page = AnswerRunQuery(*services_.store, *query);
  if (!page.ok()) return ErrorReply(page.status());
  return JsonReply(*std::move(page));
}

HttpReply LangSmithApi::ListSessions(const Target& target) const {
  const auto name = target.Parameter("name"), part = target.Parameter("name_contains");
  std::size_t skip = NumberOr(target.Parameter("offset"), 0);
  std::size_t room = NumberOr(target.Parameter("limit"), 100);
  std::string list = "[";
  for (const Project& project : services_.store->Projects()) {
    if (name && project.name != *name) continue;
    if (part && project.name.find(*part) == std::string::npos) continue;
    if (skip > 0) {
      --skip;
      continue;
    }
    if (room-- == 0) break;
    if (list.size() > 1) list += ',';
    list += SessionJson(project);
  }
  return JsonReply(list += "]");
}

HttpReply LangSmithApi::FindSession(const Target& target) const {
  const auto id = RunId::Parse(target.id);
  if (!id) return ErrorReply(400, "path: '" + target.id + "' is not a UUID");
  for (const Project& project : services_.store->Projects()) {
    if (project.id == *id) return JsonReply(SessionJson(project));
  }
  return ErrorReply(404, "no project has the id " + target.id);
}

}  // namespace weft::collector
