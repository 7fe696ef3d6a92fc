// SPDX-License-Identifier: Apache-2.0
// What a fiber for each call costs a server.
//
//   fibers_benchmark [ROUNDS [N]]   Each server is a process of its own; this one sends it N unary
//                                   calls over TCP, 64 outstanding. Shows calls per second of CPU
//                                   of the server, and the ratio to the baseline. "fan-out" servers
//                                   call a backend twice at once for each call. The servers take
//                                   turns of 1,000 calls, each time another one first, and each
//                                   round with fresh processes, since their memory lies better in
//                                   one than in another. Medians of a round's turns, and of the
//                                   rounds.
//   fibers_benchmark waiting [N]    Memory of a FiberServer for each of N calls that wait.
//   fibers_benchmark serve NAME [BACKEND_PORT]   One of the servers, see echo_servers.h: it prints
//   fibers_benchmark send PORT [N]               its port, and this sends it calls. For profilers.
//
// A server in Go is measured beside them if it is there:
//
//   cd bench/go_server && go build -o ../../build/release/bin/
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <grpcpp/grpcpp.h>

#include "echo_servers.h"
#include "rpc_benchmark.grpc.pb.h"

namespace bench {
namespace {

constexpr int kOutstanding = 64;
constexpr int kWarmUp = 2000;
// Processors change their speed within seconds.
constexpr int kTurn = 1000;

// A server in a process of its own, which prints its port.
class Child {
 public:
  explicit Child(std::vector<std::string> command) {
    std::array<int, 2> ends{};
    if (pipe(ends.data()) != 0) std::exit(1);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    posix_spawn_file_actions_addclose(&actions, ends[0]);
    std::vector<char*> arguments;
    for (std::string& argument : command) arguments.push_back(argument.data());
    arguments.push_back(nullptr);
    if (posix_spawn(&pid_, arguments[0], &actions, nullptr, arguments.data(), environ) != 0) {
      std::exit(1);
    }
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    FILE* const output = fdopen(ends[0], "r");
    if (std::fscanf(output, "%d", &port_) != 1) std::exit(1);
    std::fclose(output);
  }
  ~Child() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  int port() const { return port_; }
  double CpuSeconds() const {
    clockid_t clock{};
    timespec used{};
    if (clock_getcpuclockid(pid_, &clock) != 0) std::exit(1);
    clock_gettime(clock, &used);
    return static_cast<double>(used.tv_sec) + static_cast<double>(used.tv_nsec) * 1e-9;
  }
  long ResidentKib() const {
    std::ifstream status("/proc/" + std::to_string(pid_) + "/status");
    for (std::string line; std::getline(status, line);) {
      if (line.starts_with("VmRSS:")) return std::atol(line.c_str() + 6);
    }
    return 0;
  }

 private:
  pid_t pid_ = 0;
  int port_ = 0;
};

std::filesystem::path Self() { return std::filesystem::read_symlink("/proc/self/exe"); }
std::vector<std::string> Command(const std::string& server) { return {Self(), "serve", server}; }

struct ClientCall {
  std::unique_ptr<grpc::ClientContext> context;
  std::unique_ptr<grpc::ClientAsyncResponseReader<Message>> reader;
  Message response;
  grpc::Status status;

