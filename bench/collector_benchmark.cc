// SPDX-License-Identifier: Apache-2.0
// How fast the collector acknowledges runs over HTTP, durable, as a LangSmith SDK sends them:
// multipart, zstd, 100 runs of 2 KB a request, each request once, over keep-alive connections.
// Compared with a bare Beast server that reads the same bodies and keeps nothing.
//
//   collector_benchmark [--requests N] [--connections N] [--directory DIR] [--weft PATH]
//                       [--baseline | --collector] [--identity]
//
// --identity sends the bodies uncompressed.
// The collector runs in a process of its own: the command at --weft, else this library's.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zstd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include <boost/asio.hpp>
#include <boost/beast.hpp>
#include <boost/json.hpp>

#include <weft/collector/collector.h>
#include <weft/tracing/run_id.h>

namespace {

using Clock = std::chrono::steady_clock;
namespace fs = std::filesystem;
namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;

constexpr int kRunsPerRequest = 100;

struct Settings {
  int requests = 6000;
  int connections = 32;
  fs::path directory = fs::current_path();
  std::string weft;
  bool baseline = true;
  bool collector = true;
  bool identity = false;
};

[[noreturn]] void Die(const std::string& what) {
  std::fprintf(stderr, "collector_benchmark: %s\n", what.c_str());
  std::exit(1);
}

// --- What is sent ------------------------------------------------------------------------------

class Text {
 public:
  explicit Text(unsigned seed) : random_(seed) {}

  std::string Words(std::size_t bytes) {
    static constexpr const char* kWords[] = {
        "agent",  "retrieval", "document", "answer",  "the",    "of",       "and",    "to",
        "plan",   "context",   "question", "summary", "is",     "evidence", "was",    "for",
        "model",  "tokens",    "with",     "search",  "result", "graph",    "critic", "because",
        "source", "paragraph", "in",       "that",    "score",  "by"};
    std::string text;
    while (text.size() < bytes) {
      text += kWords[random_() % std::size(kWords)];
      text += random_() % 12 == 0 ? ". " : " ";
      if (random_() % 40 == 0) text += std::to_string(random_());
    }
    return text;
  }

