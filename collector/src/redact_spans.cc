// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <bit>
#include <optional>
#include <utility>

#include <boost/json.hpp>

#include <weft/tracing/internal/proto_writer.h>

#include "otlp/proto_reader.h"
#include "redaction.h"

namespace weft::collector {
namespace {

using internal::ProtoWriter;
using Redactor = RedactionRules::Redactor;
using Outcome = Redactor::Outcome;

// Deeper values are dropped; the receiver does not go deeper either.
constexpr int kMaxDepth = 64;

// Field numbers of opentelemetry/proto.
enum Field : std::uint32_t {
  kResourceSpans = 1,
  kResource = 1,
  kScopeSpans = 2,
  kScope = 1,
  kSpans = 2,
  kResourceAttributes = 1,
  kScopeAttributes = 3,
  kSpanAttributes = 9,
  kSpanEvents = 11,
  kSpanLinks = 13,
  kSpanStatus = 15,
  kEventAttributes = 3,
  kLinkAttributes = 4,
  kStatusMessage = 2,
};

// Attributes that are the inputs and outputs of a run, as JSON.
std::string_view FieldOfAttribute(std::string_view key) {
  for (const std::string_view inputs :
       {"gen_ai.prompt", "gen_ai.input.messages", "input.value", "traceloop.entity.input",
        "gen_ai.tool.call.arguments", "gen_ai.system_instructions"}) {
    if (key == inputs) return "inputs";
  }
  for (const std::string_view outputs :
       {"gen_ai.completion", "gen_ai.output.messages", "output.value", "traceloop.entity.output",
        "gen_ai.tool.call.result"}) {
    if (key == outputs) return "outputs";
  }
  return "";
}

Json ReadValue(std::string_view any, int depth, bool* ok);

std::optional<std::pair<std::string_view, std::string_view>> ReadKeyValue(std::string_view bytes) {
  std::pair<std::string_view, std::string_view> pair;
  ProtoReader in(bytes);
  while (in.Next()) {
    if (in.Is(1, ProtoReader::kDelimited)) pair.first = in.bytes();
    if (in.Is(2, ProtoReader::kDelimited)) pair.second = in.bytes();
  }
  if (!in.ok()) return std::nullopt;
  return pair;
}

Json Text(std::string_view text) {
  return Json(boost::json::string_view(text.data(), text.size()));
}

Json ReadList(std::string_view bytes, int depth, bool* ok) {
  JsonArray list;
  ProtoReader in(bytes);
  while (in.Next()) {
    if (in.Is(1, ProtoReader::kDelimited)) list.push_back(ReadValue(in.bytes(), depth + 1, ok));
  }
  *ok &= in.ok();
  return list;
}

Json ReadMap(std::string_view bytes, int depth, bool* ok) {
  JsonObject object;
  ProtoReader in(bytes);
  while (in.Next()) {
    if (!in.Is(1, ProtoReader::kDelimited)) continue;
    const auto pair = ReadKeyValue(in.bytes());
    if (!pair) {
      *ok = false;
      return object;
    }
    object.insert_or_assign(boost::json::string_view(pair->first.data(), pair->first.size()),
                            ReadValue(pair->second, depth + 1, ok));
  }
  *ok &= in.ok();
  return object;
}

Json ReadValue(std::string_view any, int depth, bool* ok) {
  if (depth > kMaxDepth) *ok = false;
  if (!*ok) return nullptr;
  Json value;
  ProtoReader in(any);
  while (in.Next()) {
    const bool delimited = in.type() == ProtoReader::kDelimited;
    if ((in.field() == 1 || in.field() == 7) && delimited) value = Text(in.bytes());
    if (in.Is(2, ProtoReader::kVarint)) value = in.number() != 0;
    if (in.Is(3, ProtoReader::kVarint)) value = static_cast<std::int64_t>(in.number());
    if (in.Is(4, ProtoReader::kFixed64)) value = std::bit_cast<double>(in.number());
    if (in.field() == 5 && delimited) value = ReadList(in.bytes(), depth, ok);
    if (in.field() == 6 && delimited) value = ReadMap(in.bytes(), depth, ok);
  }
  *ok &= in.ok();
  return value;
}

void WriteValue(const Json& value, ProtoWriter& out) {
  if (const auto* text = value.if_string()) {
    out.Text(1, {text->data(), text->size()});
  } else if (const bool* flag = value.if_bool()) {
    out.Number(2, *flag ? 1 : 0);
  } else if (const auto* number = value.if_int64()) {
    out.Number(3, static_cast<std::uint64_t>(*number));
  } else if (const double* real = value.if_double()) {
    out.Double(4, *real);
  } else if (const JsonArray* list = value.if_array()) {
    const auto mark = out.Begin(5);
    for (const Json& element : *list) {
      const auto inner = out.Begin(1);
      WriteValue(element, out);
      out.End(inner);
    }
    out.End(mark);
  } else if (const JsonObject* object = value.if_object()) {
    const auto mark = out.Begin(6);
    for (const auto& member : *object) {
      const auto inner = out.Begin(1);
      out.Text(1, {member.key().data(), member.key().size()});
      const auto content = out.Begin(2);
      WriteValue(member.value(), out);
      out.End(content);
      out.End(inner);
    }
    out.End(mark);
  }
}

// JSON in an attribute's text is looked into, with the pointers that the run has later.
bool RedactEmbedded(const Redactor& redactor, std::string_view key, Json& value) {
  const auto* const text = value.if_string();
  if (text == nullptr || text->empty() || (text->front() != '{' && text->front() != '[')) {
    return false;
  }
  std::optional<Json> parsed = ParseJson({text->data(), text->size()});
  if (!parsed) return false;
  const std::string_view field = FieldOfAttribute(key);
  const Outcome outcome = redactor.Redact(field.empty() ? "metadata" : field, *parsed);
  if (outcome == Outcome::kUnchanged) return false;
  value = Text(outcome == Outcome::kDropped ? "" : boost::json::serialize(*parsed));
  return true;
}

class SpanEditor {
 public:
  SpanEditor(RedactionRules& rules, std::string_view tenant,
             const std::vector<std::string>& projects)
      : rules_(rules), tenant_(tenant), projects_(projects) {}

