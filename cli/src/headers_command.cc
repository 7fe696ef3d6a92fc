// SPDX-License-Identifier: Apache-2.0
#include "headers_command.h"

#include <charconv>
#include <functional>
#include <istream>
#include <optional>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include <weft/tracing/run_id.h>
#include <weft/tracing/sampling.h>
#include <weft/tracing/trace_headers.h>

#include "headers_check.h"
#include "headers_codec.h"
#include "options.h"
#include "text.h"

namespace weft::cli {
namespace {

constexpr std::string_view kHelp = R"(Usage: weft headers check | decode | encode | sample --rate R

Reads and writes the headers that carry a run across a process border.

  check   explains received headers in words: what they say, what is wrong with them, and what
          LangSmith's SDKs and weft make of them
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

constexpr std::string_view kCheckHelp =
    R"(Usage: weft headers check [--json] [--environment | HEADER...]

Explains the headers of one call: `langsmith-trace`, `baggage`, `traceparent`, `tracestate`.

  HEADER         'name: value' or name=value; text without a name is a langsmith-trace
  --environment  the variables LANGSMITH_TRACE, BAGGAGE, TRACEPARENT and TRACESTATE instead
  --json         JSON instead of words

Without both, they are read from stdin: a header per line, as curl -v prints them, or a JSON object
per line, as `weft headers decode` takes it; each of those is a call of its own.

Status 0: nothing is wrong. Status 1: there is a problem, or an SDK does not find the caller.
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

// `name: value` or `name=value`, maybe with the mark of curl -v before it; or a langsmith-trace
// alone. Nothing for what is no header, such as the first line of a request.
std::optional<std::pair<std::string, std::string>> ReadField(std::string_view text) {
  if (text.starts_with("< ") || text.starts_with("> ")) text.remove_prefix(2);
  if (text.ends_with('\r')) text.remove_suffix(1);
  const std::size_t end = text.find_first_of(":=");
  if (end == text.npos) {
    if (text.empty() || text.find(' ') != text.npos) return std::nullopt;
    return std::pair("langsmith-trace", std::string(text));
  }
  std::string_view value = text.substr(end + 1);
  if (text[end] == ':' && value.starts_with(' ')) value.remove_prefix(1);
  return std::pair(std::string(text.substr(0, end)), std::string(value));
}

HeaderFields ReadEnvironment() {
  const TraceHeaders headers = TraceHeaders::FromEnvironment();
  HeaderFields fields;
  const auto add = [&fields](std::string_view name, const std::string& value) {
    if (!value.empty()) fields.emplace_back(name, value);
  };
  add("langsmith-trace", headers.langsmith_trace);
  add("baggage", headers.baggage);
  add("traceparent", headers.traceparent);
  add("tracestate", headers.tracestate);
  return fields;
}

/// Checks one call after the other and remembers whether all were good.
class Checker {
 public:
  Checker(bool json, std::ostream& out) : json_(json), out_(out) {}

  void Check(const HeaderFields& headers, JsonArray problems = {}) {
    const HeadersCheck check = CheckHeaders(headers, std::move(problems));
    if (!json_ && any_) out_ << "\n";
    any_ = true;
    good_ = good_ && check.good;
    out_ << (json_ ? boost::json::serialize(check.facts) + "\n" : ExplainHeaders(check));
  }

  void CheckLines(std::istream& in) {
    HeaderFields fields;
    bool objects = false;
    for (std::string line; std::getline(in, line);) {
      if (line.starts_with('{')) {
        objects = true;
        JsonArray problems;
        const HeaderFields received = ReadHeadersLine(line, problems);
        Check(received, std::move(problems));
      } else if (line.find_first_not_of(" \t\r") != line.npos) {
        if (auto field = ReadField(line)) fields.push_back(*std::move(field));
      }
    }
    if (!fields.empty() || !objects) Check(fields);
  }

  int Finish() {
    out_.flush();
    return good_ && out_ ? kDone : kFailed;
  }

 private:
  const bool json_;
  std::ostream& out_;
  bool any_ = false;
  bool good_ = true;
};

int Check(Args args, std::istream& in, std::ostream& out, std::ostream& err) {
  bool json = false;
  bool environment = false;
  HeaderFields fields;
  for (const std::string_view argument : args) {
    if (argument == "--json") {
      json = true;
    } else if (argument == "--environment") {
      environment = true;
    } else if (argument.starts_with("-")) {
      return WrongUse("headers check",
                      absl::InvalidArgumentError("unknown option " + EscapeControls(argument)),
                      err);
    } else if (auto field = ReadField(argument)) {
      fields.push_back(*std::move(field));
    } else {
      return WrongUse("headers check",
                      absl::InvalidArgumentError("'" + EscapeControls(argument) + "' is no header"),
                      err);
    }
  }
  if (environment && !fields.empty()) {
    return WrongUse("headers check",
                    absl::InvalidArgumentError("--environment takes no headers besides"), err);
  }
  Checker checker(json, out);
  if (environment) {
    checker.Check(ReadEnvironment());
  } else if (!fields.empty()) {
    checker.Check(fields);
  } else {
    checker.CheckLines(in);
  }
  return checker.Finish();
}

}  // namespace

int HeadersCommand(std::span<const std::string_view> args, std::istream& in, std::ostream& out,
                   std::ostream& err) {
  const std::string_view action = args.empty() ? std::string_view() : args[0];
  const bool check = action == "check";
  const bool decode = action == "decode";
  const bool encode = action == "encode";
  const bool sample = action == "sample";
  if (!check && !decode && !encode && !sample) {
    if (WantsHelp(args)) {
      out << kHelp;
      return kDone;
    }
    return WrongUse("headers",
                    absl::InvalidArgumentError(
                        action.empty() ? "needs check, decode, encode or sample"
                                       : "unknown action '" + EscapeControls(action) + "'"),
                    err);
  }
  const Args options = args.subspan(1);
  if (WantsHelp(options)) {
    out << (check ? kCheckHelp : decode ? kDecodeHelp : encode ? kEncodeHelp : kSampleHelp);
    return kDone;
  }
  if (check) return Check(options, in, out, err);
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
