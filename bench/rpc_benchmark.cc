// SPDX-License-Identifier: Apache-2.0
// What tracing adds to a unary RPC.
//
//   rpc_benchmark once MODE N
//     One thread is client and server, in process; N RPCs after a warm-up. For instructions take
//     the slope of two runs, all threads counted:
//       valgrind --tool=callgrind rpc_benchmark once exported 1000
//   rpc_benchmark tcp [ROUNDS [N]]
//     64 outstanding over TCP; CPU time per RPC of the whole process and its ratio to bare, medians
//     of interleaved rounds. Wants a quiet machine.
//
// Modes: bare, floor (two interceptors by hand that send and read two headers), filtered (a chain
// that selects nothing), off (tracer disabled), unsampled, null (traced to an exporter that drops),
// exported (traced, sent to a service in this process that acknowledges every batch), unpacked (the
// same, but the service unpacks the runs), sent (tcp only: to a collector in another process, whose
// CPU time is not counted).
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <new>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <google/protobuf/io/coded_stream.h>
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/grpcpp.h>

#include <weft/collector/v1/collector.grpc.pb.h>
#include <weft/interceptors/create_channel.h>
#include <weft/interceptors/intercept_server.h>
#include <weft/tracing/collector_exporter.h>
#include <weft/tracing/tracer.h>

#include "collector_process.h"
#include "rpc_benchmark.grpc.pb.h"

namespace {
std::atomic<bool> g_counting{false};
std::atomic<long> g_allocations{0};
}  // namespace

