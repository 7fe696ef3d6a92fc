// SPDX-License-Identifier: Apache-2.0
// How fast the collector acknowledges runs over HTTP, durable, as a LangSmith SDK sends them:
// multipart, zstd, 100 runs of 2 KB a request, each request once, over keep-alive connections.
// Compared with a bare Beast server that reads the same bodies and keeps nothing.
//
//   collector_benchmark [--requests N] [--connections N] [--directory DIR] [--weft PATH]
//                       [--baseline | --collector] [--identity] [--runs N] [--forward]
//
// --identity sends the bodies uncompressed; --runs N puts N runs, not 100, into a request.
// --forward measures how fast a destination sends on what the collector's log then holds. Its
// target is the bare server, and what is compared is the sender that writes to it straight from
// memory. The collector runs in a process of its own: the command at --weft, else this library's.
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <boost/json.hpp>

#include <weft/collector/collector.h>

#include "bare_server.h"
#include "collector_forward.h"
#include "collector_load.h"

namespace {

namespace fs = std::filesystem;

using collector_load::Die;
using collector_load::Outcome;
using collector_load::Sender;
using collector_load::Server;

struct Settings {
  collector_load::Load load;
  int connections = 32;
  fs::path directory = fs::current_path();
  std::string weft;
  bool baseline = true;
  bool collector = true;
  bool forward = false;
};

void ServeLibrary(const fs::path& data, const std::function<void(const std::string&)>& listening) {
  weft::collector::CollectorConfig config;
  config.data = data;
  config.listen_grpc = config.listen_otlp_http = config.listen_http = "127.0.0.1:0";
  const auto collector = weft::collector::Collector::Start(config);
  if (!collector.ok()) Die(std::string(collector.status().message()));
  listening((*collector)->addresses().http);
  ::pause();
}

void ServeCommand(const Settings& settings, const fs::path& data,
                  const std::function<void(const std::string&)>& listening) {
  const fs::path ready = data.string() + ".ready";
  fs::remove(ready);
  const std::string data_text = data.string(), ready_text = ready.string();
  // The pipe's end goes with the process image: the address must be told by one that stays.
  const pid_t self = ::getpid();
  if (::fork() == 0) {
    for (int i = 0; i < 200 && !fs::exists(ready); ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    std::ifstream file(ready);
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    if (text.empty() || ::getppid() != self) std::_Exit(1);
    listening(boost::json::parse(text).at("http").get_string().c_str());
    std::_Exit(0);
  }
  ::execl(settings.weft.c_str(), settings.weft.c_str(), "collect", "--data", data_text.c_str(),
          "--listen-grpc", "127.0.0.1:0", "--listen-otlp-http", "127.0.0.1:0", "--listen-http",
          "127.0.0.1:0", "--ready-file", ready_text.c_str(), nullptr);
  Die("cannot start " + settings.weft);
}

double Measure(const char* name, const Server& server, const std::vector<std::string>& requests,
               const Settings& settings) {
  const double cpu_before = server.CpuSeconds(), own_before = collector_load::OwnCpuSeconds();
  const Outcome outcome = Sender(server.address(), requests, settings.connections).Run();
  const double cpu = server.CpuSeconds() - cpu_before;
  const double own = collector_load::OwnCpuSeconds() - own_before;
  const double runs = settings.load.total();
  const auto percentile = [&](double part) {
    return outcome.milliseconds[static_cast<std::size_t>(
        part * static_cast<double>(outcome.milliseconds.size() - 1))];
  };
  std::printf(
      "%-10s %9.0f runs/s  %6.2f CPU s per million runs (generator %.2f)  p50 %6.1f ms  "
      "p99 %6.1f ms  peak %4.0f MB\n",
      name, runs / outcome.seconds, cpu / runs * 1e6, own / runs * 1e6, percentile(0.5),
      percentile(0.99), server.PeakMegabytes());
  return runs / outcome.seconds;
}

double MeasureForwarding(Forwarder& forwarder, const std::string& target) {
  const Forwarder::Outcome outcome = forwarder.Run(target);
  std::printf(
      "%-10s %9.0f runs/s  %6.2f CPU s per million runs  %5.0f runs a request  peak %4.0f MB\n",
      "forward", outcome.runs / outcome.seconds, outcome.cpu_seconds / outcome.runs * 1e6,
      outcome.runs / outcome.batches, outcome.peak_megabytes);
  return outcome.runs / outcome.seconds;
}

Settings ParseSettings(int argc, char** argv) {
  Settings settings;
  for (int i = 1; i < argc; ++i) {
    const std::string option = argv[i];
    const auto value = [&]() -> std::string {
      if (++i == argc) Die(option + " needs a value");
      return argv[i];
    };
    if (option == "--requests") {
      settings.load.requests = std::stoi(value());
    } else if (option == "--connections") {
      settings.connections = std::stoi(value());
    } else if (option == "--directory") {
      settings.directory = value();
    } else if (option == "--weft") {
      settings.weft = value();
    } else if (option == "--identity") {
      settings.load.identity = true;
    } else if (option == "--runs") {
      settings.load.runs = std::stoi(value());
    } else if (option == "--forward") {
      settings.forward = true;
    } else if (option == "--baseline") {
      settings.collector = false;
    } else if (option == "--collector") {
      settings.baseline = false;
    } else {
      Die("unknown option " + option);
    }
  }
  return settings;
}

}  // namespace

int main(int argc, char** argv) {
  const Settings settings = ParseSettings(argc, argv);
  const fs::path data = settings.directory / ("collector_benchmark." + std::to_string(::getpid()));
  // Before the requests are made: a forked process begins with what its parent holds.
  std::optional<Server> bare, collector;
  std::optional<Forwarder> forwarder;
  if (settings.forward) forwarder.emplace(data);
  if (settings.baseline || settings.forward) {
    bare.emplace([](const auto& listening) { ServeBare(listening); });
  }
  if (settings.collector) {
    collector.emplace([&](const auto& listening) {
      settings.weft.empty() ? ServeLibrary(data, listening)
                            : ServeCommand(settings, data, listening);
    });
  }
  const std::vector<std::string> requests = collector_load::MakeRequests(settings.load);
  const double bare_rate = bare ? Measure("bare", *bare, requests, settings) : 0;
  if (!settings.forward) bare.reset();
  if (!collector) return 0;
  double rate = Measure("collector", *collector, requests, settings);
  collector.reset();
  if (forwarder) rate = MeasureForwarding(*forwarder, bare->address());
  fs::remove_all(data);
  fs::remove(data.string() + ".ready");
  if (bare_rate > 0) std::printf("ratio      %9.2f\n", rate / bare_rate);
}
