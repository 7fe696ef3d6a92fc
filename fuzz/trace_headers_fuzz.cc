// SPDX-License-Identifier: Apache-2.0
// What any bytes in the four headers, and in the values that a program puts into them, must do:
// nothing but give headers that gRPC takes and that read back as they were written.
// An input is up to four lines: langsmith-trace, baggage, traceparent, tracestate (the rest).
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <string>
#include <string_view>

#include <weft/tracing/trace_headers.h>

namespace {

constexpr std::size_t kNoLimit = std::numeric_limits<std::size_t>::max();

void Require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "trace headers: broken: %s\n", what);
  std::abort();
}

// gRPC ends the process over other bytes in a metadata value.
bool IsLegalMetadata(std::string_view value) {
  return std::all_of(value.begin(), value.end(), [](char c) { return c >= 0x20 && c <= 0x7E; });
}

void CheckLegal(const weft::TraceHeaders& headers) {
  Require(IsLegalMetadata(headers.langsmith_trace), "langsmith-trace is legal metadata");
  Require(IsLegalMetadata(headers.baggage), "baggage is legal metadata");
  Require(IsLegalMetadata(headers.traceparent), "traceparent is legal metadata");
  Require(IsLegalMetadata(headers.tracestate), "tracestate is legal metadata");
}

bool SaysTheSame(const weft::TraceBaggage& a, const weft::TraceBaggage& b) {
  return a.project == b.project && a.address == b.address && a.tags == b.tags &&
         a.foreign == b.foreign &&
         // As text, because an infinity becomes null on the way out.
         EncodeBaggage(a) == EncodeBaggage(b);
}

weft::TraceHeaders Split(std::string_view input) {
  std::array<std::string, 4> lines;
  for (std::size_t i = 0; i < lines.size() && !input.empty(); ++i) {
    const std::size_t end =
        i + 1 == lines.size() ? input.size() : std::min(input.find('\n'), input.size());
    lines[i] = input.substr(0, end);
    input.remove_prefix(std::min(end + 1, input.size()));
  }
  return {lines[0], lines[1], lines[2], lines[3]};
}

void CheckReceived(const weft::TraceHeaders& received) {
  const weft::ParsedHeaders parsed = received.Parse();
  Require(parsed.baggage != nullptr, "baggage is there");
  for (const weft::HeaderProblem& problem : parsed.problems) {
    Require(!problem.code.empty() && IsLegalMetadata(problem.code), "a problem has a code");
    Require(weft::ParseJson(boost::json::serialize(boost::json::value(problem.text))).has_value(),
            "a problem's text is UTF-8");
  }
  Require(weft::ParseJson(boost::json::serialize(parsed.baggage->metadata)).has_value(),
          "metadata is valid JSON");
  const weft::TraceHeaders sent = weft::TraceHeaders::Of(parsed.parent);
  CheckLegal(sent);
  if (!parsed.parent) return;
  const weft::ParsedHeaders again = sent.Parse(kNoLimit);
  Require(again.parent == parsed.parent, "the parent survives the next process");
  Require(SaysTheSame(*again.baggage, *parsed.baggage), "baggage survives the next process");
}

void CheckGiven(std::string_view text) {
  weft::TraceBaggage baggage;
  baggage.project = text;
  baggage.tags = {std::string(text), "tag"};
  baggage.metadata[text] = text;
  baggage.foreign = {{std::string(text), "value"}, {"key", std::string(text)}};
  baggage.tracestate = text;
  const auto shared = std::make_shared<const weft::TraceBaggage>(std::move(baggage));
  const weft::RunContext run = weft::RunContext::Remote(
      "20260910T004640000001Z01a0b35e-7a00-7000-8000-000000000001", shared);
  const weft::TraceHeaders sent = weft::TraceHeaders::Of(run);
  CheckLegal(sent);
  const weft::ParsedHeaders read = sent.Parse(kNoLimit);
  Require(read.problems.empty(), "what a program gives is read without a problem");
  Require(read.baggage->metadata.size() == 1, "metadata arrives");
  Require(read.baggage->project.has_value() == !text.empty(), "a project arrives");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  CheckReceived(Split(input));
  CheckGiven(input);
  return 0;
}
