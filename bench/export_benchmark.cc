// SPDX-License-Identifier: Apache-2.0
//
// What it costs to make runs and to send them to LangSmith: CPU of the whole process for each run,
// against a LangSmith in another process that takes everything and looks at nothing.
//
//     build/release/bin/export_benchmark                       # 1,000,000 runs of 1 KB
//     build/release/bin/export_benchmark --runs N [--zstd]
//     build/release/bin/export_benchmark --serve               # the LangSmith: prints its address
//
// bench/export_runs.py has LangSmith's Python SDK do the same work beside it.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <weft/tracing/langsmith_exporter.h>
#include <weft/tracing/run.h>
#include <weft/tracing/traceable.h>
#include <weft/tracing/tracing_context.h>

namespace {

constexpr std::size_t kBlock = std::size_t{1} << 20;

double CpuSeconds() {
  timespec time{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

std::size_t ContentLength(std::string_view head) {
  for (const char* const name : {"\r\nContent-Length: ", "\r\ncontent-length: "}) {
    const std::size_t found = head.find(name);
    if (found != std::string_view::npos) {
      return std::strtoull(head.data() + found + std::strlen(name), nullptr, 10);
    }
  }
  return 0;
}

void Answer(int fd, bool info, bool zstd) {
  std::string body = "{}";
  if (info) {
    body =
        R"({"version":"0.16.0","batch_ingest_config":{"use_multipart_endpoint":true,"size_limit":100,)"
        R"("size_limit_bytes":20971520,"scale_up_qsize_trigger":1000,"scale_up_nthreads_limit":16,)"
        R"("scale_down_nempty_trigger":4},"instance_flags":{"zstd_compression_enabled":)";
    body += zstd ? "true}}" : "false}}";
  }
  const std::string reply =
      std::string("HTTP/1.1 ") + (info ? "200 OK" : "202 Accepted") +
      "\r\nContent-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) +
      "\r\n\r\n" + body;
  if (::send(fd, reply.data(), reply.size(), MSG_NOSIGNAL) < 0) std::perror("send");
}

/// What comes over one connection.
class Received {
 public:
  explicit Received(int fd) : fd_(fd), block_(kBlock) {}

  /// Takes what comes up to and with `end`. Empty: the connection has ended.
  std::string TakeThrough(std::string_view end) {
    std::size_t found = 0;
    while ((found = text_.find(end)) == std::string::npos) {
      if (!More()) return {};
    }
    std::string taken = text_.substr(0, found + end.size());
    text_.erase(0, taken.size());
    return taken;
  }
  void Skip(std::size_t size) {
    while (size > text_.size()) {
      size -= std::exchange(text_, {}).size();
      if (!More()) return;
    }
    text_.erase(0, size);
  }

 private:
  bool More() {
    const ssize_t got = ::recv(fd_, block_.data(), block_.size(), 0);
    if (got > 0) text_.append(block_.data(), static_cast<std::size_t>(got));
    return got > 0;
  }

  const int fd_;
  std::vector<char> block_;
  std::string text_;
};

void SkipBody(Received& received, std::string_view head) {
  // Node's requests come in chunks.
  if (head.find("ransfer-encoding: chunked") == head.npos &&
      head.find("ransfer-Encoding: chunked") == head.npos) {
    return received.Skip(ContentLength(head));
  }
  for (std::size_t size = 1; size > 0;) {
    size = std::strtoull(received.TakeThrough("\r\n").c_str(), nullptr, 16);
    received.Skip(size + 2);
  }
}

/// One connection: bodies are read and forgotten.
void Serve(int fd, bool zstd) {
  const int yes = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  Received received(fd);
  for (std::string head; !(head = received.TakeThrough("\r\n\r\n")).empty();) {
    SkipBody(received, head);
    Answer(fd, head.starts_with("GET "), zstd);
  }
  ::close(fd);
}

int Listen(int* port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  if (::bind(fd, reinterpret_cast<sockaddr*>(&address), size) != 0 || ::listen(fd, 64) != 0 ||
      ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    std::perror("export_benchmark: cannot listen");
    std::exit(1);
  }
  *port = ntohs(address.sin_port);
  return fd;
}

[[noreturn]] void ServeForEver(int listener, bool zstd) {
  while (true) {
    const int fd = ::accept(listener, nullptr, nullptr);
    if (fd >= 0) std::thread(Serve, fd, zstd).detach();
  }
}

int SendRuns(const std::string& endpoint, int runs) {
  auto exporter = weft::LangSmithExporter::Create({.endpoint = endpoint, .api_key = "key"});
  if (!exporter.ok()) return 1;
  const auto tracer =
      weft::Tracer::Create({.service_name = "benchmark", .exporters = {*exporter}}).value();
  const std::string kilobyte(1000, 'q');
  const double cpu = CpuSeconds();
  const auto start = std::chrono::steady_clock::now();
  {
    const weft::TracingContext context({.tracer = tracer});
    auto answer = weft::Traceable("answer", {.arguments = {"question"}},
                                  [](const std::string& question) { return question.size(); });
    for (int i = 0; i < runs; ++i) {
      answer(kilobyte);
      // Nothing may be dropped: the queue holds about 20,000 of these.
      if (i % 10'000 == 9'999) tracer->Flush(std::chrono::minutes(1));
    }
  }
  const bool delivered = tracer->Shutdown(std::chrono::minutes(1));
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  const double used = CpuSeconds() - cpu;
  std::printf("%d runs: %.2f us of CPU a run, %.0f runs/s, %llu acknowledged\n", runs,
              used * 1e6 / runs, runs / seconds,
              static_cast<unsigned long long>((*exporter)->Stats().acknowledged));
  return delivered ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  int runs = 1'000'000;
  bool zstd = false;
  bool serve = false;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument == "--zstd") {
      zstd = true;
    } else if (argument == "--serve") {
      serve = true;
    } else if (argument == "--runs" && i + 1 < argc) {
      runs = std::atoi(argv[++i]);
    } else {
      std::fprintf(stderr, "export_benchmark: unknown option %s\n", argv[i]);
      return 2;
    }
  }
  int port = 0;
  const int listener = Listen(&port);
  const std::string endpoint = "http://127.0.0.1:" + std::to_string(port);
  if (serve) {
    std::printf("%s\n", endpoint.c_str());
    std::fflush(stdout);
    ServeForEver(listener, zstd);
  }
  const pid_t server = fork();
  if (server == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    ServeForEver(listener, zstd);
  }
  ::close(listener);
  const int status = SendRuns(endpoint, runs);
  kill(server, SIGKILL);
  waitpid(server, nullptr, 0);
  return status;
}
