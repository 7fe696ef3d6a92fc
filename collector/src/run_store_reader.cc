// SPDX-License-Identifier: Apache-2.0
#include "run_store_reader.h"

#include <algorithm>
#include <chrono>
#include <iterator>
#include <mutex>
#include <utility>

#include <absl/strings/str_format.h>

#include "run_store_summary.h"

namespace weft::collector {
namespace {

// Of decoded records that one question keeps at hand.
constexpr std::uint64_t kMaxLoadedBytes = 64 << 20;
// A list looks back this many segments behind the index at most: 2 GiB of log.
constexpr std::size_t kMaxListedSegments = 32;
// Traces that share spans with each other.
constexpr std::size_t kMaxLinkedTraces = 64;

bool IsSpan(const RunOp& op) {
  return !op.parts.empty() && op.parts.front().field == PartField::kSpan;
}

// Whether it is about the run, or may be: where a span belongs depends on others.
bool MayBeOn(const RunOp& op, const RunId& run) {
  return op.run_id == run || op.child_run_id == run;
}

std::uint32_t NowSeconds() {
  return static_cast<std::uint32_t>(std::chrono::duration_cast<std::chrono::seconds>(
                                        std::chrono::system_clock::now().time_since_epoch())
                                        .count());
}

}  // namespace

std::filesystem::path SummaryPath(const Log& log, std::uint64_t segment) {
  return log.directory() / "index" / absl::StrFormat("%020u.summary", segment);
}

absl::StatusOr<StoredRun> StoreReader::Run(const RunId& id) {
  absl::StatusOr<Gathered> gathered = GatherRun(id);
  if (!gathered.ok()) return gathered.status();
  return Fold(*gathered, id);
}

absl::StatusOr<AttachmentContent> StoreReader::Attachment(const RunId& id, std::string_view name) {
  absl::StatusOr<Gathered> gathered = GatherRun(id);
  if (!gathered.ok()) return gathered.status();
  std::optional<AttachmentContent> found = FoldAttachment(gathered->runs[id], name);
  if (!found) return absl::NotFoundError("the run has no attachment of this name");
  return *std::move(found);
}

StoreReader::Gathered StoreReader::GatherTrace(const RunId& trace_id,
                                               const std::optional<RunId>& only) {
  Ids traces = {trace_id};
  Places places;
  std::uint64_t complete_from = AddIndexed(traces, false, places);
  auto add = [&](const Record& record, const RunOp&) { places.insert(record.position); };
  VisitOld(traces, false, complete_from, add);
  const Places with_spans = AddLinked(traces, places);

  Gathered gathered(prices_);
  gathered.trace_id = trace_id;
  gathered.trace_project = RootProject(trace_id);
  Ids runs;
  for (const Position& place : places) {
    LoadedPtr loaded = Load(place);
    if (!loaded) continue;
    for (const RunOp& op : loaded->record.header.ops) {
      bool member = op.trace_id == trace_id || (op.trace_id.IsNil() && op.run_id == trace_id);
      if (member && !IsSpan(op) && op.kind != OpKind::kFeedback) runs.insert(op.run_id);
    }
  }
  // A PATCH that named no trace stands under its run when it came before the trace was known.
  Ids others = runs;
  others.erase(trace_id);
  complete_from = AddIndexed(others, false, places);
  VisitOld(runs, true, complete_from, add);
  for (const Position& place : places) {
    LoadedPtr loaded = Load(place);
    if (!loaded) continue;
    const std::vector<RunOp>& ops = loaded->record.header.ops;
    for (std::size_t i = 0; i < ops.size(); ++i) {
      bool member = ops[i].trace_id == trace_id || ops[i].trace_id.IsNil();
      if (member && !IsSpan(ops[i]) && runs.contains(ops[i].run_id)) Take(loaded, i, gathered);
    }
  }
  TakeSpans(with_spans, traces, only, gathered);
  return gathered;
}

StoreReader::Places StoreReader::AddLinked(Ids& traces, Places& places) {
  Places with_spans, without;
  for (bool grown = true; grown && traces.size() < kMaxLinkedTraces;) {
    Ids linked;
    for (const Position& place : places) {
      if (without.contains(place)) continue;
      absl::StatusOr<Record> header = log_.ReadHeader(place);
      if (!header.ok() || header->position != place) continue;
      if (header->header.receiver != Receiver::kOtlp) {
        without.insert(place);
        continue;
      }
      with_spans.insert(place);
      for (const RunOp& op : header->header.ops) {
        if (op.otel_trace_id.IsNil()) continue;
        if (traces.contains(op.trace_id)) linked.insert(op.otel_trace_id);
        if (traces.contains(op.otel_trace_id)) linked.insert(op.trace_id);
      }
    }
    Ids fresh;
    for (const RunId& id : linked) {
      if (traces.insert(id).second) fresh.insert(id);
    }
    grown = !fresh.empty();
    const std::uint64_t complete_from = AddIndexed(fresh, false, places);
    VisitOld(fresh, false, complete_from,
             [&](const Record& record, const RunOp&) { places.insert(record.position); });
  }
  return with_spans;
}

void StoreReader::TakeSpans(const Places& places, const Ids& traces,
                            const std::optional<RunId>& only, Gathered& into) {
  FoundSpans& spans = into.spans;
  for (const Position& place : places) {
    LoadedPtr loaded = Load(place);
    if (!loaded) continue;
    const std::vector<RunOp>& ops = loaded->record.header.ops;
    for (std::size_t i = 0; i < ops.size(); ++i) {
      if (!IsSpan(ops[i])) continue;
      if (!traces.contains(ops[i].trace_id) && !traces.contains(ops[i].otel_trace_id)) continue;
      spans.Add(place.seq, i, ops[i], loaded->payload);
      into.keep.insert(loaded);
    }
  }
  if (spans.empty()) return;
  for (const auto& [id, ops] : into.runs) spans.AddRun(Fold(into, id));
  spans.Settle();
  for (std::size_t i = 0; i < spans.size(); ++i) {
    const RunPlace& place = spans.PlaceOf(i);
    if (only ? place.run_id != *only : place.trace_id != into.trace_id) continue;
    if (only) into.trace_id = place.trace_id;
    into.runs[place.run_id].push_back(spans.Convert(i));
  }
}

std::vector<StoredRun> StoreReader::Trace(const RunId& trace_id) {
  Gathered gathered = GatherTrace(trace_id);
  // Somebody who knows only OpenTelemetry's id of a trace that has another one.
  if (gathered.runs.empty() && !gathered.spans.empty()) {
    gathered = GatherTrace(gathered.spans.PlaceOf(0).trace_id);
  }
  std::vector<StoredRun> found;
  for (const auto& [id, ops] : gathered.runs) found.push_back(Fold(gathered, id));
  std::sort(found.begin(), found.end(), [](const StoredRun& a, const StoredRun& b) {
    auto key = [](const StoredRun& run) {
      return std::tuple(run.dotted_order.empty(), std::string_view(run.dotted_order),
                        std::string_view(run.start_time), run.id);
    };
    return key(a) < key(b);
  });
  return found;
}

std::vector<StoredRun> StoreReader::Traces(const TraceQuery& query) {
  std::vector<StoredRun> found = Roots(TraceIds(query));
  std::stable_sort(found.begin(), found.end(), [](const StoredRun& a, const StoredRun& b) {
    return a.start_time > b.start_time;
  });
  return found;
}

std::vector<RunId> StoreReader::TraceIds(const TraceQuery& query) {
  std::vector<RunId> ids;
  std::uint64_t complete_from = 0;
  {
    std::shared_lock lock(index_mutex_);
    ids = index_.Newest(query.project, query.limit, NowSeconds());
    complete_from = index_.complete_from();
  }
  if (ids.size() < query.limit) {
    std::vector<RunId> old = OldTraces(query, Ids(ids.begin(), ids.end()), complete_from);
    ids.insert(ids.end(), old.begin(), old.end());
  }
  return ids;
}

std::vector<StoredRun> StoreReader::Roots(std::span<const RunId> trace_ids) {
  std::map<RunId, Places> places;
  std::uint64_t complete_from = 0;
  {
    std::shared_lock lock(index_mutex_);
    for (const RunId& id : trace_ids) {
      const std::vector<Position> found = index_.Find(id, true);
      places.try_emplace(id, found.begin(), found.end());
    }
    complete_from = index_.complete_from();
  }
  VisitOld(Ids(trace_ids.begin(), trace_ids.end()), false, complete_from,
           [&](const Record& record, const RunOp& op) {
             auto root = places.find(op.run_id);
             if (root != places.end()) root->second.insert(record.position);
           });
  std::vector<StoredRun> found;
  for (const RunId& id : trace_ids) {
    Gathered gathered(prices_);
    gathered.trace_id = id;
    for (const Position& place : places[id]) {
      LoadedPtr loaded = Load(place);
      for (std::size_t i = 0; loaded && i < loaded->record.header.ops.size(); ++i) {
        const RunOp& op = loaded->record.header.ops[i];
        if (op.run_id != id) continue;
        if (!IsSpan(op)) {
          Take(loaded, i, gathered);
        } else {
          gathered.spans.Add(place.seq, i, op, loaded->payload);
          gathered.keep.insert(loaded);
        }
      }
    }
    TakeRoot(gathered);
    std::optional<StoredRun> root =
        gathered.runs.empty() ? MissingRoot(id) : std::optional(Fold(gathered, id));
    if (root) found.push_back(*std::move(root));
  }
  return found;
}

// Of spans that look like the root of their trace only one is.
void StoreReader::TakeRoot(Gathered& into) const {
  into.spans.Settle();
  for (std::size_t i = 0; i < into.spans.size(); ++i) {
    if (into.spans.PlaceOf(i).run_id != into.trace_id) continue;
    into.runs[into.trace_id].push_back(into.spans.Convert(i));
  }
}

// What a list shows of a trace whose root never came.
std::optional<StoredRun> StoreReader::MissingRoot(const RunId& trace_id) {
  const Gathered trace = GatherTrace(trace_id);
  if (trace.runs.empty()) return std::nullopt;
  if (trace.runs.contains(trace_id)) return Fold(trace, trace_id);
  StoredRun first;
  for (const auto& [id, ops] : trace.runs) {
    StoredRun run = Fold(trace, id);
    const bool is_earlier = first.start_time.empty() || run.start_time < first.start_time;
    if (first.id.IsNil() || (is_earlier && !run.start_time.empty())) first = std::move(run);
  }
  std::string json = R"j({"name":"(missing root)","run_type":"chain")j";
  if (!first.start_time.empty()) json += R"(,"start_time":")" + first.start_time + '"';
  json += R"(,"extra":{"metadata":{"weft_synthetic":true}}})";
  RunOp op;
  op.run_id = op.trace_id = trace_id;
  op.is_root = true;
  op.parts.push_back({.field = PartField::kRun, .offset = 0, .length = json.size()});
  return FoldRun(trace_id, trace_id, {{.seq = 0, .index = 0, .op = &op, .payload = json}},
                 first.session_name);
}

