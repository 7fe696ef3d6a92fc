// SPDX-License-Identifier: Apache-2.0
#include "otlp/grpc_receiver.h"

#include <atomic>
#include <chrono>
#include <string>
#include <thread>
#include <utility>

#include <grpcpp/grpcpp.h>
#include <grpcpp/impl/codegen/server_callback_handlers.h>
#include <grpcpp/impl/codegen/service_type.h>

#include "grpc_message.h"
#include "grpc_status.h"
#include "otlp/trace_request.h"
#include "otlp/trace_response.h"

namespace weft::collector {
namespace {

// A server that is shut down answers what arrives in that moment with CANCELLED. So the clients
// that are busy are refused before, and when none of them has come for so long it is shut down.
constexpr std::chrono::milliseconds kQuiet{100};
constexpr std::chrono::seconds kMaxNoise{1};

constexpr char kMethod[] = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

std::string MetadataOf(const grpc::CallbackServerContext& context, const char* name) {
  const auto found = context.client_metadata().find(name);
  if (found == context.client_metadata().end()) return "";
  return {found->second.data(), found->second.size()};
}

std::string KeyOf(const grpc::CallbackServerContext& context) {
  constexpr std::string_view kBearer = "Bearer ";
  std::string key = MetadataOf(context, "x-api-key");
  if (!key.empty()) return key;
  key = MetadataOf(context, "authorization");
  return key.starts_with(kBearer) ? key.substr(kBearer.size()) : "";
}

grpc::ByteBuffer BufferOf(const std::string& bytes) {
  const grpc::Slice slice(bytes);
  return grpc::ByteBuffer(&slice, 1);
}

// What invites another try is UNAVAILABLE, or RESOURCE_EXHAUSTED where a tenant is over its limits.
grpc::Status StatusOf(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  const std::string message(status.message());
  if (const auto wait = RetryAfterOf(status); wait.count() > 0) {
    return ComeAgain(grpc::StatusCode::RESOURCE_EXHAUSTED, message, wait);
  }
  const auto code = absl::IsInvalidArgument(status)    ? grpc::StatusCode::INVALID_ARGUMENT
                    : absl::IsUnauthenticated(status)  ? grpc::StatusCode::UNAUTHENTICATED
                    : absl::IsPermissionDenied(status) ? grpc::StatusCode::PERMISSION_DENIED
                    : absl::IsOutOfRange(status)       ? grpc::StatusCode::RESOURCE_EXHAUSTED
                                                       : grpc::StatusCode::UNAVAILABLE;
  if (code == grpc::StatusCode::UNAVAILABLE) return ComeAgain(code, message);
  return {code, message};
}

}  // namespace

// What calls share with the receiver. Calls keep it alive: an answer may come after the server is
// gone.
struct OtlpReceiverState {
  explicit OtlpReceiverState(OtlpReceiverOptions given) : options(std::move(given)) {}

  using Clock = std::chrono::steady_clock;

  void Refuse(std::string_view reason) { options.ingest->CountRefused(Receiver::kOtlp, reason, 1); }

  grpc::Status Unreadable(const absl::Status& why) {
    const bool too_large = absl::IsResourceExhausted(why);
    Refuse(too_large ? "too_large" : "unreadable");
    return {too_large ? grpc::StatusCode::RESOURCE_EXHAUSTED : grpc::StatusCode::INVALID_ARGUMENT,
            std::string(why.message())};
  }

  const OtlpReceiverOptions options;
  std::atomic<std::uint64_t> inflight_bytes{0};
  std::atomic<bool> draining{false};
  std::atomic<Clock::time_point> last_request{Clock::time_point::min()};
};

// As generated code registers a raw callback method, but without the generated messages.
class OtlpReceiver::Service final : public grpc::Service {
 public:
  explicit Service(OtlpReceiverOptions options)
      : state_(std::make_shared<OtlpReceiverState>(std::move(options))) {
    AddMethod(new grpc::internal::RpcServiceMethod(kMethod, grpc::internal::RpcMethod::NORMAL_RPC,
                                                   nullptr));
    MarkMethodRawCallback(
        0, new grpc::internal::CallbackUnaryHandler<grpc::ByteBuffer, grpc::ByteBuffer>(
               [this](grpc::CallbackServerContext* context, const grpc::ByteBuffer* request,
                      grpc::ByteBuffer* response) { return Export(context, *request, response); }));
  }

