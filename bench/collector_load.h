// SPDX-License-Identifier: Apache-2.0
#pragma once

// What the benchmarks of the collector share: requests as a LangSmith SDK makes them, who sends
// them, and servers in processes of their own.
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
#include <fstream>
#include <functional>
#include <iterator>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include <weft/tracing/run_id.h>

namespace collector_load {

using Clock = std::chrono::steady_clock;

/// Requests to make.
struct Load {
  int requests = 6000;
  int runs = 100;  ///< A request.
  bool identity = false;
  bool quiet = false;  ///< Says nothing about what it made.

  double total() const { return static_cast<double>(requests) * runs; }
};

[[noreturn]] inline void Die(const std::string& what) {
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

inline void AddPart(std::string& body, const std::string& name, const std::string& content) {
  body +=
      "--benchmark\r\nContent-Disposition: form-data; name=\"" + name +
      "\"\r\nContent-Type: application/json\r\nContent-Length: " + std::to_string(content.size()) +
      "\r\n\r\n" + content + "\r\n";
}

// A trace: a root and its children, each about 2 KB.
inline std::string Body(Text& text, int runs) {
  const auto now = std::chrono::system_clock::now();
  const std::string trace = weft::RunId::New(now).ToString();
  const std::string root_order = "20260910T002640013001Z" + trace;
  std::string body;
  for (int i = 0; i < runs; ++i) {
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

inline std::string Zstd(const std::string& body) {
  std::string packed(ZSTD_compressBound(body.size()), '\0');
  packed.resize(ZSTD_compress(packed.data(), packed.size(), body.data(), body.size(), 1));
  return packed;
}

inline std::string Request(Text& text, const Load& load, std::size_t* raw_bytes) {
  const std::string raw = Body(text, load.runs);
  const std::string body = load.identity ? raw : Zstd(raw);
  *raw_bytes += raw.size();
  return "POST /runs/multipart HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: langsmith-py/0.11.1\r\n"
         "Accept-Encoding: gzip, deflate\r\nAccept: application/json\r\nConnection: keep-alive\r\n"
         "x-api-key: benchmark\r\nContent-Type: multipart/form-data; boundary=benchmark\r\n"
         "Content-Encoding: " +
         std::string(load.identity ? "identity" : "zstd") +
         "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

/// Other seeds, other texts; the ids are new in any case.
inline std::vector<std::string> MakeRequests(const Load& load, unsigned seed = 0) {
  std::vector<std::string> requests(static_cast<std::size_t>(load.requests));
  std::size_t raw[2] = {0, 0}, wire = 0;
  const auto make = [&](unsigned half) {
    Text text(seed + half + 1);
    for (std::size_t i = half; i < requests.size(); i += 2)
      requests[i] = Request(text, load, &raw[half]);
  };
  std::thread other(make, 1);
  make(0);
  other.join();
  if (load.quiet) return requests;
  for (const std::string& request : requests) wire += request.size();
  std::printf("%d requests of %d runs: %.0f bytes a run, %.0f on the wire\n", load.requests,
              load.runs, static_cast<double>(raw[0] + raw[1]) / load.total(),
              static_cast<double>(wire) / load.total());
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

/// Of this process, all threads: what the generator itself takes of the two processors.
inline double OwnCpuSeconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

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

}  // namespace collector_load