absl::StatusOr<StoreReader::Gathered> StoreReader::GatherRun(const RunId& id) {
  std::optional<RunId> trace_id = TraceOf(id);
  if (!trace_id) return absl::NotFoundError("no such run");
  Places places;
  const bool is_root = *trace_id == id;
  const std::uint64_t complete_from = AddIndexed({*trace_id, id}, is_root, places);
  VisitOld({id}, false, complete_from, [&](const Record& record, const RunOp& op) {
    if (MayBeOn(op, id)) places.insert(record.position);
  });
  Gathered gathered(prices_);
  gathered.trace_id = *trace_id;
  bool names_project = false;
  for (const Position& place : places) {
    absl::StatusOr<Record> header = log_.ReadHeader(place);
    if (!header.ok() || header->position != place) continue;
    const std::vector<RunOp>& ops = header->header.ops;
    for (std::size_t i = 0; i < ops.size(); ++i) {
      bool member = ops[i].trace_id == *trace_id || ops[i].trace_id.IsNil();
      if (!member || !MayBeOn(ops[i], id)) continue;
      if (IsSpan(ops[i])) {
        Gathered whole = GatherTrace(*trace_id, id);
        if (!whole.runs.contains(id)) return absl::NotFoundError("no such run");
        return whole;
      }
      names_project |= !ops[i].project.empty();
      if (LoadedPtr loaded = Load(place)) Take(loaded, i, gathered);
    }
  }
  if (gathered.runs.empty()) return absl::NotFoundError("no such run");
  if (!names_project && !is_root) gathered.trace_project = RootProject(*trace_id);
  return gathered;
}

