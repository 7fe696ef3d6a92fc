// SPDX-License-Identifier: Apache-2.0
#include <weft/testing/fake_collector.h>

#include <algorithm>
#include <condition_variable>
#include <cstdlib>
#include <deque>
#include <filesystem>
#include <mutex>
#include <optional>
#include <utility>

#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <weft/collector/v1/collector.grpc.pb.h>

namespace weft {
inline namespace v0 {
namespace testing {
namespace {

namespace v1 = collector::v1;

std::string MakeDirectory() {
  std::string path = (std::filesystem::temp_directory_path() / "weft-fake-XXXXXX").string();
  return mkdtemp(path.data()) != nullptr ? path : std::string();
}

}  // namespace

class FakeCollector::Service final : public v1::CollectorService::CallbackService {
 public:
  class Call;

  grpc::ServerBidiReactor<v1::ExportStreamRequest, v1::ExportStreamResponse>* ExportStream(
      grpc::CallbackServerContext* context) override;

  void Listen(const std::string& address) {
    grpc::ServerBuilder builder;
    builder.AddListeningPort(address, grpc::InsecureServerCredentials());
    builder.RegisterService(this);
    builder.SetMaxReceiveMessageSize(-1);
    server_ = builder.BuildAndStart();
  }

  void Close() {
    // Cancels all calls; the server is gone when each has said OnDone.
    if (server_) server_->Shutdown(std::chrono::system_clock::now());
    server_.reset();
  }

  template <typename F>
  void Change(F&& change) {
    const std::lock_guard lock(mutex_);
    change();
    changed_.notify_all();
  }

  template <typename F>
  auto Read(F&& read) const {
    const std::lock_guard lock(mutex_);
    return read();
  }

  template <typename F>
  bool WaitFor(std::chrono::steady_clock::duration timeout, F&& reached) const {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, timeout, reached);
  }

  void Release();

  std::deque<Answer> answers;
  bool keep = true;
  bool held = false;
  std::uint32_t window = 0;
  Operations kept;
  std::size_t batches = 0;
  std::size_t streams = 0;
  std::vector<std::string> api_keys;

 private:
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  std::vector<std::shared_ptr<Call>> calls_;
  std::unique_ptr<grpc::Server> server_;
};

// Deletes itself, by its own reference, when gRPC is done with it.
class FakeCollector::Service::Call final
    : public grpc::ServerBidiReactor<v1::ExportStreamRequest, v1::ExportStreamResponse>,
      public std::enable_shared_from_this<Call> {
 public:
  explicit Call(Service* service) : service_(*service) {}

  void Start() {
    self_ = shared_from_this();
    StartRead(&request_);
  }

  void OnReadDone(bool ok) override {
    if (!ok) return End(grpc::Status::OK);
    service_.Change([this] {
      ++service_.batches;
      Answer answer;
      if (!service_.answers.empty()) {
        answer = std::move(service_.answers.front());
        service_.answers.pop_front();
      }
      if (!answer.silence) pending_.push_back({std::move(request_), std::move(answer)});
    });
    StartRead(&request_);
    Pump();
  }

  void OnWriteDone(bool ok) override {
    service_.Change([this] { writing_ = false; });
    if (ok) Pump();
  }

  void OnDone() override { self_.reset(); }

  /// Gives the next answer, if it is time. gRPC may call back from within, so no lock is held.
  void Pump() {
    std::optional<Answer> last;
    bool write = false;
    service_.Change([&] {
      if (writing_ || ended_ || service_.held || pending_.empty()) return;
      const Pending next = std::move(pending_.front());
      pending_.pop_front();
      if (next.answer.end_stream) {
        last = next.answer;
        return;
      }
      Keep(next);
      write = writing_ = true;
    });
    if (write) StartWrite(&response_);
    if (last) End(grpc::Status(static_cast<grpc::StatusCode>(last->code), last->message));
  }

 private:
  struct Pending {
    v1::ExportStreamRequest request;
    Answer answer;
  };

  void End(const grpc::Status& status) {
    bool first = false;
    service_.Change([&] { first = !std::exchange(ended_, true); });
    if (first) Finish(status);
  }

  void Keep(const Pending& pending) {
    const Answer& answer = pending.answer;
    response_.Clear();
    response_.set_batch_id(pending.request.batch_id());
    response_.set_window(service_.window);
    response_.mutable_result()->set_code(answer.code);
    response_.mutable_result()->set_message(answer.message);
    response_.mutable_result()->set_retry_after_ms(answer.retry_after_ms);
    for (const std::uint32_t index : answer.rejected) {
      response_.mutable_result()->add_rejected()->set_index(index);
    }
    if (answer.code != 0 || !service_.keep) return;
    const auto& operations = pending.request.batch().operations();
    for (int i = 0; i < operations.size(); ++i) {
      const auto& rejected = answer.rejected;
      if (std::count(rejected.begin(), rejected.end(), static_cast<std::uint32_t>(i)) == 0) {
        service_.kept.push_back(operations[i]);
      }
    }
  }

  Service& service_;
  std::shared_ptr<Call> self_;
  v1::ExportStreamRequest request_;
  v1::ExportStreamResponse response_;
  // Guarded by the service.
  std::deque<Pending> pending_;
  bool writing_ = false;
  bool ended_ = false;
};

grpc::ServerBidiReactor<v1::ExportStreamRequest, v1::ExportStreamResponse>*
FakeCollector::Service::ExportStream(grpc::CallbackServerContext* context) {
  const auto call = std::make_shared<Call>(this);
  Change([&] {
    ++streams;
    calls_.push_back(call);
    const auto key = context->client_metadata().find("x-api-key");
    if (key != context->client_metadata().end()) {
      api_keys.emplace_back(key->second.data(), key->second.size());
    }
  });
  call->Start();
  return call.get();
}

void FakeCollector::Service::Release() {
  std::vector<std::shared_ptr<Call>> calls;
  Change([&] {
    held = false;
    calls = calls_;
  });
  for (const auto& call : calls) call->Pump();
}

FakeCollector::FakeCollector(Options options)
    : directory_(MakeDirectory()), service_(std::make_unique<Service>()) {
  service_->keep = options.keep;
  Start();
}

FakeCollector::~FakeCollector() {
  Die();
  std::error_code ignored;
  std::filesystem::remove_all(directory_, ignored);
}

std::string FakeCollector::target() const { return "unix:" + directory_ + "/socket"; }

void FakeCollector::AnswerNext(Answer answer) {
  service_->Change([&] { service_->answers.push_back(std::move(answer)); });
}

void FakeCollector::Hold() {
  service_->Change([&] { service_->held = true; });
}

void FakeCollector::Release() { service_->Release(); }

void FakeCollector::SetWindow(std::uint32_t window) {
  service_->Change([&] { service_->window = window; });
}

void FakeCollector::Die() { service_->Close(); }

void FakeCollector::Start() { service_->Listen(target()); }

FakeCollector::Operations FakeCollector::Kept() const {
  return service_->Read([&] { return service_->kept; });
}

std::size_t FakeCollector::batches() const {
  return service_->Read([&] { return service_->batches; });
}

std::size_t FakeCollector::streams() const {
  return service_->Read([&] { return service_->streams; });
}

std::vector<std::string> FakeCollector::api_keys() const {
  return service_->Read([&] { return service_->api_keys; });
}

bool FakeCollector::WaitForKept(std::size_t operations,
                                std::chrono::steady_clock::duration timeout) const {
  return service_->WaitFor(timeout, [&] { return service_->kept.size() >= operations; });
}

bool FakeCollector::WaitForBatches(std::size_t batches,
                                   std::chrono::steady_clock::duration timeout) const {
  return service_->WaitFor(timeout, [&] { return service_->batches >= batches; });
}

bool FakeCollector::WaitForStreams(std::size_t streams,
                                   std::chrono::steady_clock::duration timeout) const {
  return service_->WaitFor(timeout, [&] { return service_->streams >= streams; });
}

}  // namespace testing
}  // namespace v0
}  // namespace weft