  // Copies `message`; `nested` says what to do with a field that is a message, or does it.
  template <typename Edit>
  void Copy(std::string_view message, std::string& out, Edit edit) {
    ProtoReader in(message);
    ProtoWriter writer(out);
    while (in.Next()) {
      const bool delimited = in.type() == ProtoReader::kDelimited;
      if (!delimited || !edit(in.field(), in.bytes(), writer)) out += in.raw();
    }
    ok_ &= in.ok();
  }

  void Request(std::string_view request, std::string& out) {
    Copy(request, out, [&](std::uint32_t field, std::string_view bytes, ProtoWriter& writer) {
      if (field != kResourceSpans) return false;
      return Nested(field, writer, [&] { ResourceSpans(bytes, out); });
    });
  }

  bool ok() const { return ok_; }
  bool changed() const { return changed_; }

 private:
  template <typename Fill>
  static bool Nested(std::uint32_t field, ProtoWriter& writer, Fill fill) {
    const auto mark = writer.Begin(static_cast<int>(field));
    fill();
    writer.End(mark);
    return true;
  }

  void ResourceSpans(std::string_view message, std::string& out) {
    // What all spans have in common stands before them: of which project it is, the first tells.
    redactor_ = rules_.For(tenant_, span_ < projects_.size() ? projects_[span_] : "");
    Copy(message, out, [&](std::uint32_t field, std::string_view bytes, ProtoWriter& writer) {
      if (field == kResource) {
        return Nested(field, writer,
                      [&] { Attributes(bytes, out, kResourceAttributes, "metadata"); });
      }
      if (field != kScopeSpans) return false;
      return Nested(field, writer, [&] { ScopeSpans(bytes, out); });
    });
  }

  void ScopeSpans(std::string_view message, std::string& out) {
    Copy(message, out, [&](std::uint32_t field, std::string_view bytes, ProtoWriter& writer) {
      if (field == kScope) {
        return Nested(field, writer, [&] { Attributes(bytes, out, kScopeAttributes, "metadata"); });
      }
      if (field != kSpans) return false;
      return Nested(field, writer, [&] { Span(bytes, out); });
    });
  }