StoredRun StoreReader::Fold(const Gathered& gathered, const RunId& id) const {
  return FoldRun(id, gathered.trace_id, gathered.runs.at(id), gathered.trace_project);
}

std::optional<RunId> StoreReader::TraceOf(const RunId& run) {
  std::optional<RunId> trace_id;
  std::uint64_t complete_from = 0;
  {
    std::shared_lock lock(index_mutex_);
    trace_id = index_.TraceOf(run);
    complete_from = index_.complete_from();
  }
  // Found under itself: it is a root, or a PATCH that named no trace; then the log may know more.
  if (trace_id && *trace_id != run) return trace_id;
  VisitOld({run}, false, complete_from, [&](const Record&, const RunOp& op) {
    if (!MayBeOn(op, run)) return;
    if (!trace_id || !op.trace_id.IsNil()) trace_id = op.trace_id.IsNil() ? run : op.trace_id;
  });
  return trace_id;
}

std::uint64_t StoreReader::AddIndexed(const Ids& traces, bool root_only, Places& places) const {
  std::shared_lock lock(index_mutex_);
  for (const RunId& trace : traces) {
    for (const Position& position : index_.Find(trace, root_only)) places.insert(position);
  }
  return index_.complete_from();
}

std::string StoreReader::RootProject(const RunId& trace_id) {
  Places places;
  const std::uint64_t complete_from = AddIndexed({trace_id}, true, places);
  std::string project;
  auto learn = [&](const RunOp& op) {
    if (op.run_id == trace_id && !op.project.empty()) project = op.project;
  };
  for (const Position& place : places) {
    absl::StatusOr<Record> header = log_.ReadHeader(place);
    if (!header.ok() || header->position != place) continue;
    for (const RunOp& op : header->header.ops) learn(op);
  }
  if (project.empty()) {
    VisitOld({trace_id}, false, complete_from, [&](const Record&, const RunOp& op) { learn(op); });
  }
  return project;
}

