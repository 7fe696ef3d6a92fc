// SPDX-License-Identifier: Apache-2.0
#include "weft_receiver.h"

#include <algorithm>
#include <atomic>
#include <deque>
#include <memory>
#include <mutex>
#include <unordered_set>
#include <utility>

#include <grpcpp/grpcpp.h>
#include <weft/collector/v1/collector.grpc.pb.h>

#include "grpc_message.h"
#include "grpc_status.h"
#include "otlp/proto_reader.h"
#include "weft_batch.h"

namespace weft::collector {
namespace {

// What a stream may have unanswered, in batches: enough to keep the log busy over a slow link, few
// enough that a lost connection repeats little.
constexpr std::uint32_t kMinWindow = 2;
constexpr std::uint32_t kMaxWindow = 64;
constexpr std::uint32_t kRetryAfterMs = 1000;
constexpr char kKeyHeader[] = "x-api-key";

std::string KeyOf(const grpc::CallbackServerContext& context) {
  const auto found = context.client_metadata().find(kKeyHeader);
  if (found == context.client_metadata().end()) return "";
  return {found->second.data(), found->second.size()};
}

// Everything that invites another try is UNAVAILABLE: RESOURCE_EXHAUSTED tells a client of this
// service that its batch is too large.
grpc::StatusCode CodeOf(const absl::Status& status) {
  if (absl::IsInvalidArgument(status)) return grpc::StatusCode::INVALID_ARGUMENT;
  if (absl::IsUnauthenticated(status)) return grpc::StatusCode::UNAUTHENTICATED;
  if (absl::IsPermissionDenied(status)) return grpc::StatusCode::PERMISSION_DENIED;
  if (absl::IsOutOfRange(status)) return grpc::StatusCode::RESOURCE_EXHAUSTED;
  return status.ok() ? grpc::StatusCode::OK : grpc::StatusCode::UNAVAILABLE;
}

// Of a call: its answer, which would say when to come again, does not arrive with an error.
grpc::Status StatusOf(const absl::Status& status) {
  const std::string message(status.message());
  if (CodeOf(status) != grpc::StatusCode::UNAVAILABLE) return {CodeOf(status), message};
  return ComeAgain(grpc::StatusCode::UNAVAILABLE, message, RetryAfterOf(status));
}

void FillResult(const absl::Status& status, const std::vector<RejectedOp>& rejected,
                v1::BatchResult* result) {
  result->set_code(CodeOf(status));
  if (!status.ok()) {
    result->set_message(std::string(status.message()));
    if (CodeOf(status) != grpc::StatusCode::UNAVAILABLE) return;
    const auto wait = static_cast<std::uint32_t>(RetryAfterOf(status).count());
    result->set_retry_after_ms(wait > 0 ? wait : kRetryAfterMs);
    return;
  }
  for (const RejectedOp& op : rejected) {
    v1::RejectedOperation* const entry = result->add_rejected();
    entry->set_index(static_cast<std::uint32_t>(op.index));
    entry->set_reason(op.reason);
  }
}

// An ExportRequest or ExportStreamRequest. Its batch is not made into messages, for it goes to the
// log as it came.
struct StreamRequest {
  std::uint64_t batch_id = 0;
  std::uint64_t bytes = 0;  ///< Of the whole message.
  std::string batch;
  PayloadCoding coding = PayloadCoding::kIdentity;
};

// Where they are in a message; 0 = in none of its fields.
struct FieldNumbers {
  std::uint32_t batch_id;
  std::uint32_t batch;
  std::uint32_t zstd_batch;
};
constexpr FieldNumbers kUnary = {0, v1::ExportRequest::kBatchFieldNumber, 0};
constexpr FieldNumbers kStream = {v1::ExportStreamRequest::kBatchIdFieldNumber,
                                  v1::ExportStreamRequest::kBatchFieldNumber,
                                  v1::ExportStreamRequest::kZstdBatchFieldNumber};

absl::Status Read(const grpc::ByteBuffer& buffer, const FieldNumbers& fields, std::size_t limit,
                  StreamRequest* request) {
  absl::StatusOr<std::string> message = PlainMessage(buffer, limit, kWeftBatchPadding);
  if (!message.ok()) return message.status();
  std::string& bytes = request->batch;
  bytes = *std::move(message);
  request->bytes = bytes.size();
  std::string_view batch;
  ProtoReader in(bytes);
  while (in.Next()) {
    if (in.Is(fields.batch_id, ProtoReader::kVarint)) request->batch_id = in.number();
    const bool is_zstd = in.Is(fields.zstd_batch, ProtoReader::kDelimited);
    if (!is_zstd && !in.Is(fields.batch, ProtoReader::kDelimited)) continue;
    batch = in.bytes();
    request->coding = is_zstd ? PayloadCoding::kZstd : PayloadCoding::kIdentity;
  }
  if (!in.ok()) return absl::InvalidArgumentError("request: cut off or damaged");
  const std::size_t begin =
      batch.empty() ? 0 : static_cast<std::size_t>(batch.data() - bytes.data());
  bytes.resize(begin + batch.size());
  bytes.erase(0, begin);
  return absl::OkStatus();
}

// Of what could not be read.
grpc::Status Unreadable(const absl::Status& why) {
  return {absl::IsResourceExhausted(why) ? grpc::StatusCode::RESOURCE_EXHAUSTED
                                         : grpc::StatusCode::INVALID_ARGUMENT,
          std::string(why.message())};
}

std::uint64_t OperationsIn(const StreamRequest& request) {
  if (request.coding == PayloadCoding::kZstd) return 1;  // Nobody has looked into it.
  std::uint64_t operations = 0;
  for (ProtoReader in(request.batch); in.Next();) ++operations;
  return operations;
}

template <typename Response>
grpc::ByteBuffer BufferOf(const Response& response) {
  grpc::ByteBuffer buffer;
  bool owned = false;
  grpc::SerializationTraits<Response>::Serialize(response, &buffer, &owned);
  return buffer;
}

// The answer needs the reasons, but not the bytes that go to the parked file.
std::vector<RejectedOp> WithoutBytes(const std::vector<RejectedOp>& rejected) {
  std::vector<RejectedOp> reasons;
  reasons.reserve(rejected.size());
  for (const RejectedOp& op : rejected) reasons.push_back({op.index, op.reason, ""});
  return reasons;
}

}  // namespace

// What calls share with the receiver. Calls keep it alive: an answer may come after the server is
// gone.
struct ReceiverState {
  explicit ReceiverState(WeftReceiverOptions given) : options(std::move(given)) {}