[[gnu::noinline]] void* operator new(std::size_t size) {
  if (g_counting.load(std::memory_order_relaxed)) {
    g_allocations.fetch_add(1, std::memory_order_relaxed);
  }
  if (void* memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace {

using bench::Echo;
using bench::Message;

class NullExporter final : public weft::Exporter {
 public:
  void Export(weft::RunRecord&& record) noexcept override {
    const weft::RunRecord dropped = std::move(record);
  }
  bool Flush(std::chrono::steady_clock::duration) noexcept override { return true; }
  bool Shutdown(std::chrono::steady_clock::duration) noexcept override { return true; }
  weft::ExporterStats Stats() const noexcept override { return {}; }
};

/// Acknowledges everything: by the batch's number alone, or after unpacking the runs.
class Collector {
 public:
  explicit Collector(bool unpack) {
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    if (unpack) {
      builder.RegisterService(&unpacking_);
    } else {
      builder.RegisterCallbackGenericService(&plain_);
    }
    server_ = builder.BuildAndStart();
    target_ = "127.0.0.1:" + std::to_string(port);
  }
  ~Collector() { server_->Shutdown(std::chrono::system_clock::now()); }

  const std::string& target() const { return target_; }

 private:
  using Request = weft::collector::v1::ExportStreamRequest;
  using Response = weft::collector::v1::ExportStreamResponse;

  static Response Acknowledgement(std::uint64_t batch_id) {
    Response response;
    response.set_batch_id(batch_id);
    response.mutable_result();
    return response;
  }

  class Unpacking final : public weft::collector::v1::CollectorService::Service {
    grpc::Status ExportStream(grpc::ServerContext* /*context*/,
                              grpc::ServerReaderWriter<Response, Request>* stream) override {
      Request request;
      while (stream->Read(&request)) stream->Write(Acknowledgement(request.batch_id()));
      return grpc::Status::OK;
    }
  };

  class Plain final : public grpc::CallbackGenericService {
    class Reactor final : public grpc::ServerGenericBidiReactor {
     public:
      Reactor() { StartRead(&request_); }
      void OnReadDone(bool ok) override {
        if (!ok) return Finish(grpc::Status::OK);
        bool owned = false;
        grpc::SerializationTraits<Response>::Serialize(Acknowledgement(BatchId()), &response_,
                                                       &owned);
        StartWrite(&response_);
      }
      void OnWriteDone(bool ok) override {
        if (ok) StartRead(&request_);
      }
      void OnDone() override { delete this; }

     private:
      // The first field of the request.
      std::uint64_t BatchId() {
        std::vector<grpc::Slice> slices;
        if (!request_.Dump(&slices).ok() || slices.empty()) return 0;
        google::protobuf::io::CodedInputStream input(
            slices[0].begin(), static_cast<int>(std::min<std::size_t>(slices[0].size(), 11)));
        std::uint64_t id = 0;
        return input.ReadTag() == 8 && input.ReadVarint64(&id) ? id : 0;
      }

      grpc::ByteBuffer request_;
      grpc::ByteBuffer response_;
    };

    grpc::ServerGenericBidiReactor* CreateReactor(
        grpc::GenericCallbackServerContext* /*context*/) override {
      return new Reactor;
    }
  };

  Unpacking unpacking_;
  Plain plain_;
  std::unique_ptr<grpc::Server> server_;
  std::string target_;
};

// ---- what any interceptor that sends and reads two such headers costs

namespace ge = grpc::experimental;

class FloorInterceptor final : public ge::Interceptor {
  void Intercept(ge::InterceptorBatchMethods* batch) override {
    using Hook = ge::InterceptionHookPoints;
    if (batch->QueryInterceptionHookPoint(Hook::PRE_SEND_INITIAL_METADATA) &&
        batch->GetSendInitialMetadata() != nullptr && client) {
      batch->GetSendInitialMetadata()->emplace(
          "langsmith-trace", "20260102T030405000000Z019b7a00-0000-7000-8000-000000000001");
      batch->GetSendInitialMetadata()->emplace("baggage", "langsmith-project=default");
    }
    if (batch->QueryInterceptionHookPoint(Hook::POST_RECV_INITIAL_METADATA) && !client) {
      const auto* metadata = batch->GetRecvInitialMetadata();
      if (metadata->find("langsmith-trace") == metadata->end()) std::abort();
      if (metadata->find("baggage") == metadata->end()) std::abort();
    }
    batch->Proceed();
  }

 public:
  explicit FloorInterceptor(bool is_client) noexcept : client(is_client) {}
  const bool client;
};

class FloorClientFactory final : public ge::ClientInterceptorFactoryInterface {
  ge::Interceptor* CreateClientInterceptor(ge::ClientRpcInfo*) override {
    return new FloorInterceptor(true);
  }
};

class FloorServerFactory final : public ge::ServerInterceptorFactoryInterface {
  ge::Interceptor* CreateServerInterceptor(ge::ServerRpcInfo*) override {
    return new FloorInterceptor(false);
  }
};

template <typename Factory, typename Interface>
std::vector<std::unique_ptr<Interface>> One() {
  std::vector<std::unique_ptr<Interface>> factories;
  factories.push_back(std::make_unique<Factory>());
  return factories;
}

enum class Mode { kBare, kFloor, kFiltered, kOff, kUnsampled, kNull, kExported, kUnpacked, kSent };

const std::map<std::string, Mode, std::less<>> kModes = {
    {"bare", Mode::kBare},         {"floor", Mode::kFloor},         {"filtered", Mode::kFiltered},
    {"off", Mode::kOff},           {"unsampled", Mode::kUnsampled}, {"null", Mode::kNull},
    {"exported", Mode::kExported}, {"unpacked", Mode::kUnpacked},   {"sent", Mode::kSent}};

/// What a mode needs besides the server and the channel.
class Tracing {
 public:
  /// `collector`: where mode kSent sends to.
  explicit Tracing(Mode mode, const std::string& collector = {}) : mode_(mode) {
    if (mode == Mode::kBare || mode == Mode::kFloor) return;
    weft::TracerOptions options{.enabled = mode != Mode::kOff};
    if (mode == Mode::kUnsampled) options.sampling_rate = 0.0;
    if (mode == Mode::kExported || mode == Mode::kUnpacked) {
      collector_ = std::make_unique<Collector>(mode == Mode::kUnpacked);
      options.exporters.push_back(
          weft::CollectorExporter::Create({.target = collector_->target()}).value());
    } else if (mode == Mode::kSent) {
      options.exporters.push_back(weft::CollectorExporter::Create({.target = collector}).value());
    } else {
      options.exporters.push_back(std::make_shared<NullExporter>());
    }
    tracer_ = weft::Tracer::Create(std::move(options)).value();
  }

  void Intercept(grpc::ServerBuilder& builder) const {
    if (mode_ == Mode::kBare) return;
    if (mode_ == Mode::kFloor) {
      builder.experimental().SetInterceptorCreators(
          One<FloorServerFactory, ge::ServerInterceptorFactoryInterface>());
      return;
    }
    if (!weft::InterceptServer(builder, Options()).ok()) std::exit(1);
  }

  std::vector<std::unique_ptr<ge::ClientInterceptorFactoryInterface>> Interceptors() const {
    if (mode_ == Mode::kBare) return {};
    if (mode_ == Mode::kFloor) {
      return One<FloorClientFactory, ge::ClientInterceptorFactoryInterface>();
    }
    return weft::ClientInterceptors(Options());
  }

  weft::InterceptorOptions Options() const {
    weft::InterceptorOptions options{.tracer = tracer_};
    if (mode_ == Mode::kFiltered) options.selector = weft::Selector("/nothing/*");
    return options;
  }

  void Flush() {
    if (tracer_ == nullptr) return;
    if (!tracer_->Flush(std::chrono::seconds(60))) std::fputs("not flushed in time\n", stderr);
    for (const weft::ExporterStats& stats : tracer_->Stats().exporters) {
      if (stats.dropped() != 0) std::fprintf(stderr, "%lu runs dropped\n", stats.dropped());
    }
  }

 private:
  Mode mode_;
  std::unique_ptr<Collector> collector_;
  std::shared_ptr<weft::Tracer> tracer_;
};

// ---- one thread, in process

class OneThread {
 public:
  explicit OneThread(const Tracing& tracing) {
    grpc::ServerBuilder builder;
    builder.RegisterService(&service_);
    queue_ = builder.AddCompletionQueue();
    tracing.Intercept(builder);
    server_ = builder.BuildAndStart();
    stub_ = Echo::NewStub(server_->experimental().InProcessChannelWithInterceptors(
        grpc::ChannelArguments(), tracing.Interceptors()));
    request_.set_text("hello");
  }

  void Call() {
    grpc::ServerContext server_context;
    Message received;
    grpc::ServerAsyncResponseWriter<Message> writer(&server_context);
    service_.RequestUnary(&server_context, &received, &writer, queue_.get(), queue_.get(), Tag(1));
    grpc::ClientContext client_context;
    Message reply;
    grpc::Status status;
    auto call = stub_->AsyncUnary(&client_context, request_, queue_.get());
    call->Finish(&reply, &status, Tag(3));
    void* tag = nullptr;
    bool ok = false;
    for (int left = 3; left > 0 && queue_->Next(&tag, &ok); --left) {
      if (tag == Tag(1)) writer.Finish(received, grpc::Status::OK, Tag(2));
    }
    if (!status.ok()) std::abort();
  }

 private:
  static void* Tag(std::intptr_t n) { return reinterpret_cast<void*>(n); }

  Echo::AsyncService service_;
  std::unique_ptr<grpc::ServerCompletionQueue> queue_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<Echo::Stub> stub_;
  Message request_;
};

int RunOnce(std::string_view name, int count) {
  const auto mode = kModes.find(name);
  if (mode == kModes.end() || mode->second == Mode::kSent || count <= 0) return 2;
  Tracing tracing(mode->second);
  OneThread harness(tracing);
  for (int i = 0; i < 200; ++i) harness.Call();
  tracing.Flush();
  g_counting = true;
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < count; ++i) harness.Call();
  const std::chrono::duration<double, std::micro> took = std::chrono::steady_clock::now() - start;
  tracing.Flush();
  g_counting = false;
  std::printf("%-10s %8.2f us/RPC %6.1f allocations/RPC\n", mode->first.c_str(),
              took.count() / count, static_cast<double>(g_allocations.load()) / count);
  std::fflush(stdout);
  std::_Exit(0);  // without waiting for the queues to drain
}

// ---- TCP, 64 outstanding

class TcpServer {
 public:
  explicit TcpServer(const Tracing& tracing) {
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(&service_);
    queue_ = builder.AddCompletionQueue();
    tracing.Intercept(builder);
    server_ = builder.BuildAndStart();
    target_ = "127.0.0.1:" + std::to_string(port);
    for (int i = 0; i < 128; ++i) new Call(*this);
    thread_ = std::thread([this] {
      void* tag = nullptr;
      bool ok = false;
      while (queue_->Next(&tag, &ok)) static_cast<Call*>(tag)->Go(ok);
    });
  }
  ~TcpServer() {
    server_->Shutdown(std::chrono::system_clock::now());
    queue_->Shutdown();
    thread_.join();
  }
  const std::string& target() const { return target_; }

 private:
  struct Call {
    explicit Call(TcpServer& owner) : server(owner) {
      auto* queue = server.queue_.get();
      server.service_.RequestUnary(&context, &message, &writer, queue, queue, this);
    }
    void Go(bool ok) {
      if (finished || !ok) {
        delete this;
        return;
      }
      new Call(server);
      finished = true;
      writer.Finish(message, grpc::Status::OK, this);
    }
    TcpServer& server;
    grpc::ServerContext context;
    Message message;
    grpc::ServerAsyncResponseWriter<Message> writer{&context};
    bool finished = false;
  };

  Echo::AsyncService service_;
  std::unique_ptr<grpc::ServerCompletionQueue> queue_;
  std::unique_ptr<grpc::Server> server_;
  std::string target_;
  std::thread thread_;
};

class TcpClient {
 public:
  TcpClient(const std::string& target, const Tracing& tracing) {
    // Else channels to one address share a connection, whatever their mode.
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    stub_ = Echo::NewStub(ge::CreateCustomChannelWithInterceptors(
        target, grpc::InsecureChannelCredentials(), arguments, tracing.Interceptors()));
    request_.set_text("hello");
  }

  void Run(int count) {
    constexpr int kOutstanding = 64;
    int started = 0;
    int ended = 0;
    while (started < std::min(count, kOutstanding)) Start(started);
    void* tag = nullptr;
    bool ok = false;
    while (ended < count && queue_.Next(&tag, &ok)) {
      const std::unique_ptr<Call> call(static_cast<Call*>(tag));
      if (!call->status.ok()) std::abort();
      ++ended;
      if (started < count) Start(started);
    }
  }

 private:
  struct Call {
    grpc::ClientContext context;
    Message reply;
    grpc::Status status;
    std::unique_ptr<grpc::ClientAsyncResponseReader<Message>> reader;
  };

  void Start(int& started) {
    auto* call = new Call;
    call->reader = stub_->AsyncUnary(&call->context, request_, &queue_);
    call->reader->Finish(&call->reply, &call->status, call);
    ++started;
  }

  grpc::CompletionQueue queue_;
  std::unique_ptr<Echo::Stub> stub_;
  Message request_;
};

double CpuMicros() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto micros = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) * 1e6 + static_cast<double>(time.tv_usec);
  };
  return micros(usage.ru_utime) + micros(usage.ru_stime);
}

