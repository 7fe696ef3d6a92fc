// SPDX-License-Identifier: Apache-2.0
#include "collector_forward.h"

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <thread>

#include <weft/collector/destination.h>

#include "collector_load.h"

using collector_load::Clock;
using collector_load::Die;

namespace {

double ProcessCpuSeconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

double PeakMegabytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmHWM:")) return std::stod(line.substr(6)) / 1024;
  }
  return 0;
}

std::string ForwardAll(const std::filesystem::path& data, const std::string& target) {
  namespace collector = weft::collector;
  collector::LogOptions log_options;
  log_options.directory = data;
  collector::DestinationOptions options;
  options.log = collector::Log::Open(log_options).value();
  options.keys = collector::KeyRing::Open(data).value();
  options.data = data;
  options.logged = [] { return std::uint64_t{0}; };
  const double cpu = ProcessCpuSeconds();
  const auto started = Clock::now();
  collector::DestinationConfig config;
  config.kind = collector::DestinationConfig::Kind::kLangSmith;
  config.target = "http://" + target;
  const auto destination = collector::Destination::Start(config, options);
  if (!destination.ok()) Die(std::string(destination.status().message()));
  collector::DestinationStats stats;
  do {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    stats = (*destination)->Stats();
  } while (stats.lag > 0 || stats.sent == 0);
  const std::chrono::duration<double> seconds = Clock::now() - started;
  char text[256];
  std::snprintf(text, sizeof text, "%f %f %f %f %f\n", static_cast<double>(stats.sent),
                seconds.count(), ProcessCpuSeconds() - cpu, static_cast<double>(stats.batches),
                PeakMegabytes());
  return text;
}

std::string ReadLine(int fd) {
  std::string line;
  for (char c; ::read(fd, &c, 1) == 1 && c != '\n';) line += c;
  return line;
}

}  // namespace

Forwarder::Forwarder(const std::filesystem::path& data) {
  int orders[2], answers[2];
  if (::pipe(orders) != 0 || ::pipe(answers) != 0) Die("pipe");
  process_ = ::fork();
  if (process_ == 0) {
    ::close(orders[1]);
    const std::string target = ReadLine(orders[0]);
    if (target.empty()) std::_Exit(0);
    const std::string answer = ForwardAll(data, target);
    std::_Exit(::write(answers[1], answer.data(), answer.size()) < 0 ? 1 : 0);
  }
  ::close(orders[0]);
  ::close(answers[1]);
  orders_ = orders[1];
  answers_ = answers[0];
}

Forwarder::~Forwarder() {
  ::close(orders_);
  ::close(answers_);
  ::waitpid(process_, nullptr, 0);
}

Forwarder::Outcome Forwarder::Run(const std::string& target) {
  const std::string order = target + "\n";
  if (::write(orders_, order.data(), order.size()) < 0) Die("pipe");
  const std::string answer = ReadLine(answers_);
  Outcome outcome;
  if (std::sscanf(answer.c_str(), "%lf %lf %lf %lf %lf", &outcome.runs, &outcome.seconds,
                  &outcome.cpu_seconds, &outcome.batches, &outcome.peak_megabytes) != 5) {
    Die("the forwarder ended early");
  }
  return outcome;
}