  bool Accepts(std::string_view key) const {
    return !options.accepts_key || options.accepts_key(key);
  }

  // Decodes and hands on; `done` gets what became of the batch, sooner or later, exactly once.
  void Accept(StreamRequest request, std::string key,
              std::function<void(const absl::Status&, const std::vector<RejectedOp>&)> done) {
    const std::uint64_t bytes = request.bytes;
    const std::uint64_t before = inflight_bytes.fetch_add(bytes);
    if (draining || before + bytes > options.max_inflight_bytes) {
      inflight_bytes -= bytes;
      options.ingest->CountRefused(Receiver::kWeft, draining ? "stopping" : "overload",
                                   OperationsIn(request));
      return done(absl::UnavailableError(draining ? "the collector is stopping"
                                                  : "too many bytes in flight"),
                  {});
    }
    absl::StatusOr<IngestBatch> decoded =
        DecodeWeftBatch(std::move(request.batch), request.coding, options.max_batch_bytes);
    if (!decoded.ok()) {
      inflight_bytes -= bytes;
      options.ingest->CountRefused(Receiver::kWeft, "unreadable", 1);
      return done(decoded.status(), {});
    }
    decoded->api_key = std::move(key);
    auto rejected = std::make_shared<std::vector<RejectedOp>>(WithoutBytes(decoded->rejected));
    decoded->on_rejected = [rejected](const std::vector<RejectedOp>& all) {
      *rejected = WithoutBytes(all);
    };
    options.ingest->Accept(*std::move(decoded),
                           [this, bytes, rejected = std::move(rejected),
                            done = std::move(done)](const absl::Status& status) {
                             inflight_bytes -= bytes;
                             done(status, *rejected);
                           });
  }

  const WeftReceiverOptions options;
  std::atomic<std::uint64_t> inflight_bytes{0};
  std::atomic<bool> draining{false};

  std::mutex mutex;
  std::unordered_set<class ExportStream*> streams;
};

namespace {

class FailedStream final : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
 public:
  explicit FailedStream(const grpc::Status& status) { Finish(status); }
  void OnDone() override { delete this; }
};

}  // namespace

