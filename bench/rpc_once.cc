// SPDX-License-Identifier: Apache-2.0
#include "rpc_once.h"

#include <cstdlib>
#include <memory>
#include <optional>
#include <utility>

#include <grpcpp/grpcpp.h>

#include <weft/async/rejected.h>

#include "rpc_benchmark.grpc.pb.h"
#include "rpc_handlers.h"

namespace bench {
namespace {

constexpr int kMessages = 100;

// A tag.
struct Event {
  virtual void Complete(bool ok) = 0;

 protected:
  ~Event() = default;
};

struct Flag final : Event {
  void Complete(bool result) override {
    done = true;
    ok = result;
  }
  bool done = false;
  bool ok = false;
};

// ---- calls that are taken from a queue

class QueueUnary final : public Event {
 public:
  QueueUnary(Echo::AsyncService& service, grpc::ServerCompletionQueue& queue,
             const Instruments& instruments)
      : instruments_(instruments) {
    service.RequestUnary(&context_, &message_, &writer_, &queue, &queue, static_cast<Event*>(this));
  }
  Flag ended;

 private:
  void Complete(bool /*ok*/) override {
    if (instruments_.setup().guarded) {
      if (const grpc::Status* const rejected = weft::Rejected(context_)) {
        return writer_.FinishWithError(*rejected, static_cast<Event*>(&ended));
      }
    }
    HandlerSpan span;
    span.Start(instruments_, "Unary", "unary", context_);
    span.End(grpc::Status::OK);
    writer_.Finish(message_, grpc::Status::OK, static_cast<Event*>(&ended));
  }

  const Instruments& instruments_;
  grpc::ServerContext context_;
  Message message_;
  grpc::ServerAsyncResponseWriter<Message> writer_{&context_};
};

class QueueStream final : public Event {
 public:
  QueueStream(Echo::AsyncService& service, grpc::ServerCompletionQueue& queue,
              const Instruments& instruments)
      : instruments_(instruments) {
    service.RequestStream(&context_, &stream_, &queue, &queue, static_cast<Event*>(this));
  }
  Flag ended;

 private:
  enum class State : std::uint8_t { kRequested, kReading, kWriting };

  void Complete(bool ok) override {
    if (state_ == State::kRequested) {
      if (instruments_.setup().guarded) {
        if (const grpc::Status* const rejected = weft::Rejected(context_)) {
          return stream_.Finish(*rejected, static_cast<Event*>(&ended));
        }
      }
      span_.Start(instruments_, "Stream", "bidi_stream", context_);
    }
    if (state_ == State::kReading && !ok) {
      span_.End(grpc::Status::OK);
      return stream_.Finish(grpc::Status::OK, static_cast<Event*>(&ended));
    }
    if (state_ == State::kReading) {
      state_ = State::kWriting;
      return stream_.Write(message_, static_cast<Event*>(this));
    }
    state_ = State::kReading;
    stream_.Read(&message_, static_cast<Event*>(this));
  }

  const Instruments& instruments_;
  State state_ = State::kRequested;
  HandlerSpan span_;
  grpc::ServerContext context_;
  Message message_;
  grpc::ServerAsyncReaderWriter<Message, Message> stream_{&context_};
};

}  // namespace

class OneThread::Harness {
 public:
  explicit Harness(const Instruments& instruments)
      : instruments_(instruments), sync_(instruments), callback_(instruments) {
    grpc::ServerBuilder builder;
    const Setup::Api api = instruments.setup().api;
    grpc::Service* service = &async_;
    if (api == Setup::Api::kSync) service = &sync_;
    if (api == Setup::Api::kCallback) service = &callback_;
    instruments.Register(builder, service);
    if (api == Setup::Api::kQueue) {
      server_queue_ = builder.AddCompletionQueue();
      queue_ = server_queue_.get();
    } else {
      client_queue_ = std::make_unique<grpc::CompletionQueue>();
      queue_ = client_queue_.get();
    }
    server_ = builder.BuildAndStart();
    stub_ = Echo::NewStub(server_->experimental().InProcessChannelWithInterceptors(
        grpc::ChannelArguments(), instruments.Interceptors()));
    request_.set_text("hello");
  }

  void Unary() {
    std::optional<QueueUnary> served;
    if (server_queue_ != nullptr) served.emplace(async_, *server_queue_, instruments_);
    grpc::ClientContext context;
    instruments_.Prepare(context);
    Span span = Start("Unary", "unary", context);
    Message reply;
    grpc::Status status;
    Flag finished;
    auto call = stub_->AsyncUnary(&context, request_, queue_);
    call->Finish(&reply, &status, static_cast<Event*>(&finished));
    Await(finished);
    End(std::move(span), status);
    if (served) Await(served->ended);
  }

  void Stream() {
    std::optional<QueueStream> served;
    if (server_queue_ != nullptr) served.emplace(async_, *server_queue_, instruments_);
    grpc::ClientContext context;
    instruments_.Prepare(context);
    Span span = Start("Stream", "bidi_stream", context);
    Flag started;
    auto stream = stub_->AsyncStream(&context, queue_, static_cast<Event*>(&started));
    Await(started);
    Message reply;
    for (int i = 0; i < kMessages; ++i) {
      Flag written;
      Flag read;
      stream->Write(request_, static_cast<Event*>(&written));
      stream->Read(&reply, static_cast<Event*>(&read));
      Await(written);
      Await(read);
      if (!read.ok) std::abort();
    }
    Flag done;
    stream->WritesDone(static_cast<Event*>(&done));
    Await(done);
    grpc::Status status;
    Flag finished;
    stream->Finish(&status, static_cast<Event*>(&finished));
    Await(finished);
    End(std::move(span), status);
    if (served) Await(served->ended);
  }

  bool streams() const { return instruments_.setup().stream; }

 private:
  using Span = std::unique_ptr<HandSpan>;

  Span Start(const char* method, const char* kind, grpc::ClientContext& context) const {
    HandTracer* const by_hand = instruments_.by_hand();
    return by_hand != nullptr ? by_hand->StartClient("bench.Echo", method, kind, context) : nullptr;
  }
  void End(Span span, const grpc::Status& status) const {
    if (!status.ok()) std::abort();
    if (span != nullptr) instruments_.by_hand()->End(std::move(span), status);
  }

  void Await(const Flag& flag) {
    void* tag = nullptr;
    bool ok = false;
    while (!flag.done && queue_->Next(&tag, &ok)) static_cast<Event*>(tag)->Complete(ok);
  }

  const Instruments& instruments_;
  Echo::AsyncService async_;
  SyncEcho sync_;
  CallbackEcho callback_;
  std::unique_ptr<grpc::ServerCompletionQueue> server_queue_;
  std::unique_ptr<grpc::CompletionQueue> client_queue_;
  grpc::CompletionQueue* queue_ = nullptr;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<Echo::Stub> stub_;
  Message request_;
};

OneThread::OneThread(const Instruments& instruments)
    : harness_(std::make_unique<Harness>(instruments)) {}
OneThread::~OneThread() = default;

void OneThread::Call() {
  if (harness_->streams()) {
    harness_->Stream();
  } else {
    harness_->Unary();
  }
}

}  // namespace bench
