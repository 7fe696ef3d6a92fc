// SPDX-License-Identifier: Apache-2.0
#include "run_store_index.h"

#include <algorithm>
#include <array>
#include <random>
#include <span>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "fold.h"

namespace weft::collector {
namespace {

// Names come from the network: beyond this many, traces of new projects are not listed by project.
constexpr std::size_t kMaxProjects = 100'000;

// A root that ends after its children comes after them. Until then its trace is not listed.
constexpr std::uint32_t kRootPatienceS = 3;

// So many runs are looked up behind each other before the first is added: the table is larger than
// the caches, and the processor waits for memory once then and not for each run.
constexpr std::size_t kAhead = 16;

const std::string& DefaultProject() {
  static const std::string name = "default";
  return name;
}

}  // namespace

std::uint64_t TraceIndex::HashOf(const RunId& id) {
  // Seeded, so that nobody can choose ids that collide.
  static const std::uint64_t seed = std::random_device()();
  return XXH3_64bits_withSeed(id.bytes.data(), id.bytes.size(), seed);
}

void TraceIndex::Add(const Record& record, bool old) {
  const std::uint32_t segment = SegmentNumber(record.position.segment);
  const std::uint64_t received_us = record.header.received_us;
  const auto received_s = static_cast<std::uint32_t>(received_us / 1'000'000);
  const std::vector<RunOp>& ops = record.header.ops;
  std::array<Sought, kAhead> sought;
  RunId before;
  std::uint32_t trace_at = kNone;
  const std::string* project_said = nullptr;
  std::uint32_t project = kNone;
  for (std::size_t i = 0; i < ops.size(); ++i) {
    if (i % kAhead == 0) LookUp(std::span(ops).subspan(i), sought);
    const RunOp& op = ops[i];
    RunId trace_id = op.trace_id;
    if (trace_id.IsNil()) trace_id = TraceOf(op.run_id).value_or(op.run_id);
    const bool is_root = op.run_id == trace_id && op.kind != OpKind::kFeedback;
    const bool is_other = trace_at == kNone || trace_id != before;
    if (is_other) trace_at = TraceNode(trace_id, old);
    before = trace_id;
    Trace& trace = traces_[trace_at];
    if (is_other) {
      trace.Touch(record.position.seq);
      trace.first_s = std::min(trace.first_s, received_s);
    }
    if (is_other || is_root) AddPlace(trace, segment, record.position, is_root);
    const Sought& run = sought[i % kAhead];
    if (op.run_id != trace_id && !run.known) AddRun(trace_at, run.hash);
    if (!op.child_run_id.IsNil()) AddRun(trace_at, HashOf(op.child_run_id));
    // Spans that name no trace are found under OpenTelemetry's id, and may be children of this one.
    if (!op.otel_trace_id.IsNil()) {
      Trace& other = traces_[TraceNode(op.otel_trace_id, old)];
      other.Touch(record.position.seq);
      AddPlace(other, segment, record.position, false);
    }
    if (op.kind == OpKind::kFeedback) continue;
    if (is_root && (op.kind == OpKind::kPost || op.is_root)) trace.has_root = 1;
    if (!op.trace_id.IsNil()) trace.is_named = 1;
    const bool names_project = !op.project.empty();
    const bool is_nameless_root = is_root && op.kind == OpKind::kPost && trace.project == kNone;
    if (!names_project && !is_nameless_root) continue;
    const std::string& said = names_project ? op.project : DefaultProject();
    const bool said_before = project_said != nullptr && *project_said == said;
    if (!said_before) project = ProjectNumber(said, received_us);
    project_said = &said;
    if (trace.project == kNone || (is_root && names_project)) trace.project = project & kNone;
  }
  Shrink();
}

// The first of these runs.
void TraceIndex::LookUp(std::span<const RunOp> ops, std::span<Sought> sought) const {
  const std::size_t count = std::min(ops.size(), sought.size());
  for (std::size_t i = 0; i < count; ++i) sought[i].hash = HashOf(ops[i].run_id);
  for (Sought& run : sought.first(count)) run.known = runs_by_hash_.contains(run.hash);
}

std::uint32_t TraceIndex::TraceNode(const RunId& id, bool old) {
  auto known = traces_by_id_.find(id);
  std::uint32_t at;
  if (known == traces_by_id_.end()) {
    Trace fresh;
    fresh.id = id;
    at = traces_.Take(fresh);
    traces_by_id_.insert(at);
    Link(at, old);
  } else {
    at = *known;
    if (!old && at != newest_) {
      Unlink(at);
      Link(at, false);
    }
  }
  return at;
}

void TraceIndex::AddPlace(Trace& trace, std::uint32_t segment, const Position& position,
                          bool is_root) {
  auto seq = static_cast<std::uint32_t>(position.seq - position.segment);
  if (trace.places != kNone) {
    Place& first = places_[trace.places];
    if (first.segment == segment && first.seq == seq) {
      if (is_root) first.has_root = 1;
      return;
    }
  }
  Place place;
  place.segment = segment;
  place.seq = seq;
  place.offset = static_cast<std::uint32_t>(position.offset / 8);
  place.next = trace.places & kNone;
  place.has_root = is_root;
  trace.places = places_.Take(place);
}

void TraceIndex::AddRun(std::uint32_t trace_at, std::uint64_t hash) {
  std::uint32_t at = kNone;
  runs_by_hash_.lazy_emplace(hash, [&](const auto& make) {
    at = runs_.Take({.hash = hash, .trace = trace_at, .next = traces_[trace_at].runs});
    make(at);
  });
  if (at == kNone) return;
  Trace& trace = traces_[trace_at];
  trace.runs = at & kNone;
  if (trace.run_count == 0xffff) return;
  // The root is one, too.
  if (++trace.run_count + 1 >= max_trace_runs_) full_.insert(trace.id);
}

std::uint32_t TraceIndex::SegmentNumber(std::uint64_t first_seq) {
  if (segments_.empty() || segments_.back() != first_seq) {
    auto known = std::find(segments_.begin(), segments_.end(), first_seq);
    if (known != segments_.end()) return static_cast<std::uint32_t>(known - segments_.begin());
    segments_.push_back(first_seq);
  }
  return static_cast<std::uint32_t>(segments_.size() - 1);
}

std::uint32_t TraceIndex::ProjectNumber(const std::string& said, std::uint64_t time_us) {
  const std::string name = ProjectName(said);
  auto known = project_numbers_.find(name);
  if (known == project_numbers_.end()) {
    if (projects_.size() == kMaxProjects) return kNone;
    known = project_numbers_.emplace(name, static_cast<std::uint32_t>(projects_.size())).first;
    projects_.push_back({time_us, time_us});
  }
  KnownProject& project = projects_[known->second];
  project.first_us = std::min(project.first_us, time_us);
  project.last_us = std::max(project.last_us, time_us);
  return known->second;
}

void TraceIndex::AddProject(const std::string& name, std::uint64_t first_us,
                            std::uint64_t last_us) {
  ProjectNumber(name, first_us);
  ProjectNumber(name, last_us);
  Shrink();
}

void TraceIndex::Shrink() {
  while (bytes() > max_bytes_ && oldest_ != kNone) Evict(oldest_);
}

void TraceIndex::Link(std::uint32_t at, bool oldest) {
  std::uint32_t& end = oldest ? oldest_ : newest_;
  Trace& trace = traces_[at];
  trace.older = oldest ? kNone : end;
  trace.newer = oldest ? end : kNone;
  if (end != kNone) (oldest ? traces_[end].older : traces_[end].newer) = at;
  end = at;
  if (oldest_ == kNone) oldest_ = at;
  if (newest_ == kNone) newest_ = at;
}

void TraceIndex::Unlink(std::uint32_t at) {
  const Trace& trace = traces_[at];
  (trace.older == kNone ? oldest_ : traces_[trace.older].newer) = trace.newer;
  (trace.newer == kNone ? newest_ : traces_[trace.newer].older) = trace.older;
}

void TraceIndex::Evict(std::uint32_t at) {
  Unlink(at);
  Trace& trace = traces_[at];
  evicted_to_ = std::max<std::uint64_t>(evicted_to_, trace.last_seq + 1);
  for (std::uint32_t place = trace.places; place != kNone;) {
    std::uint32_t next = places_[place].next;
    places_.Free(place);
    place = next;
  }
  for (std::uint32_t run = trace.runs; run != kNone;) {
    std::uint32_t next = runs_[run].next;
    runs_by_hash_.erase(runs_[run].hash);
    runs_.Free(run);
    run = next;
  }
  traces_by_id_.erase(trace.id);
  full_.erase(trace.id);
  traces_.Free(at);
}

void TraceIndex::ForgetBefore(Position position) {
  while (oldest_ != kNone && traces_[oldest_].last_seq < position.seq) Evict(oldest_);
}

Position TraceIndex::PositionOf(const Place& place) const {
  std::uint64_t first = segments_[place.segment];
  return {first, std::uint64_t{place.offset} * 8, first + place.seq};
}

std::vector<Position> TraceIndex::Find(const RunId& trace, bool root_only) const {
  std::vector<Position> positions;
  auto known = traces_by_id_.find(trace);
  if (known == traces_by_id_.end()) return positions;
  for (std::uint32_t at = traces_[*known].places; at != kNone; at = places_[at].next) {
    if (!root_only || places_[at].has_root) positions.push_back(PositionOf(places_[at]));
  }
  std::sort(positions.begin(), positions.end());
  return positions;
}

std::optional<RunId> TraceIndex::TraceOf(const RunId& run) const {
  auto known = runs_by_hash_.find(HashOf(run));
  if (known != runs_by_hash_.end()) return traces_[runs_[*known].trace].id;
  return traces_by_id_.contains(run) ? std::optional(run) : std::nullopt;
}

// A clock that was set back makes a trace listed sooner, not later.
bool TraceIndex::IsListed(const Trace& trace, std::uint32_t now_s) const {
  return trace.has_root != 0 || (trace.is_named != 0 && now_s - trace.first_s >= kRootPatienceS);
}

std::vector<RunId> TraceIndex::Newest(const std::optional<std::string>& project, std::size_t limit,
                                      std::uint32_t now_s) const {
  const auto number_of = [this](const std::string& name) {
    auto known = project_numbers_.find(name);
    return known == project_numbers_.end() ? kNone : known->second;
  };
  const std::uint32_t otherwise = number_of(DefaultProject());
  const std::uint32_t number = project ? number_of(*project) : kNone;
  if (project && number == kNone && *project != DefaultProject()) return {};
  const auto is_in_project = [&](const Trace& trace) {
    return (trace.project == kNone ? otherwise : trace.project) == number;
  };
  // By the first record of its root, if it has one: later operations do not move a trace in the
  // list.
  std::vector<std::pair<std::uint64_t, std::uint32_t>> found;
  for (std::uint32_t at = newest_; at != kNone; at = traces_[at].older) {
    const Trace& trace = traces_[at];
    if (!IsListed(trace, now_s) || (project && !is_in_project(trace))) continue;
    std::uint64_t first = ~std::uint64_t{0};
    for (std::uint32_t place = trace.places; place != kNone; place = places_[place].next) {
      if (!trace.has_root || places_[place].has_root)
        first = std::min(first, PositionOf(places_[place]).seq);
    }
    found.emplace_back(first, at);
  }
  limit = std::min(limit, found.size());
  std::partial_sort(found.begin(), found.begin() + static_cast<std::ptrdiff_t>(limit), found.end(),
                    std::greater<>());
  std::vector<RunId> ids;
  for (std::size_t i = 0; i < limit; ++i) ids.push_back(traces_[found[i].second].id);
  return ids;
}

std::vector<Project> TraceIndex::Projects() const {
  std::vector<Project> projects;
  for (const auto& [name, number] : project_numbers_) {
    const KnownProject& known = projects_[number];
    projects.push_back({ProjectId(name), name, known.first_us, known.last_us});
  }
  return projects;
}

bool TraceIndex::IsFull(const RunId& trace, const RunId& run, std::uint64_t max_runs) const {
  const auto known = traces_by_id_.find(trace);
  if (known == traces_by_id_.end()) return false;
  return std::uint64_t{traces_[*known].run_count} + 1 >= max_runs && !TraceOf(run);
}

std::uint64_t TraceIndex::bytes() const {
  constexpr std::uint64_t kSlot = sizeof(std::uint32_t) + 1;
  constexpr std::uint64_t kProject = 160;  // its nodes in the map and the vector, and a name
  return traces_.live_bytes() + places_.live_bytes() + runs_.live_bytes() +
         kSlot * (traces_by_id_.capacity() + runs_by_hash_.capacity()) +
         kProject * projects_.size() + sizeof(std::uint64_t) * segments_.size();
}

}  // namespace weft::collector
