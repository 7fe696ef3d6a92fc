// SPDX-License-Identifier: Apache-2.0
// What receiving spans over OTLP with gRPC costs the collector, durable before the answer: CPU
// seconds per million spans, for each size of a span and number of spans a request.
//
//   otlp_benchmark [--requests N] [--spans N] [--bytes N] [--outstanding N] [--directory DIR]
//
// The collector is this library's, in a process of its own, without destinations. The figures
// contain what it does behind the answer, too: the index reads each record.
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <weft/collector/collector.h>
#include <weft/collector/process.h>
#include <weft/tracing/internal/proto_writer.h>

#include "collector_load.h"

namespace {

namespace fs = std::filesystem;
using collector_load::Clock;
using collector_load::Die;
using collector_load::Server;
using weft::internal::ProtoWriter;

constexpr char kMethod[] = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

struct Settings {
  int requests = 2000;
  int spans = 100;
  std::size_t bytes = 281;
  int outstanding = 16;
  fs::path directory = fs::current_path();
};

void AddAttribute(ProtoWriter& out, int field, const std::string& key, const std::string& text) {
  const auto pair = out.Begin(field);
  out.Text(1, key);
  const auto value = out.Begin(2);
  out.Text(1, text);
  out.End(value);
  out.End(pair);
}

// A trace: a root and its children. Texts are cut so that a span has `bytes`.
std::string Request(const Settings& settings, std::uint64_t number) {
  collector_load::Text text(static_cast<unsigned>(number) + 1);
  const auto trace = weft::RunId::New(std::chrono::system_clock::now()).bytes;
  const std::string trace_id(reinterpret_cast<const char*>(trace.data()), trace.size());
  std::string request;
  ProtoWriter out(request);
  const auto resource_spans = out.Begin(1);
  const auto resource = out.Begin(1);
  AddAttribute(out, 1, "service.name", "benchmark");
  out.End(resource);
  const auto scope_spans = out.Begin(2);
  const auto scope = out.Begin(1);
  out.Text(1, "benchmark");
  out.End(scope);
  for (int i = 0; i < settings.spans; ++i) {
    const auto id = [&](int n) {
      return trace_id.substr(12) + std::string(3, 's') + static_cast<char>(n + 1);
    };
    const auto span = out.Begin(2);
    const std::size_t begin = request.size();
    out.Text(1, trace_id);
    out.Text(2, id(i));
    if (i > 0) out.Text(4, id(0));
    out.Text(5, "chat small");
    out.Number(6, 3);
    out.Fixed64(7, 1'790'000'000'000'000'000ull + number);
    out.Fixed64(8, 1'790'000'001'000'000'000ull + number);
    AddAttribute(out, 9, "gen_ai.operation.name", "chat");
    AddAttribute(out, 9, "gen_ai.request.model", "small");
    AddAttribute(out, 9, "gen_ai.provider.name", "acme");
    const std::size_t used = request.size() - begin + 28;
    std::string rest = text.Words(settings.bytes > used ? settings.bytes - used : 1);
    rest.resize(settings.bytes > used ? settings.bytes - used : 1);
    AddAttribute(out, 9, "gen_ai.completion", rest);
    out.End(span);
  }
  out.End(scope_spans);
  out.End(resource_spans);
  return request;
}

struct Call {
  grpc::ClientContext context;
  grpc::ByteBuffer answer;
  grpc::Status status;
  std::unique_ptr<grpc::GenericClientAsyncResponseReader> reader;
};

class Exporter {
 public:
  Exporter(const std::string& address, const std::vector<std::string>& requests)
      : stub_(grpc::CreateChannel(address, grpc::InsecureChannelCredentials())) {
    for (const std::string& request : requests) {
      const grpc::Slice slice(request);
      requests_.emplace_back(&slice, 1);
    }
  }

  void Run(int outstanding) {
    std::size_t answered = 0;
    for (int i = 0; i < outstanding; ++i) Next();
    for (void* tag = nullptr; answered < requests_.size(); ++answered) {
      bool ok = false;
      if (!queue_.Next(&tag, &ok)) Die("the queue ended");
      const std::unique_ptr<Call> call(static_cast<Call*>(tag));
      if (!call->status.ok()) Die("answered: " + call->status.error_message());
      Next();
    }
    queue_.Shutdown();
  }

 private:
  void Next() {
    if (next_ == requests_.size()) return;
    auto* const call = new Call;
    call->reader = stub_.PrepareUnaryCall(&call->context, kMethod, requests_[next_++], &queue_);
    call->reader->StartCall();
    call->reader->Finish(&call->answer, &call->status, call);
  }

  grpc::GenericStub stub_;
  grpc::CompletionQueue queue_;
  std::vector<grpc::ByteBuffer> requests_;
  std::size_t next_ = 0;
};

void Serve(const fs::path& data, const std::function<void(const std::string&)>& listening) {
  weft::collector::PrepareProcess();
  weft::collector::CollectorConfig config;
  config.data = data;
  config.listen_grpc = config.listen_otlp_http = config.listen_http = "127.0.0.1:0";
  const auto collector = weft::collector::Collector::Start(config);
  if (!collector.ok()) Die(std::string(collector.status().message()));
  listening((*collector)->addresses().grpc);
  ::pause();
}

Settings ParseSettings(int argc, char** argv) {
  Settings settings;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string option = argv[i], value = argv[i + 1];
    if (option == "--requests") {
      settings.requests = std::stoi(value);
    } else if (option == "--spans") {
      settings.spans = std::stoi(value);
    } else if (option == "--bytes") {
      settings.bytes = std::stoul(value);
    } else if (option == "--outstanding") {
      settings.outstanding = std::stoi(value);
    } else if (option == "--directory") {
      settings.directory = value;
    } else {
      Die("unknown option " + option);
    }
  }
  return settings;
}

}  // namespace

int main(int argc, char** argv) {
  const Settings settings = ParseSettings(argc, argv);
  const fs::path data = settings.directory / ("otlp_benchmark." + std::to_string(::getpid()));
  {
    // Before gRPC has threads in this process.
    const Server collector(
        [&](const std::function<void(const std::string&)>& listening) { Serve(data, listening); });
    std::vector<std::string> requests;
    double bytes = 0;
    for (int i = 0; i < settings.requests; ++i) {
      requests.push_back(Request(settings, static_cast<std::uint64_t>(i)));
      bytes += static_cast<double>(requests.back().size());
    }
    Exporter exporter(collector.address(), requests);
    const double spans = static_cast<double>(settings.requests) * settings.spans;
    const double cpu_before = collector.CpuSeconds();
    const auto started = Clock::now();
    exporter.Run(settings.outstanding);
    const double seconds = std::chrono::duration<double>(Clock::now() - started).count();
    const double cpu = collector.CpuSeconds() - cpu_before;
    std::printf(
        "%d requests of %d spans of %.0f bytes: %9.0f spans/s  %6.2f CPU s per million spans  "
        "peak %4.0f MB\n",
        settings.requests, settings.spans, bytes / spans, spans / seconds, cpu / spans * 1e6,
        collector.PeakMegabytes());
  }
  fs::remove_all(data);
}
