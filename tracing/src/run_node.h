// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <weft/context/context.h>
#include <weft/context/context_scope.h>
#include <weft/tracing/run_context.h>
#include <weft/tracing/tracer.h>

#include "promotion_buffer.h"

namespace weft {
inline namespace v0 {
namespace internal {

/// Members of `baggage` that are not LangSmith's, decoded.
using BaggageMembers = std::vector<std::pair<std::string, std::string>>;

/// What the TracingContexts around a stack say together.
struct Ambient {
  std::shared_ptr<Tracer> tracer;
  std::optional<bool> enabled;
  std::optional<std::string> project;
  std::vector<std::string> tags;
  JsonObject metadata;
  BaggageMembers baggage;
};

using AmbientPtr = std::shared_ptr<const Ambient>;

class LocalRun;
class RunNode;
class RunState;

using RunNodePtr = std::shared_ptr<RunNode>;

inline constexpr ContextKey<RunNodePtr> kRunKey{ContextSlot::kRun};
inline constexpr ContextKey<AmbientPtr> kAmbientKey{ContextSlot::kTracer};

/// A run as a context holds it: of this process (then it is a LocalRun) or of another one, or only
/// what headers without a parent said.
class RunNode {
 public:
  /// `inherited` null: `context` has no tags that are its own.
  RunNode(RunContext context, std::shared_ptr<const TraceBaggage> inherited) noexcept
      : context_(std::move(context)), inherited_(std::move(inherited)) {}
  RunNode(const RunNode&) = delete;
  RunNode& operator=(const RunNode&) = delete;
  virtual ~RunNode() = default;

  /// Who the run is. Of an UnrecordedRun that is made up when somebody asks for the first time; the
  /// three questions below do not.
  const RunContext& context() const noexcept {
    if (anonymous()) [[unlikely]]
      Identify();
    return context_;
  }
  bool has_context() const noexcept { return anonymous() || context_; }
  bool is_remote() const noexcept { return !anonymous() && context_.is_remote(); }
  bool sampled() const noexcept { return !anonymous() && context_.sampled(); }

  /// What a run below starts from: the baggage without the run's own tags.
  virtual const std::shared_ptr<const TraceBaggage>& inherited() const noexcept {
    return inherited_ || !context_ ? inherited_ : context_.shared_baggage();
  }
  virtual LocalRun* AsLocal() noexcept { return nullptr; }
  virtual RunState* AsState() noexcept { return nullptr; }
  /// The run that this node says more about; null: none.
  virtual const RunNodePtr* inner() const noexcept { return nullptr; }

  /// Whether the trace is kept whatever samples: shared with the runs below that this process
  /// makes, so that who called hears of them, too.
  virtual KeepMark& mark() const noexcept { return own_mark_; }
  bool kept() const noexcept { return mark().kept(); }

 protected:
  /// Without a context, until Identify gives it one.
  RunNode() noexcept : anonymous_(true) {}
  void SetContext(RunContext context) const noexcept {
    context_ = std::move(context);
    anonymous_.store(false, std::memory_order_release);
  }

  mutable KeepMark own_mark_;

 private:
  bool anonymous() const noexcept { return anonymous_.load(std::memory_order_acquire); }
  /// Calls SetContext, once.
  virtual void Identify() const noexcept {}

  mutable std::atomic<bool> anonymous_{false};
  mutable RunContext context_;
  std::shared_ptr<const TraceBaggage> inherited_;
};

/// The tracer that a run is made with, borrowed where somebody else keeps it.
class TracerRef {
 public:
  TracerRef() noexcept = default;
  explicit TracerRef(std::shared_ptr<Tracer> own) noexcept : own_(std::move(own)) {}
  /// Lifetime: of `kept`.
  explicit TracerRef(const std::shared_ptr<Tracer>* kept) noexcept : kept_(kept) {}

  Tracer* get() const noexcept { return kept_ != nullptr ? kept_->get() : own_.get(); }
  Tracer& operator*() const noexcept { return *get(); }
  Tracer* operator->() const noexcept { return get(); }
  explicit operator bool() const noexcept { return get() != nullptr; }
  std::shared_ptr<Tracer> Share() && noexcept {
    return kept_ != nullptr ? *kept_ : std::move(own_);
  }

 private:
  std::shared_ptr<Tracer> own_;
  const std::shared_ptr<Tracer>* kept_ = nullptr;  // Null: `own_` counts.
};

/// A run that this process makes.
class LocalRun : public RunNode {
 public:
  LocalRun* AsLocal() noexcept override { return this; }

  const std::shared_ptr<Tracer>& tracer() const noexcept {
    return tracer_ ? tracer_ : ambient_->tracer;
  }
  /// Null: none.
  const Ambient* ambient() const noexcept { return ambient_; }

  /// Either of these two follows the constructor. The first is for runs that are not made current.
  void KeepAmbient(const AmbientPtr* ambient) noexcept {
    if (ambient != nullptr) kept_ambient_ = *ambient;
  }
  /// Makes the run current on this stack, in `outer`, where it began. `self` is this run: from now
  /// on the context keeps it, and what is around it.
  void Enter(ContextView outer, RunNodePtr self) noexcept {
    context_ = Context::Embed(outer, kRunKey, std::move(self), context_node_);
    scope_.emplace(context_);
  }
  /// What Enter was given; null when the run is not current, or no longer.
  const RunNodePtr* entered() const noexcept { return scope_ ? &context_node_->payload : nullptr; }
  /// Ends what Enter began, if it did, and with it the run if nobody else keeps it.
  void Leave() noexcept {
    if (scope_ && !IsContextOurs()) KeepAmbient(context_.Find(kAmbientKey));
    const Context last(std::move(context_));
    scope_.reset();
  }

 protected:
  /// `ambient`: what is around the run, null for nothing; borrowed.
  LocalRun(TracerRef&& tracer, const AmbientPtr* ambient) noexcept
      : ambient_(ambient != nullptr ? ambient->get() : nullptr) {
    ShareTracer(std::move(tracer));
  }
  LocalRun(RunContext context, std::shared_ptr<const TraceBaggage> inherited, TracerRef&& tracer,
           const AmbientPtr* ambient) noexcept
      : RunNode(std::move(context), std::move(inherited)),
        ambient_(ambient != nullptr ? ambient->get() : nullptr) {
    ShareTracer(std::move(tracer));
  }

 private:
  /// Whether nobody else keeps the context, or what is in it.
  bool IsContextOurs() const noexcept {
    return context_node_->references.load(std::memory_order_acquire) == 1 &&
           context_node_->pins.load(std::memory_order_acquire) == 1 &&
           context_node_->payload.use_count() == 1;
  }
  void ShareTracer(TracerRef&& tracer) noexcept {
    if (ambient_ == nullptr || ambient_->tracer.get() != tracer.get()) {
      tracer_ = std::move(tracer).Share();
    }
  }

  std::shared_ptr<Tracer> tracer_;  // Null: the one of `ambient_`, which keeps it.
  const Ambient* const ambient_;    // Kept by what the run began in, until Leave.
  AmbientPtr kept_ambient_;         // The same, of a run that may outlive that.
  // In the Run's stack only.
  Context context_;
  std::optional<EmbeddedNode<RunNodePtr>> context_node_;
  std::optional<BorrowingScope> scope_;
};

}  // namespace internal
}  // namespace v0
}  // namespace weft