// One ExportStream call. Reads, writes and the answers of the log meet under `mutex_`; gRPC's
// operations are started under it too, for at most one of a kind may be outstanding.
class ExportStream final : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>,
                           public std::enable_shared_from_this<ExportStream> {
 public:
  ExportStream(std::shared_ptr<ReceiverState> state, std::string key)
      : state_(std::move(state)), key_(std::move(key)) {}

  // Apart from the constructor: callbacks need the shared pointer.
  void Start() {
    self_ = shared_from_this();
    {
      std::lock_guard lock(state_->mutex);
      state_->streams.insert(this);
    }
    std::lock_guard lock(mutex_);
    v1::ExportStreamResponse hello;
    hello.set_window(window_);
    hello.set_takes_zstd(true);
    responses_.push_back(BufferOf(hello));
    reading_ = true;
    StartRead(&request_);
    Advance();
  }

  void Drain() {
    std::lock_guard lock(mutex_);
    draining_ = true;
    Advance();
  }

  void OnReadDone(bool ok) override {
    if (!ok) {
      std::lock_guard lock(mutex_);
      reading_ = false;
      reads_over_ = true;
      return Advance();
    }
    StreamRequest request;
    const absl::Status read = Read(request_, kStream, state_->options.max_message_bytes, &request);
    if (!read.ok()) {
      std::lock_guard lock(mutex_);
      reading_ = false;
      unreadable_ = read;
      return Advance();
    }
    request_.Clear();
    const std::uint64_t id = request.batch_id;
    const std::uint64_t bytes = request.bytes;
    {
      std::lock_guard lock(mutex_);
      ++unanswered_;
      unanswered_bytes_ += bytes;
      average_bytes_ += (static_cast<double>(bytes) - average_bytes_) / 8;
    }
    state_->Accept(std::move(request), key_,
                   [self = shared_from_this(), id, bytes](const absl::Status& status,
                                                          const std::vector<RejectedOp>& rejected) {
                     self->Answer(id, bytes, status, rejected);
                   });
    std::lock_guard lock(mutex_);
    reading_ = false;
    Advance();
  }

  void OnWriteDone(bool ok) override {
    std::lock_guard lock(mutex_);
    writing_ = false;
    if (!ok) cancelled_ = true;
    Advance();
  }

  void OnCancel() override {
    std::lock_guard lock(mutex_);
    cancelled_ = true;
    Advance();
  }

  void OnDone() override {
    {
      std::lock_guard lock(state_->mutex);
      state_->streams.erase(this);
    }
    self_.reset();
  }

 private:
  void Answer(std::uint64_t id, std::uint64_t bytes, const absl::Status& status,
              const std::vector<RejectedOp>& rejected) {
    v1::ExportStreamResponse response;
    response.set_batch_id(id);
    FillResult(status, rejected, response.mutable_result());
    std::lock_guard lock(mutex_);
    --unanswered_;
    unanswered_bytes_ -= bytes;
    const std::uint32_t window = Window();
    if (window != window_) response.set_window(window_ = window);
    responses_.push_back(BufferOf(response));
    Advance();
  }

  std::uint32_t Window() const {
    const double batches =
        static_cast<double>(state_->options.max_stream_bytes) / std::max(average_bytes_, 1.0);
    return static_cast<std::uint32_t>(std::clamp(batches, double{kMinWindow}, double{kMaxWindow}));
  }

  // Starts whatever may start. Held: mutex_.
  void Advance() {
    if (finished_) return;
    if (!writing_ && !cancelled_ && !responses_.empty()) {
      writing_ = true;
      response_ = std::move(responses_.front());
      responses_.pop_front();
      // What waited together goes out together.
      grpc::WriteOptions options;
      if (!responses_.empty()) options.set_buffer_hint();
      StartWrite(&response_, options);
    }
    const bool room = unanswered_bytes_ < state_->options.max_stream_bytes &&
                      unanswered_ < 2 * kMaxWindow && responses_.size() < 2 * kMaxWindow;
    if (!reading_ && !reads_over_ && unreadable_.ok() && !draining_ && !cancelled_ && room) {
      reading_ = true;
      StartRead(&request_);
    }
    const bool answered = unanswered_ == 0 && responses_.empty();
    const bool over = reads_over_ || !unreadable_.ok() || draining_;
    if (writing_ || !(cancelled_ || (over && answered))) return;
    finished_ = true;
    if (cancelled_) {
      Finish(grpc::Status::CANCELLED);
    } else if (!unreadable_.ok()) {
      Finish(Unreadable(unreadable_));
    } else if (reads_over_) {
      Finish(grpc::Status::OK);
    } else {
      Finish({grpc::StatusCode::UNAVAILABLE, "the collector is stopping"});
    }
  }

  const std::shared_ptr<ReceiverState> state_;
  const std::string key_;
  std::shared_ptr<ExportStream> self_;  // Until OnDone: gRPC holds a bare pointer.

  std::mutex mutex_;
  grpc::ByteBuffer request_;
  grpc::ByteBuffer response_;
  std::deque<grpc::ByteBuffer> responses_;
  std::uint64_t unanswered_ = 0;
  std::uint64_t unanswered_bytes_ = 0;
  double average_bytes_ = 256 << 10;
  std::uint32_t window_ = 16;
  bool reading_ = false;
  bool writing_ = false;
  bool reads_over_ = false;
  absl::Status unreadable_;  // What came last: nothing behind it can be told.
  bool draining_ = false;
  bool cancelled_ = false;
  bool finished_ = false;
};

