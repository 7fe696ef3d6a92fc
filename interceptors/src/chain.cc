// SPDX-License-Identifier: Apache-2.0
#include "chain.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "message_content.h"

namespace weft {
inline namespace v0 {
namespace internal {
namespace {

// Eight bytes from `at` on, or what there is of them.
std::uint64_t Word(std::string_view text, std::size_t at) noexcept {
  std::uint64_t word = 0;
  if (text.size() >= sizeof(word)) {
    std::memcpy(&word, text.data() + std::min(at, text.size() - sizeof(word)), sizeof(word));
  } else if (!text.empty()) {
    std::memcpy(&word, text.data(), text.size());
  }
  return word;
}

// Of what mostly tells methods apart: the length, the end and the middle. Calls that are let
// through cost little else; names that collide take neighbouring slots.
std::size_t Hash(std::string_view full_method, RpcKind kind) noexcept {
  constexpr std::uint64_t kOdd = 0x9e3779b97f4a7c15;  // 2^64 divided by the golden ratio
  const std::size_t size = full_method.size();
  std::uint64_t hash = (Word(full_method, size) ^ size) * kOdd;
  hash = (hash ^ (hash >> 32) ^ Word(full_method, size / 2)) * kOdd;
  return (hash >> 32) + static_cast<std::size_t>(kind);
}

bool Same(const MethodInfo& info, std::string_view full_method, RpcKind kind) noexcept {
  return info.description.kind == kind && info.name == full_method;
}

std::size_t AlignUp(std::size_t value, std::size_t alignment) noexcept {
  return (value + alignment - 1) & ~(alignment - 1);
}

// Like nested calls: what goes in and the beginnings from the first to the last, the rest in
// reverse.
bool IsOutwards(Step step) noexcept {
  return step == Step::kSendMetadata || step == Step::kSendTrailers || step == Step::kStatus ||
         step == Step::kEnd;
}

bool Takes(const MethodInfo::Link& link, Step step) noexcept {
  const HookSet hooks = link.hooks;
  switch (step) {
    case Step::kConstruct:
      return link.call_state.construct != nullptr;
    case Step::kStart:
      return hooks.Has(HookSet::kOnStart);
    case Step::kAdmit:
      return hooks.Has(HookSet::kAdmit) || hooks.Has(HookSet::kOnReceiveMetadata);
    case Step::kVerdict:
      return hooks.Has(HookSet::kOnVerdict);
    case Step::kAdmitSending:
      return hooks.Has(HookSet::kAdmitSending);
    case Step::kSendMetadata:
      return hooks.Has(HookSet::kOnSendMetadata);
    case Step::kSendTrailers:
      return hooks.Has(HookSet::kOnSendTrailers);
    case Step::kReceiveMetadata:
      return hooks.Has(HookSet::kOnReceiveMetadata);
    case Step::kReceiveTrailers:
      return hooks.Has(HookSet::kOnReceiveTrailers);
    case Step::kMessage:
      return hooks.Has(HookSet::kOnMessage);
    case Step::kStatus:
      return hooks.Has(HookSet::kOnStatus);
    case Step::kEnd:
      return hooks.Has(HookSet::kOnEnd);
    case Step::kDestroy:
      return link.call_state.destroy != nullptr;
  }
  return true;
}

}  // namespace

void MethodInfo::OrderSteps() noexcept {
  for (std::size_t i = 0; i < kSteps; ++i) {
    const auto step = static_cast<Step>(i);
    // From the last in the order to the first.
    const auto put = [&](Link& link) {
      if (Takes(link, step)) link.next[i] = std::exchange(first[i], &link);
    };
    if (IsOutwards(step)) {
      std::ranges::for_each(links, put);
    } else {
      std::for_each(links.rbegin(), links.rend(), put);
    }
  }
}

Chain::Chain(CallSide side, InterceptorOptions options, std::string target,
             std::shared_ptr<ServerGuards> guards)
    : side_(side),
      target_(std::move(target)),
      selector_(std::move(options.selector)),
      byte_buffers_(std::move(options.byte_buffers)),
      guards_(std::move(guards)) {
  if (options.tracer != nullptr) {
    clock_ = options.tracer->options().clock;
    links_.emplace_back(Tracing(std::move(options.tracer), std::move(options.tracing)));
  }
  for (ChainLink& link : options.middlewares) links_.push_back(std::move(link));
}

Chain::~Chain() {
  for (auto& slot : methods_) delete slot.load(std::memory_order_relaxed);
}

std::chrono::system_clock::time_point Chain::Now() const noexcept {
  return clock_ == nullptr ? std::chrono::system_clock::now() : clock_->Now();
}

bool Chain::Sees(std::string_view full_method) const {
  return selector_.Selects(full_method) && std::ranges::any_of(links_, [&](const ChainLink& link) {
           return link.selector.Selects(full_method);
         });
}

std::string Chain::RejectorOf(std::string_view service) const {
  // As good as a method that nobody named: selectors for single ones are seen when they reject.
  const std::string some_method = std::string("/").append(service).append("/");
  if (!selector_.Selects(some_method)) return {};
  for (const ChainLink& link : links_) {
    if (link.middleware->may_reject() && link.selector.Selects(some_method)) {
      return std::string(link.middleware->name());
    }
  }
  return {};
}

std::unique_ptr<const MethodInfo> Chain::Describe(std::string_view full_method,
                                                  RpcKind kind) const {
  auto info = std::make_unique<MethodInfo>();
  info->name = full_method;
  info->target = target_;
  const std::string_view name = info->name;
  const std::size_t slash = name.rfind('/');
  const bool regular = name.starts_with('/') && slash != 0 && slash != name.npos;
  info->description = {.side = side_,
                       .kind = kind,
                       .full_method = name,
                       .service = regular ? name.substr(1, slash - 1) : std::string_view(),
                       .method = regular ? name.substr(slash + 1) : name,
                       .target = info->target};
  if (!selector_.Selects(name)) return info;
  info->guarded = guards_ != nullptr && guards_->Guards(name, info->description.service);
  bool wants_messages = false;
  if (guards_ != nullptr) info->served_by = guards_->WhatServes(name);
  for (const ChainLink& link : links_) {
    if (!link.selector.Selects(name)) continue;
    wants_messages = wants_messages || link.middleware->wants_messages(info->description);
    HookSet hooks = link.middleware->side_hooks(side_);
    if (!link.middleware->sees_messages(info->description)) hooks.Remove(HookSet::kOnMessage);
    info->sees_messages |= hooks.Has(HookSet::kOnMessage);
    const CallStateType state = link.middleware->call_state();
    info->state_bytes = AlignUp(info->state_bytes, state.alignment);
    info->links.push_back({.middleware = link.middleware,
                           .method_state = link.middleware->OnMethod(info->description),
                           .call_state = state,
                           .offset = info->state_bytes,
                           .hooks = hooks});
    info->state_bytes += state.size;
  }
  info->OrderSteps();
  if (wants_messages) {
    info->messages = MethodMessages::Of(info->description,
                                        byte_buffers_.has_value() && byte_buffers_->Selects(name));
  }
  return info;
}

// A client's context holds the channel, and that its interceptors' factories and so the chain, for
// longer than the interceptors of the call: no reference to count.
std::shared_ptr<const Chain> Chain::ForCall() const {
  return side_ == CallSide::kServer ? shared_from_this()
                                    : std::shared_ptr<const Chain>(std::shared_ptr<void>(), this);
}

MethodRef Chain::Find(std::string_view full_method, RpcKind kind) const {
  const std::size_t hash = Hash(full_method, kind);
  const auto found = [this](const MethodInfo& info) {
    return MethodRef{
        .chain = info.links.empty() ? nullptr : ForCall(), .info = &info, .owned = nullptr};
  };
  for (std::size_t i = 0; i < kProbes; ++i) {
    const MethodInfo* info = methods_[(hash + i) % kSlots].load(std::memory_order_acquire);
    if (info == nullptr) break;
    if (Same(*info, full_method, kind)) return found(*info);
  }
  std::unique_ptr<const MethodInfo> info = Describe(full_method, kind);
  const std::lock_guard lock(insert_);
  for (std::size_t i = 0; i < kProbes; ++i) {
    std::atomic<const MethodInfo*>& slot = methods_[(hash + i) % kSlots];
    const MethodInfo* present = slot.load(std::memory_order_relaxed);
    if (present == nullptr) {
      slot.store(info.get(), std::memory_order_release);
      return found(*info.release());
    }
    if (Same(*present, full_method, kind)) return found(*present);
  }
  MethodRef ref = found(*info);
  ref.owned = std::move(info);
  return ref;
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