 private:
  std::minstd_rand random_;
};

void AddPart(std::string& body, const std::string& name, const std::string& content) {
  body +=
      "--benchmark\r\nContent-Disposition: form-data; name=\"" + name +
      "\"\r\nContent-Type: application/json\r\nContent-Length: " + std::to_string(content.size()) +
      "\r\n\r\n" + content + "\r\n";
}

// A trace of 100 runs: a root and its children, each about 2 KB.
std::string Body(Text& text) {
  const auto now = std::chrono::system_clock::now();
  const std::string trace = weft::RunId::New(now).ToString();
  const std::string root_order = "20260910T002640013001Z" + trace;
  std::string body;
  for (int i = 0; i < kRunsPerRequest; ++i) {
    const std::string id = i == 0 ? trace : weft::RunId::New(now).ToString();
    std::string order = root_order;
    if (i > 0) order += ".20260910T002640013002Z" + id;
    const std::string parent = i == 0 ? "null" : "\"" + trace + "\"";
    AddPart(body, "post." + id,
            "{\"id\":\"" + id + "\",\"trace_id\":\"" + trace + "\",\"parent_run_id\":" + parent +
                ",\"dotted_order\":\"" + order +
                "\",\"name\":\"step\",\"run_type\":\"llm\",\"session_name\":\"benchmark\","
                "\"start_time\":\"2026-09-10T00:26:40.013000+00:00\","
                "\"end_time\":\"2026-09-10T00:26:41.013000+00:00\",\"tags\":[\"a\"]}");
    AddPart(body, "post." + id + ".inputs",
            "{\"messages\":[{\"role\":\"system\",\"content\":\"" + text.Words(300) +
                "\"},{\"role\":\"user\",\"content\":\"" + text.Words(250) + "\"}]}");
    AddPart(body, "post." + id + ".outputs",
            "{\"role\":\"assistant\",\"content\":\"" + text.Words(420) + "\"}");
    AddPart(body, "post." + id + ".extra",
            "{\"runtime\":{\"sdk\":\"langsmith-py\",\"sdk_version\":\"0.11.1\"},\"metadata\":{"
            "\"ls_provider\":\"openai\",\"ls_model_name\":\"small\",\"ls_temperature\":0.2}}");
  }
  return body + "--benchmark--\r\n";
}

std::string Zstd(const std::string& body) {
  std::string packed(ZSTD_compressBound(body.size()), '\0');
  packed.resize(ZSTD_compress(packed.data(), packed.size(), body.data(), body.size(), 1));
  return packed;
}

std::string Request(Text& text, bool identity, std::size_t* raw_bytes) {
  const std::string raw = Body(text);
  const std::string body = identity ? raw : Zstd(raw);
  *raw_bytes += raw.size();
  return "POST /runs/multipart HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: langsmith-py/0.11.1\r\n"
         "Accept-Encoding: gzip, deflate\r\nAccept: application/json\r\nConnection: keep-alive\r\n"
         "x-api-key: benchmark\r\nContent-Type: multipart/form-data; boundary=benchmark\r\n"
         "Content-Encoding: " +
         std::string(identity ? "identity" : "zstd") +
         "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

std::vector<std::string> MakeRequests(int count, bool identity) {
  std::vector<std::string> requests(static_cast<std::size_t>(count));
  std::size_t raw[2] = {0, 0}, wire = 0;
  const auto make = [&](unsigned half) {
    Text text(half + 1);
    for (std::size_t i = half; i < requests.size(); i += 2)
      requests[i] = Request(text, identity, &raw[half]);
  };
  std::thread other(make, 1);
  make(0);
  other.join();
  for (const std::string& request : requests) wire += request.size();
  const double runs = static_cast<double>(count) * kRunsPerRequest;
  std::printf("%d requests of %d runs: %.0f bytes a run, %.0f on the wire\n", count,
              kRunsPerRequest, static_cast<double>(raw[0] + raw[1]) / runs,
              static_cast<double>(wire) / runs);
  return requests;
}

// --- The sender --------------------------------------------------------------------------------

struct Outcome {
  double seconds = 0;
  std::vector<double> milliseconds;  ///< Of each request, sorted.
};

class Sender {
 public:
  Sender(const std::string& address, const std::vector<std::string>& requests, int connections)
      : requests_(requests), epoll_(::epoll_create1(0)) {
    const std::size_t colon = address.rfind(':');
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<std::uint16_t>(std::stoi(address.substr(colon + 1))));
    ::inet_pton(AF_INET, address.substr(0, colon).c_str(), &to.sin_addr);
    connections_.resize(static_cast<std::size_t>(connections));
    for (Connection& connection : connections_) {
      connection.fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
      if (::connect(connection.fd, reinterpret_cast<sockaddr*>(&to), sizeof to) != 0) {
        Die("cannot connect to " + address);
      }
      const int on = 1;
      ::setsockopt(connection.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      epoll_event event{};
      event.events = EPOLLIN | EPOLLOUT | EPOLLET;
      event.data.ptr = &connection;
      ::epoll_ctl(epoll_, EPOLL_CTL_ADD, connection.fd, &event);
    }
  }
  ~Sender() {
    for (const Connection& connection : connections_) ::close(connection.fd);
    ::close(epoll_);
  }
  Sender(const Sender&) = delete;
  Sender& operator=(const Sender&) = delete;

  Outcome Run() {
    const auto started = Clock::now();
    for (Connection& connection : connections_) Next(connection);
    epoll_event events[64];
    while (outcome_.milliseconds.size() < requests_.size()) {
      const int count = ::epoll_wait(epoll_, events, 64, 30'000);
      if (count == 0) Die("no answer for 30 seconds");
      for (int i = 0; i < count; ++i) Advance(*static_cast<Connection*>(events[i].data.ptr));
    }
    outcome_.seconds = std::chrono::duration<double>(Clock::now() - started).count();
    std::sort(outcome_.milliseconds.begin(), outcome_.milliseconds.end());
    return std::move(outcome_);
  }

 private:
  struct Connection {
    int fd = -1;
    const std::string* request = nullptr;
    std::size_t sent = 0;
    std::string answer;
    Clock::time_point started;
  };

  void Next(Connection& connection) {
    connection.request = next_ < requests_.size() ? &requests_[next_++] : nullptr;
    connection.sent = 0;
    connection.answer.clear();
    connection.started = Clock::now();
    if (connection.request != nullptr) Write(connection);
  }

  static void Write(Connection& connection) {
    const std::string& request = *connection.request;
    while (connection.sent < request.size()) {
      const ssize_t sent = ::send(connection.fd, request.data() + connection.sent,
                                  request.size() - connection.sent, MSG_NOSIGNAL | MSG_DONTWAIT);
      if (sent < 0 && errno == EAGAIN) return;
      if (sent <= 0) Die("the server closed a connection");
      connection.sent += static_cast<std::size_t>(sent);
    }
  }

  void Advance(Connection& connection) {
    if (connection.request == nullptr) return;
    Write(connection);
    char bytes[4096];
    for (;;) {
      const ssize_t got = ::recv(connection.fd, bytes, sizeof bytes, MSG_DONTWAIT);
      if (got < 0 && errno == EAGAIN) return;
      if (got <= 0) Die("the server closed a connection");
      connection.answer.append(bytes, static_cast<std::size_t>(got));
      if (!IsComplete(connection.answer)) continue;
      if (!connection.answer.starts_with("HTTP/1.1 202")) Die("answered: " + connection.answer);
      outcome_.milliseconds.push_back(
          std::chrono::duration<double, std::milli>(Clock::now() - connection.started).count());
      Next(connection);
      if (connection.request == nullptr) return;
    }
  }

  static bool IsComplete(const std::string& answer) {
    const std::size_t end = answer.find("\r\n\r\n");
    if (end == std::string::npos) return false;
    const std::size_t length = answer.find("Content-Length: ");
    const std::size_t size = length < end ? std::stoul(answer.substr(length + 16)) : 0;
    return answer.size() >= end + 4 + size;
  }

  const std::vector<std::string>& requests_;
  int epoll_;
  std::vector<Connection> connections_;
  std::size_t next_ = 0;
  Outcome outcome_;
};

// --- The servers -------------------------------------------------------------------------------

/// A child process that says where it listens.
class Server {
 public:
  /// `serve` runs in the child: it passes its address on and does not return.
  explicit Server(const std::function<void(std::function<void(const std::string&)>)>& serve) {
    int ends[2];
    if (::pipe(ends) != 0) Die("pipe");
    pid_ = ::fork();
    if (pid_ == 0) {
      ::close(ends[0]);
      serve([&](const std::string& address) {
        const std::string line = address + "\n";
        if (::write(ends[1], line.data(), line.size()) < 0) std::_Exit(1);
      });
      std::_Exit(0);
    }
    ::close(ends[1]);
    char c;
    while (::read(ends[0], &c, 1) == 1 && c != '\n') address_ += c;
    ::close(ends[0]);
    if (address_.empty()) Die("the server did not start");
  }
  ~Server() {
    ::kill(pid_, SIGTERM);
    ::waitpid(pid_, nullptr, 0);
  }
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  const std::string& address() const { return address_; }

  double CpuSeconds() const {
    std::ifstream stat("/proc/" + std::to_string(pid_) + "/stat");
    std::string field;
    double ticks = 0;
    for (int i = 1; i <= 15 && stat >> field; ++i) {
      if (i >= 14) ticks += std::stod(field);
    }
    return ticks / static_cast<double>(::sysconf(_SC_CLK_TCK));
  }

  double PeakMegabytes() const {
    std::ifstream status("/proc/" + std::to_string(pid_) + "/status");
    for (std::string line; std::getline(status, line);) {
      if (line.starts_with("VmHWM:")) return std::stod(line.substr(6)) / 1024;
    }
    return 0;
  }

 private:
  pid_t pid_ = -1;
  std::string address_;
};

void ServeBare(const std::function<void(const std::string&)>& listening) {
  asio::io_context io(2);
  asio::ip::tcp::acceptor acceptor(io, {asio::ip::make_address("127.0.0.1"), 0});
  const auto serve = [](beast::tcp_stream stream) -> asio::awaitable<void> {
    beast::flat_buffer buffer;
    try {
      for (;;) {
        http::request_parser<http::string_body> parser;
        parser.body_limit(1u << 30);
        co_await http::async_read(stream, buffer, parser, asio::use_awaitable);
        http::response<http::string_body> answer(http::status::accepted, 11);
        answer.body() = R"({"message":"accepted"})";
        answer.prepare_payload();
        co_await http::async_write(stream, answer, asio::use_awaitable);
      }
    } catch (const boost::system::system_error&) {
      // The sender is done.
    }
  };
  const auto accept = [&]() -> asio::awaitable<void> {
    for (;;) {
      auto socket = co_await acceptor.async_accept(asio::make_strand(io), asio::use_awaitable);
      socket.set_option(asio::ip::tcp::no_delay(true));
      const auto executor = socket.get_executor();
      asio::co_spawn(executor, serve(beast::tcp_stream(std::move(socket))), asio::detached);
    }
  };
  asio::co_spawn(io, accept(), asio::detached);
  listening("127.0.0.1:" + std::to_string(acceptor.local_endpoint().port()));
  std::thread other([&] { io.run(); });
  io.run();
}

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
               int connections) {
  const double cpu_before = server.CpuSeconds();
  const Outcome outcome = Sender(server.address(), requests, connections).Run();
  const double cpu = server.CpuSeconds() - cpu_before;
  const double runs = static_cast<double>(requests.size()) * kRunsPerRequest;
  const auto percentile = [&](double part) {
    return outcome.milliseconds[static_cast<std::size_t>(
        part * static_cast<double>(outcome.milliseconds.size() - 1))];
  };
  std::printf(
      "%-10s %9.0f runs/s  %6.2f CPU s per million runs  p50 %6.1f ms  p99 %6.1f ms  "
      "peak %4.0f MB\n",
      name, runs / outcome.seconds, cpu / runs * 1e6, percentile(0.5), percentile(0.99),
      server.PeakMegabytes());
  return runs / outcome.seconds;
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
      settings.requests = std::stoi(value());
    } else if (option == "--connections") {
      settings.connections = std::stoi(value());
    } else if (option == "--directory") {
      settings.directory = value();
    } else if (option == "--weft") {
      settings.weft = value();
    } else if (option == "--identity") {
      settings.identity = true;
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
  if (settings.baseline) {
    bare.emplace([](const auto& listening) { ServeBare(listening); });
  }
  if (settings.collector) {
    collector.emplace([&](const auto& listening) {
      settings.weft.empty() ? ServeLibrary(data, listening)
                            : ServeCommand(settings, data, listening);
    });
  }
  const std::vector<std::string> requests = MakeRequests(settings.requests, settings.identity);
  const double bare_rate = bare ? Measure("bare", *bare, requests, settings.connections) : 0;
  bare.reset();
  if (!collector) return 0;
  const double rate = Measure("collector", *collector, requests, settings.connections);
  collector.reset();
  fs::remove_all(data);
  fs::remove(data.string() + ".ready");
  if (bare_rate > 0) std::printf("ratio      %9.2f\n", rate / bare_rate);
}
