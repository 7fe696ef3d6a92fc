// SPDX-License-Identifier: Apache-2.0
#include "header_exchange.h"

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include <weft/tracing/trace_baggage.h>

#include "stats.h"

namespace weft {
inline namespace v0 {
namespace internal {
namespace {

constexpr std::size_t kPairOverhead = 32;  // HTTP/2's count of a header, besides its bytes
// Past about 90 levels the dotted order alone fills most of what gRPC lets through.
constexpr std::size_t kMaxSegments = 90;
constexpr std::size_t kKeptSegments = 40;
constexpr std::size_t kSegmentSize = 59;  // with its dot

std::size_t Cost(std::string_view name, std::string_view value) noexcept {
  return value.empty() ? 0 : name.size() + value.size() + kPairOverhead;
}

bool Uses(Propagation propagation, Propagation one) noexcept {
  return propagation == one || propagation == Propagation::kBoth;
}

// Root and the nearest ancestors: the receiver still knows the trace and its parent.
std::string Shorten(std::string_view dotted_order) {
  const std::size_t root_end = dotted_order.find('.');
  std::size_t tail = dotted_order.size();
  for (std::size_t i = 0; i < kKeptSegments && tail > root_end; ++i) {
    tail = dotted_order.rfind('.', tail - 1);
  }
  return std::string(dotted_order.substr(0, root_end)).append(dotted_order.substr(tail));
}

/// Makes baggage smaller step by step until its header fits.
class BaggageFitter {
 public:
  BaggageFitter(TraceBaggage baggage, std::size_t room) noexcept
      : baggage_(std::move(baggage)), room_(room) {}

  std::string Fit() {
    DropMetadata();
    Drop("tags", [](TraceBaggage& baggage) { baggage.tags.clear(); });
    Drop("foreign", [](TraceBaggage& baggage) { baggage.foreign.clear(); });
    Drop("project", [](TraceBaggage& baggage) {
      baggage.project.reset();
      baggage.address.reset();
    });
    return Fits() ? EncodeBaggage(baggage_) : std::string();
  }

  /// `metadata, tags`.
  const std::string& dropped() const noexcept { return dropped_; }

 private:
  bool Fits() const { return Cost(kBaggageHeader, EncodeBaggage(baggage_)) <= room_; }

  template <typename F>
  void Drop(std::string_view what, F&& drop) {
    if (Fits()) return;
    const std::size_t before = EncodeBaggage(baggage_).size();
    drop(baggage_);
    if (EncodeBaggage(baggage_).size() != before) Note(what);
  }

  // The largest first, and only as many as it takes: a binary search, so that a peer that sent
  // thousands of members cannot make this slow.
  void DropMetadata() {
    if (Fits() || baggage_.metadata.empty()) return;
    std::vector<std::pair<std::size_t, std::string>> keys;
    for (const auto& [key, value] : baggage_.metadata) {
      keys.emplace_back(boost::json::serialize(value).size(), std::string(key));
    }
    std::ranges::sort(keys, std::greater());
    const TraceBaggage whole = baggage_;
    const auto without = [&](std::size_t count) {
      baggage_ = whole;
      for (std::size_t i = 0; i < count; ++i) baggage_.metadata.erase(keys[i].second);
    };
    std::size_t too_few = 0;
    std::size_t enough = keys.size();
    while (enough - too_few > 1) {
      const std::size_t middle = (too_few + enough) / 2;
      without(middle);
      (Fits() ? enough : too_few) = middle;
    }
    without(enough);
    Note("metadata");
  }

  void Note(std::string_view what) {
    CountDroppedHeader(std::string("budget-").append(what));
    if (!dropped_.empty()) dropped_ += ", ";
    dropped_ += what;
  }

  TraceBaggage baggage_;
  std::size_t room_;
  std::string dropped_;
};

std::string_view Trim(std::string_view text) noexcept {
  const std::size_t first = text.find_first_not_of(" \t");
  if (first == text.npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

std::vector<std::pair<std::string_view, std::string_view>> Members(std::string_view baggage) {
  std::vector<std::pair<std::string_view, std::string_view>> members;  // key, whole member
  while (!baggage.empty()) {
    const std::size_t comma = std::min(baggage.find(','), baggage.size());
    const std::string_view member = Trim(baggage.substr(0, comma));
    if (!member.empty()) members.emplace_back(Trim(member.substr(0, member.find('='))), member);
    baggage.remove_prefix(std::min(comma + 1, baggage.size()));
  }
  return members;
}

// All that the application wrote into `baggage`, as one value; the header is gone then.
std::string TakeBaggage(MetadataWriter& metadata) {
  std::string application;
  const auto [first, last] = metadata.map().equal_range(std::string(kBaggageHeader));
  for (auto pair = first; pair != last; ++pair) {
    if (!application.empty()) application += ',';
    application += pair->second;
  }
  metadata.Remove(kBaggageHeader);
  return application;
}

void MergeIntoBaggage(std::string_view ours, MetadataWriter& metadata) {
  if (ours.empty()) return;
  const std::string application = TakeBaggage(metadata);
  if (!metadata.Add(kBaggageHeader, MergeBaggage(application, ours))) {
    metadata.Add(kBaggageHeader, application);
  }
}

// What LangSmith reads goes only where everything may be told, whoever wrote it: an application
// that sends on all that it received need not know what that is.
void RemoveLangSmith(MetadataWriter& metadata) {
  metadata.Remove(kTraceHeader);
  if (!metadata.Get(kBaggageHeader)) return;
  std::string others;
  const std::string application = TakeBaggage(metadata);
  for (const auto& [key, member] : Members(application)) {
    if (key.starts_with("langsmith-")) continue;
    if (!others.empty()) others += ',';
    others += member;
  }
  if (!others.empty()) metadata.Add(kBaggageHeader, others);
}

}  // namespace

/// Adds the headers of one request while they fit.
class HeaderWriter {
 public:
  HeaderWriter(std::size_t budget, MetadataWriter& metadata) noexcept
      : metadata_(metadata),
        room_(std::min(budget, metadata.Room())),
        merges_(metadata.Get(kBaggageHeader).has_value()) {}

  /// Before all others: it has room then.
  void AddKeep() {
    if (metadata_.AddOwn(kKeepHeader, kKeepValue)) Spend(Cost(kKeepHeader, kKeepValue));
  }

  /// Whatever the budget is: without it there is no tree.
  void AddTrace(std::string_view dotted_order) {
    std::string shortened;
    if (dotted_order.size() > kMaxSegments * kSegmentSize ||
        Cost(kTraceHeader, dotted_order) > room_) {
      shortened = Shorten(dotted_order);
      if (shortened.size() < dotted_order.size()) Drop("ancestors", "budget-segments");
      dotted_order = shortened;
    }
    AddIds(kTraceHeader, dotted_order);
  }

  /// Digits, letters and dashes.
  void AddIds(std::string_view name, std::string_view value) {
    if (metadata_.AddOwn(name, value)) return Spend(Cost(name, value));
    Note(name);  // the writer has counted it
  }

  void AddTracestate(std::string_view value) {
    const std::size_t cost = Cost(kTracestateHeader, value);
    if (cost > room_) return Drop("tracestate", "budget-tracestate");
    if (cost == 0) return;
    metadata_.Add(kTracestateHeader, value);
    Spend(cost);
  }

  void AddBaggage(const RunContext& run) {
    const std::string_view whole = run.baggage_header();
    if (Cost(kBaggageHeader, whole) <= room_) return Write(whole);
    BaggageFitter fitter(run.baggage(), room_);
    Write(fitter.Fit());
    Note(fitter.dropped());
  }

  void AddBaggage(std::string_view members) {
    if (Cost(kBaggageHeader, members) > room_) return Drop("foreign", "budget-foreign");
    Write(members);
  }

  std::string TakeDropped() noexcept { return std::move(dropped_); }

 private:
  void Write(std::string_view ours) {
    if (merges_) return MergeIntoBaggage(ours, metadata_);
    if (!ours.empty()) metadata_.Add(kBaggageHeader, ours);
  }

  void Spend(std::size_t cost) noexcept { room_ -= std::min(room_, cost); }

  void Drop(std::string_view what, std::string_view reason) {
    CountDroppedHeader(reason);
    Note(what);
  }

  void Note(std::string_view what) {
    if (!dropped_.empty() && !what.empty()) dropped_ += ", ";
    dropped_ += what;
  }

  MetadataWriter& metadata_;
  std::size_t room_;
  const bool merges_;  // with what the application wrote into `baggage`
  std::string dropped_;
};

std::string MergeBaggage(std::string_view application, std::string_view ours) {
  const auto theirs = Members(application);
  const auto mine = Members(ours);
  const auto has = [](const auto& members, std::string_view key) {
    return std::ranges::any_of(members, [&](const auto& member) { return member.first == key; });
  };
  std::string merged;
  const auto append = [&](std::string_view member) {
    if (!merged.empty()) merged += ',';
    merged += member;
  };
  for (const auto& [key, member] : mine) {
    if (key.starts_with("langsmith-") || !has(theirs, key)) append(member);
  }
  for (const auto& [key, member] : theirs) {
    if (!key.starts_with("langsmith-") || !has(mine, key)) append(member);
  }
  return merged;
}

std::string WriteTraceHeaders(const RunContext& run, const HeaderPolicy& policy,
                              MetadataWriter& metadata) {
  const bool all = policy.disclosure == Disclosure::kAll;
  if (!metadata.map().empty()) {
    if (!all) RemoveLangSmith(metadata);
    if (policy.disclosure != Disclosure::kNone) {
      metadata.Remove(kTraceHeader);
      metadata.Remove(kTraceparentHeader);
      metadata.Remove(kTracestateHeader);
    }
  }
  if (policy.disclosure == Disclosure::kNone) return {};
  HeaderWriter writer(policy.budget, metadata);
  if (policy.keep && all) writer.AddKeep();
  const Propagation propagation = policy.propagation.value_or(
      run.baggage().w3c_caller ? Propagation::kBoth : Propagation::kLangSmith);
  if (Uses(propagation, Propagation::kLangSmith)) writer.AddTrace(run.dotted_order());
  if (Uses(propagation, Propagation::kW3c)) {
    const TraceHeaders headers = TraceHeaders::Of(run);
    writer.AddIds(kTraceparentHeader, headers.traceparent);
    if (all) writer.AddTracestate(headers.tracestate);
  }
  if (all) writer.AddBaggage(run);
  return writer.TakeDropped();
}

std::string WriteBaggageHeader(std::string_view run_baggage, const HeaderPolicy& policy,
                               MetadataWriter& metadata) {
  if (policy.disclosure != Disclosure::kAll) {
    RemoveLangSmith(metadata);
    return {};
  }
  HeaderWriter writer(policy.budget, metadata);
  writer.AddBaggage(run_baggage);
  return writer.TakeDropped();
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