  void Start(Echo::Stub& stub, grpc::CompletionQueue& queue, const Message& request) {
    context = std::make_unique<grpc::ClientContext>();
    reader = stub.AsyncUnary(context.get(), request, &queue);
    reader->Finish(&response, &status, this);
  }
};

void SendCalls(Echo::Stub& stub, int count) {
  Message request;
  request.set_text("hello");
  grpc::CompletionQueue queue;
  std::vector<ClientCall> calls(kOutstanding);
  int left = count;
  for (ClientCall& call : calls) call.Start(stub, queue, request), --left;
  void* tag = nullptr;
  bool ok = false;
  for (int open = kOutstanding; open > 0 && queue.Next(&tag, &ok);) {
    auto* const call = static_cast<ClientCall*>(tag);
    if (!call->status.ok()) {
      std::fprintf(stderr, "a call failed: %s\n", call->status.error_message().c_str());
      std::exit(1);
    }
    if (left-- > 0) {
      call->Start(stub, queue, request);
    } else {
      --open;
    }
  }
  queue.Shutdown();
  while (queue.Next(&tag, &ok)) {
  }
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

struct Subject {
  std::string name;
  std::vector<std::string> command;
  std::size_t baseline;
  const char* target = "";
  std::unique_ptr<Child> server = nullptr;
  std::unique_ptr<Echo::Stub> stub = nullptr;
  std::vector<double> turns = {};   // CPU seconds a call, of this round
  std::vector<double> rates = {};   // of each round
  std::vector<double> ratios = {};  // to the baseline in the same round

  void Start() {
    server = std::make_unique<Child>(command);
    stub = StubFor(server->port());
    SendCalls(*stub, kWarmUp);
    turns.clear();
  }
  void Measure(int count) {
    const double before = server->CpuSeconds();
    SendCalls(*stub, count);
    turns.push_back((server->CpuSeconds() - before) / count);
  }
  void Print() const {
    const auto [least, most] = std::minmax_element(ratios.begin(), ratios.end());
    std::printf("%-38s %11.0f %8.3f %7.3f-%.3f  %s\n", name.c_str(), Median(rates), Median(ratios),
                *least, *most, target);
  }
};

std::vector<Subject> Subjects(int backend_port) {
  std::vector<Subject> subjects;
  std::size_t baseline = 0;
  const auto add = [&](std::string name, const char* server, const char* target = "") {
    subjects.push_back({std::move(name), Command(server), baseline, target});
  };
  const std::string go_server = Self().replace_filename("go_server");
  const bool has_go = access(go_server.c_str(), X_OK) == 0;
  const auto add_go = [&](std::string name) {
    if (!has_go) return;
    subjects.push_back(
        {std::move(name), {"/usr/bin/env", "GOMAXPROCS=1", go_server}, baseline, ""});
  };
  if (!has_go) std::puts("(go server not built: see the head of bench/fibers_benchmark.cc)");
  add("echo, bare Next loop", "bare");
  add("echo, callback API", "callback");
  add("echo, fiber server", "fiber", ">= 0.95");
  add("echo, cancellation not watched", "fiber-unwatched", ">= 0.95");
  add_go("echo, Go, one processor");
  const std::size_t first_fan_out = baseline = subjects.size();
  add("fan-out, state machine", "fan-out-bare");
  add("fan-out, state machine, watched", "fan-out-bare-watched");
  add("fan-out, callback API", "fan-out-callback");
  add("fan-out, both awaited", "fan-out-fiber", ">= 1.0");
  add("fan-out, both awaited, not watched", "fan-out-fiber-unwatched", ">= 1.0");
  add("fan-out, a child fiber", "fan-out-child", ">= 0.9");
  add("fan-out, a child fiber, not watched", "fan-out-child-unwatched", ">= 0.9");
  add_go("fan-out, Go, one processor");
  for (std::size_t i = first_fan_out; i < subjects.size(); ++i) {
    subjects[i].command.push_back(std::to_string(backend_port));
  }
  return subjects;
}

int RunRounds(int rounds, int count) {
  // Else glibc gives memory back after a burst of calls and takes it again in the next one, or does
  // not, by what happens to lie at the end of a thread's heap: up to a page fault for each call.
  setenv("MALLOC_TRIM_THRESHOLD_", "268435456", /*overwrite=*/0);
  const Child backend(Command("bare"));
  std::vector<Subject> subjects = Subjects(backend.port());
  for (int round = 0; round < rounds; ++round) {
    for (Subject& subject : subjects) subject.Start();
    // Another one comes first each time: what a server leaves in the caches is its next one's.
    std::size_t first = 0;
    for (int sent = 0; sent < count; sent += kTurn, ++first) {
      for (std::size_t i = 0; i < subjects.size(); ++i) {
        subjects[(first + i) % subjects.size()].Measure(std::min(kTurn, count - sent));
      }
    }
    for (Subject& subject : subjects) {
      subject.rates.push_back(1 / Median(subject.turns));
      subject.ratios.push_back(subject.rates.back() / subjects[subject.baseline].rates.back());
    }
  }
  std::printf("%-38s %11s %8s %13s  %s\n", "", "calls/CPU s", "ratio", "least-most", "target");
  for (const Subject& subject : subjects) subject.Print();
  return 0;
}

int RunWaiting(int count) {
  const Child server(Command("waiting"));
  const auto stub = StubFor(server.port());
  grpc::CompletionQueue queue;
  const Message request;
  std::vector<ClientCall> calls(static_cast<std::size_t>(count));
  const long before = server.ResidentKib();
  for (ClientCall& call : calls) call.Start(*stub, queue, request);
  long resident = before;
  for (int quiet = 0; quiet < 5;) {  // until it grows no more
    void* tag = nullptr;
    bool ok = false;
    queue.AsyncNext(&tag, &ok, std::chrono::system_clock::now() + std::chrono::milliseconds(200));
    const long now = server.ResidentKib();
    quiet = now == resident ? quiet + 1 : 0;
    resident = now;
  }
  std::printf("%d waiting calls: %.1f KiB resident each (target <= 80)\n", count,
              static_cast<double>(resident - before) / count);
  std::fflush(stdout);
  for (ClientCall& call : calls) call.context->TryCancel();
  void* tag = nullptr;
  bool ok = false;
  for (int open = count; open > 0 && queue.Next(&tag, &ok); --open) {
  }
  queue.Shutdown();
  return queue.Next(&tag, &ok) ? 1 : 0;
}

int RunServer(const std::string& name, int backend_port) {
  const bool served = Serve(name, backend_port, [](int port) {
    std::printf("%d\n", port);
    std::fflush(stdout);
  });
  if (served) return 0;
  std::fprintf(stderr, "there is no server %s\n", name.c_str());
  return 2;
}

}  // namespace
}  // namespace bench

int main(int argc, char** argv) {
  const auto number = [&](int index, int fallback) {
    return argc > index ? std::max(1, std::atoi(argv[index])) : fallback;
  };
  const std::string mode = argc > 1 ? argv[1] : "";
  if (mode == "serve" && argc > 2) return bench::RunServer(argv[2], number(3, 0));
  if (mode == "send" && argc > 2) {
    bench::SendCalls(*bench::StubFor(number(2, 0)), number(3, 20'000));
    return 0;
  }
  if (mode == "waiting") return bench::RunWaiting(number(2, 10'000));
  return bench::RunRounds(number(1, 9), number(2, 20'000));
}
