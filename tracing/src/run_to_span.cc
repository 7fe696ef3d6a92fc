// SPDX-License-Identifier: Apache-2.0
#include <weft/tracing/internal/run_to_span.h>

#include <algorithm>
#include <optional>
#include <utility>

#define XXH_INLINE_ALL
#include <openssl/evp.h>
#include <xxhash.h>

#include <weft/tracing/internal/proto_writer.h>

#include "former_span.h"
#include "hex.h"
#include "json_writer.h"
#include "span_attributes.h"
#include "text.h"

namespace weft {
inline namespace v0 {
namespace internal {
namespace {

using std::chrono::microseconds;
using std::chrono::system_clock;

// Field numbers of opentelemetry.proto.trace.v1.
namespace span_field {
constexpr int kTraceId = 1;
constexpr int kSpanId = 2;
constexpr int kTraceState = 3;
constexpr int kParentSpanId = 4;
constexpr int kName = 5;
constexpr int kKind = 6;
constexpr int kStart = 7;
constexpr int kEnd = 8;
constexpr int kAttributes = 9;
constexpr int kEvents = 11;
constexpr int kLinks = 13;
constexpr int kStatus = 15;
constexpr int kFlags = 16;
}  // namespace span_field

namespace event_field {
constexpr int kTime = 1;
constexpr int kName = 2;
constexpr int kAttributes = 3;
}  // namespace event_field

namespace link_field {
constexpr int kTraceId = 1;
constexpr int kSpanId = 2;
constexpr int kAttributes = 4;
}  // namespace link_field

namespace status_field {
constexpr int kMessage = 2;
constexpr int kCode = 3;
}  // namespace status_field

constexpr int kStatusOk = 1;
constexpr int kStatusError = 2;
constexpr std::uint32_t kSampledFlag = 1;

constexpr std::string_view kStacktrace = "\n\nStacktrace:\n";
constexpr std::string_view kLinksKey = "weft_links";
constexpr std::string_view kForeignKey = "otel_attributes";

std::string_view View(const std::array<std::uint8_t, 8>& bytes) noexcept {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::string_view View(const RunId& id) noexcept {
  return {reinterpret_cast<const char*>(id.bytes.data()), id.bytes.size()};
}

std::string_view View(const boost::json::string& text) noexcept {
  return {text.data(), text.size()};
}

std::string_view TextAt(const JsonObject& object, std::string_view key) noexcept {
  const Json* const value = object.if_contains(key);
  return value != nullptr && value->is_string() ? View(value->get_string()) : std::string_view();
}

/// To the microsecond, as runs have it; never before 1970.
std::uint64_t UnixNano(system_clock::time_point time) noexcept {
  const auto micros = std::chrono::floor<microseconds>(time.time_since_epoch()).count();
  return micros > 0 ? static_cast<std::uint64_t>(micros) * 1000 : 0;
}

int KindOf(const SpanSource& run) {
  constexpr std::string_view kKinds[] = {"INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER"};
  const auto* const found =
      std::find(std::begin(kKinds), std::end(kKinds), TextAt(run.metadata, "otel_kind"));
  const int kind = static_cast<int>(found - std::begin(kKinds)) + 1;
  if (found != std::end(kKinds)) return kind;
  return run.run_type == "llm" ? 3 : 1;
}

bool IsTypeCharacter(char c) noexcept {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == ':' || c == '.' || c == '<' || c == '>';
}

/// `std::runtime_error` of `std::runtime_error: text`; empty: the text names none.
std::string_view TypeIn(std::string_view error) noexcept {
  const std::size_t end = error.find(": ");
  if (end == error.npos || end == 0) return {};
  const std::string_view type = error.substr(0, end);
  return std::all_of(type.begin(), type.end(), IsTypeCharacter) ? type : std::string_view();
}

bool HasException(const SpanSource& run) {
  return run.events != nullptr &&
         std::any_of(run.events->begin(), run.events->end(),
                     [](const RunEvent& event) { return event.name == "exception"; });
}

/// Whether OpenTelemetry has its own conventions for the attribute: receivers look for it by its
/// name.
bool IsConventional(std::string_view key) noexcept {
  constexpr std::string_view kPrefixes[] = {"rpc.", "http.", "server.", "client.", "network."};
  return std::any_of(std::begin(kPrefixes), std::end(kPrefixes),
                     [&](std::string_view prefix) { return key.starts_with(prefix); });
}

std::string Joined(const std::vector<std::string>& tags) {
  std::string all;
  for (const std::string& tag : tags) {
    if (!all.empty()) all += ", ";
    all += tag;
  }
  return all;
}

std::string Base64(std::string_view bytes) {
  std::string text(4 * ((bytes.size() + 2) / 3) + 1, '\0');
  const int size = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()),
                                   reinterpret_cast<const unsigned char*>(bytes.data()),
                                   static_cast<int>(bytes.size()));
  text.resize(static_cast<std::size_t>(size));
  return text;
}

class SpanWriter {
 public:
  SpanWriter(std::string& out, const SpanSource& run, std::size_t longest) noexcept
      : bytes_(out), out_(out), run_(run), longest_(longest), former_(FormerSpan::Of(run)) {}

  void Write() {
    WriteIdentity();
    SpanAttributes attributes(bytes_, span_field::kAttributes, longest_);
    WriteRun(attributes);
    WriteModelAttributes(run_, attributes);
    WriteMetadata(attributes);
    WriteAttachments(attributes);
    WriteEvents();
    WriteLinks();
    WriteStatus();
    // Of all that is sent, also of a trace that was promoted.
    out_.Fixed32(span_field::kFlags, kSampledFlag);
  }

 private:
  void Text(int field, std::string_view text) {
    out_.Text(field, ProtoText(text, longest_, buffer_));
  }

  void WriteIdentity() {
    out_.Text(span_field::kTraceId, View(run_.trace_id));
    out_.Text(span_field::kSpanId, View(SpanIdOf(run_.id, run_.span_ids)));
    if (!run_.tracestate.empty()) Text(span_field::kTraceState, run_.tracestate);
    if (run_.parent_id) {
      out_.Text(span_field::kParentSpanId, View(SpanIdOf(*run_.parent_id, run_.span_ids)));
    }
    Text(span_field::kName, run_.name);
    out_.Number(span_field::kKind, static_cast<std::uint64_t>(KindOf(run_)));
    const std::uint64_t start = UnixNano(run_.start) + NanosecondsOf(0);
    out_.Fixed64(span_field::kStart, start);
    // Receivers take a span for broken that has no end, or one before its start.
    end_ = run_.end ? std::max(UnixNano(*run_.end) + NanosecondsOf(1), start) : start;
    out_.Fixed64(span_field::kEnd, end_);
  }

  std::uint64_t NanosecondsOf(std::size_t time) const noexcept {
    return former_ ? former_->NanosecondsOf(time) : 0;
  }

  void WriteRun(SpanAttributes& attributes) const {
    attributes.Text("langsmith.span.id", run_.id.ToString());
    attributes.Text("langsmith.trace.id", run_.trace_id.ToString());
    if (run_.parent_id) {
      attributes.Text("langsmith.span.parent_id", run_.parent_id->ToString());
    } else {
      attributes.Bool("langsmith.is_root", true);
    }
    const std::pair<std::string_view, std::string_view> texts[] = {
        {"langsmith.span.dotted_order", run_.dotted_order},
        {"langsmith.trace.name", run_.name},
        {"langsmith.span.kind", run_.run_type},
        {"langsmith.trace.session_name", run_.session_name},
        {"langsmith.trace.session_id", run_.session_id},
        {"langsmith.trace.address", run_.address},
        {"langsmith.reference_example_id", run_.reference_example_id}};
    for (const auto& [key, text] : texts) {
      if (!text.empty()) attributes.Text(key, text);
    }
    if (!run_.tags.empty()) attributes.Text("langsmith.span.tags", Joined(run_.tags));
    if (!run_.end) attributes.Bool("weft.unfinished", true);
  }

  void WriteMetadata(SpanAttributes& attributes) const {
    std::string key = "langsmith.metadata.";
    const std::size_t prefix = key.size();
    for (const auto& [name, value] : run_.metadata) {
      const std::string_view plain(name.data(), name.size());
      // Said elsewhere in the span.
      if (plain == kLinksKey && value.is_array()) continue;
      if (plain == "usage_metadata" && value.is_object()) continue;
      if (former_ && FormerSpan::Holds(plain)) continue;
      if (plain == kForeignKey && value.is_object()) {
        for (const auto& [foreign, its] : value.get_object()) {
          attributes.Tree(std::string_view(foreign.data(), foreign.size()), its);
        }
        continue;
      }
      if (IsConventional(plain)) attributes.Tree(plain, value);
      key.resize(prefix);
      key += plain;
      attributes.Value(key, value);
    }
  }

  void WriteAttachments(SpanAttributes& attributes) const {
    if (run_.attachments == nullptr || run_.attachments->empty()) return;
    JsonArray all;
    for (const RunAttachment& attachment : *run_.attachments) {
      all.push_back(JsonObject{{"name", attachment.name},
                               {"content", Base64(attachment.content)},
                               {"mime_type", attachment.mime_type}});
    }
    attributes.Value("langsmith.attachments", Json(std::move(all)));
  }

  void WriteEvents() {
    if (run_.error && !IsErrorOfFormerSpan()) WriteException(*run_.error);
    if (run_.events == nullptr) return;
    std::size_t time = 2;
    for (const RunEvent& event : *run_.events) {
      const auto mark = out_.Begin(span_field::kEvents);
      out_.Fixed64(event_field::kTime, UnixNano(event.time) + NanosecondsOf(time++));
      Text(event_field::kName, event.name);
      SpanAttributes attributes(bytes_, event_field::kAttributes, longest_);
      for (const auto& [key, value] : event.kwargs) {
        const std::string_view name(key.data(), key.size());
        former_ ? attributes.Tree(name, value) : attributes.Value(name, value);
      }
      out_.End(mark);
    }
  }

  // The span's status or one of its events said it, and does again.
  bool IsErrorOfFormerSpan() const {
    return former_ && (former_->status() == kStatusError || HasException(run_));
  }

  void WriteException(std::string_view error) {
    const auto mark = out_.Begin(span_field::kEvents);
    out_.Fixed64(event_field::kTime, end_);
    out_.Text(event_field::kName, "exception");
    SpanAttributes attributes(bytes_, event_field::kAttributes, longest_);
    const std::size_t stack = error.find(kStacktrace);
    const std::string_view message = error.substr(0, stack);
    if (const std::string_view type = TypeIn(message); !type.empty()) {
      attributes.Text("exception.type", type);
    }
    attributes.Text("exception.message", message);
    if (stack != error.npos) {
      attributes.Text("exception.stacktrace", error.substr(stack + kStacktrace.size()));
    }
    out_.End(mark);
  }

  // The inverse of what a run that was made from a span says of the span's links.
  void WriteLinks() {
    const Json* const links = run_.metadata.if_contains(kLinksKey);
    if (links == nullptr || !links->is_array()) return;
    for (const Json& link : links->get_array()) {
      if (link.is_object()) WriteLink(link.get_object());
    }
  }

  void WriteLink(const JsonObject& link) {
    RunId trace_id;
    std::array<std::uint8_t, 8> span_id{};
    if (!ReadHex(TextAt(link, "trace_id"), trace_id.bytes) ||
        !ReadHex(TextAt(link, "span_id"), span_id)) {
      return;
    }
    const auto mark = out_.Begin(span_field::kLinks);
    out_.Text(link_field::kTraceId, View(trace_id));
    out_.Text(link_field::kSpanId, View(span_id));
    SpanAttributes attributes(bytes_, link_field::kAttributes, longest_);
    if (const auto run_id = TextAt(link, "run_id"); !run_id.empty()) {
      attributes.Text("langsmith.span.id", run_id);
    }
    if (const Json* const more = link.if_contains("attributes"); more && more->is_object()) {
      for (const auto& [key, value] : more->get_object()) {
        attributes.Tree(std::string_view(key.data(), key.size()), value);
      }
    }
    out_.End(mark);
  }

  void WriteFormerStatus() {
    if (former_->status() == 0) return;
    const auto mark = out_.Begin(span_field::kStatus);
    if (!former_->status_message().empty()) {
      Text(status_field::kMessage, former_->status_message());
    }
    out_.Number(status_field::kCode, static_cast<std::uint64_t>(former_->status()));
    out_.End(mark);
  }

  void WriteStatus() {
    if (!run_.error && !run_.end) return;
    if (former_ && (!run_.error || IsErrorOfFormerSpan())) return WriteFormerStatus();
    const auto mark = out_.Begin(span_field::kStatus);
    if (run_.error) {
      Text(status_field::kMessage, run_.error->substr(0, run_.error->find(kStacktrace)));
    }
    out_.Number(status_field::kCode,
                static_cast<std::uint64_t>(run_.error ? kStatusError : kStatusOk));
    out_.End(mark);
  }

  std::string& bytes_;
  ProtoWriter out_;
  const SpanSource& run_;
  const std::size_t longest_;
  const std::optional<FormerSpan> former_;
  std::uint64_t end_ = 0;
  std::string buffer_;
};

}  // namespace

SpanSource SpanSourceOf(const RunRecord& record) {
  const RunContext& context = record.context;
  const TraceBaggage& baggage = context.baggage();
  SpanSource run;
  run.id = context.id();
  run.trace_id = context.trace_id();
  run.parent_id = context.parent_id();
  run.dotted_order = context.dotted_order();
  run.name = record.DisplayName();
  run.run_type = RunTypeName(record.type);
  run.start = record.start;
  run.end = record.end;
  if (!record.inputs.empty()) run.inputs = &record.inputs;
  if (record.outputs) run.outputs = &*record.outputs;
  if (record.error) run.error = *record.error;
  run.metadata = record.AllMetadata();
  run.tags = record.AllTags();
  run.events = &record.events;
  run.attachments = &record.attachments;
  if (baggage.address) {
    run.address = *baggage.address;
  } else {
    run.session_name = baggage.project ? std::string_view(*baggage.project) : "default";
  }
  run.tracestate = baggage.tracestate;
  return run;
}

std::array<std::uint8_t, 8> SpanIdOf(const RunId& id, SpanIdBytes bytes) noexcept {
  std::array<std::uint8_t, 8> span_id{};
  if (bytes == SpanIdBytes::kFirst) {
    std::copy(id.bytes.begin(), id.bytes.begin() + 8, span_id.begin());
  }
  // Of a run that was made from a span, the first are zero.
  if (span_id == std::array<std::uint8_t, 8>{}) {
    std::copy(id.bytes.begin() + 8, id.bytes.end(), span_id.begin());
  }
  if (span_id != std::array<std::uint8_t, 8>{}) return span_id;
  const XXH64_hash_t hash = XXH3_64bits(id.bytes.data(), id.bytes.size()) | 1;
  for (std::size_t i = 0; i < span_id.size(); ++i) {
    span_id[i] = static_cast<std::uint8_t>(hash >> (8 * i));
  }
  return span_id;
}

std::string_view ServiceNameOf(const SpanSource& run) noexcept {
  const std::string_view name = TextAt(run.metadata, "service.name");
  if (!name.empty()) return name;
  return run.session_name.empty() ? run.address : run.session_name;
}

void AppendSpan(std::string& out, const SpanSource& run, std::size_t longest_value) {
  SpanWriter(out, run, longest_value).Write();
}

void AppendSpanUpTo(std::string& out, const SpanSource& run, std::size_t max_size) {
  constexpr std::size_t kShortest = 64;
  const std::size_t start = out.size();
  AppendSpan(out, run);
  for (std::size_t longest = max_size / 4; out.size() - start > max_size && longest >= kShortest;
       longest /= 4) {
    out.resize(start);
    AppendSpan(out, run, longest);
  }
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
