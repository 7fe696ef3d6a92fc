// SPDX-License-Identifier: Apache-2.0
#include <utility>

#include "header_exchange.h"
#include "stats.h"

namespace weft {
inline namespace v0 {
namespace internal {
namespace {

constexpr std::size_t kMostLookedAt = 16 * 1024;

/// Collects the values of the four headers from either kind of metadata.
template <typename Metadata>
class Collector {
 public:
  explicit Collector(const Metadata& metadata) noexcept : metadata_(metadata) {}

  std::string Joined(std::string_view name) {
    std::string joined;
    metadata_.ForEach(name, [&](std::string_view value) {
      if (!Take(value)) return;
      if (!joined.empty()) joined += ',';
      joined += value;
    });
    return joined;
  }

  /// Calls `use(value)` until it returns true.
  template <typename F>
  void FirstOf(std::string_view name, F&& use) {
    bool done = false;
    metadata_.ForEach(name, [&](std::string_view value) {
      if (!done && Take(value)) done = use(value);
    });
  }

  bool oversize() const noexcept { return oversize_; }

 private:
  bool Take(std::string_view value) noexcept {
    if (value.size() > room_) {
      oversize_ = true;
      return false;
    }
    room_ -= value.size();
    return true;
  }

  const Metadata& metadata_;
  std::size_t room_ = kMostLookedAt;
  bool oversize_ = false;
};

template <typename Metadata>
ParsedHeaders Read(const Metadata& metadata) {
  Collector collector(metadata);
  TraceHeaders headers;
  ParsedHeaders parsed;
  std::vector<HeaderProblem> problems;
  bool has_trace = false;
  headers.baggage = collector.Joined(kBaggageHeader);
  headers.traceparent = collector.Joined(kTraceparentHeader);
  headers.tracestate = collector.Joined(kTracestateHeader);
  collector.FirstOf(kTraceHeader, [&](std::string_view value) {
    has_trace = true;
    headers.langsmith_trace = value;
    for (HeaderProblem& problem : parsed.problems) problems.push_back(std::move(problem));
    parsed = headers.Parse();
    return static_cast<bool>(parsed.parent);
  });
  if (!has_trace && !(headers.baggage.empty() && headers.traceparent.empty())) {
    parsed = headers.Parse();
  }
  for (HeaderProblem& problem : problems) parsed.problems.push_back(std::move(problem));
  if (collector.oversize()) {
    parsed.problems.push_back({"oversize", "trace headers of more than 16 KiB were not looked at"});
  }
  return parsed;
}

}  // namespace

ParsedHeaders ReadOwnHeaders(const MetadataWriter& metadata) {
  return metadata.Get(kTraceHeader) || metadata.Get(kTraceparentHeader) ? Read(metadata)
                                                                        : ParsedHeaders();
}

ParsedHeaders ReadReceivedHeaders(const MetadataView& metadata) {
  ParsedHeaders parsed = Read(metadata);
  for (const HeaderProblem& problem : parsed.problems) CountHeaderProblem(problem.code);
  return parsed;
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
