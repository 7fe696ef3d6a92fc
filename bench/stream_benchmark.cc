// SPDX-License-Identifier: Apache-2.0
// How fast the collector acknowledges runs over weft's gRPC stream, durable, as CollectorExporter
// sends them: 100 runs of 2 KB a batch, each batch once. What collector_benchmark measures over
// HTTP.
//
//   stream_benchmark [--identity] [--batches N] [--streams N] [--directory DIR]
//
// Batches are compressed, as collector_benchmark's requests are, but with --identity.
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/support/proto_buffer_reader.h>
#include <weft/collector/v1/collector.pb.h>

#include <weft/collector/collector.h>
#include <weft/tracing/internal/form_data.h>

#include "collector_load.h"

namespace {

namespace fs = std::filesystem;
namespace v1 = weft::collector::v1;
using collector_load::Clock;
using collector_load::Die;
using collector_load::Server;
using collector_load::Text;

constexpr int kRuns = 100;
constexpr std::size_t kWindow = 8;  ///< Batches of a stream that wait for their answer.

struct Settings {
  int batches = 6000;
  int streams = 4;
  bool identity = false;
  fs::path directory = fs::current_path();
};

std::string Bytes(const weft::RunId& id) {
  return {reinterpret_cast<const char*>(id.bytes.data()), id.bytes.size()};
}

grpc::ByteBuffer Batch(Text& text, std::uint64_t number, bool identity, std::size_t* bytes) {
  const auto now = std::chrono::system_clock::now();
  const weft::RunId trace = weft::RunId::New(now);
  const std::string root_order = "20260910T002640013001Z" + trace.ToString();
  v1::ExportStreamRequest request;
  request.set_batch_id(number);
  for (int i = 0; i < kRuns; ++i) {
    const weft::RunId id = i == 0 ? trace : weft::RunId::New(now);
    std::string order = root_order;
    if (i > 0) order += ".20260910T002640013002Z" + id.ToString();
    const std::string parent = i == 0 ? "null" : "\"" + trace.ToString() + "\"";
    v1::RunOperation* const operation = request.mutable_batch()->add_operations();
    operation->set_kind(v1::RunOperation::KIND_POST);
    operation->set_run_id(Bytes(id));
    operation->set_trace_id(Bytes(trace));
    operation->set_run("{\"id\":\"" + id.ToString() + "\",\"trace_id\":\"" + trace.ToString() +
                       "\",\"parent_run_id\":" + parent + ",\"dotted_order\":\"" + order +
                       "\",\"name\":\"step\",\"run_type\":\"llm\",\"session_name\":\"benchmark\","
                       "\"start_time\":\"2026-09-10T00:26:40.013000+00:00\","
                       "\"end_time\":\"2026-09-10T00:26:41.013000+00:00\",\"tags\":[\"a\"]}");
    operation->set_inputs("{\"messages\":[{\"role\":\"system\",\"content\":\"" + text.Words(300) +
                          "\"},{\"role\":\"user\",\"content\":\"" + text.Words(250) + "\"}]}");
    operation->set_outputs("{\"role\":\"assistant\",\"content\":\"" + text.Words(420) + "\"}");
    operation->set_extra(
        "{\"runtime\":{\"sdk\":\"langsmith-py\",\"sdk_version\":\"0.11.1\"},\"metadata\":{"
        "\"ls_provider\":\"openai\",\"ls_model_name\":\"small\",\"ls_temperature\":0.2}}");
  }
  *bytes += request.batch().ByteSizeLong();
  if (!identity) {
    request.set_zstd_batch(weft::internal::CompressZstd(request.batch().SerializeAsString()));
    request.clear_batch();
  }
  const grpc::Slice slice(request.SerializeAsString());
  return grpc::ByteBuffer(&slice, 1);
}

class Stream;

/// Of gRPC: its address is the tag.
struct Operation {
  Stream* stream;
};

/// One stream that sends its share with a window, over a connection of its own.
class Stream {
 public:
  Stream(const std::string& address, std::vector<grpc::ByteBuffer> batches)
      : stub_(grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), Alone())),
        batches_(std::move(batches)) {}

  void Start(grpc::CompletionQueue& queue) {
    call_ =
        stub_.PrepareCall(&context_, "/weft.collector.v1.CollectorService/ExportStream", &queue);
    call_->StartCall(&started_);
  }

  /// One of its operations is over.
  void Handle(const Operation* operation) {
    if (operation == &read_) OnAnswer();
    if (operation != &written_) call_->Read(&answer_, &read_);
    if (operation == &written_) writing_ = false;
    Write();
  }

  void Cancel() { context_.TryCancel(); }
  bool is_done() const { return milliseconds_.size() == batches_.size(); }
  const std::vector<double>& milliseconds() const { return milliseconds_; }

 private:
  static grpc::ChannelArguments Alone() {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    return arguments;
  }

  void Write() {
    if (writing_ || sent_.size() >= kWindow || next_ == batches_.size()) return;
    sent_[next_ + 1] = Clock::now();
    writing_ = true;
    call_->Write(batches_[next_++], &written_);
  }

  void OnAnswer() {
    grpc::ProtoBufferReader reader(&answer_);
    v1::ExportStreamResponse response;
    if (!response.ParseFromZeroCopyStream(&reader)) Die("an answer that cannot be read");
    const auto sent = sent_.find(response.batch_id());
    if (sent == sent_.end()) return;  // it tells the window only
    if (response.result().code() != 0) Die("answered: " + response.result().message());
    milliseconds_.push_back(
        std::chrono::duration<double, std::milli>(Clock::now() - sent->second).count());
    sent_.erase(sent);
  }

  Operation started_{this}, read_{this}, written_{this};
  grpc::GenericStub stub_;
  std::vector<grpc::ByteBuffer> batches_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::GenericClientAsyncReaderWriter> call_;
  grpc::ByteBuffer answer_;
  bool writing_ = false;
  std::size_t next_ = 0;
  std::map<std::uint64_t, Clock::time_point> sent_;  ///< By batch id, from 1 on.
  std::vector<double> milliseconds_;
};

