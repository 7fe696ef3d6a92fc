// SPDX-License-Identifier: Apache-2.0
#include "start_run.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "redactor.h"
#include "tags.h"
#include "tracer_impl.h"
#include "unrecorded_run.h"

namespace weft {
inline namespace v0 {
namespace internal {
namespace {

using std::chrono::system_clock;

bool NamesDestination(const TraceBaggage& baggage) noexcept {
  return baggage.project.has_value() || baggage.address.has_value();
}

void MergeMetadata(JsonObject& into, const JsonObject& from) {
  for (const auto& [key, value] : from) into.insert_or_assign(key, value);
}

using Member = BaggageMembers::value_type;

bool Has(const TraceBaggage& baggage, const Member& member) noexcept {
  return std::find(baggage.foreign.begin(), baggage.foreign.end(), member) != baggage.foreign.end();
}

void PutMember(TraceBaggage& baggage, const Member& member) {
  std::erase_if(baggage.foreign, [&](const Member& other) { return other.first == member.first; });
  baggage.foreign.push_back(member);
}

const std::shared_ptr<const TraceBaggage>& NoBaggage() {
  static const auto* const kNone =
      new std::shared_ptr<const TraceBaggage>(std::make_shared<TraceBaggage>());
  return *kNone;
}

/// Makes the baggage of a run. In most runs nothing changes and the parent's is shared.
class BaggageMaker {
 public:
  BaggageMaker(const Tracer::Impl* tracer, std::shared_ptr<const TraceBaggage> base)
      : tracer_(tracer), base_(std::move(base)) {}

  void SetDestination(const std::optional<std::string>* option, const Ambient* ambient) {
    if (NamesDestination(View())) return;
    if (option != nullptr && *option) {
      Change().project = **option;
    } else if (ambient != nullptr && ambient->project) {
      Change().project = ambient->project;
    } else if (tracer_ != nullptr) {
      Change().project = tracer_->baggage->project;
      changed_->address = tracer_->baggage->address;
    }
  }

  void Add(const std::vector<std::string>& tags, const JsonObject& metadata) {
    if (!tags.empty()) MergeRedacted(Change(), tags);
    if (!metadata.empty() && !HidesMetadata()) {
      MergeRedacted(Change(), metadata);
    }
  }

  void AddMembers(const BaggageMembers& members) {
    for (const auto& member : members) {
      if (!Has(View(), member)) PutMember(Change(), member);
    }
  }

  Baggage Finish(std::vector<std::string> own_tags) && {
    if (HidesMetadata() && !View().metadata.empty()) Change().metadata.clear();
    if (changed_) base_ = std::move(changed_);
    if (own_tags.empty()) return {std::move(base_), nullptr};
    auto own = std::make_shared<TraceBaggage>(*base_);
    MergeRedacted(*own, own_tags);
    own->own_tags = own->tags.size() - base_->tags.size();
    return {std::move(own), std::move(base_)};
  }

 private:
  bool HidesMetadata() const noexcept {
    return tracer_ != nullptr && tracer_->options.hide_metadata;
  }
  const Redactor* redactor() const noexcept {
    return tracer_ != nullptr ? tracer_->environment->redactor.get() : nullptr;
  }
  // Headers may be rendered from it at once, so nothing secret gets in.
  void MergeRedacted(TraceBaggage& into, const std::vector<std::string>& tags) const {
    if (redactor() == nullptr) return MergeTags(into.tags, tags);
    std::vector<std::string> redacted = tags;
    redactor()->RedactTags(redacted);
    MergeTags(into.tags, redacted);
  }
  void MergeRedacted(TraceBaggage& into, const JsonObject& metadata) const {
    if (redactor() == nullptr) return MergeMetadata(into.metadata, metadata);
    JsonObject redacted = metadata;
    redactor()->RedactMetadata(redacted);
    MergeMetadata(into.metadata, redacted);
  }
  const TraceBaggage& View() const noexcept { return changed_ ? *changed_ : *base_; }
  TraceBaggage& Change() {
    if (!changed_) changed_ = std::make_shared<TraceBaggage>(*base_);
    return *changed_;
  }

  const Tracer::Impl* tracer_;  // Null: none.
  std::shared_ptr<const TraceBaggage> base_;
  std::shared_ptr<TraceBaggage> changed_;
};

/// `context`'s baggage without the tags that are its own.
std::shared_ptr<const TraceBaggage> InheritedFrom(const RunContext& context) {
  std::shared_ptr<const TraceBaggage> baggage = context.shared_baggage();
  if (baggage->own_tags == 0) return baggage;
  auto copy = std::make_shared<TraceBaggage>(*baggage);
  copy->tags.resize(copy->tags.size() - std::exchange(copy->own_tags, 0));
  return copy;
}

/// Whether the tracer's own baggage is what a root starts from: nobody names another destination.
bool StartsFromTracer(const Ambient* ambient, const RunOptions* options) noexcept {
  return !(ambient != nullptr && ambient->project) && !(options != nullptr && options->project);
}

/// Whether a run says nothing that `base`, which it starts from, does not say. `ambient`: what is
/// around it and not yet in there, or null.
bool AddsNothing(const Tracer::Impl* tracer, const TraceBaggage& base, const Ambient* ambient,
                 const RunOptions* options) noexcept {
  return NamesDestination(base) && !(tracer != nullptr && tracer->options.hide_metadata) &&
         (ambient == nullptr ||
          (ambient->tags.empty() && ambient->metadata.empty() && ambient->baggage.empty())) &&
         (options == nullptr || (options->tags.empty() && options->metadata.empty()));
}

Baggage MakeBaggage(const Tracer::Impl* tracer, RunNode* parent, const Ambient* ambient,
                    RunOptions* options) {
  const LocalRun* const local = parent != nullptr ? parent->AsLocal() : nullptr;
  const bool from_tracer = tracer != nullptr && StartsFromTracer(ambient, options);
  const std::shared_ptr<const TraceBaggage>& base = parent != nullptr ? parent->inherited()
                                                    : from_tracer     ? tracer->baggage
                                                                      : NoBaggage();
  // A parent that started under the same TracingContext has its tags and metadata already.
  const Ambient* const added = local != nullptr && local->ambient() == ambient ? nullptr : ambient;
  if (AddsNothing(tracer, *base, added, options)) return {base, nullptr};
  BaggageMaker maker(tracer, base);
  maker.SetDestination(options != nullptr ? &options->project : nullptr, ambient);
  if (added != nullptr) {
    maker.Add(added->tags, added->metadata);
    maker.AddMembers(added->baggage);
  }
  if (options == nullptr) return std::move(maker).Finish({});
  maker.Add({}, options->metadata);
  return std::move(maker).Finish(std::move(options->tags));
}

/// Whether a root has the tracer's baggage as it is.
bool TakesTracersBaggage(const Tracer::Impl& tracer, const Ambient* ambient,
                         const RunOptions* options) noexcept {
  return StartsFromTracer(ambient, options) &&
         AddsNothing(&tracer, *tracer.baggage, ambient, options);
}

/// `id`: a RunId or a TraceIdSource.
template <typename Id>
SamplingQuestion QuestionOf(const Id& id, const std::optional<std::string>& project,
                            const RunSubject& subject) noexcept {
  SamplingQuestion question(id);
  if (project) question.project = *project;
  question.name = subject.name;
  if (const RunTemplate* const kind = subject.kind != nullptr ? subject.kind->get() : nullptr) {
    question.method = kind->rpc_method;
    if (question.name.empty()) question.name = kind->name;
  }
  return question;
}

/// Null: the id of a root decides.
[[gnu::noinline]] const RootLot* LotByRules(const SamplingRules& rules,
                                            const std::optional<std::string>& project,
                                            const RunSubject& subject) noexcept {
  return rules.LotOf(QuestionOf(RunId(), project, subject));
}

/// The id of a root that no lot left out, made for the first who asks.
class RootId final : public TraceIdSource {
 public:
  RootId(const Tracer::Impl& tracer, const std::optional<system_clock::time_point>* start,
         RootDecision& root) noexcept
      : tracer_(tracer), start_(start), root_(root) {}

  const RunId& Get() const noexcept override {
    if (!root_.id.IsNil()) return root_.id;
    const Times& now = root_.times.emplace(tracer_.Times());
    const auto start = start_ != nullptr && *start_ ? **start_ : now.wall;
    root_.id = root_.lot != nullptr ? root_.lot->IdOfCast(start) : tracer_.NewId(start);
    return root_.id;
  }

 private:
  const Tracer::Impl& tracer_;
  const std::optional<system_clock::time_point>* const start_;
  RootDecision& root_;
};

/// For a root that no lot left out. `start`: null, or what the options say.
void AskForRoot(const Tracer::Impl& tracer, const std::optional<std::string>& project,
                const RunSubject& subject, const std::optional<system_clock::time_point>* start,
                RootDecision& root) noexcept {
  const RootId id(tracer, start, root);
  if (tracer.sampler) {
    root.sampling = tracer.sampler->Decide(QuestionOf(id, project, subject));
  } else {
    root.sampling.sampled = tracer.MaySample(id.Get());
  }
}

inline void DecideRoot(const Tracer::Impl& tracer, const std::optional<std::string>& project,
                       const RunSubject& subject,
                       const std::optional<system_clock::time_point>* start,
                       RootDecision& root) noexcept {
  // What is held back has an id anyway.
  if (!tracer.held) {
    root.lot = tracer.rules != nullptr ? LotByRules(*tracer.rules, project, subject)
               : tracer.root_lot       ? &*tracer.root_lot
                                       : nullptr;
  }
  root.sampling.sampled = root.lot != nullptr ? root.lot->Cast() : tracer.MaySample();
  if (root.sampling.sampled) AskForRoot(tracer, project, subject, start, root);
}

/// Of the first run below a caller in another process.
SamplingDecision DecideBelow(const Tracer::Impl& tracer, const RunId& trace_id,
                             const TraceBaggage& baggage, const RunSubject& subject) noexcept {
  if (!tracer.sampler) return {.sampled = tracer.MaySample(trace_id)};
  return tracer.sampler->Decide(QuestionOf(trace_id, baggage.project, subject));
}

/// The mark of the run of another process that called: that is known of the current run only.
std::shared_ptr<KeepMark> CallersMark(const RunNodePtr* current, RunNode* parent) {
  if (parent == nullptr) return nullptr;
  if (const RunState* const state = parent->AsState()) return state->caller_mark();
  if (current == nullptr || current->get() != parent || parent->AsLocal() != nullptr) {
    return nullptr;
  }
  return {*current, &parent->mark()};
}

/// What the run shares with others of its trace.
void FindMarks(Tracer::Impl& tracer, RunNode* parent, const RunContext& context,
               std::shared_ptr<KeepMark> caller, RunState::Origin& origin) {
  if (!tracer.options.error_promotion) return;
  RunState* const local = parent != nullptr ? parent->AsState() : nullptr;
  if (local != nullptr && &local->tracer()->impl() == &tracer &&
      local->context().sampled() == context.sampled()) {
    origin.mark = local->SharedMark();
    origin.caller = std::move(caller);
    return;
  }
  if (context.sampled()) {
    origin.mark = std::move(caller);
    return;
  }
  if (!tracer.held) return;
  auto trace = tracer.held->Of(context.trace_id(), /*begins_here=*/!context.parent_id());
  if (caller && caller->kept()) tracer.Promote(*trace);
  if (caller && trace->kept()) caller->Set();
  origin.mark = std::move(trace);
  origin.caller = std::move(caller);
}

/// What `parent` stands for: `current`, `none`, or a node made of what it names.
template <typename Node, typename Make>
Node Resolve(Parent& parent, Node current, Node none, const Make& make) {
  if (std::holds_alternative<NoParent>(parent)) return none;
  if (auto* headers = std::get_if<ParsedHeaders>(&parent)) {
    std::shared_ptr<const TraceBaggage> baggage =
        headers->parent ? headers->parent.shared_baggage() : std::move(headers->baggage);
    if (!headers->parent && !baggage) return none;
    return make(std::move(headers->parent), std::move(baggage));
  }
  if (auto* context = std::get_if<RunContext>(&parent); context != nullptr && *context) {
    auto inherited = InheritedFrom(*context);
    return make(std::move(*context), std::move(inherited));
  }
  return current;
}

}  // namespace

Surroundings Surroundings::Of(ContextView context) noexcept {
  return {context.Find(kRunKey), context.Find(kAmbientKey)};
}

TracerRef Surroundings::FindTracerAround() const noexcept {
  const LocalRun* const local = run != nullptr && *run ? (*run)->AsLocal() : nullptr;
  const Ambient* const around = ambient != nullptr ? ambient->get() : nullptr;
  const bool run_is_inner = local != nullptr && local->ambient() == around;
  if (around != nullptr && around->tracer && !run_is_inner) return TracerRef(&around->tracer);
  if (local != nullptr) return TracerRef(&local->tracer());
  if (around != nullptr && around->tracer) return TracerRef(&around->tracer);
  const bool forced = around != nullptr && around->enabled.value_or(false);
  return TracerRef(forced ? GlobalTracer() : EnabledGlobalTracer());
}

RunNodePtr ResolveParent(Parent& parent, const RunNodePtr* current) {
  return Resolve(parent, current != nullptr ? *current : nullptr, RunNodePtr(),
                 [](auto&&... node) { return std::make_shared<RunNode>(std::move(node)...); });
}

std::shared_ptr<const TraceBaggage> InheritedBaggage(Tracer* tracer,
                                                     const Surroundings& surroundings) {
  RunNode* const parent = surroundings.run != nullptr ? surroundings.run->get() : nullptr;
  const Ambient* const ambient =
      surroundings.ambient != nullptr ? surroundings.ambient->get() : nullptr;
  return MakeBaggage(tracer != nullptr ? &tracer->impl() : nullptr, parent, ambient, nullptr).own;
}

std::shared_ptr<const TraceBaggage> WithMembers(std::shared_ptr<const TraceBaggage> base,
                                                const BaggageMembers& members) {
  if (!base) base = NoBaggage();
  std::shared_ptr<TraceBaggage> changed;
  for (const Member& member : members) {
    if (Has(changed ? *changed : *base, member)) continue;
    if (!changed) changed = std::make_shared<TraceBaggage>(*base);
    PutMember(*changed, member);
  }
  return changed ? std::move(changed) : std::move(base);
}

bool RepeatsParent(Tracer& tracer, const Surroundings& surroundings,
                   const RunOptions* options) noexcept {
  if (surroundings.run == nullptr || !*surroundings.run) return false;
  const LocalRun* const parent = (*surroundings.run)->AsLocal();
  if (parent == nullptr || parent->sampled() || tracer.impl().held ||
      parent->tracer().get() != &tracer) {
    return false;
  }
  const Ambient* const ambient =
      surroundings.ambient != nullptr ? surroundings.ambient->get() : nullptr;
  return ambient == parent->ambient() &&
         (options == nullptr || (std::holds_alternative<std::monostate>(options->parent) &&
                                 options->tags.empty() && options->metadata.empty()));
}

bool RecordsAny(Tracer& tracer) noexcept {
  return tracer.enabled() && (tracer.impl().held || tracer.impl().MaySample());
}

bool MayTrace(const std::shared_ptr<Tracer>& tracer) noexcept {
  const Surroundings here = Surroundings::Of(Context::View());
  const TracerRef applies = here.FindTracer(&tracer);
  return applies && here.Enabled(*applies);
}

bool MayRecord(const std::shared_ptr<Tracer>& tracer) noexcept {
  const Surroundings here = Surroundings::Of(Context::View());
  const TracerRef applies = here.FindTracer(&tracer);
  if (!applies || !here.Enabled(*applies)) return false;
  // What is out of the sample is recorded in case that it fails.
  if (applies->impl().held) return true;
  const RunNode* const parent = here.run != nullptr ? here.run->get() : nullptr;
  if (parent == nullptr || !parent->has_context()) {
    return applies->impl().MaySample();
  }
  if (!parent->is_remote()) return parent->sampled();
  return applies->impl().MaySample(parent->context().trace_id());
}

std::shared_ptr<UnrecordedRun> StartUnrecordedRoot(TracerRef& tracer,
                                                   const Surroundings& surroundings,
                                                   const RunSubject& subject,
                                                   std::optional<RootDecision>& decided) {
  Tracer::Impl& impl = tracer->impl();
  if ((surroundings.run != nullptr && *surroundings.run) || impl.held ||
      impl.detects_context_loss) {
    return nullptr;
  }
  const Ambient* const ambient =
      surroundings.ambient != nullptr ? surroundings.ambient->get() : nullptr;
  const bool moves = ambient != nullptr && ambient->project;
  RootDecision& root = decided.emplace();
  DecideRoot(impl, moves ? ambient->project : impl.baggage->project, subject, nullptr, root);
  if (root.sampling.sampled) return nullptr;
  impl.sampled_out.fetch_add(1, std::memory_order_relaxed);
  return UnrecordedRun::Make(std::move(tracer), surroundings.ambient,
                             root.times ? root.times->wall : impl.CoarseNow(), root.id, root.lot);
}

std::shared_ptr<const TraceBaggage> RootBaggage(const Tracer::Impl& tracer,
                                                const Ambient* ambient) {
  return MakeBaggage(&tracer, nullptr, ambient, nullptr).own;
}

namespace {

/// Fills in what is known of a run when it begins.
void BeginRecord(const Tracer::Impl& tracer, RunState& state, const RunSubject& subject,
                 RunOptions* options, std::optional<double> rate) {
  RunRecord& record = state.unshared_record();
  record.context = state.context();
  // What is out of the sample gets the environment of its kind when it is sent.
  if (state.context().sampled()) record.environment = tracer.environment;
  if (rate && state.context().sampled()) {
    record.attributes.push_back({"ls_tracing_sample_rate", *rate});
  }
  record.name = subject.name;
  if (options != nullptr) {
    record.type = options->run_type;
    if (!options->inputs.empty()) record.inputs = std::move(options->inputs);
  }
  if (subject.kind != nullptr) record.kind = *subject.kind;
  if (record.kind) record.type = record.kind->type;
}

}  // namespace

StartedRun StartRun(TracerRef&& tracer, const Surroundings& surroundings, const RunSubject& subject,
                    RunOptions* options, std::optional<RootDecision>& decided) {
  Tracer::Impl& impl = tracer->impl();
  // The current run's node is borrowed from the context; one of an explicit parent lives here.
  RunNode* parent = surroundings.run != nullptr ? surroundings.run->get() : nullptr;
  std::optional<RunNode> named;
  if (options != nullptr) {
    parent = Resolve<RunNode*>(options->parent, parent, nullptr, [&named](auto&&... node) {
      return &named.emplace(std::move(node)...);
    });
  }
  const Ambient* const ambient =
      surroundings.ambient != nullptr ? surroundings.ambient->get() : nullptr;
  const bool has_parent = parent != nullptr && parent->has_context();
  const bool plain = parent == nullptr && TakesTracersBaggage(impl, ambient, options);
  Baggage baggage = plain ? Baggage() : MakeBaggage(&impl, parent, ambient, options);
  const auto begin = [&](system_clock::time_point now) {
    return options != nullptr && options->start ? *options->start : now;
  };

  const bool is_decided = decided.has_value();
  RootDecision& fate = is_decided ? *decided : decided.emplace();
  if (has_parent) {
    fate.sampling = parent->is_remote()
                        ? DecideBelow(impl, parent->context().trace_id(), *baggage.own, subject)
                        : SamplingDecision{.sampled = parent->sampled()};
  } else if (!is_decided) {
    DecideRoot(impl, plain ? impl.baggage->project : baggage.own->project, subject,
               options != nullptr ? &options->start : nullptr, fate);
  }
  std::shared_ptr<KeepMark> caller;
  if (impl.options.error_promotion) caller = CallersMark(surroundings.run, parent);
  if (!fate.sampling.sampled && !impl.held && !caller) {
    const auto now = fate.times ? fate.times->wall : impl.CoarseNow();
    return {.run = UnrecordedRun::Make(std::move(tracer), surroundings.ambient, begin(now), fate.id,
                                       fate.lot,
                                       {.parent = has_parent ? parent->context() : RunContext(),
                                        .baggage = std::move(baggage)})};
  }

  if (!fate.times) fate.times = impl.Times();
  const auto start = begin(fate.times->wall);
  if (fate.id.IsNil()) {
    fate.id = fate.sampling.sampled ? impl.NewId(start) : impl.NewIdOutside(fate.lot, start);
  }
  if (plain) baggage.own = impl.baggage;
  RunContext context = has_parent ? parent->context().Child(fate.id, start, std::move(baggage.own))
                                  : RunContext::Root(fate.id, start, std::move(baggage.own));
  if (fate.sampling.sampled != context.sampled()) {
    context = std::move(context).WithSampled(fate.sampling.sampled);
  }
  RunState::Origin origin;
  origin.steady_start = fate.times->steady - (fate.times->wall - start);
  FindMarks(impl, parent, context, std::move(caller), origin);
  auto state =
      std::make_shared<RunState>(std::move(context), std::move(baggage.inherited),
                                 std::move(tracer), surroundings.ambient, std::move(origin));
  if (state->recording()) {
    state->unshared_record().start = start;
    BeginRecord(impl, *state, subject, options, fate.sampling.rate);
  }
  RunState* const recorded = state.get();
  return {.run = std::move(state), .recorded = recorded};
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