  OtlpReceiverState& state() { return *state_; }

 private:
  grpc::ServerUnaryReactor* Export(grpc::CallbackServerContext* context,
                                   const grpc::ByteBuffer& request, grpc::ByteBuffer* response) {
    grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
    *response = BufferOf("");
    if (grpc::Status status = Receive(*context, request, reactor, response); !status.ok()) {
      reactor->Finish(status);
    }
    return reactor;
  }

  // OK: the reactor is finished later, or was already.
  grpc::Status Receive(const grpc::CallbackServerContext& context, const grpc::ByteBuffer& request,
                       grpc::ServerUnaryReactor* reactor, grpc::ByteBuffer* response) {
    const OtlpReceiverOptions& options = state_->options;
    state_->last_request = OtlpReceiverState::Clock::now();
    std::string key = KeyOf(context);
    if (options.accepts_key && !options.accepts_key(key)) {
      state_->Refuse("unauthenticated");
      return {grpc::StatusCode::UNAUTHENTICATED, "no or an unknown key in the metadata x-api-key"};
    }
    auto message = PlainMessage(request, options.max_message_bytes);
    if (!message.ok()) return state_->Unreadable(message.status());
    const std::uint64_t bytes = message->size();
    const std::uint64_t before = state_->inflight_bytes.fetch_add(bytes);
    if (state_->draining || before + bytes > options.max_inflight_bytes) {
      state_->inflight_bytes -= bytes;
      state_->Refuse(state_->draining ? "stopping" : "overload");
      return ComeAgain(grpc::StatusCode::UNAVAILABLE,
                       state_->draining ? "the collector is stopping" : "too many bytes in flight");
    }
    IngestBatch batch;
    batch.payload = *std::move(message);
    auto decoded = DecodeTraceRequest(MetadataOf(context, "langsmith-project"), &batch.payload);
    if (!decoded.ok()) {
      state_->inflight_bytes -= bytes;
      return state_->Unreadable(decoded.status());
    }
    if (!decoded->rejected.empty()) *response = BufferOf(TraceResponse(decoded->rejected, false));
    batch.header.receiver = Receiver::kOtlp;
    batch.header.decoded_size = batch.payload.size();
    batch.header.ops = std::move(decoded->ops);
    batch.rejected = std::move(decoded->rejected);
    batch.api_key = std::move(key);
    batch.on_rejected = [response](const std::vector<RejectedOp>& rejected) {
      *response = BufferOf(TraceResponse(rejected, false));
    };
    options.ingest->Accept(std::move(batch),
                           [state = state_, reactor, bytes](const absl::Status& status) {
                             state->inflight_bytes -= bytes;
                             reactor->Finish(StatusOf(status));
                           });
    return grpc::Status::OK;
  }

  const std::shared_ptr<OtlpReceiverState> state_;
};

OtlpReceiver::OtlpReceiver(OtlpReceiverOptions options)
    : service_(std::make_unique<Service>(std::move(options))) {}

OtlpReceiver::~OtlpReceiver() = default;

grpc::Service* OtlpReceiver::service() { return service_.get(); }

void OtlpReceiver::Drain() { service_->state().draining = true; }

void OtlpReceiver::AwaitQuiet() const {
  const auto deadline = OtlpReceiverState::Clock::now() + kMaxNoise;
  for (;;) {
    const auto until = std::min(deadline, service_->state().last_request.load() + kQuiet);
    if (OtlpReceiverState::Clock::now() >= until) return;
    std::this_thread::sleep_until(until);
  }
}

std::uint64_t OtlpReceiver::inflight_bytes() const { return service_->state().inflight_bytes; }

}  // namespace weft::collector
