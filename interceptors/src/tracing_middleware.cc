// SPDX-License-Identifier: Apache-2.0
#include <weft/interceptors/tracing_middleware.h>

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include <weft/context/context_scope.h>
#include <weft/tracing/internal/call_in_flight.h>
#include <weft/tracing/tracing_context.h>

#include "call_outcome.h"
#include "captured_call.h"
#include "header_exchange.h"
#include "keep_signals.h"
#include "message_envelope.h"
#include "message_runs.h"
#include "method_tracing.h"
#include "stats.h"

namespace weft {
inline namespace v0 {
namespace {

constexpr std::string_view kHeadersDropped = "weft_headers_dropped";
using internal::MethodTracing;

struct CallTracing {
  Run run;
  internal::CallInFlight in_flight;                  // on a server
  std::shared_ptr<internal::CapturedCall> captured;  // with messages that are captured
  std::shared_ptr<internal::MessageRuns> messages;   // with a run for each message
  RunRef above;                                      // on a client, for calls without a run
  bool tells_caller = false;                         // that the trace is kept; on a server
};

class TracingMiddleware final : public Middleware {
 public:
  TracingMiddleware(std::shared_ptr<Tracer> tracer, TracingOptions options)
      : tracer_(std::move(tracer)),
        options_(std::move(options)),
        keep_signals_(options_.keep_signals_per_second) {
    options_.capture.headers = internal::WithoutSecrets(std::move(options_.capture.headers));
  }

  std::string_view name() const noexcept override { return "tracing"; }
  HookSet hooks() const noexcept override { return HooksOf<TracingMiddleware>(); }

  CallStateType call_state() const noexcept override { return CallStateType::Of<CallTracing>(); }

  std::shared_ptr<void> OnMethod(const MethodDescription& method) noexcept override {
    return MethodTracing::Of(method, tracer_, options_);
  }

  bool OnlyHeaders(const MethodDescription& method, void* method_state,
                   const MetadataWriter& metadata) noexcept override {
    const auto& tracing = *static_cast<const MethodTracing*>(method_state);
    if (!tracing.client_run) {
      // Who asked for streams without hooks would pay with each message for what a trailer may say.
      const bool deaf = tracing.only_headers && method.kind != RpcKind::kUnary;
      return deaf || internal::HasOwnParent(metadata) ||
             !internal::AwaitsKeepSignal(tracer_, /*only_held=*/tracing.only_headers);
    }
    // A parent that the application names may be in the sample, whatever the current run is.
    return internal::HasOwnParent(metadata) ? !internal::MayTrace(tracer_)
                                            : !internal::MayRecord(tracer_);
  }

  // With tracing off a server only has to pass on what it received.
  bool Skips(const MethodDescription& /*method*/, const MetadataView& metadata) noexcept override {
    return tracer_ != nullptr && !tracer_->enabled() && !internal::HasReceivedHeaders(metadata);
  }

  bool OnlyReceives(const MethodDescription& /*method*/, void* method_state,
                    const MetadataView& metadata) noexcept override {
    if (!static_cast<const MethodTracing*>(method_state)->trust.trusts_all()) return false;
    if (!options_.server_runs) return !internal::HasReceivedHeaders(metadata) || !TellsCallers();
    return tracer_ != nullptr && !internal::RecordsAny(*tracer_);
  }

  void OnSendMetadata(Call& call, MetadataWriter& metadata) noexcept override {
    if (call.side() == CallSide::kServer) return AnswerEnvelopes(call, metadata);
    // An application may send on what it received.
    if (!metadata.map().empty()) metadata.Remove(internal::kKeepHeader);
    ParsedHeaders own;
    if (internal::HasOwnParent(metadata)) own = internal::ReadOwnHeaders(metadata);
    if (call.only_headers()) {  // on the caller's stack
      const bool all = call.method_state<MethodTracing>().headers.disclosure == Disclosure::kAll;
      if (!own.parent && !call.context() && all) return;
      return Hand(call, own.parent, metadata);
    }
    const ContextScope scope(call.context());
    if (!call.method_state<MethodTracing>().client_run) {
      if (!own.parent) call.state<CallTracing>().above = CurrentRun();
      return Hand(call, own.parent, metadata);
    }
    Begin(call, own.parent ? Parent(std::move(own)) : Parent());
    Capture(call);
    const auto disclosure = call.method_state<MethodTracing>().headers.disclosure;
    TraceMessages(call, disclosure != Disclosure::kNone);
    AskForEnvelopes(call, metadata);
    CaptureHeaders(call, metadata.map());
    Run& run = call.state<CallTracing>().run;
    std::string dropped = Write(call, run.context(), run.kept(), metadata);
    if (!dropped.empty()) run.AddAttribute(kHeadersDropped, std::move(dropped));
  }

  void OnReceiveMetadata(Call& call, const MetadataView& metadata) noexcept override {
    if (call.side() == CallSide::kClient) return NoteEnvelopes(call, metadata);
    if (!call.method_state<MethodTracing>().trust.needs_identity()) Receive(call, metadata);
  }

  void OnVerdict(Call& call, const MetadataView& metadata) noexcept override {
    if (call.method_state<MethodTracing>().trust.needs_identity()) Receive(call, metadata);
  }

  // Just before the trailers go out, and the last to see it.
  void OnStatus(Call& call, grpc::Status& status) noexcept override {
    if (call.side() == CallSide::kClient || !internal::IsServerError(status.error_code())) return;
    call.state<CallTracing>().run.Keep();
  }

  void OnSendTrailers(Call& call, MetadataWriter& metadata) noexcept override {
    if (!metadata.map().empty()) metadata.Remove(internal::kKeepHeader);
    const CallTracing& state = call.state<CallTracing>();
    if (!state.tells_caller || !IsKept(call)) return;
    metadata.Add(internal::kKeepHeader, internal::kKeepValue);
  }

  // Whom we do not tell everything about our trace, we do not believe about it either.
  void OnReceiveTrailers(Call& call, const MetadataView& metadata) noexcept override {
    const auto disclosure = call.method_state<MethodTracing>().headers.disclosure;
    const CallTracing& state = call.state<CallTracing>();
    const bool has_run = call.method_state<MethodTracing>().client_run;
    keep_signals_.Receive(
        metadata, disclosure == Disclosure::kAll, tracer_.get(),
        [&] { return has_run ? state.run.Ref() : state.above; },
        [&] { return std::string(call.method().target); });
  }

  bool wants_messages(const MethodDescription& method) const noexcept override {
    return internal::ReaderOf(method, options_) != nullptr ||
           internal::Captures(options_.capture, method) ||
           internal::RunsPerMessage(options_.per_message, method);
  }

  bool sees_messages(const MethodDescription& method) const noexcept override {
    return wants_messages(method);
  }

  void OnMessage(Call& call, const MessageView& message) noexcept override try {
    if (const auto& captured = call.state<CallTracing>().captured) captured->Add(message, Now());
    if (const auto& messages = call.state<CallTracing>().messages) messages->Add(message, Now());
    const MessageReader& reader = call.method_state<MethodTracing>().reader;
    if (reader == nullptr || !call.state<CallTracing>().run) return;
    Note(call, message, reader(message));
  } catch (...) {
    internal::CountHookFailure();
  }

  void OnEnd(Call& call, const CallReport& report) noexcept override {
    Run& run = call.state<CallTracing>().run;
    if (internal::DetectsContextLoss()) call.state<CallTracing>().in_flight = {};
    if (internal::EndedWell(call, report)) {
      const auto& good = call.method_state<MethodTracing>().good;
      return run.End(report.end, good[static_cast<std::size_t>(report.api)]);
    }
    if (run.recording()) internal::DescribeOutcome(call, report, run);
    if (const auto& messages = call.state<CallTracing>().messages) {
      JsonObject links = messages->End(report.end);
      if (!links.empty()) run.AddMetadata(std::move(links));
    }
    run.End(report.end);
  }

 private:
  static void Note(Call& call, const MessageView& message, MessageFacts facts) {
    Run& run = call.state<CallTracing>().run;
    const JsonObject& above = run.context().baggage().metadata;
    for (const auto& [key, value] : above) facts.handed_down.erase(key);
    if (!facts.handed_down.empty()) {
      if (IsBeforeHandler(call, message)) {
        call.SetContext(WithTracing(call.context(), {.metadata = facts.handed_down}));
      }
      facts.metadata.insert(facts.handed_down.begin(), facts.handed_down.end());
    }
    if (!facts.metadata.empty()) run.AddMetadata(std::move(facts.metadata));
  }

  // A single request comes with the call's metadata, and nobody has seen the call's context yet.
  static bool IsBeforeHandler(const Call& call, const MessageView& message) noexcept {
    return call.side() == CallSide::kServer && message.index == 0 &&
           message.direction == MessageView::Direction::kReceived &&
           (call.kind() == RpcKind::kUnary || call.kind() == RpcKind::kServerStream);
  }

  // For a call without a client run. The current run's context is the call's.
  void Hand(const Call& call, const RunContext& own_parent,
            MetadataWriter& metadata) const noexcept {
    const bool kept = !own_parent && CurrentRun().kept();
    const std::string dropped =
        Write(call, own_parent ? own_parent : CurrentRun().context(), kept, metadata);
    if (!dropped.empty()) CurrentRun().AddMetadata({{kHeadersDropped, dropped}});
  }

  // Returns what was left out, for people.
  static std::string Write(const Call& call, const RunContext& parent, bool kept,
                           MetadataWriter& metadata) noexcept {
    internal::HeaderPolicy policy = call.method_state<MethodTracing>().headers;
    policy.keep = kept;
    // OpenTelemetry's services go by the flag in `traceparent`.
    if (parent && kept) {
      return internal::WriteTraceHeaders(parent.WithSampled(true), policy, metadata);
    }
    if (parent) return internal::WriteTraceHeaders(parent, policy, metadata);
    // Members of `baggage` travel without a run, too.
    return internal::WriteBaggageHeader(CurrentRun().ToHeaders().baggage, policy, metadata);
  }

  // What the call's peer says about its trace, as far as it is believed, and the server's run.
  void Receive(Call& call, const MetadataView& metadata) noexcept {
    const CallerTrust trust = call.method_state<MethodTracing>().trust.Decide(call);
    ParsedHeaders headers;
    if (trust != CallerTrust::kIgnore) headers = internal::ReadReceivedHeaders(metadata);
    if (!options_.server_runs || call.only_headers()) {
      const bool trusted = trust == CallerTrust::kTrusted;
      if (!trusted) headers = {};
      call.SetContext(WithParent(call.context(), std::move(headers), tracer_));
      HearCaller(call, metadata, trusted);
      if (!call.only_headers()) call.state<CallTracing>().tells_caller = trusted;
      return;
    }
    // Whatever is current on gRPC's thread is not this call's.
    const ContextScope scope(call.context());
    const bool trusted = trust == CallerTrust::kTrusted;
    Begin(call, trusted ? Parent(std::move(headers)) : Parent(kNoParent));
    Run& run = call.state<CallTracing>().run;
    if (internal::DetectsContextLoss()) {
      call.state<CallTracing>().in_flight =
          internal::CallInFlight(call.method_state<MethodTracing>().kind);
    }
    call.SetContext(WithRun(call.context(), run));
    call.state<CallTracing>().tells_caller = trusted;
    HearCaller(call, metadata, trusted);
    if (!run.recording()) return;
    Capture(call);
    TraceMessages(call, trust != CallerTrust::kIgnore);
    NoteEnvelopes(call, metadata);
    if (!trusted) {
      run.AddAttribute("weft.caller_trust",
                       std::string_view(trust == CallerTrust::kLink ? "link" : "ignore"));
      if (headers.parent) LinkTo(call, headers);
    }
    if (!run) return;
    CaptureHeaders(call, metadata.map());
    run.AddAttribute("network.peer.address", call.peer());
    if (call.previous_attempts() > 0) {
      run.AddAttribute("rpc.grpc.previous_attempts", std::int64_t{call.previous_attempts()});
    }
  }

  void HearCaller(const Call& call, const MetadataView& metadata, bool trusted) noexcept {
    keep_signals_.Receive(
        metadata, trusted, tracer_.get(), [&] { return RunIn(call); }, [&] { return call.peer(); });
  }

  /// Of a server's call that has no run: the caller's.
  static RunRef RunIn(const Call& call) noexcept { return RunOf(call.context()); }

  bool IsKept(const Call& call) const noexcept {
    return options_.server_runs ? call.state<CallTracing>().run.kept() : RunIn(call).kept();
  }

  bool TellsCallers() const noexcept {
    const std::shared_ptr<Tracer> tracer = tracer_ ? tracer_ : GlobalTracer();
    return tracer != nullptr && tracer->enabled() && tracer->options().error_promotion;
  }

  void Begin(Call& call, Parent parent) noexcept {
    Run& run = call.state<CallTracing>().run;
    run = Run(call.method_state<MethodTracing>().kind, {.parent = std::move(parent),
                                                        .start = call.start(),
                                                        .tracer = tracer_,
                                                        .make_current = false});
  }

  void Capture(Call& call) const noexcept {
    Run& run = call.state<CallTracing>().run;
    const auto& capture = call.method_state<MethodTracing>().capture;
    if (capture == nullptr || !run) return;
    auto captured = std::make_shared<internal::CapturedCall>(capture);
    run.SetPayload(captured);
    call.state<CallTracing>().captured = std::move(captured);
  }

  // The context of a server's call leads its handler to them. `with_peer`: they may tell the peer
  // whose they are, and hear it.
  void TraceMessages(Call& call, bool with_peer) const noexcept {
    const auto& method = call.method_state<MethodTracing>().message_runs;
    CallTracing& state = call.state<CallTracing>();
    if (method == nullptr || !state.run) return;
    state.messages = std::make_shared<internal::MessageRuns>(method, call.context(),
                                                             state.run.context(), tracer_);
    if (!with_peer) state.messages->KeepToThisSide();
    if (call.side() == CallSide::kClient) return;
    call.SetContext(call.context().With(internal::kMessageRunsKey, state.messages));
  }

  // What both sides take out of messages, each says in the metadata that it sends first.
  static void AskForEnvelopes(const Call& call, MetadataWriter& metadata) noexcept {
    const auto& messages = call.state<CallTracing>().messages;
    if (messages != nullptr && messages->takes_envelopes()) {
      metadata.Add(internal::kEnvelopeHeader, "1");
    }
  }
  static void AnswerEnvelopes(const Call& call, MetadataWriter& metadata) noexcept {
    const auto& messages = call.state<CallTracing>().messages;
    if (messages != nullptr && messages->peer_takes_envelopes()) AskForEnvelopes(call, metadata);
  }
  static void NoteEnvelopes(const Call& call, const MetadataView& metadata) noexcept {
    const auto& messages = call.state<CallTracing>().messages;
    if (messages == nullptr || !messages->takes_envelopes()) return;
    messages->SetPeerTakesEnvelopes(metadata.Get(internal::kEnvelopeHeader).has_value());
  }

  static void LinkTo(Call& call, const ParsedHeaders& headers) {
    CallTracing& state = call.state<CallTracing>();
    if (state.messages != nullptr) state.messages->AddLink(headers.parent);
    state.run.AddMetadata(internal::LinkTo(headers));
  }

  template <typename Map>
  void CaptureHeaders(Call& call, const Map& headers) const noexcept {
    if (options_.capture.headers.empty() || !call.state<CallTracing>().run) return;
    JsonObject metadata = internal::CaptureHeaders(options_.capture, headers);
    if (!metadata.empty()) call.state<CallTracing>().run.AddMetadata(std::move(metadata));
  }

  std::chrono::system_clock::time_point Now() const noexcept {
    const Clock* const clock = tracer_ != nullptr ? tracer_->options().clock.get() : nullptr;
    return clock != nullptr ? clock->Now() : std::chrono::system_clock::now();
  }

  std::shared_ptr<Tracer> tracer_;
  TracingOptions options_;
  internal::KeepSignals keep_signals_;
};

}  // namespace

std::shared_ptr<Middleware> Tracing(std::shared_ptr<Tracer> tracer, TracingOptions options) {
  return std::make_shared<TracingMiddleware>(std::move(tracer), std::move(options));
}

}  // namespace v0
}  // namespace weft
