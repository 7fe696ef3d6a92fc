// SPDX-License-Identifier: Apache-2.0
// What the collector costs between spans that come over OTLP and where they go: durable before they
// are acknowledged, and measured until the target has them.
//
//   otlp_forward_benchmark [--spans N] [--per-request N] [--bytes N] [--http] [--langsmith]
//                          [--clients N] [--one-core] [--directory DIR]
//
// In over gRPC, or HTTP (--http); out over OTLP with gRPC, or to LangSmith (--langsmith). Sender,
// collector and target are processes of their own; the figure is the collector's CPU time.
// --one-core: the collector has one core. Beside it, of gRPC, is what a server costs that answers
// the same requests and keeps nothing.
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <filesystem>
#include <random>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>

#include <weft/collector/collector.h>
#include <weft/collector/process.h>
#include <weft/tracing/internal/proto_writer.h>

#include "collector_load.h"

namespace {

namespace fs = std::filesystem;
namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using asio::ip::tcp;
using collector_load::Clock;
using collector_load::Die;
using collector_load::Server;
using weft::internal::ProtoWriter;
using Tell = std::function<void(const std::string&)>;

constexpr char kMethod[] = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

struct Settings {
  int spans = 500'000;
  int per_request = 100;
  std::size_t bytes = 281;  ///< Of a span.
  int clients = 8;
  bool http = false;
  bool langsmith = false;
  bool one_core = false;
  fs::path directory = fs::current_path();
};

class Requests {
 public:
  explicit Requests(const Settings& settings) : settings_(settings) {}

  // A trace; its root comes last, as it ends last.
  std::string Make() {
    const std::string trace = Random(16);
    const std::string root = Random(8);
    std::string request;
    ProtoWriter out(request);
    const auto resource_spans = out.Begin(1);
    const auto resource = out.Begin(1);
    Attribute(out, 1, "service.name", "benchmark");
    out.End(resource);
    const auto scope_spans = out.Begin(2);
    for (int i = settings_.per_request - 1; i >= 0; --i) {
      const auto span = out.Begin(2);
      WriteSpan(out, request, trace, root, i);
      out.End(span);
    }
    out.End(scope_spans);
    out.End(resource_spans);
    return request;
  }

 private:
  std::string Random(std::size_t size) {
    std::string bytes;
    while (bytes.size() < size) bytes += static_cast<char>(random_() >> 8 | 1);
    return bytes;
  }

  static void Attribute(ProtoWriter& out, int field, const std::string& key,
                        const std::string& text) {
    const auto pair = out.Begin(field);
    out.Text(1, key);
    const auto value = out.Begin(2);
    out.Text(1, text);
    out.End(value);
    out.End(pair);
  }