class WeftReceiver::Service final
    : public v1::CollectorService::WithRawCallbackMethod_Export<
          v1::CollectorService::WithRawCallbackMethod_ExportStream<v1::CollectorService::Service>> {
 public:
  explicit Service(WeftReceiverOptions options)
      : state_(std::make_shared<ReceiverState>(std::move(options))) {}

  grpc::ServerUnaryReactor* Export(grpc::CallbackServerContext* context,
                                   const grpc::ByteBuffer* request,
                                   grpc::ByteBuffer* response) override {
    grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
    *response = BufferOf(v1::ExportResponse());
    std::string key = KeyOf(*context);
    if (!state_->Accepts(key)) {
      CountUnauthenticated(1);
      reactor->Finish(Unauthenticated());
      return reactor;
    }
    StreamRequest batch;
    const absl::Status read = Read(*request, kUnary, state_->options.max_message_bytes, &batch);
    if (!read.ok()) {
      state_->options.ingest->CountRefused(Receiver::kWeft, "unreadable", 1);
      reactor->Finish(Unreadable(read));
      return reactor;
    }
    state_->Accept(std::move(batch), std::move(key),
                   [state = state_, reactor, response](const absl::Status& status,
                                                       const std::vector<RejectedOp>& rejected) {
                     v1::ExportResponse answer;
                     FillResult(status, rejected, answer.mutable_result());
                     *response = BufferOf(answer);
                     reactor->Finish(StatusOf(status));
                   });
    return reactor;
  }

  grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* ExportStream(
      grpc::CallbackServerContext* context) override {
    std::string key = KeyOf(*context);
    if (!state_->Accepts(key)) {
      CountUnauthenticated(0);
      return new FailedStream(Unauthenticated());
    }
    if (state_->draining) {
      return new FailedStream({grpc::StatusCode::UNAVAILABLE, "the collector is stopping"});
    }
    auto stream = std::make_shared<collector::ExportStream>(state_, std::move(key));
    stream->Start();
    return stream.get();
  }

  ReceiverState& state() { return *state_; }

 private:
  static grpc::Status Unauthenticated() {
    return {grpc::StatusCode::UNAUTHENTICATED, "no or an unknown key in the metadata x-api-key"};
  }

  void CountUnauthenticated(std::uint64_t operations) {
    state_->options.ingest->CountRefused(Receiver::kWeft, "unauthenticated", operations);
  }

  const std::shared_ptr<ReceiverState> state_;
};

WeftReceiver::WeftReceiver(WeftReceiverOptions options)
    : service_(std::make_unique<Service>(std::move(options))) {}

WeftReceiver::~WeftReceiver() = default;

grpc::Service* WeftReceiver::service() { return service_.get(); }

void WeftReceiver::Drain() {
  ReceiverState& state = service_->state();
  state.draining = true;
  std::vector<std::shared_ptr<ExportStream>> streams;
  {
    std::lock_guard lock(state.mutex);
    for (ExportStream* stream : state.streams) {
      if (auto alive = stream->weak_from_this().lock()) streams.push_back(std::move(alive));
    }
  }
  for (const auto& stream : streams) stream->Drain();
}

std::uint64_t WeftReceiver::inflight_bytes() const { return service_->state().inflight_bytes; }

std::uint64_t WeftReceiver::streams() const {
  ReceiverState& state = service_->state();
  std::lock_guard lock(state.mutex);
  return state.streams.size();
}

}  // namespace weft::collector
