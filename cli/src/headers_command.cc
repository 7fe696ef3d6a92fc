// SPDX-License-Identifier: Apache-2.0
#include "headers_command.h"

#include <charconv>
#include <functional>
#include <istream>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include <weft/tracing/run_id.h>
#include <weft/tracing/sampling.h>

#include "headers_codec.h"
#include "options.h"
#include "text.h"

namespace weft::cli {
namespace {

constexpr std::string_view kHelp = R"(Usage: weft headers decode | encode | sample --rate R

Reads and writes the headers that carry a run across a process border, one line at a time.

  decode  received headers to what they say
  encode  a run's context to the headers to send
  sample  trace ids to whether they are in the sample

See: weft headers decode --help
)";

constexpr std::string_view kDecodeHelp = R"(Usage: weft headers decode

Reads a JSON object per line, header name to value or to a list of values:
  {"langsmith-trace": "20260910T...Z01a0...", "baggage": "langsmith-project=checkout"}
and prints what they say, a JSON object per line: trace_id, parent_run_id, dotted_order, project,
address, tags, metadata, baggage (of others), traceparent, tracestate, problems.
)";

constexpr std::string_view kEncodeHelp = R"(Usage: weft headers encode

Reads a run's context per line:
  {"id": ..., "trace_id": ..., "dotted_order": ..., "project": ..., "address": ...,
   "tags": [...], "metadata": {...}}
and prints the headers for a call that it makes, a JSON object per line. What is absent leaves its
header out; what cannot be sent does too, and is named on stderr.
)";

constexpr std::string_view kSampleHelp = R"(Usage: weft headers sample --rate R

Reads a trace id per line and prints true or false: whether it is kept at the rate R (0 to 1).
LangSmith's SDKs decide the same way. Other text than UUIDs is hashed as it is.
)";

using LineFunction = std::function<std::string(std::string_view)>;

int FilterLines(std::istream& in, std::ostream& out, const LineFunction& function) {
  for (std::string line; std::getline(in, line);) {
    out << function(line) << '\n';
    // Somebody may be waiting for this answer before they write the next line.
    if (in.rdbuf()->in_avail() <= 0) out.flush();
  }
  out.flush();
  return out ? kDone : kFailed;
}

std::optional<double> ReadRate(std::string_view text) {
  double rate = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), rate);
  const bool whole = error == std::errc() && end == text.data() + text.size();
  return whole && rate >= 0 && rate <= 1 ? std::optional(rate) : std::nullopt;
}

int Encode(std::istream& in, std::ostream& out, std::ostream& err) {
  std::size_t number = 0;
  return FilterLines(in, out, [&](std::string_view line) {
    ++number;
    std::vector<std::string> problems;
    std::string headers = EncodeHeadersLine(line, problems);
    for (const std::string& problem : problems) {
      err << "weft headers encode: line " << number << ": " << problem << "\n";
    }
    return headers;
  });
}

int Sample(const std::string& rate_text, std::istream& in, std::ostream& out, std::ostream& err) {
  const std::optional<double> rate = ReadRate(rate_text);
  if (!rate) {
    return WrongUse("headers sample",
                    absl::InvalidArgumentError("--rate needs a number from 0 to 1, not '" +
                                               EscapeControls(rate_text) + "'"),
                    err);
  }
  return FilterLines(in, out, [rate = *rate](std::string_view line) {
    const std::optional<RunId> id = RunId::Parse(line);
    const bool kept = id ? SampledByTraceId(*id, rate) : SampledByTraceId(line, rate);
    return std::string(kept ? "true" : "false");
  });
}

}  // namespace

int HeadersCommand(std::span<const std::string_view> args, std::istream& in, std::ostream& out,
                   std::ostream& err) {
  const std::string_view action = args.empty() ? std::string_view() : args[0];
  const bool decode = action == "decode";
  const bool encode = action == "encode";
  const bool sample = action == "sample";
  if (!decode && !encode && !sample) {
    if (WantsHelp(args)) {
      out << kHelp;
      return kDone;
    }
    return WrongUse("headers",
                    absl::InvalidArgumentError(action.empty() ? "needs decode, encode or sample"
                                                              : "unknown action '" +
                                                                    EscapeControls(action) + "'"),
                    err);
  }
  const Args options = args.subspan(1);
  if (WantsHelp(options)) {
    out << (decode ? kDecodeHelp : encode ? kEncodeHelp : kSampleHelp);
    return kDone;
  }
  std::string rate;
  Options accepted;
  if (sample) accepted.Value("--rate", &rate);
  const absl::Status parsed = accepted.Parse(options);
  if (!parsed.ok()) return WrongUse("headers " + std::string(action), parsed, err);
  if (sample) return Sample(rate, in, out, err);
  if (encode) return Encode(in, out, err);
  return FilterLines(in, out, DecodeHeadersLine);
}

}  // namespace weft::cli