/// Runs them all on this thread, as the sender of collector_benchmark does: threads of one process
/// that wait in gRPC wake each other for each event, which is no work of an exporter's.
void Send(const std::vector<std::unique_ptr<Stream>>& streams) {
  grpc::CompletionQueue queue;
  for (const auto& stream : streams) stream->Start(queue);
  const auto is_done = [](const auto& stream) { return stream->is_done(); };
  void* tag = nullptr;
  for (bool ok = false; !std::all_of(streams.begin(), streams.end(), is_done);) {
    if (!queue.Next(&tag, &ok) || !ok) Die("a stream broke");
    const auto* const operation = static_cast<const Operation*>(tag);
    operation->stream->Handle(operation);
  }
  for (const auto& stream : streams) stream->Cancel();
  queue.Shutdown();
  for (bool ok = false; queue.Next(&tag, &ok);) {
  }
}

void Serve(const fs::path& data, const std::function<void(const std::string&)>& listening) {
  weft::collector::CollectorConfig config;
  config.data = data;
  config.listen_grpc = config.listen_otlp_http = config.listen_http = "127.0.0.1:0";
  const auto collector = weft::collector::Collector::Start(config);
  if (!collector.ok()) Die(std::string(collector.status().message()));
  listening((*collector)->addresses().grpc);
  ::pause();
}

Settings Parse(int argc, char** argv) {
  Settings settings;
  for (int i = 1; i < argc; ++i) {
    const std::string option = argv[i];
    if (option == "--identity") {
      settings.identity = true;
      continue;
    }
    if (++i == argc) Die(option + " needs a value");
    if (option == "--batches") {
      settings.batches = std::stoi(argv[i]);
    } else if (option == "--streams") {
      settings.streams = std::stoi(argv[i]);
    } else if (option == "--directory") {
      settings.directory = argv[i];
    } else {
      Die("unknown option " + option);
    }
  }
  return settings;
}

}  // namespace

int main(int argc, char** argv) {
  const Settings settings = Parse(argc, argv);
  const fs::path data = settings.directory / ("stream_benchmark." + std::to_string(::getpid()));
  // Before gRPC and the batches are there: a forked process begins with what its parent holds.
  std::optional<Server> server;
  server.emplace([&](const auto& listening) { Serve(data, listening); });
  const int share = settings.batches / settings.streams;
  std::vector<std::unique_ptr<Stream>> streams;
  std::size_t bytes = 0, wire = 0;
  for (int i = 0; i < settings.streams; ++i) {
    Text text(static_cast<unsigned>(i + 1));
    std::vector<grpc::ByteBuffer> batches;
    for (int number = 1; number <= share; ++number) {
      batches.push_back(Batch(text, static_cast<std::uint64_t>(number), settings.identity, &bytes));
      wire += batches.back().Length();
    }
    streams.push_back(std::make_unique<Stream>(server->address(), std::move(batches)));
  }
  const double runs = static_cast<double>(share) * settings.streams * kRuns;
  std::printf("%.0f runs: %.0f bytes a run, %.0f on the wire\n", runs,
              static_cast<double>(bytes) / runs, static_cast<double>(wire) / runs);

  const double cpu_before = server->CpuSeconds(), own_before = collector_load::OwnCpuSeconds();
  const auto started = Clock::now();
  Send(streams);
  const double seconds = std::chrono::duration<double>(Clock::now() - started).count();
  const double cpu = server->CpuSeconds() - cpu_before;
  const double own = collector_load::OwnCpuSeconds() - own_before;

  std::vector<double> all;
  for (const auto& stream : streams) {
    all.insert(all.end(), stream->milliseconds().begin(), stream->milliseconds().end());
  }
  std::sort(all.begin(), all.end());
  std::printf(
      "stream     %9.0f runs/s  %6.2f CPU s per million runs (generator %.2f)  p50 %6.1f ms  "
      "p99 %6.1f ms  peak %4.0f MB\n",
      runs / seconds, cpu / runs * 1e6, own / runs * 1e6, all[all.size() / 2],
      all[all.size() * 99 / 100], server->PeakMegabytes());
  server.reset();
  fs::remove_all(data);
}
