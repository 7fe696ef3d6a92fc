// SPDX-License-Identifier: Apache-2.0
// What a large log costs a collector: how soon it is ready again after a kill, how much memory it
// takes while it forwards what gathered, and how long clients wait for acknowledgements meanwhile.
//
//   backlog_benchmark --weft PATH [--gigabytes N] [--seconds N] [--directory DIR]
//
// Fills the log with N (10) GiB of runs of 2 KB, each once (sent uncompressed, in the log they are
// not), kills the collector, starts it, kills it and starts it again, now to forward to a server on
// this machine that keeps nothing, for --seconds (60) at most.
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <regex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <boost/asio.hpp>
#include <boost/json.hpp>

#include "bare_server.h"
#include "collector_load.h"

namespace {

namespace fs = std::filesystem;
namespace asio = boost::asio;

using collector_load::Clock;
using collector_load::Die;
using std::chrono::milliseconds;

constexpr milliseconds kPoll{2};
constexpr milliseconds kLightLoad{20};  // between requests while it forwards

struct Settings {
  std::string weft;
  double gigabytes = 10;
  int seconds = 60;
  fs::path directory = fs::current_path();
  collector_load::Load load{.requests = 1000, .identity = true, .quiet = true};
};

double Seconds(Clock::duration time) { return std::chrono::duration<double>(time).count(); }

// The answer to one request, whole; empty where nobody listens.
std::string Ask(const std::string& address, const std::string& request) try {
  asio::io_context io;
  asio::ip::tcp::socket socket(io);
  const std::size_t colon = address.rfind(':');
  socket.connect({asio::ip::make_address(address.substr(0, colon)),
                  static_cast<std::uint16_t>(std::stoi(address.substr(colon + 1)))});
  asio::write(socket, asio::buffer(request));
  std::string answer;
  for (std::size_t end = answer.npos; end == answer.npos; end = answer.find("\r\n\r\n")) {
    char bytes[4096];
    answer.append(bytes, socket.read_some(asio::buffer(bytes)));
  }
  const std::size_t length = answer.find("Content-Length: ");
  const std::size_t left = answer.find("\r\n\r\n") + 4 +
                           (length == answer.npos ? 0 : std::stoul(answer.substr(length + 16)));
  if (answer.size() < left)
    asio::read(socket, asio::dynamic_buffer(answer), asio::transfer_exactly(left - answer.size()));
  return answer;
} catch (const boost::system::system_error&) {
  return "";
}

std::string Get(const std::string& address, const std::string& path) {
  return Ask(address, "GET " + path + " HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
}

double Metric(const std::string& address, const std::string& name) {
  const std::string text = Get(address, "/metrics");
  const std::size_t at = text.find("\n" + name);
  return at == text.npos ? 0 : std::stod(text.substr(text.find(' ', at + 1)));
}

/// `weft collect` on a data directory.
class Collector {
 public:
  Collector(const Settings& settings, const fs::path& data, const std::string& http,
            const std::string& forward = "")
      : started_(Clock::now()) {
    const fs::path ready = data.string() + ".ready";
    fs::remove(ready);
    std::vector<std::string> arguments = {settings.weft,
                                          "collect",
                                          "--data",
                                          data.string(),
                                          "--listen-grpc",
                                          "127.0.0.1:0",
                                          "--listen-otlp-http",
                                          "127.0.0.1:0",
                                          "--listen-http",
                                          http,
                                          "--ready-file",
                                          ready.string()};
    if (!forward.empty()) arguments.insert(arguments.end(), {"--forward", "langsmith=" + forward});
    pid_ = ::fork();
    if (pid_ == 0) {
      ::dup2(::open("/dev/null", O_WRONLY), STDERR_FILENO);
      ::setenv("WEFT_LOG_RETENTION_SIZE", "1TiB", 1);
      std::vector<char*> list;
      for (std::string& argument : arguments) list.push_back(argument.data());
      list.push_back(nullptr);
      ::execv(list[0], list.data());
      std::_Exit(127);
    }
    std::string text;
    while (text.empty() && ::waitpid(pid_, nullptr, WNOHANG) == 0) {
      std::this_thread::sleep_for(kPoll);
      std::ifstream file(ready);
      text.assign(std::istreambuf_iterator<char>(file), {});
    }
    if (text.empty()) Die("the collector did not start");
    address_ = boost::json::parse(text).at("http").get_string().c_str();
  }
  ~Collector() { End(SIGTERM); }
  Collector(const Collector&) = delete;
  Collector& operator=(const Collector&) = delete;

  void Kill() { End(SIGKILL); }

  const std::string& address() const { return address_; }
  Clock::time_point started() const { return started_; }
  double Megabytes(const std::string& row) const {
    std::ifstream status("/proc/" + std::to_string(pid_) + "/status");
    for (std::string line; std::getline(status, line);) {
      if (line.starts_with(row + ":")) return std::stod(line.substr(row.size() + 1)) / 1024;
    }
    return 0;
  }

 private:
  void End(int signal) {
    if (pid_ < 0) return;
    ::kill(pid_, signal);
    ::waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }

  Clock::time_point started_;
  pid_t pid_ = -1;
  std::string address_;
};

/// Gives all runs of a request other ids, which costs less than to make another request.
class FreshIds {
 public:
  explicit FreshIds(const std::string& request) {
    static const std::regex kId("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}");
    for (std::sregex_iterator it(request.begin(), request.end(), kId), end; it != end; ++it) {
      ends_.push_back(static_cast<std::size_t>(it->position() + it->length()));
    }
  }

  /// Adds to their last digits, each of its own.
  void Renew(std::string& request, unsigned round) const {
    static constexpr std::string_view kDigits = "0123456789abcdef";
    for (const std::size_t end : ends_) {
      unsigned left = round;
      for (std::size_t at = end - 1; left > 0; left /= 16, --at) {
        request[at] = kDigits[(kDigits.find(request[at]) + left) % 16];
      }
    }
  }

 private:
  std::vector<std::size_t> ends_;
};

void Fill(const Settings& settings, const Collector& collector) {
  const auto started = Clock::now();
  const std::vector<std::string> first = collector_load::MakeRequests(settings.load);
  const std::vector<FreshIds> ids(first.begin(), first.end());
  double runs = 0;
  double bytes = 0;
  for (unsigned round = 0; bytes < settings.gigabytes * (1 << 30); ++round) {
    std::vector<std::string> requests = first;
    for (std::size_t i = 0; i < requests.size(); ++i) ids[i].Renew(requests[i], round);
    collector_load::Sender(collector.address(), requests, 32).Run();
    runs += settings.load.total();
    bytes = Metric(collector.address(), "weft_log_bytes");
  }
  std::printf("filled     %5.1f GiB  %.0f runs  in %.0f s\n", bytes / (1 << 30), runs,
              Seconds(Clock::now() - started));
}

// Of a start: until the first request is acknowledged, until it says that it is ready.
void MeasureStart(const Collector& collector, const std::string& request) {
  while (!Ask(collector.address(), request).starts_with("HTTP/1.1 202")) {
    std::this_thread::sleep_for(kPoll);
  }
  const double acknowledged = Seconds(Clock::now() - collector.started());
  while (!Get(collector.address(), "/ready").starts_with("HTTP/1.1 200")) {
    std::this_thread::sleep_for(kPoll);
  }
  const double ready = Seconds(Clock::now() - collector.started());
  while (Metric(collector.address(), "weft_store_lag_records") > 0) {
    std::this_thread::sleep_for(milliseconds(50));
  }
  std::printf(
      "start      %5.2f s until it acknowledged a request  %.2f s until ready  "
      "%.2f s until all is indexed  %.0f MB\n",
      acknowledged, ready, Seconds(Clock::now() - collector.started()),
      collector.Megabytes("VmRSS"));
}

void MeasureForwarding(const Settings& settings, const Collector& collector,
                       const std::vector<std::string>& requests) {
  std::vector<double> waits;
  const auto sent = [&] { return Metric(collector.address(), "weft_dest_sent_runs_total"); };
  while (sent() == 0) std::this_thread::sleep_for(kPoll);
  const double before = sent();
  const auto started = Clock::now();
  for (const std::string& request : requests) {
    const auto asked = Clock::now();
    if (Seconds(asked - started) > settings.seconds) break;
    if (!Ask(collector.address(), request).starts_with("HTTP/1.1 202")) Die("not acknowledged");
    waits.push_back(Seconds(Clock::now() - asked) * 1e3);
    std::this_thread::sleep_for(kLightLoad);
  }
  const double rate = (sent() - before) / Seconds(Clock::now() - started);
  std::sort(waits.begin(), waits.end());
  std::printf(
      "forward    %7.0f runs/s  %.0f MB, at most %.0f MB  acknowledgements p50 %.1f ms  "
      "p99 %.1f ms  %.0f runs still wait\n",
      rate, collector.Megabytes("VmRSS"), collector.Megabytes("VmHWM"), waits[waits.size() / 2],
      waits[waits.size() * 99 / 100], Metric(collector.address(), "weft_dest_lag_runs"));
}

Settings ParseSettings(int argc, char** argv) {
  Settings settings;
  for (int i = 1; i < argc; ++i) {
    const std::string option = argv[i];
    const auto value = [&]() -> std::string {
      if (++i == argc) Die(option + " needs a value");
      return argv[i];
    };
    if (option == "--weft") {
      settings.weft = value();
    } else if (option == "--gigabytes") {
      settings.gigabytes = std::stod(value());
    } else if (option == "--seconds") {
      settings.seconds = std::stoi(value());
    } else if (option == "--directory") {
      settings.directory = value();
    } else {
      Die("unknown option " + option);
    }
  }
  if (settings.weft.empty()) Die("--weft PATH is missing");
  return settings;
}

void MeasureIdle(const Settings& settings, const fs::path& data) {
  const Collector collector(settings, data, "127.0.0.1:0");
  std::this_thread::sleep_for(std::chrono::seconds(3));
  std::printf("idle       %5.0f MB\n", collector.Megabytes("VmRSS"));
}

}  // namespace

int main(int argc, char** argv) {
  const Settings settings = ParseSettings(argc, argv);
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  const fs::path data = settings.directory / ("backlog_benchmark." + std::to_string(::getpid()));
  const collector_load::Server target([](const auto& listening) { ServeBare(listening); });
  MeasureIdle(settings, data);
  std::string address;
  {
    Collector collector(settings, data, "127.0.0.1:0");
    Fill(settings, collector);
    address = collector.address();
    collector.Kill();
  }
  // Some of its own for each measurement.
  const std::vector<std::string> requests = collector_load::MakeRequests(settings.load, ~0u);
  {
    Collector collector(settings, data, address);
    MeasureStart(collector, requests.back());
    collector.Kill();
  }
  {
    const Collector collector(settings, data, address, "http://" + target.address());
    MeasureForwarding(settings, collector, requests);
  }
  fs::remove_all(data);
  fs::remove(data.string() + ".ready");
}
