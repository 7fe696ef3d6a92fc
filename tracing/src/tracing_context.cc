// SPDX-License-Identifier: Apache-2.0
#include <weft/tracing/tracing_context.h>

#include <algorithm>
#include <atomic>
#include <utility>

#include "run_state.h"
#include "start_run.h"
#include "tags.h"
#include "text.h"

namespace weft {
inline namespace v0 {
namespace {

bool SaysNothing(const TracingContextOptions& options) noexcept {
  return !options.project && options.tags.empty() && options.metadata.empty() &&
         options.baggage.empty() && !options.enabled && !options.tracer;
}

internal::AmbientPtr Extend(const internal::AmbientPtr* outer, TracingContextOptions& options) {
  auto ambient = outer != nullptr ? std::make_shared<internal::Ambient>(**outer)
                                  : std::make_shared<internal::Ambient>();
  if (options.tracer) ambient->tracer = std::move(options.tracer);
  if (options.enabled) ambient->enabled = options.enabled;
  if (options.project) ambient->project = std::move(options.project);
  internal::MergeTags(ambient->tags, options.tags);
  for (auto& [key, value] : options.metadata) {
    ambient->metadata.insert_or_assign(key, std::move(value));
  }
  for (auto& [key, value] : options.baggage) {
    std::erase_if(ambient->baggage, [&key = key](const auto& had) { return had.first == key; });
    ambient->baggage.emplace_back(key, std::move(value));
  }
  return ambient;
}

std::atomic<std::uint64_t> dropped_members{0};

// What a peer would take for LangSmith's is not the user's to set.
bool CanSend(const std::string& key) noexcept {
  if (internal::IsToken(key) && !key.starts_with("langsmith-")) return true;
  dropped_members.fetch_add(1, std::memory_order_relaxed);
  return false;
}

/// A run that hands on more than it did when it started.
class NodeWithMembers final : public internal::RunNode {
 public:
  NodeWithMembers(internal::RunNodePtr run, RunContext context,
                  std::shared_ptr<const TraceBaggage> inherited) noexcept
      : RunNode(std::move(context), std::move(inherited)), run_(std::move(run)) {}

  internal::LocalRun* AsLocal() noexcept override { return run_ ? run_->AsLocal() : nullptr; }
  internal::RunState* AsState() noexcept override { return run_ ? run_->AsState() : nullptr; }
  const internal::RunNodePtr* inner() const noexcept override { return run_ ? &run_ : nullptr; }
  internal::KeepMark& mark() const noexcept override { return run_ ? run_->mark() : own_mark_; }

 private:
  const internal::RunNodePtr run_;  // Null: none.
};

internal::RunNodePtr AddMembers(const internal::RunNodePtr* current,
                                const internal::BaggageMembers& members) {
  internal::RunNode* const run = current != nullptr ? current->get() : nullptr;
  auto inherited = internal::WithMembers(run != nullptr ? run->inherited() : nullptr, members);
  if (run == nullptr) {
    return std::make_shared<NodeWithMembers>(nullptr, RunContext(), std::move(inherited));
  }
  return std::make_shared<NodeWithMembers>(
      run->inner() != nullptr ? *run->inner() : *current,
      run->context().WithBaggage(internal::WithMembers(run->context().shared_baggage(), members)),
      std::move(inherited));
}

}  // namespace

Context WithTracing(const Context& base, TracingContextOptions options) noexcept {
  Context context = base;
  std::erase_if(options.baggage, [](const auto& member) { return !CanSend(member.first); });
  const bool new_parent = !std::holds_alternative<std::monostate>(options.parent);
  const bool new_members = !options.baggage.empty();
  if (new_parent) {
    context = context.With(internal::kRunKey,
                           internal::ResolveParent(options.parent, base.Find(internal::kRunKey)));
  }
  if (!SaysNothing(options)) {
    context =
        context.With(internal::kAmbientKey, Extend(base.Find(internal::kAmbientKey), options));
  }
  const internal::AmbientPtr* const ambient = context.Find(internal::kAmbientKey);
  if ((!new_parent && !new_members) || ambient == nullptr || (*ambient)->baggage.empty()) {
    return context;
  }
  return context.With(internal::kRunKey,
                      AddMembers(context.Find(internal::kRunKey), (*ambient)->baggage));
}

TracingContext::TracingContext(TracingContextOptions options) noexcept
    : scope_(WithTracing(Context::Current(), std::move(options))) {}

TracingContextOptions CurrentTracing() {
  const internal::Surroundings here = internal::Surroundings::Of(Context::View());
  TracingContextOptions now;
  now.tracer = here.FindTracer(nullptr).Share();
  now.enabled = now.tracer && here.Enabled(*now.tracer);
  if (here.run != nullptr && *here.run && (*here.run)->has_context()) {
    now.parent = (*here.run)->context();
  }
  const auto baggage = internal::InheritedBaggage(now.tracer.get(), here);
  now.project = baggage->project;
  now.tags = baggage->tags;
  now.metadata = baggage->metadata;
  now.baggage = baggage->foreign;
  return now;
}

std::optional<std::string> CurrentBaggage(std::string_view key) {
  const internal::RunNodePtr* const run = Context::View().Find(internal::kRunKey);
  if (run == nullptr || !*run || !(*run)->inherited()) return std::nullopt;
  const internal::BaggageMembers& members = (*run)->inherited()->foreign;
  // The last of several, as with LangSmith's members.
  const auto found = std::find_if(members.rbegin(), members.rend(),
                                  [key](const auto& member) { return member.first == key; });
  if (found == members.rend()) return std::nullopt;
  return found->second;
}

std::uint64_t DroppedBaggageMembers() noexcept {
  return dropped_members.load(std::memory_order_relaxed);
}

}  // namespace v0
}  // namespace weft