  void WriteSpan(ProtoWriter& out, const std::string& request, const std::string& trace,
                 const std::string& root, int i) {
    const std::size_t begin = request.size();
    const auto start = 1'767'323'045'000'000'000u + static_cast<std::uint64_t>(i) * 1'000'000;
    out.Text(1, trace);
    out.Text(2, i == 0 ? root : Random(8));
    if (i > 0) out.Text(4, root);
    out.Text(5, "chat small");
    out.Fixed64(7, start);
    out.Fixed64(8, start + 400'000);
    Attribute(out, 9, "gen_ai.operation.name", "chat");
    Attribute(out, 9, "gen_ai.request.model", "small");
    const std::size_t used = request.size() - begin + 60;
    const std::size_t left = std::max(settings_.bytes, used + 2) - used;
    Attribute(out, 9, "gen_ai.prompt", Words(left / 2));
    Attribute(out, 9, "gen_ai.completion", Words(left / 2));
  }

  std::string Words(std::size_t size) {
    std::string text = text_.Words(size);
    text.resize(size);
    return text;
  }

  const Settings& settings_;
  std::minstd_rand random_{7};
  collector_load::Text text_{1};
};

tcp::endpoint EndpointOf(const std::string& address) {
  const std::size_t colon = address.find(':');
  return {asio::ip::make_address(address.substr(0, colon)),
          static_cast<std::uint16_t>(std::stoi(address.substr(colon + 1)))};
}

void StayOnCore(int core) {
  cpu_set_t cores;
  CPU_ZERO(&cores);
  CPU_SET(core, &cores);
  if (::sched_setaffinity(0, sizeof cores, &cores) != 0) Die("sched_setaffinity");
}

// Takes every request and forgets it.
void ServeOtlp(bool one_core, const Tell& listening) {
  if (one_core) StayOnCore(0);
  weft::collector::PrepareProcess();
  struct Forget final : grpc::ServerGenericBidiReactor {
    Forget() { StartRead(&bytes); }
    void OnReadDone(bool ok) override {
      const grpc::Slice nothing;
      bytes = grpc::ByteBuffer(&nothing, 1);
      if (ok) StartWriteAndFinish(&bytes, {}, grpc::Status::OK);
    }
    void OnDone() override { delete this; }
    grpc::ByteBuffer bytes;
  };
  struct Service final : grpc::CallbackGenericService {
    grpc::ServerGenericBidiReactor* CreateReactor(grpc::GenericCallbackServerContext*) override {
      return new Forget;
    }
  } service;
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  builder.RegisterCallbackGenericService(&service);
  const auto server = builder.BuildAndStart();
  listening("127.0.0.1:" + std::to_string(port));
  ::pause();
}

void AnswerLangSmith(tcp::socket socket) {
  beast::flat_buffer buffer;
  for (beast::error_code error; !error;) {
    http::request_parser<http::string_body> parser;
    parser.body_limit(1u << 30);
    http::read(socket, buffer, parser, error);
    if (error) return;
    http::response<http::string_body> answer(http::status::accepted, 11);
    answer.body() = "{}";
    if (parser.get().method() == http::verb::get) {
      answer.result(http::status::ok);
      answer.body() = R"({"batch_ingest_config":{"use_multipart_endpoint":true,"size_limit":100},)"
                      R"("instance_flags":{"zstd_compression_enabled":true}})";
    }
    answer.prepare_payload();
    http::write(socket, answer, error);
  }
}

void ServeLangSmith(const Tell& listening) {
  asio::io_context io;
  tcp::acceptor acceptor(io, {asio::ip::make_address("127.0.0.1"), 0});
  listening("127.0.0.1:" + std::to_string(acceptor.local_endpoint().port()));
  for (;;) std::thread(AnswerLangSmith, acceptor.accept()).detach();
}

void ServeCollector(const Settings& settings, const fs::path& data, const std::string& target,
                    const Tell& listening) {
  if (settings.one_core) StayOnCore(1);
  weft::collector::PrepareProcess();
  const bool langsmith = settings.langsmith;
  using weft::collector::DestinationConfig;
  weft::collector::CollectorConfig config;
  config.data = data;
  config.listen_grpc = config.listen_otlp_http = config.listen_http = "127.0.0.1:0";
  DestinationConfig destination;
  destination.kind =
      langsmith ? DestinationConfig::Kind::kLangSmith : DestinationConfig::Kind::kOtlp;
  destination.target = (langsmith ? "http://" : "grpc://") + target;
  config.forward.push_back(destination);
  const auto collector = weft::collector::Collector::Start(config);
  if (!collector.ok()) Die(std::string(collector.status().message()));
  const auto& at = (*collector)->addresses();
  listening(at.grpc + " " + at.otlp_http + " " + at.http);
  ::pause();
}

void SendOverGrpc(const std::string& address, const std::vector<std::string>& requests,
                  std::atomic<std::size_t>& next) {
  grpc::GenericStub stub(grpc::CreateChannel(address, grpc::InsecureChannelCredentials()));
  grpc::CompletionQueue queue;
  for (std::size_t i = next++; i < requests.size(); i = next++) {
    grpc::ClientContext context;
    const grpc::Slice slice(requests[i].data(), requests[i].size(), grpc::Slice::STATIC_SLICE);
    const auto call = stub.PrepareUnaryCall(&context, kMethod, grpc::ByteBuffer(&slice, 1), &queue);
    call->StartCall();
    grpc::ByteBuffer reply;
    grpc::Status status;
    call->Finish(&reply, &status, nullptr);
    void* tag = nullptr;
    bool ok = false;
    queue.Next(&tag, &ok);
    if (!status.ok()) Die("answered: " + status.error_message());
  }
}

void SendOverHttp(const std::string& address, const std::vector<std::string>& requests,
                  std::atomic<std::size_t>& next) {
  asio::io_context io;
  tcp::socket socket(io);
  socket.connect(EndpointOf(address));
  socket.set_option(tcp::no_delay(true));
  beast::flat_buffer buffer;
  for (std::size_t i = next++; i < requests.size(); i = next++) {
    http::request<http::span_body<const char>> request(http::verb::post, "/v1/traces", 11);
    request.set(http::field::host, "127.0.0.1");
    request.set(http::field::content_type, "application/x-protobuf");
    request.body() = {requests[i].data(), requests[i].size()};
    request.prepare_payload();
    http::write(socket, request);
    http::response<http::string_body> reply;
    http::read(socket, buffer, reply);
    if (reply.result() != http::status::ok) Die("answered: " + reply.body());
  }
}

double Metric(const std::string& address, const std::string& name) {
  asio::io_context io;
  tcp::socket socket(io);
  socket.connect(EndpointOf(address));
  http::request<http::empty_body> request(http::verb::get, "/metrics", 11);
  request.set(http::field::host, "127.0.0.1");
  http::write(socket, request);
  beast::flat_buffer buffer;
  http::response<http::string_body> reply;
  http::read(socket, buffer, reply);
  const std::string& text = reply.body();
  const std::size_t at = text.find("\n" + name + "{");
  return at == text.npos ? 0 : std::stod(text.substr(text.find("} ", at) + 2));
}

Settings ParseSettings(int argc, char** argv) {
  Settings settings;
  for (int i = 1; i < argc; ++i) {
    const std::string option = argv[i];
    const auto value = [&]() -> std::string {
      if (++i == argc) Die(option + " needs a value");
      return argv[i];
    };
    if (option == "--spans") {
      settings.spans = std::stoi(value());
    } else if (option == "--per-request") {
      settings.per_request = std::stoi(value());
    } else if (option == "--bytes") {
      settings.bytes = std::stoul(value());
    } else if (option == "--clients") {
      settings.clients = std::stoi(value());
    } else if (option == "--directory") {
      settings.directory = value();
    } else if (option == "--http") {
      settings.http = true;
    } else if (option == "--one-core") {
      settings.one_core = true;
    } else if (option == "--langsmith") {
      settings.langsmith = true;
    } else {
      Die("unknown option " + option);
    }
  }
  return settings;
}

void SendAll(const Settings& settings, bool over_http, const std::string& address,
             const std::vector<std::string>& requests) {
  std::atomic<std::size_t> next{0};
  std::vector<std::thread> clients;
  for (int i = 0; i < settings.clients; ++i) {
    clients.emplace_back([&] {
      over_http ? SendOverHttp(address, requests, next) : SendOverGrpc(address, requests, next);
    });
  }
  for (std::thread& client : clients) client.join();
}

void Measure(const Settings& settings, const Server& collector, const Server& target) {
  std::istringstream addresses(collector.address());
  std::string grpc_address, otlp_address, http_address;
  addresses >> grpc_address >> otlp_address >> http_address;
  std::vector<std::string> requests(
      static_cast<std::size_t>(settings.spans / settings.per_request));
  Requests maker(settings);
  double bytes = 0;
  for (std::string& request : requests) {
    request = maker.Make();
    bytes += static_cast<double>(request.size());
  }
  const double spans = static_cast<double>(requests.size()) * settings.per_request;
  const double cpu = collector.CpuSeconds();
  const auto started = Clock::now();
  SendAll(settings, settings.http, settings.http ? otlp_address : grpc_address, requests);
  const std::chrono::duration<double> accepted = Clock::now() - started;
  while (Metric(http_address, "weft_dest_sent_runs_total") < spans) {
    if (Clock::now() - started > std::chrono::minutes(3)) Die("not delivered in time");
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  const std::chrono::duration<double> delivered = Clock::now() - started;
  std::printf(
      "%s in, %s out, %.0f bytes a span, %d a request: %.2f CPU s per million spans, accepted "
      "%.0f spans/s, delivered %.0f spans/s, peak %.0f MB\n",
      settings.http ? "HTTP" : "gRPC", settings.langsmith ? "LangSmith" : "gRPC", bytes / spans,
      settings.per_request, (collector.CpuSeconds() - cpu) / spans * 1e6, spans / accepted.count(),
      spans / delivered.count(), collector.PeakMegabytes());
  if (settings.http || settings.langsmith) return;
  const double bare = target.CpuSeconds();
  SendAll(settings, false, target.address(), requests);
  std::printf("  a server of gRPC that keeps nothing: %.2f CPU s per million spans\n",
              (target.CpuSeconds() - bare) / spans * 1e6);
}

}  // namespace

int main(int argc, char** argv) {
  const Settings settings = ParseSettings(argc, argv);
  const fs::path data =
      settings.directory / ("otlp_forward_benchmark." + std::to_string(::getpid()));
  {
    // Before gRPC has threads in this process.
    const Server target([&](const Tell& listening) {
      settings.langsmith ? ServeLangSmith(listening) : ServeOtlp(settings.one_core, listening);
    });
    const Server collector([&](const Tell& listening) {
      ServeCollector(settings, data, target.address(), listening);
    });
    Measure(settings, collector, target);
  }
  fs::remove_all(data);
}