std::vector<RunId> StoreReader::OldTraces(const TraceQuery& query, const Ids& known,
                                          std::uint64_t end) {
  std::vector<RunId> found;
  Ids seen = known;
  std::vector<SegmentInfo> segments = OldSegments(end);
  std::size_t looked = 0;
  for (auto at = segments.rbegin(); at != segments.rend() && looked < kMaxListedSegments; ++at) {
    if (query.project) {
      std::optional<SavedSummary> saved = SavedSummary::Open(SummaryPath(log_, at->begin.segment));
      auto names = saved ? saved->ReadProjects() : SegmentSummary::Projects();
      bool may_hold = !saved || std::any_of(names.begin(), names.end(), [&](const auto& entry) {
        return ProjectName(entry.first) == *query.project;
      });
      if (!may_hold) continue;
    }
    ++looked;
    std::vector<RunId> here;
    ScanSegment(*at, [&](const Record& record) {
      for (const RunOp& op : record.header.ops) {
        bool root = op.kind == OpKind::kPost && op.run_id == op.trace_id;
        std::string project = op.project.empty() ? "default" : ProjectName(op.project);
        if (root && (!query.project || project == *query.project) &&
            seen.insert(op.run_id).second) {
          here.push_back(op.run_id);
        }
      }
    });
    std::size_t room = query.limit - known.size() - found.size();
    found.insert(found.end(), here.rbegin(),
                 here.rbegin() + static_cast<std::ptrdiff_t>(std::min(room, here.size())));
    if (found.size() + known.size() >= query.limit) break;
  }
  return found;
}

std::vector<SegmentInfo> StoreReader::OldSegments(std::uint64_t end) const {
  std::vector<SegmentInfo> segments = log_.Segments();
  std::erase_if(segments, [&](const SegmentInfo& segment) {
    return segment.begin.seq >= end || segment.begin == segment.end;
  });
  return segments;
}

void StoreReader::VisitOld(const Ids& ids, bool traceless, std::uint64_t end, const Visit& visit) {
  if (ids.empty()) return;
  for (const SegmentInfo& segment : OldSegments(end)) {
    std::optional<SavedSummary> saved =
        SavedSummary::Open(SummaryPath(log_, segment.begin.segment));
    if (saved && traceless && !saved->has_traceless()) continue;
    if (saved &&
        std::none_of(ids.begin(), ids.end(), [&](const RunId& id) { return saved->MayHold(id); })) {
      continue;
    }
    ScanSegment(segment, [&](const Record& record) {
      for (const RunOp& op : record.header.ops) {
        if (traceless && !op.trace_id.IsNil()) continue;
        if (ids.contains(op.run_id) || ids.contains(op.trace_id) ||
            ids.contains(op.otel_trace_id) || ids.contains(op.child_run_id)) {
          visit(record, op);
        }
      }
    });
  }
}

void StoreReader::ScanSegment(const SegmentInfo& segment,
                              const std::function<void(const Record&)>& visit) {
  for (Position at = segment.begin; at < segment.end;) {
    absl::StatusOr<Record> record = log_.ReadHeader(at);
    if (!record.ok() || record->position.segment != segment.begin.segment) return;
    visit(*record);
    at = record->next;
  }
}

StoreReader::LoadedPtr StoreReader::Load(const Position& position) {
  auto known = loaded_.find(position.seq);
  if (known != loaded_.end()) return known->second;
  absl::StatusOr<Record> record = log_.Read(position);
  if (!record.ok() || record->position != position) return nullptr;
  absl::StatusOr<std::string> payload = record->Decoded();
  if (!payload.ok()) return nullptr;
  auto loaded = std::make_shared<Loaded>();
  loaded->record = *std::move(record);
  loaded->record.payload = std::string();
  loaded->payload = *std::move(payload);
  if (loaded_bytes_ > kMaxLoadedBytes) {
    loaded_.clear();
    loaded_bytes_ = 0;
  }
  loaded_bytes_ += loaded->payload.size();
  loaded_.emplace(position.seq, loaded);
  return loaded;
}

void StoreReader::Take(const LoadedPtr& loaded, std::size_t index, Gathered& into) const {
  const RunOp& op = loaded->record.header.ops[index];
  if (op.kind == OpKind::kFeedback) return;
  into.runs[op.run_id].push_back(
      {.seq = loaded->record.position.seq, .index = index, .op = &op, .payload = loaded->payload});
  into.keep.insert(loaded);
}

}  // namespace weft::collector
