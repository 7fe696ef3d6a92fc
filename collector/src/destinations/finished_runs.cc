// SPDX-License-Identifier: Apache-2.0
#include "destinations/finished_runs.h"

#include <algorithm>
#include <map>

#include "fold.h"
#include "fold_json.h"

namespace weft::collector {
namespace {

std::uint64_t Microseconds(std::chrono::milliseconds time) {
  return static_cast<std::uint64_t>(time.count()) * 1000;
}

bool SaysEnd(const RunOp& op, std::string_view payload) {
  for (const Part& part : op.parts) {
    if (part.field != PartField::kRun) continue;
    FieldCutter cutter(payload.substr(part.offset, part.length));
    for (std::string_view key, value; cutter.Next(key, value);) {
      if (key == "end_time" && WeightOf(value) > JsonWeight::kNull) return true;
    }
  }
  return false;
}

void AddPart(RunOp& op, std::string& payload, PartField field, std::string_view bytes,
             const Part* like = nullptr) {
  Part part;
  part.field = field;
  part.offset = payload.size();
  part.length = bytes.size();
  if (like != nullptr) {
    part.name = like->name;
    part.mime_type = like->mime_type;
  }
  op.parts.push_back(std::move(part));
  payload += bytes;
}

// The last word on each attachment.
void AddAttachments(const std::vector<FoldOp>& ops, RunOp& run, std::string& payload) {
  std::map<std::string_view, std::pair<const FoldOp*, const Part*>> last;
  for (const OpKind kind : {OpKind::kPost, OpKind::kPatch}) {
    for (const FoldOp& op : ops) {
      if (op.op->kind != kind) continue;
      for (const Part& part : op.op->parts) {
        if (part.field == PartField::kAttachment) last[part.name.str()] = {&op, &part};
      }
    }
  }
  for (const auto& [name, from] : last) {
    const auto& [op, part] = from;
    AddPart(run, payload, PartField::kAttachment, op->payload.substr(part->offset, part->length),
            part);
  }
}

RunOp WholeRun(const StoredRun& stored, bool has_error, std::string& payload) {
  RunOp run;
  run.run_id = stored.id;
  run.trace_id = stored.trace_id;
  run.is_root = stored.parent_run_id.IsNil();
  run.has_error = has_error;
  run.project = stored.session_name;
  AddPart(run, payload, PartField::kRun, stored.json);
  return run;
}

}  // namespace

FinishedRuns::FinishedRuns(FinishedRunsOptions options)
    : options_(std::move(options)), records_(options_.log) {}

void FinishedRuns::Take(Round::Loaded record, Round& round) {
  const RecordCache::Entry entry = records_.Add(std::move(record));
  RoundWriter writer(round, entry->record.header, entry->record.position);
  const std::size_t count = entry->record.header.ops.size();
  for (std::uint32_t i = 0; i < count; ++i) TakeOp(entry, i, round, writer);
}

void FinishedRuns::TakeOp(const RecordCache::Entry& record, std::uint32_t index, Round& round,
                          RoundWriter& writer) {
  const RunOp& op = record->record.header.ops[index];
  if (op.kind == OpKind::kFeedback) {
    ++round.filtered;
    return;
  }
  const OpPlace place{record->record.position, index};
  const bool ended = SaysEnd(op, record->payload);
  const auto known = runs_.find(op.run_id);
  if (known == runs_.end() && ended && op.kind == OpKind::kPost) {
    Emit({place}, round, writer);
    return;
  }
  Wait(op, place, ended);
  const auto run = runs_.find(op.run_id);
  if (!run->second.posted || !run->second.ended) return;
  Emit(run->second.places, round, writer);
  Forget(run);
}

void FinishedRuns::Forget(absl::flat_hash_map<RunId, Run>::iterator run) {
  waiting_ -= run->second.places.size();
  const auto trace = traces_.find(run->second.trace_id);
  if (--trace->second == 0) traces_.erase(trace);
  runs_.erase(run);
}

void FinishedRuns::Wait(const RunOp& op, OpPlace place, bool ended) {
  Run& run = runs_[op.run_id];
  // Not since it was received: what lies in the log already is read in no time.
  if (run.places.empty()) {
    run.since_us = options_.now();
    run.trace_id = op.trace_id.IsNil() ? op.run_id : op.trace_id;
    ++traces_[run.trace_id];
  }
  run.places.push_back(place);
  ++waiting_;
  run.ended |= ended;
  const bool begins = op.kind == OpKind::kPost && !run.posted;
  if (begins) {
    run.posted = true;
    open_.emplace_back(run.since_us, op.run_id);
  } else if (run.places.size() == 1) {
    strays_.emplace_back(run.since_us, op.run_id);
  }
}

void FinishedRuns::Emit(const std::vector<OpPlace>& places, Round& round, RoundWriter& writer) {
  std::vector<RecordCache::Entry> records;
  std::vector<FoldOp> ops;
  RunId trace_id;
  for (const OpPlace& place : places) {
    RecordCache::Entry record = records_.Find(place.position);
    if (record == nullptr) {  // retention deleted it
      ++round.expired;
      continue;
    }
    const RunOp& op = record->record.header.ops[place.index];
    if (!op.trace_id.IsNil()) trace_id = op.trace_id;
    ops.push_back({place.position.seq, place.index, &op, record->payload});
    records.push_back(std::move(record));
  }
  if (ops.empty()) return;
  const RunId id = ops.front().op->run_id;
  const bool has_error =
      std::any_of(ops.begin(), ops.end(), [](const FoldOp& op) { return op.op->has_error; });
  std::string payload;
  RunOp run = WholeRun(FoldRun(id, trace_id.IsNil() ? id : trace_id, ops, ""), has_error, payload);
  AddAttachments(ops, run, payload);
  writer.Add(std::move(run), payload, static_cast<std::uint32_t>(records.size()));
}

void FinishedRuns::EmitAlone(const std::vector<OpPlace>& places, Round& round) {
  for (const OpPlace& place : places) {
    const RecordCache::Entry record = records_.Find(place.position);
    if (record == nullptr) continue;
    RoundWriter writer(round, record->record.header, record->record.position);
    return Emit(places, round, writer);
  }
  round.expired += places.size();
}

void FinishedRuns::Release(Round& round) {
  Expire(open_, Microseconds(options_.max_open), true, round);
  Expire(strays_, Microseconds(options_.max_stray), false, round);
}

void FinishedRuns::Expire(std::deque<Deadline>& deadlines, std::uint64_t age_us, bool posted,
                          Round& round) {
  const std::uint64_t now = options_.now();
  const auto is_gone = [&](const Deadline& deadline) {
    const auto run = runs_.find(deadline.second);
    return run == runs_.end() || run->second.since_us != deadline.first ||
           run->second.posted != posted;
  };
  // One that stays open must not keep all those that came after it.
  if (deadlines.size() > 2 * runs_.size() + 1024) std::erase_if(deadlines, is_gone);
  while (!deadlines.empty() && round.bytes < kRoundBytes) {
    const auto [since, id] = deadlines.front();
    const bool gone = is_gone(deadlines.front());
    if (!gone && now < since + age_us && runs_.size() <= options_.max_runs) return;
    deadlines.pop_front();
    if (gone) continue;
    const auto run = runs_.find(id);
    if (posted || !EmitStored(run->second, id, round)) EmitAlone(run->second.places, round);
    Forget(run);
  }
}

// The run went out before, and more became known of it: out it goes again, whole.
bool FinishedRuns::EmitStored(const Run& run, const RunId& id, Round& round) {
  if (options_.store == nullptr) return false;
  const absl::StatusOr<StoredRun> stored = options_.store->FindRun(id);
  const RecordCache::Entry record = records_.Find(run.places.front().position);
  if (!stored.ok() || stored->start_time.empty() || record == nullptr) return false;
  RoundWriter writer(round, record->record.header, record->record.position);
  std::string payload;
  RunOp op = WholeRun(*stored, stored->status == "error", payload);
  writer.Add(std::move(op), payload, static_cast<std::uint32_t>(run.places.size()));
  return true;
}

std::vector<OpPlace> FinishedRuns::Waiting() const {
  std::vector<OpPlace> places;
  for (const auto& [id, run] : runs_) {
    places.insert(places.end(), run.places.begin(), run.places.end());
  }
  std::sort(places.begin(), places.end());
  return places;
}

void FinishedRuns::Resume(const std::vector<OpPlace>& places) {
  runs_.clear();
  traces_.clear();
  waiting_ = 0;
  open_.clear();
  strays_.clear();
  for (const OpPlace& place : places) {
    const RecordCache::Entry record = records_.Find(place.position);
    if (record == nullptr || place.index >= record->record.header.ops.size()) continue;
    const RunOp& op = record->record.header.ops[place.index];
    Wait(op, place, SaysEnd(op, record->payload));
  }
}

}  // namespace weft::collector
