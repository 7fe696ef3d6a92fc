// SPDX-License-Identifier: Apache-2.0
#include "message_runs.h"

#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include <google/protobuf/message.h>

#include <weft/context/context_scope.h>
#include <weft/trace_field.pb.h>
#include <weft/tracing/trace_headers.h>

#include "header_exchange.h"
#include "message_content.h"
#include "message_envelope.h"
#include "stats.h"

namespace weft {
inline namespace v0 {
namespace internal {
namespace {

using Direction = MessageView::Direction;
using google::protobuf::FieldDescriptor;

constexpr std::size_t kMostLinks = 32;
constexpr std::size_t kLongestCarried = 8192;
// A larger message may be close to what its receiver takes.
constexpr std::size_t kLargestMessage = std::size_t{1} << 20;

// Who received what into which object; entries end with the next message of the stream, or with it.
class ReceivedMessages {
 public:
  static ReceivedMessages& Get() {
    // Never destroyed: calls may still end while the program leaves.
    static ReceivedMessages& messages = *new ReceivedMessages;
    return messages;
  }
  void Set(const void* message, MessageRuns* runs) {
    const std::lock_guard lock(mutex_);
    runs_[message] = runs;
  }
  void Forget(const void* message, MessageRuns* runs) {
    const std::lock_guard lock(mutex_);
    const auto found = runs_.find(message);
    if (found != runs_.end() && found->second == runs) runs_.erase(found);
  }
  // The lock keeps the runs alive: they are forgotten before they are destroyed.
  Context ContextOf(const void* message, const Context& base) {
    const std::lock_guard lock(mutex_);
    const auto found = runs_.find(message);
    return found == runs_.end() ? base : found->second->ContextOfLast(base, message);
  }

 private:
  std::mutex mutex_;
  std::unordered_map<const void*, MessageRuns*> runs_;
};

const FieldDescriptor* TraceFieldOf(const google::protobuf::Descriptor& type,
                                    const std::string& name) {
  const auto fits = [](const FieldDescriptor* field) {
    return field->type() == FieldDescriptor::TYPE_STRING && !field->is_repeated();
  };
  for (int i = 0; i < type.field_count(); ++i) {
    const FieldDescriptor* const field = type.field(i);
    if (fits(field) && field->options().GetExtension(weft::trace_field)) return field;
  }
  const FieldDescriptor* const named = name.empty() ? nullptr : type.FindFieldByName(name);
  return named != nullptr && fits(named) ? named : nullptr;
}

}  // namespace

bool RunsPerMessage(const std::optional<PerMessage>& options,
                    const MethodDescription& method) noexcept {
  return options && method.kind != RpcKind::kUnary &&
         (!options->selector || options->selector->Selects(method.full_method));
}

std::shared_ptr<const MethodMessageRuns> MethodMessageRuns::Of(
    const std::optional<PerMessage>& options, const MethodDescription& method,
    const std::string& run_name) {
  if (!RunsPerMessage(options, method)) return nullptr;
  auto made = std::make_shared<MethodMessageRuns>();
  made->side = method.side;
  const google::protobuf::MethodDescriptor* const found = FindGeneratedMethod(method);
  for (const Direction direction : {Direction::kSent, Direction::kReceived}) {
    Way& way = made->ways[static_cast<std::size_t>(direction)];
    const bool is_request = (method.side == CallSide::kClient) == (direction == Direction::kSent);
    if (found != nullptr) {
      way.is_stream = is_request ? found->client_streaming() : found->server_streaming();
      const auto& type = is_request ? *found->input_type() : *found->output_type();
      way.field = TraceFieldOf(type, options->field);
      way.envelope =
          options->envelope && way.is_stream && way.field == nullptr && CanEnvelope(type);
    } else {
      way.is_stream = method.kind == RpcKind::kBidiStream ||
                      method.kind == (is_request ? RpcKind::kClientStream : RpcKind::kServerStream);
    }
    way.kind = std::make_shared<const RunTemplate>(
        run_name + (direction == Direction::kSent ? " sent" : " received"), RunType::kChain,
        JsonObject{{"rpc.message.type", direction == Direction::kSent ? "SENT" : "RECEIVED"}});
  }
  return made;
}

MessageRuns::MessageRuns(std::shared_ptr<const MethodMessageRuns> method, Context call,
                         RunContext stream, std::shared_ptr<Tracer> tracer) noexcept
    : method_(std::move(method)),
      call_(std::move(call)),
      stream_(std::move(stream)),
      tracer_(std::move(tracer)),
      peer_takes_envelopes_(method_->server_takes_envelopes.load(std::memory_order_relaxed)) {}

MessageRuns::~MessageRuns() {
  if (last_message_ != nullptr) ReceivedMessages::Get().Forget(last_message_, this);
}

void MessageRuns::Add(const MessageView& message, Time time) noexcept try {
  if (!WayOf(message).is_stream) return;
  message.direction == Direction::kSent ? Sent(message, time) : Received(message, time);
} catch (...) {
  CountHookFailure();
}

// What the sender works in, if that is something else than what the call was made in.
RunContext MessageRuns::SenderRun() const noexcept {
  RunContext current = CurrentRun().context();
  RunContext at_start;
  {
    const ContextScope scope(call_);
    at_start = CurrentRun().context();
  }
  const bool is_inner = current && !current.is_remote() && !(current == at_start) &&
                        current.trace_id() == stream_.trace_id();
  return is_inner ? current : stream_;
}

void MessageRuns::Sent(const MessageView& message, Time time) {
  const MethodMessageRuns::Way& way = WayOf(message);
  RunContext carried = CarriedBy(message);
  {
    // Whoever sends on what was received says nothing by it.
    const std::lock_guard lock(mutex_);
    if (carried && carried == last_carried_) carried = {};
  }
  Run run = Begin(message, std::move(carried), SenderRun(), time);
  const bool carries =
      !is_alone_ && (way.field != nullptr || (way.envelope && peer_takes_envelopes()));
  if (carries && run.context() && message.size().value_or(0) <= kLargestMessage) {
    message.content->Append(EncodeTextField(
        way.field != nullptr ? way.field->number() : kEnvelopeField, run.context().dotted_order()));
  }
  run.End(time);
}

void MessageRuns::Received(const MessageView& message, Time time) {
  RunContext carried = CarriedBy(message);  // takes the envelope out in any case
  if (is_alone_) carried = {};
  Run run = Begin(message, carried, stream_, time);
  const void* const object = message.content->received();
  Run before;
  const void* message_before = nullptr;
  {
    const std::lock_guard lock(mutex_);
    before = std::exchange(last_, std::move(run));
    message_before = std::exchange(last_message_, object);
    last_carried_ = std::move(carried);
  }
  before.End(time);
  if (message_before != object) ReceivedMessages::Get().Forget(message_before, this);
  ReceivedMessages::Get().Set(object, this);
}

// Only a run of the stream's own trace is believed: whoever may not say what the stream's parent is
// may not say what a message's is either.
Run MessageRuns::Begin(const MessageView& message, RunContext carried, RunContext otherwise,
                       Time time) {
  const MethodMessageRuns::Way& way = WayOf(message);
  const bool is_ours = carried && carried.trace_id() == stream_.trace_id();
  const ContextScope scope(call_);
  Run run(way.kind,
          {.parent = is_ours ? carried.WithBaggage(otherwise.shared_baggage()) : otherwise,
           .start = time,
           .tracer = tracer_,
           .make_current = false});
  run.AddAttribute("rpc.message.id", static_cast<std::int64_t>(message.index + 1));
  if (carried && !is_ours) {
    run.AddMetadata(LinkTo({.parent = carried}));
    AddLink(carried);
  }
  return run;
}

RunContext MessageRuns::CarriedBy(const MessageView& message) const {
  const MethodMessageRuns::Way& way = WayOf(message);
  TraceHeaders headers;
  if (way.envelope && message.direction == Direction::kReceived) {
    headers.langsmith_trace = TakeEnvelope(*message.content);
  } else if (const auto* read = way.field != nullptr ? message.message() : nullptr) {
    headers.langsmith_trace = read->GetReflection()->GetString(*read, way.field);
  }
  const std::size_t size = headers.langsmith_trace.size();
  return size == 0 || size > kLongestCarried ? RunContext() : headers.Parse().parent;
}

void MessageRuns::SetPeerTakesEnvelopes(bool takes) noexcept {
  peer_takes_envelopes_.store(takes, std::memory_order_relaxed);
  method_->server_takes_envelopes.store(takes && method_->side == CallSide::kClient,
                                        std::memory_order_relaxed);
}

void MessageRuns::AddLink(const RunContext& foreign) {
  const JsonObject link = LinkTo({.parent = foreign});
  const std::lock_guard lock(mutex_);
  if (links_.size() < kMostLinks) links_.push_back(link.at("weft_links").at(0));
}

JsonObject MessageRuns::End(Time time) noexcept try {
  const std::lock_guard lock(mutex_);
  last_.End(time);
  if (links_.empty()) return {};
  return {{"weft_links", std::move(links_)}};
} catch (...) {
  CountHookFailure();
  return {};
}

Context MessageRuns::ContextOfLast(const Context& base, const void* message) const noexcept {
  const std::lock_guard lock(mutex_);
  if (last_message_ == nullptr || (message != nullptr && message != last_message_)) return base;
  return WithRun(base, last_);
}

}  // namespace internal

Context MessageContext() noexcept {
  const Context current = Context::Current();
  const auto* const runs = current.Find(internal::kMessageRunsKey);
  return runs == nullptr ? current : (*runs)->ContextOfLast(current, nullptr);
}

Context MessageContext(const google::protobuf::Message& message) noexcept {
  return internal::ReceivedMessages::Get().ContextOf(&message, Context::Current());
}

Context MessageContext(const grpc::ByteBuffer& message) noexcept {
  return internal::ReceivedMessages::Get().ContextOf(&message, Context::Current());
}

}  // namespace v0
}  // namespace weft
