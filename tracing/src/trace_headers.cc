// SPDX-License-Identifier: Apache-2.0
#include <weft/tracing/trace_headers.h>

#include <algorithm>
#include <cstdlib>
#include <utility>

#include <weft/tracing/internal/header_values.h>

#include "baggage_parser.h"
#include "dotted_order.h"
#include "header_problems.h"
#include "text.h"
#include "w3c.h"

namespace weft {
inline namespace v0 {
namespace {

// A repeated `traceparent`: malformed whatever its values are.
constexpr std::string_view kRepeated = ",";

// What both of LangSmith's SDKs strip from `langsmith-trace`.
std::string_view TrimSpace(std::string_view text) noexcept {
  constexpr std::string_view kSpace = " \t\n\v\f\r";
  const std::size_t begin = text.find_first_not_of(kSpace);
  if (begin == text.npos) return {};
  return text.substr(begin, text.find_last_not_of(kSpace) - begin + 1);
}

void AddDottedOrder(std::string& all, std::string_view value) {
  if (TrimSpace(all).empty()) {
    all = value;
  } else if (!TrimSpace(value).empty() && TrimSpace(value) != TrimSpace(all)) {
    all += ',';  // Never valid, so the values stay in dispute whatever comes next.
    all += value;
  }
}

void AddTraceparent(std::string& all, std::string_view value) {
  // A blank stands for a header that came without a value.
  all = !all.empty() ? kRepeated : value.empty() ? " " : value;
}

void AddJoined(std::string& all, std::string_view value) {
  if (!all.empty()) all += ',';
  all += value;
}

// The parent that `traceparent` names: run ids are the trace's 16 bytes and the span's 8 with zeros
// before them. The times of their segments are not known; a constant keeps the dotted orders of all
// children of a trace under one prefix, and lies before every child.
std::string DottedOrderOf(const Traceparent& traceparent) {
  RunId trace_id;
  RunId id;
  trace_id.bytes = traceparent.trace_id;
  std::copy(traceparent.span_id.begin(), traceparent.span_id.end(), id.bytes.begin() + 8);
  std::string text(2 * internal::kSegmentSize + 1, '.');
  internal::WriteSegment(0, trace_id, text.data());
  internal::WriteSegment(0, id, text.data() + internal::kSegmentSize + 1);
  return text;
}

class Parser {
 public:
  Parser(const internal::HeaderValues& headers, std::size_t max_bytes)
      : headers_(headers), left_(max_bytes), problems_(parsed_.problems) {}

  ParsedHeaders Run() && {
    const std::string_view dotted_order = DottedOrder();
    ReadTraceparent();
    ReadBaggage();
    ReadParent(dotted_order);
    return std::move(parsed_);
  }

 private:
  bool Spend(std::string_view name, std::size_t size) {
    if (size <= left_) {
      left_ -= size;
      return true;
    }
    problems_.Add("headers-too-large", "header `" + std::string(name) + "` is too long; ignored");
    return false;
  }

  std::string_view DottedOrder() {
    const std::string_view text = headers_.langsmith_trace;
    return Spend("langsmith-trace", text.size()) ? text : std::string_view();
  }

  void ReadTraceparent() {
    const std::string_view text = headers_.traceparent;
    if (text.empty() || !Spend("traceparent", text.size())) return;
    parsed_.traceparent = internal::ParseTraceparent(text);
    if (parsed_.traceparent) return;
    if (text == kRepeated) {
      problems_.Add("repeated-traceparent", "header `traceparent` came more than once");
    } else {
      problems_.Add("bad-traceparent", "header `traceparent` is malformed");
    }
  }

  // A caller sends the same baggage call after call. What the thread saw last is taken again, which
  // also shares the rendered header.
  void ReadBaggage() {
    constexpr std::size_t kMostKept = 1024;
    struct Last {
      std::string text;
      bool w3c_caller = false;
      std::shared_ptr<const TraceBaggage> baggage;
    };
    thread_local Last last;
    const bool plain = headers_.tracestate.empty() && headers_.baggage.size() <= kMostKept &&
                       headers_.baggage.size() <= left_;
    const bool w3c_caller = parsed_.traceparent.has_value();
    if (plain && last.baggage && last.w3c_caller == w3c_caller && last.text == headers_.baggage) {
      parsed_.baggage = last.baggage;
      return;
    }
    auto baggage = std::make_shared<TraceBaggage>();
    baggage->w3c_caller = w3c_caller;
    ReadTracestate(*baggage);
    const std::size_t problems = parsed_.problems.size();
    internal::ParseBaggage(LimitedBaggage(), *baggage, problems_);
    parsed_.baggage = std::move(baggage);
    if (plain && parsed_.problems.size() == problems) {
      last = {std::string(headers_.baggage), w3c_caller, parsed_.baggage};
    }
  }

  void ReadTracestate(TraceBaggage& baggage) {
    const std::string_view text = headers_.tracestate;
    if (text.empty() || !parsed_.traceparent || !Spend("tracestate", text.size())) return;
    std::optional<std::string> members = internal::NormalizeTracestate(text);
    if (members) {
      baggage.tracestate = *std::move(members);
    } else {
      problems_.Add("bad-tracestate",
                    "header `tracestate` has a malformed member or more than 32; dropped");
    }
  }

  std::string_view LimitedBaggage() {
    const std::string_view text = headers_.baggage;
    if (text.size() <= left_) return text;
    problems_.Add("headers-too-large", "header `baggage` is too long; its end is ignored");
    const std::size_t comma = text.substr(0, left_ + 1).rfind(',');
    return text.substr(0, comma == text.npos ? 0 : comma);
  }

  void ReadParent(std::string_view header) {
    const std::string_view text = TrimSpace(header);
    parsed_.parent = RunContext::Remote(text, parsed_.baggage);
    if (!parsed_.parent && !header.empty()) {
      if (header.find(',') != header.npos) {
        problems_.Add("repeated-langsmith-trace", "header `langsmith-trace` has several values");
      } else {
        problems_.Add("bad-langsmith-trace", "header `langsmith-trace` is no dotted order");
      }
    }
    if (!parsed_.traceparent) return;
    if (!parsed_.parent) {
      parsed_.parent = RunContext::Remote(DottedOrderOf(*parsed_.traceparent), parsed_.baggage);
      parsed_.parent_is_traceparent = true;
    } else if (parsed_.parent.trace_id().bytes != parsed_.traceparent->trace_id) {
      problems_.Add("trace-id-mismatch",
                    "headers `langsmith-trace` and `traceparent` name different traces");
    }
  }

  const internal::HeaderValues& headers_;
  std::size_t left_;
  ParsedHeaders parsed_;
  internal::ProblemList problems_;
};

}  // namespace

TraceHeaders TraceHeaders::Of(const RunContext& run) {
  TraceHeaders headers;
  if (!run) return headers;
  headers.langsmith_trace = run.dotted_order();
  headers.baggage = run.baggage_header();
  headers.traceparent = internal::RenderTraceparent(run.trace_id(), run.id(), run.sampled());
  const std::string& tracestate = run.baggage().tracestate;
  if (!tracestate.empty() && !headers.traceparent.empty()) {
    headers.tracestate = internal::NormalizeTracestate(tracestate).value_or(std::string());
  }
  return headers;
}

bool TraceHeaders::Add(std::string_view name, std::string_view value) {
  const std::string lower = internal::AsciiLower(name);
  if (lower == "langsmith-trace") {
    AddDottedOrder(langsmith_trace, value);
  } else if (lower == "baggage") {
    AddJoined(baggage, value);
  } else if (lower == "traceparent") {
    AddTraceparent(traceparent, value);
  } else if (lower == "tracestate") {
    AddJoined(tracestate, value);
  } else {
    return false;
  }
  return true;
}

ParsedHeaders TraceHeaders::Parse(std::size_t max_bytes) const {
  return internal::ParseHeaders({langsmith_trace, baggage, traceparent, tracestate}, max_bytes);
}

ParsedHeaders internal::ParseHeaders(const HeaderValues& headers, std::size_t max_bytes) {
  return Parser(headers, max_bytes).Run();
}

TraceHeaders TraceHeaders::FromEnvironment() {
  TraceHeaders headers;
  const auto take = [](const char* name, std::string& into) {
    if (const char* const value = std::getenv(name)) into = value;
  };
  take("LANGSMITH_TRACE", headers.langsmith_trace);
  take("BAGGAGE", headers.baggage);
  take("TRACEPARENT", headers.traceparent);
  take("TRACESTATE", headers.tracestate);
  return headers;
}

std::array<std::pair<std::string_view, std::string_view>, 4> TraceHeaders::Variables()
    const noexcept {
  return {{{"LANGSMITH_TRACE", langsmith_trace},
           {"BAGGAGE", baggage},
           {"TRACEPARENT", traceparent},
           {"TRACESTATE", tracestate}}};
}

}  // namespace v0
}  // namespace weft
