// SPDX-License-Identifier: Apache-2.0
#include "destinations/placed_spans.h"

#include <algorithm>
#include <utility>

#include "fold_json.h"
#include "parked_file.h"

namespace weft::collector {
namespace {

SpanPlacesOptions PlacesOptions(const PlacedSpansOptions& options) {
  SpanPlacesOptions places;
  places.grace_us = static_cast<std::uint64_t>(options.grace.count()) * 1000;
  places.max_wait_us = static_cast<std::uint64_t>(options.orphan_wait.count()) * 1000;
  places.max_bytes = options.max_bytes;
  return places;
}

// What the runs of so many spans of a record will take, roughly.
std::size_t RunBytes(const Round::Loaded& record, std::size_t spans) {
  constexpr std::size_t kIdsAndNames = 600;
  return spans * (record.payload.size() / record.record.header.ops.size() + kIdsAndNames);
}

// `2026-09-10T00:26:40.021001Z` of a part `20260910T002640021001Z...`.
std::string TimeOfRoot(std::string_view order) {
  std::string time;
  const std::pair<std::size_t, const char*> kPieces[] = {{4, "-"}, {2, "-"}, {2, ""},  {1, ""},
                                                         {2, ":"}, {2, ":"}, {2, "."}, {7, ""}};
  for (const auto& [size, behind] : kPieces) {
    time += order.substr(0, size);
    time += behind;
    order.remove_prefix(size);
  }
  return time;
}

}  // namespace

PlacedSpans::PlacedSpans(PlacedSpansOptions options)
    : options_(std::move(options)), records_(options_.log), places_(PlacesOptions(options_)) {}

void PlacedSpans::Take(Round::Loaded record, Round& round) {
  now_us_ = options_.now();
  const RecordCache::Entry entry = records_.Add(std::move(record));
  const std::vector<RunOp>& ops = entry->record.header.ops;
  ids_.clear();
  for (const RunOp& op : ops) ids_.push_back(ReadSpanIds(SlicesOf(op, entry->payload).span));
  ids_seq_ = entry->record.position.seq;
  std::size_t gone = 0;
  {
    RoundWriter writer(round, entry->record.header, entry->record.position);
    for (std::uint32_t i = 0; i < ops.size(); ++i) gone += Place(*entry, i, ids_[i], &writer);
  }
  records_.Spend(entry->record.position, gone);
  Drain(round);
}

const SpanIds& PlacedSpans::IdsOf(const Round::Loaded& record, std::uint32_t index) {
  if (record.record.position.seq == ids_seq_) return ids_[index];
  ids_seq_ = 0;
  const RunOp& op = record.record.header.ops[index];
  ids_.assign(1, ReadSpanIds(SlicesOf(op, record.payload).span));
  return ids_.front();
}

// False: it waits. That is all that it can do where `writer` is null.
bool PlacedSpans::Place(const Round::Loaded& record, std::uint32_t index, const SpanIds& ids,
                        RoundWriter* writer) {
  const OpPlace place{record.record.position, index};
  const bool replaces = places_.ReplacesMadeUp(ids);
  const std::optional<RunPlace> settled =
      writer != nullptr ? places_.Settle(ids, now_us_) : std::nullopt;
  if (settled) {
    Emit(record, index, ids, *settled, replaces, *writer);
  } else {
    places_.Wait(ids, place, now_us_);
  }
  return settled.has_value();
}

void PlacedSpans::Emit(const Round::Loaded& record, std::uint32_t index, const SpanIds& ids,
                       const RunPlace& place, bool replaces, RoundWriter& writer) {
  const RunOp& span = record.record.header.ops[index];
  const std::size_t first = writer.ops().size();
  AppendRun(span, record.payload, ids, place, &writer.ops(), &writer.text(),
            {.prices = options_.prices.get()});
  if (replaces) writer.ops()[first].kind = OpKind::kPatch;
  writer.AddWritten(1, !place.dotted_order.empty() && !place.trace_id.IsNil());
}

void PlacedSpans::Collect() {
  std::vector<OpPlace> freed = places_.TakeFreed();
  ready_.insert(ready_.end(), freed.begin(), freed.end());
}

// What became free frees others in turn.
void PlacedSpans::Drain(Round& round) {
  Collect();
  while (!ready_.empty() && round.bytes < kRoundBytes) {
    const Position position = ready_.front().position;
    const RecordCache::Entry record = records_.Find(position);
    if (record == nullptr) {  // retention deleted it
      ready_.pop_front();
      ++round.expired;
      continue;
    }
    std::size_t gone = 0;
    {
      RoundWriter writer(round, record->record.header, position);
      const auto is_of_another = [&](const OpPlace& place) { return place.position != position; };
      const auto end = std::find_if(ready_.begin(), ready_.end(), is_of_another);
      const auto spans = static_cast<std::size_t>(end - ready_.begin());
      writer.Reserve(spans, RunBytes(*record, spans));
      while (!ready_.empty() && ready_.front().position == position) {
        const std::uint32_t index = ready_.front().index;
        ready_.pop_front();
        gone += Place(*record, index, IdsOf(*record, index), &writer);
      }
    }
    records_.Spend(position, gone);
    Collect();
  }
}

void PlacedSpans::Release(Round& round) {
  now_us_ = options_.now();
  Drain(round);
  while (round.bytes < kRoundBytes) {
    now_us_ = options_.now();
    const std::optional<SpanPlaces::Missing> missing = places_.NextMissing(now_us_);
    if (!missing) return;
    Settle(*missing, round);
    Drain(round);
  }
}

void PlacedSpans::Settle(const SpanPlaces::Missing& missing, Round& round) {
  std::vector<StoredRun> trace;
  bool asked = false;
  for (const SpanId parent : missing.parents) {
    if (FindStored(missing, parent, trace, asked)) continue;
    Collect();
    const std::size_t freed = ready_.size();
    const std::optional<RunPlace> root = places_.Adopt(missing, parent);
    Collect();
    round.orphans += ready_.size() - freed;
    if (root) EmitMadeUpRoot(*root, missing.sample, round);
  }
}

// A parent, or at least a root, that went out before this start, or was sent as a run.
bool PlacedSpans::FindStored(const SpanPlaces::Missing& missing, SpanId parent,
                             std::vector<StoredRun>& trace, bool& asked) {
  if (options_.store == nullptr) return false;
  if (!std::exchange(asked, true)) {
    absl::StatusOr<std::vector<StoredRun>> found = options_.store->FindTrace(missing.trace_id);
    if (found.ok()) trace = *std::move(found);
  }
  const StoredRun* best = nullptr;
  for (const StoredRun& run : trace) {
    if (run.dotted_order.empty()) continue;
    const bool is_parent = ShortId(run.id) == parent;
    if (is_parent || run.id == run.trace_id) best = &run;
    if (is_parent) break;
  }
  if (best == nullptr) return false;
  places_.Found(missing, parent,
                {best->id, best->trace_id, best->parent_run_id, best->dotted_order, false});
  return true;
}

void PlacedSpans::EmitMadeUpRoot(const RunPlace& place, OpPlace sample, Round& round) {
  const RecordCache::Entry record = records_.Find(sample.position);
  if (record == nullptr) return;
  RunOp op;
  op.run_id = op.trace_id = place.run_id;
  op.is_root = true;
  op.project = record->record.header.ops[sample.index].project;
  std::string json = "{\"id\":\"" + place.run_id.ToString() + "\",\"trace_id\":\"" +
                     place.run_id.ToString() + "\",\"dotted_order\":\"" + place.dotted_order +
                     "\",\"name\":\"(missing root)\",\"run_type\":\"chain\",\"start_time\":\"" +
                     TimeOfRoot(place.dotted_order) + "\"";
  if (!op.project.empty()) {
    json += ",\"session_name\":";
    AppendQuoted(json, op.project);
  }
  json += ",\"extra\":{\"metadata\":{\"weft_synthetic\":true}}}";
  Part part;
  part.length = json.size();
  op.parts.push_back(part);
  RoundWriter writer(round, record->record.header, sample.position);
  writer.Add(std::move(op), json, 0);
}

std::vector<OpPlace> PlacedSpans::Waiting() const {
  std::vector<OpPlace> places = places_.Waiting();
  places.insert(places.end(), ready_.begin(), ready_.end());
  std::sort(places.begin(), places.end());
  return places;
}

void PlacedSpans::Resume(const std::vector<OpPlace>& places) {
  places_.Clear();
  ready_.clear();
  now_us_ = options_.now();
  for (const OpPlace& place : places) {
    const RecordCache::Entry record = records_.Find(place.position);
    if (record == nullptr || place.index >= record->record.header.ops.size()) continue;
    Place(*record, place.index, IdsOf(*record, place.index), nullptr);
  }
}

}  // namespace weft::collector