double Median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

int RunTcp(int rounds, int count) {
  if (rounds <= 0 || count <= 0) return 2;
  const CollectorProcess collector;  // Before gRPC has threads here.
  struct Setup {
    Setup(Mode mode, const std::string& collector)
        : tracing(mode, collector), server(tracing), client(server.target(), tracing) {}
    Tracing tracing;
    TcpServer server;
    TcpClient client;
    std::vector<double> cpu;
  };
  const std::vector<std::string> names = {"bare",      "floor", "filtered", "off",
                                          "unsampled", "null",  "exported", "sent"};
  std::vector<std::unique_ptr<Setup>> setups;
  for (const std::string& name : names) {
    setups.push_back(std::make_unique<Setup>(kModes.at(name), collector.target()));
    setups.back()->client.Run(2000);
    setups.back()->tracing.Flush();
  }
  for (int round = 0; round < rounds; ++round) {
    for (const auto& setup : setups) {
      const double before = CpuMicros();
      setup->client.Run(count);
      setup->tracing.Flush();
      setup->cpu.push_back((CpuMicros() - before) / count);
    }
  }
  for (std::size_t i = 0; i < names.size(); ++i) {
    // Of the same round: what else the machine does changes from round to round.
    std::vector<double> ratios;
    for (std::size_t round = 0; round < setups[i]->cpu.size(); ++round) {
      ratios.push_back(setups[i]->cpu[round] / setups[0]->cpu[round]);
    }
    std::printf("%-10s %7.2f us CPU/RPC  %.3f x bare\n", names[i].c_str(), Median(setups[i]->cpu),
                Median(ratios));
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> args(argv + 1, argv + argc);
  const auto number = [&](std::size_t i, int otherwise) {
    return args.size() > i ? std::atoi(args[i].c_str()) : otherwise;
  };
  int result = 2;
  if (args.size() == 3 && args[0] == "once") result = RunOnce(args[1], number(2, 0));
  if (args.empty() || args[0] == "tcp") result = RunTcp(number(1, 9), number(2, 10000));
  if (result == 2) {
    std::fputs("use: rpc_benchmark once MODE N | rpc_benchmark tcp [ROUNDS [N]]\n", stderr);
  }
  return result;
}
