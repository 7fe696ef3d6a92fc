// SPDX-License-Identifier: Apache-2.0
#include <weft/tracing/run.h>

#include <algorithm>
#include <utility>

#include <boost/core/demangle.hpp>

#include "context_loss.h"
#include "run_state.h"
#include "start_run.h"
#include "tracer_impl.h"

namespace weft {
inline namespace v0 {
namespace {

using internal::RunState;

// Integers stay integers as long as they fit; what is no number replaces what was there.
void AddNumber(Json& sum, const Json& amount) {
  std::int64_t total = 0;
  if (!sum.is_number() || !amount.is_number()) {
    sum = amount;
  } else if (sum.is_int64() && amount.is_int64() &&
             !__builtin_add_overflow(sum.get_int64(), amount.get_int64(), &total)) {
    sum = total;
  } else {
    sum = sum.to_number<double>() + amount.to_number<double>();
  }
}

void AddUsageTo(JsonObject& metadata, const Usage& usage) {
  JsonObject& sum = [&]() -> JsonObject& {
    Json& value = metadata["usage_metadata"];
    return value.is_object() ? value.get_object() : value.emplace_object();
  }();
  const auto add = [&sum](std::string_view key, const auto& amount) {
    if (amount) AddNumber(sum[key], *amount);
  };
  const auto add_details = [&sum](std::string_view key, const JsonObject& details) {
    for (const auto& [name, amount] : details) {
      JsonObject& sums = sum[key].is_object() ? sum[key].get_object() : sum[key].emplace_object();
      AddNumber(sums[name], amount);
    }
  };
  add("input_tokens", usage.input_tokens);
  add("output_tokens", usage.output_tokens);
  if (usage.total_tokens || usage.input_tokens || usage.output_tokens) {
    Json total = usage.total_tokens.value_or(usage.input_tokens.value_or(0));
    if (!usage.total_tokens) AddNumber(total, usage.output_tokens.value_or(0));
    AddNumber(sum["total_tokens"], total);
  }
  add_details("input_token_details", usage.input_token_details);
  add_details("output_token_details", usage.output_token_details);
  add("input_cost", usage.input_cost);
  add("output_cost", usage.output_cost);
  add("total_cost", usage.total_cost);
}

std::string TextOf(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& e) {
    return boost::core::demangle(typeid(e).name()) + ": " + e.what();
  } catch (const std::string& text) {
    return text;
  } catch (const char* text) {
    return text;
  } catch (...) {
    return "an exception that is no std::exception";
  }
}

// The setters that Run and RunRef share. `state` may be null.

void SetOutputsOf(RunState* state, JsonObject& outputs) noexcept {
  if (state == nullptr) return;
  state->Change([&](RunRecord& record) { record.outputs = std::move(outputs); });
}

void AddTagsTo(RunState* state, std::vector<std::string>& tags) noexcept {
  if (state == nullptr) return;
  state->Change([&](RunRecord& record) {
    std::move(tags.begin(), tags.end(), std::back_inserter(record.tags));
  });
}

void AddMetadataTo(RunState* state, JsonObject& metadata) noexcept {
  if (state == nullptr) return;
  state->Change([&](RunRecord& record) {
    for (auto& [key, value] : metadata) record.metadata.insert_or_assign(key, std::move(value));
  });
}

void AddEventTo(RunState* state, std::string_view name,
                std::optional<std::chrono::system_clock::time_point> time,
                JsonObject& kwargs) noexcept {
  if (state == nullptr) return;
  const auto when = time ? *time : state->tracer()->impl().Now();
  state->Change([&](RunRecord& record) {
    record.events.push_back({std::string(name), when, std::move(kwargs)});
  });
}

JsonObject ModelMetadata(std::string_view provider, std::string_view name) {
  return {{"ls_provider", Json(provider)}, {"ls_model_name", Json(name)}};
}

void AddUsageTo(RunState* state, const Usage& usage) noexcept {
  if (state == nullptr) return;
  state->Change([&](RunRecord& record) { AddUsageTo(record.metadata, usage); });
}

TraceHeaders HeadersOf(const std::shared_ptr<internal::RunNode>& node) {
  if (!node) return {};
  if (node->has_context()) return TraceHeaders::Of(node->context());
  // The caller sent no parent, but baggage: it goes on.
  TraceHeaders headers;
  if (node->inherited()) {
    headers.baggage = EncodeBaggage(*node->inherited());
    headers.tracestate = node->inherited()->tracestate;
  }
  return headers;
}

/// What most runs find with tracing off: no tracer, and no caller to be passed on.
bool NothingToDo(ContextView here, const RunOptions* options) noexcept {
  return !internal::HasEnabledGlobalTracer() && !here &&
         (options == nullptr ||
          (!options->tracer && std::holds_alternative<std::monostate>(options->parent)));
}

/// Of what a run that is not recorded may be asked for.
bool SaysNothing(const RunOptions* options) noexcept {
  return options == nullptr || (std::holds_alternative<std::monostate>(options->parent) &&
                                options->tags.empty() && options->metadata.empty() &&
                                !options->project && !options->start && options->make_current);
}

RunState* StateOf(const std::shared_ptr<internal::RunNode>& node) noexcept {
  return node ? node->AsState() : nullptr;
}

}  // namespace

Run::Run() noexcept = default;

Run::Run(std::string_view name, SourceLocation where) noexcept {
  const ContextView here = Context::View();
  if (!NothingToDo(here, nullptr)) Begin(here, {.name = name}, nullptr, nullptr, where);
}

Run::Run(std::string_view name, RunOptions options, SourceLocation where) noexcept {
  const ContextView here = Context::View();
  if (!NothingToDo(here, &options)) Begin(here, {.name = name}, &options, &options, where);
}

Run::Run(const std::shared_ptr<const RunTemplate>& kind, RunOptions&& options,
         SourceLocation where) noexcept {
  const ContextView here = Context::View();
  if (!NothingToDo(here, &options)) Begin(here, {.kind = &kind}, &options, &options, where);
}

Run::Run(const std::shared_ptr<const RunTemplate>& kind, const RunOptions& options,
         SourceLocation where) noexcept {
  const ContextView here = Context::View();
  if (!NothingToDo(here, &options)) Begin(here, {.kind = &kind}, &options, nullptr, where);
}

Run::Run(Run&& other) noexcept
    : node_(std::move(other.node_)),
      local_(std::exchange(other.local_, nullptr)),
      state_(std::exchange(other.state_, nullptr)) {}

Run& Run::operator=(Run&& other) noexcept {
  if (this == &other) return *this;
  Finish();
  node_ = std::move(other.node_);
  local_ = std::exchange(other.local_, nullptr);
  state_ = std::exchange(other.state_, nullptr);
  return *this;
}

Run::~Run() { Finish(); }

void Run::Begin(ContextView here, const internal::RunSubject& subject, const RunOptions* options,
                RunOptions* own, SourceLocation where) noexcept {
  const auto surroundings = internal::Surroundings::Of(here);
  internal::TracerRef tracer =
      surroundings.FindTracer(options != nullptr ? &options->tracer : nullptr);
  if (!tracer || !surroundings.Enabled(*tracer)) {
    // Nothing is recorded, but who the caller is stays known to the calls made from here.
    Parent parent;
    if (options != nullptr) parent = own != nullptr ? std::move(own->parent) : options->parent;
    node_ = internal::ResolveParent(parent, surroundings.run);
    return;
  }
  std::optional<internal::RootDecision> decided;
  const bool says_nothing = SaysNothing(options);
  if (says_nothing) {
    if (auto root = internal::StartUnrecordedRoot(tracer, surroundings, subject, decided)) {
      local_ = root.get();
      return local_->Enter(here, std::move(root));
    }
  }
  if (internal::RepeatsParent(*tracer, surroundings, options)) {
    tracer->impl().sampled_out.fetch_add(1, std::memory_order_relaxed);
    node_ = *surroundings.run;
    return;
  }
  // Shared options are of a kind, which has the type.
  std::optional<RunOptions> copy;
  if (own != options && !(says_nothing && options->inputs.empty())) own = &copy.emplace(*options);
  if (own != nullptr && own->tracer) tracer = internal::TracerRef(std::move(own->tracer));
  BeginInFull(here, std::move(tracer), surroundings, subject, own, decided, where);
}

[[gnu::noinline]] void Run::BeginInFull(ContextView here, internal::TracerRef tracer,
                                        const internal::Surroundings& surroundings,
                                        const internal::RunSubject& subject, RunOptions* options,
                                        std::optional<internal::RootDecision> decided,
                                        SourceLocation where) noexcept {
  const bool make_current = options == nullptr || options->make_current;
  Tracer::Impl& impl = tracer->impl();
  const bool lost =
      impl.detects_context_loss && internal::LacksContext(here, surroundings, options);
  internal::StartedRun started =
      internal::StartRun(std::move(tracer), surroundings, subject, options, decided);
  local_ = started.run.get();
  state_ = started.recorded;
  if (lost) internal::MarkContextLoss(*local_->tracer(), state_, where);
  if (make_current) {
    local_->Enter(here, std::move(started.run));
  } else {
    local_->KeepAmbient(surroundings.ambient);
    node_ = std::move(started.run);
  }
  if (state_ == nullptr) {
    impl.sampled_out.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  if (state_->recording() && state_->JoinHeldTrace()) return;
  const bool sampled = state_->context().sampled();
  const bool send_when_open = state_->recording() && impl.open_runs && state_->will_be_sent();
  if (send_when_open && impl.options.open_run_delay.count() != 0) {
    if (!sampled) impl.sampled_out_open.fetch_add(1, std::memory_order_relaxed);
    state_->is_open_run = true;
    impl.open_runs->Add(*state_);
    return;
  }
  (sampled ? impl.created : impl.sampled_out).fetch_add(1, std::memory_order_relaxed);
  if (send_when_open) state_->SendOpen();
}

void Run::Finish() noexcept {
  if (local_ == nullptr) return;
  if (state_ != nullptr && std::uncaught_exceptions() > state_->exceptions_at_start &&
      state_->recording()) {
    state_->Change([](RunRecord& record) {
      if (!record.error) record.error = "an exception left the block of the run";
    });
  }
  if (state_ != nullptr) {
    End();
  } else {
    local_->Leave();
  }
  local_ = nullptr;
  state_ = nullptr;
}

/// The run is not current any more, and kept from here.
void Run::Leave() noexcept {
  if (local_ == nullptr) return;
  if (!node_) node_ = node();
  local_->Leave();
}

void Run::End() noexcept {
  Leave();
  if (state_ != nullptr) state_->End(std::nullopt);
}

void Run::End(std::chrono::system_clock::time_point time) noexcept {
  Leave();
  if (state_ != nullptr) state_->End(time);
}

void Run::End(std::chrono::system_clock::time_point time,
              std::shared_ptr<const RunTemplate> kind) noexcept {
  Leave();
  if (state_ != nullptr) state_->End(time, std::move(kind));
}

const std::shared_ptr<internal::RunNode>& Run::node() const noexcept {
  return node_ || local_ == nullptr ? node_ : *local_->entered();
}

void Run::SetName(std::string_view name) noexcept {
  if (state_ == nullptr) return;
  state_->Change([&](RunRecord& record) { record.name = name; });
}

void Run::SetInputs(JsonObject inputs) noexcept {
  if (state_ == nullptr) return;
  state_->Change([&](RunRecord& record) { record.inputs = std::move(inputs); });
}

void Run::SetOutputs(JsonObject outputs) noexcept { SetOutputsOf(state_, outputs); }

void Run::AddTags(std::vector<std::string> tags) noexcept { AddTagsTo(state_, tags); }

void Run::AddMetadata(JsonObject metadata) noexcept { AddMetadataTo(state_, metadata); }

void Run::AddAttribute(std::string_view static_key, RunAttribute::Value value) noexcept {
  if (state_ == nullptr) return;
  state_->Change([&](RunRecord& record) {
    if (record.attributes.capacity() == 0) record.attributes.reserve(4);
    record.attributes.push_back({static_key, std::move(value)});
  });
}

void Run::AddEvent(std::string_view name, JsonObject kwargs) noexcept {
  AddEventTo(state_, name, std::nullopt, kwargs);
}

void Run::AddEvent(std::string_view name, std::chrono::system_clock::time_point time,
                   JsonObject kwargs) noexcept {
  AddEventTo(state_, name, time, kwargs);
}

void Run::AddUsage(const Usage& usage) noexcept { AddUsageTo(state_, usage); }

void Run::SetModel(std::string_view provider, std::string_view name) noexcept {
  if (state_ != nullptr) AddMetadata(ModelMetadata(provider, name));
}

void Run::Attach(std::string_view name, std::string_view mime_type, std::string content) noexcept {
  if (state_ == nullptr) return;
  state_->Change([&](RunRecord& record) {
    std::string plain(name);
    // An address is recognised by its dot: then the redactor replaces what is left of them.
    if (!state_->tracer()->impl().environment->redactor) {
      std::replace(plain.begin(), plain.end(), '.', '_');
    }
    record.attachments.push_back({std::move(plain), std::string(mime_type), std::move(content)});
  });
}

void Run::SetPayload(std::shared_ptr<const RunPayload> payload) noexcept {
  if (state_ == nullptr) return;
  state_->Change([&](RunRecord& record) { record.payload = std::move(payload); });
}

void Run::SetError(std::string_view text) noexcept {
  if (state_ == nullptr) return;
  state_->Change([&](RunRecord& record) { record.error.emplace(text); });
}

void Run::SetError(const absl::Status& status) noexcept {
  if (state_ == nullptr || status.ok()) return;
  SetError(std::string_view(status.ToString()));
}

void Run::SetError(std::exception_ptr error) noexcept {
  if (state_ == nullptr || !error) return;
  SetError(std::string_view(TextOf(error)));
}

void Run::Keep() noexcept {
  if (state_ != nullptr) state_->Keep();
}

bool Run::kept() const noexcept { return node() != nullptr && node()->kept(); }

bool Run::recording() const noexcept { return state_ != nullptr && state_->recording(); }

Run::operator bool() const noexcept { return recording() && state_->will_be_sent(); }

RunContext Run::context() const noexcept { return node() ? node()->context() : RunContext(); }

TraceHeaders Run::ToHeaders() const { return HeadersOf(node()); }

RunRef Run::Ref() const noexcept { return RunRef(node()); }

RunRef::RunRef() noexcept = default;

RunRef::RunRef(std::shared_ptr<internal::RunNode> node) noexcept : node_(std::move(node)) {}

RunContext RunRef::context() const noexcept { return node_ ? node_->context() : RunContext(); }

TraceHeaders RunRef::ToHeaders() const { return HeadersOf(node_); }

RunRef::operator bool() const noexcept { return node_ && node_->has_context(); }

void RunRef::SetOutputs(JsonObject outputs) const noexcept {
  SetOutputsOf(StateOf(node_), outputs);
}

void RunRef::AddTags(std::vector<std::string> tags) const noexcept {
  AddTagsTo(StateOf(node_), tags);
}

void RunRef::AddMetadata(JsonObject metadata) const noexcept {
  AddMetadataTo(StateOf(node_), metadata);
}

void RunRef::AddEvent(std::string_view name, JsonObject kwargs) const noexcept {
  AddEventTo(StateOf(node_), name, std::nullopt, kwargs);
}

void RunRef::AddUsage(const Usage& usage) const noexcept { AddUsageTo(StateOf(node_), usage); }

void RunRef::SetModel(std::string_view provider, std::string_view name) const noexcept {
  if (StateOf(node_) != nullptr) AddMetadata(ModelMetadata(provider, name));
}

bool RunRef::recording() const noexcept {
  const RunState* const state = StateOf(node_);
  return state != nullptr && state->recording();
}

bool RunRef::kept() const noexcept { return node_ != nullptr && node_->kept(); }

RunRef CurrentRun() noexcept { return RunOf(Context::View()); }

RunRef RunOf(ContextView context) noexcept {
  const internal::RunNodePtr* const node = context.Find(internal::kRunKey);
  return node != nullptr ? RunRef(*node) : RunRef();
}

const RunContext* internal::FindRun(ContextView context) noexcept {
  const internal::RunNodePtr* const node = context.Find(internal::kRunKey);
  if (node == nullptr || *node == nullptr) return nullptr;
  const RunContext& run = (*node)->context();
  return run ? &run : nullptr;
}

Context WithRun(const Context& base, const Run& run) noexcept {
  return run.node() ? base.With(internal::kRunKey, run.node()) : base;
}

Context WithParent(const Context& base, ParsedHeaders parent,
                   std::shared_ptr<Tracer> tracer) noexcept {
  Parent wanted = std::move(parent);
  Context context = base.With(internal::kRunKey, internal::ResolveParent(wanted, nullptr));
  if (!tracer) return context;
  const internal::AmbientPtr* const outer = base.Find(internal::kAmbientKey);
  auto ambient = outer != nullptr ? std::make_shared<internal::Ambient>(**outer)
                                  : std::make_shared<internal::Ambient>();
  ambient->tracer = std::move(tracer);
  return context.With(internal::kAmbientKey, std::move(ambient));
}

}  // namespace v0
}  // namespace weft
