// SPDX-License-Identifier: Apache-2.0
#include "call_data.h"

#include <utility>

#include <grpcpp/support/time.h>

#include <weft/async/internal/thrown.h>

#include "message_content.h"
#include "stats.h"

#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#endif

namespace weft {
inline namespace v0 {
namespace internal {
namespace {

// A gRPC peer refuses more than 8 KiB of metadata in all by failing the call; pseudo-headers, user
// agent and encodings take some of it.
constexpr std::size_t kRequestMetadataLimit = 7 * 1024;
constexpr std::size_t kReplyMetadataLimit = 1024;

template <typename F>
void ForEach(CallData& data, Step step, F&& hook) noexcept {
  for (const MethodInfo::Link& link : data.method.info->With(step)) {
    Call call(data, *link.middleware, data.states + link.offset, link.method_state.get());
    hook(*link.middleware, call);
  }
}

/// For a call that was not started: there are no states.
template <typename F>
void ForEachStateless(CallData& data, Step step, F&& hook) noexcept {
  for (const MethodInfo::Link& link : data.method.info->With(step)) {
    Call call(data, *link.middleware, nullptr, link.method_state.get());
    hook(*link.middleware, call);
  }
}

// gRPC destroys what it has of a call once nothing of it is under way. As its libraries are not
// instrumented, ThreadSanitizer must be told.
void AfterHooks([[maybe_unused]] CallData& data) noexcept {
#if defined(__SANITIZE_THREAD__)
  __tsan_release(&data);
#endif
}
void BeforeDestruction([[maybe_unused]] CallData& data) noexcept {
#if defined(__SANITIZE_THREAD__)
  __tsan_acquire(&data);
#endif
}

}  // namespace

bool NeedsOnlyHeaders(const MethodInfo& info, MetadataWriter::Map& map) noexcept {
  const MetadataWriter writer(map, kRequestMetadataLimit);
  for (const MethodInfo::Link& link : info.links) {
    if (!link.middleware->OnlyHeaders(info.description, link.method_state.get(), writer)) {
      return false;
    }
  }
  return true;
}

CallData::~CallData() {
  if (!Is(kStarted)) return;
  BeforeDestruction(*this);
  for (const MethodInfo::Link& link : method.info->With(Step::kDestroy)) {
    link.call_state.destroy(states + link.offset);
  }
}

void CallData::Start() noexcept {
  for (const MethodInfo::Link& link : method.info->With(Step::kConstruct)) {
    link.call_state.construct(states + link.offset);
  }
  Set(kStarted);
  CountStarted(method.info->description.side);
  ForEach(*this, Step::kStart,
          [](Middleware& middleware, Call& call) { middleware.OnStart(call); });
}

void CallData::SendMetadata(MetadataWriter::Map& map) noexcept {
  MetadataWriter writer(map, method.info->description.side == CallSide::kClient
                                 ? kRequestMetadataLimit
                                 : kReplyMetadataLimit);
  ForEach(*this, Step::kSendMetadata,
          [&](Middleware& middleware, Call& call) { middleware.OnSendMetadata(call, writer); });
}

void CallData::SendOnlyHeaders(MetadataWriter::Map& map) noexcept {
  MetadataWriter writer(map, kRequestMetadataLimit);
  ForEachStateless(*this, Step::kSendMetadata, [&](Middleware& middleware, Call& call) {
    middleware.OnSendMetadata(call, writer);
  });
}

void CallData::ReceiveOnly(const MetadataView& view) noexcept {
  ForEachStateless(*this, Step::kReceiveMetadata, [&](Middleware& middleware, Call& call) {
    middleware.OnReceiveMetadata(call, view);
  });
}

void CallData::SendTrailers(MetadataWriter::Map& map) noexcept {
  MetadataWriter writer(map, kReplyMetadataLimit);
  ForEach(*this, Step::kSendTrailers,
          [&](Middleware& middleware, Call& call) { middleware.OnSendTrailers(call, writer); });
  if (rejection == nullptr) return;
  for (const auto& [key, value] : rejection->verdict.trailers) writer.Add(key, value);
}

void CallData::ReceiveMetadata(const MetadataView& view) noexcept {
  ForEach(*this, Step::kReceiveMetadata,
          [&](Middleware& middleware, Call& call) { middleware.OnReceiveMetadata(call, view); });
}

void CallData::Reject(Verdict verdict, const Middleware& by) noexcept {
  rejection.Set(std::make_unique<const Rejection>(
      Rejection{std::move(verdict), by.name(), method.chain->Now() - start}));
}

bool CallData::AdmitSending(MetadataWriter::Map& map) noexcept {
  const MetadataWriter writer(map, kRequestMetadataLimit);
  if (hold != nullptr) {
    std::optional<Verdict> outcome = std::exchange(hold, nullptr)->TakeOutcome();
    if (!outcome) return true;
    if (!outcome->status.ok()) Reject(*std::move(outcome), *asked->middleware);
  }
  while (rejection == nullptr) {
    const MethodInfo::Link* const next = method.info->After(asked, Step::kAdmitSending);
    if (next == nullptr) break;
    asked = next;
    const MethodInfo::Link& link = *next;
    Call call(*this, *link.middleware, states + link.offset, link.method_state.get());
    Verdict verdict = link.middleware->AdmitSending(call, writer);
    if (!verdict.status.ok()) {
      Reject(std::move(verdict), *link.middleware);
    } else if (hold != nullptr) {
      return false;
    }
  }
  return true;
}

void CallData::Admit(const MetadataView& view) noexcept {
  for (const MethodInfo::Link& link : method.info->With(Step::kAdmit)) {
    Call call(*this, *link.middleware, states + link.offset, link.method_state.get());
    if (link.hooks.Has(HookSet::kAdmit)) {
      Verdict verdict = link.middleware->Admit(call, view);
      if (!verdict.status.ok()) {
        Reject(std::move(verdict), *link.middleware);
        break;
      }
    }
    if (link.hooks.Has(HookSet::kOnReceiveMetadata)) {
      link.middleware->OnReceiveMetadata(call, view);
    }
  }
  ForEach(*this, Step::kVerdict,
          [&](Middleware& middleware, Call& call) { middleware.OnVerdict(call, view); });
}

void CallData::ReceiveTrailers(const MetadataView& view) noexcept {
  ForEach(*this, Step::kReceiveTrailers,
          [&](Middleware& middleware, Call& call) { middleware.OnReceiveTrailers(call, view); });
}

const google::protobuf::Message* CallData::Prototype(
    MessageView::Direction direction) const noexcept {
  return method.info->messages->Prototype(method.info->description.side, direction);
}

void CallData::SendMessage(MessageContent::Batch& batch) noexcept {
  constexpr auto kDirection = MessageView::Direction::kSent;
  if (!WantsMessages()) return Message(kDirection, nullptr);
  MessageContent content(batch, generic, Prototype(kDirection));
  Message(kDirection, &content);
}

void CallData::ReceiveMessage(void* message) noexcept {
  constexpr auto kDirection = MessageView::Direction::kReceived;
  if (!WantsMessages()) return Message(kDirection, nullptr);
  MessageContent content(message, generic, Prototype(kDirection));
  Message(kDirection, &content);
}

void CallData::Message(MessageView::Direction direction, MessageContent* content) noexcept {
  std::atomic<std::uint64_t>& count = direction == MessageView::Direction::kSent ? sent : received;
  // gRPC has one message in each direction under way, so nobody else counts at the same time.
  const std::uint64_t index = count.load(std::memory_order_relaxed);
  count.store(index + 1, std::memory_order_relaxed);
  if (!method.info->sees_messages || !Is(kStarted) || Is(kEnded)) return;
  const MessageView message{direction, index, content};
  ForEach(*this, Step::kMessage,
          [&](Middleware& middleware, Call& call) { middleware.OnMessage(call, message); });
}

void CallData::Status(grpc::Status& status) noexcept {
  if (status.error_code() == grpc::StatusCode::INTERNAL) NoteThrown();
  ForEach(*this, Step::kStatus,
          [&](Middleware& middleware, Call& call) { middleware.OnStatus(call, status); });
}

void CallData::NoteThrown() noexcept {
  if (method.info->description.side == CallSide::kClient || thrown != nullptr) return;
  if (const std::exception_ptr* known = Context::View().Find(kThrownKey)) thrown = *known;
}

void CallData::End(CallReport report) noexcept {
  if ((Set(kEnded) & kEnded) != 0) return;
  report.messages_sent = sent.load(std::memory_order_relaxed);
  report.messages_received = received.load(std::memory_order_relaxed);
  if (rejection != nullptr) {
    report.rejected_by = rejection->by;
    report.rejected_after = rejection->after;
  }
  CountEnded(method.info->description.side);
  ForEach(*this, Step::kEnd,
          [&](Middleware& middleware, Call& call) { middleware.OnEnd(call, report); });
  AfterHooks(*this);
}

std::optional<std::chrono::system_clock::time_point> ToDeadline(gpr_timespec deadline) noexcept {
  if (gpr_time_cmp(deadline, gpr_inf_future(deadline.clock_type)) == 0) return std::nullopt;
  return grpc::Timespec2Timepoint(deadline);
}

}  // namespace internal

const MethodDescription& Call::method() const noexcept { return data_.method.info->description; }
std::chrono::system_clock::time_point Call::start() const noexcept { return data_.start; }
std::optional<std::chrono::system_clock::time_point> Call::deadline() const noexcept {
  return data_.deadline;
}
const std::string& Call::peer() const {
  static const std::string kNone;
  if (data_.server_context == nullptr) return kNone;
  // gRPC makes it anew each time, in several copies.
  if (data_.peer.empty()) data_.peer = data_.server_context->peer();
  return data_.peer;
}
std::vector<std::string> Call::tls_identities() const {
  if (data_.server_context == nullptr) return {};
  const auto authenticated = data_.server_context->auth_context();
  if (authenticated == nullptr || !authenticated->IsPeerAuthenticated()) return {};
  std::vector<std::string> names;
  for (const grpc::string_ref& name : authenticated->GetPeerIdentity()) {
    names.emplace_back(name.data(), name.size());
  }
  return names;
}
std::shared_ptr<HeldCall> Call::Hold(std::chrono::system_clock::time_point until, Verdict late) {
  std::optional<Verdict> outcome = std::move(late);
  if (data_.deadline && *data_.deadline <= until) {
    until = *data_.deadline;
    outcome.reset();
  }
  data_.hold = std::make_shared<internal::Hold>(until, std::move(outcome));
  return data_.hold;
}
void Call::Reject(Verdict verdict) { data_.Reject(std::move(verdict), middleware_); }
ServerApi Call::api() const noexcept { return data_.api; }
const std::exception_ptr& Call::exception() const noexcept { return data_.thrown; }
int Call::previous_attempts() const noexcept { return data_.previous_attempts; }
const Context& Call::context() const noexcept { return data_.context; }
void Call::SetContext(Context context) noexcept { data_.context = std::move(context); }

}  // namespace v0
}  // namespace weft