  void Span(std::string_view message, std::string& out) {
    redactor_ = rules_.For(tenant_, span_ < projects_.size() ? projects_[span_] : "");
    ++span_;
    Copy(message, out, [&](std::uint32_t field, std::string_view bytes, ProtoWriter& writer) {
      switch (field) {
        case kSpanAttributes:
          return Attribute(bytes, out, field, "metadata");
        case kSpanEvents:
          return Nested(field, writer, [&] { Attributes(bytes, out, kEventAttributes, "events"); });
        case kSpanLinks:
          return Nested(field, writer,
                        [&] { Attributes(bytes, out, kLinkAttributes, "metadata"); });
        case kSpanStatus:
          return Nested(field, writer, [&] { Status(bytes, out); });
        default:
          return false;
      }
    });
  }

  void Attributes(std::string_view message, std::string& out, std::uint32_t wanted,
                  std::string_view run_field) {
    Copy(message, out, [&](std::uint32_t field, std::string_view bytes, ProtoWriter&) {
      return field == wanted && Attribute(bytes, out, field, run_field);
    });
  }

  void Status(std::string_view message, std::string& out) {
    Copy(message, out, [&](std::uint32_t field, std::string_view bytes, ProtoWriter& writer) {
      if (field != kStatusMessage || redactor_ == nullptr) return false;
      Json text = Text(bytes);
      const Outcome outcome = redactor_->Redact("error", text);
      if (outcome == Outcome::kUnchanged) return false;
      changed_ = true;
      const auto* const kept = text.if_string();
      const bool usable = outcome == Outcome::kChanged && kept != nullptr;
      writer.Text(kStatusMessage, usable ? std::string_view(kept->data(), kept->size())
                                         : std::string_view(rules_.config().marker));
      return true;
    });
  }

  // False: it stays as it is.
  bool Attribute(std::string_view bytes, std::string& out, std::uint32_t field,
                 std::string_view run_field) {
    if (redactor_ == nullptr) return false;
    const auto pair = ReadKeyValue(bytes);
    bool ok = pair.has_value();
    Json value = ok ? ReadValue(pair->second, 0, &ok) : Json();
    if (!ok) {
      changed_ = true;  // It cannot be looked at, so it does not go on.
      return true;
    }
    bool changed = RedactEmbedded(*redactor_, pair->first, value);
    JsonObject object;
    object.emplace(boost::json::string_view(pair->first.data(), pair->first.size()),
                   std::move(value));
    Json whole(std::move(object));
    const Outcome outcome = redactor_->Redact(run_field, whole);
    changed |= outcome != Outcome::kUnchanged;
    if (!changed) return false;
    changed_ = true;
    const JsonObject* const left = whole.if_object();
    if (outcome == Outcome::kDropped || left == nullptr) return true;
    ProtoWriter writer(out);
    for (const auto& member : *left) {
      const auto mark = writer.Begin(static_cast<int>(field));
      writer.Text(1, {member.key().data(), member.key().size()});
      const auto content = writer.Begin(2);
      WriteValue(member.value(), writer);
      writer.End(content);
      writer.End(mark);
    }
    return true;
  }

  RedactionRules& rules_;
  const std::string_view tenant_;
  const std::vector<std::string>& projects_;
  std::size_t span_ = 0;
  const Redactor* redactor_ = nullptr;
  bool ok_ = true;
  bool changed_ = false;
};

}  // namespace

absl::StatusOr<std::string> RedactSpans(std::string_view request, std::string_view tenant,
                                        const std::vector<std::string>& projects,
                                        RedactionRules& rules) {
  std::string out;
  out.reserve(request.size() + request.size() / 8);
  SpanEditor editor(rules, tenant, projects);
  editor.Request(request, out);
  if (!editor.ok()) return absl::InvalidArgumentError("not an ExportTraceServiceRequest");
  return editor.changed() ? out : std::string();
}

}  // namespace weft::collector
