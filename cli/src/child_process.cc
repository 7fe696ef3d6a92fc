// SPDX-License-Identifier: Apache-2.0
#include "child_process.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <thread>
#include <utility>

namespace weft::cli {
namespace {

constexpr std::chrono::milliseconds kPollInterval{5};
constexpr std::chrono::milliseconds kDefaultGrace{5000};

std::vector<char*> Pointers(std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  pointers.reserve(strings.size() + 1);
  for (std::string& text : strings) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

/// Runs between fork and exec: only what is safe there.
[[noreturn]] void Become(char** arguments, char** environment, const char* output, const char* log,
                         pid_t parent, int error_pipe) {
  setpgid(0, 0);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(1);  // The parent died before the line above.
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  signal(SIGPIPE, SIG_DFL);
  const int in = open("/dev/null", O_RDONLY);
  const int out = open(output, O_WRONLY | O_CREAT | O_APPEND, 0600);
  const int err = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
  if (in >= 0 && out >= 0 && err >= 0 && dup2(in, 0) >= 0 && dup2(out, 1) >= 0 &&
      dup2(err, 2) >= 0) {
    execve(arguments[0], arguments, environment);
  }
  const int reason = errno;
  const ssize_t written = write(error_pipe, &reason, sizeof reason);
  _exit(written == sizeof reason ? 127 : 126);
}

}  // namespace

absl::StatusOr<ChildProcess> ChildProcess::Start(Command command) {
  std::vector<std::string> arguments = command.arguments;
  std::vector<std::string> environment = command.environment;
  std::vector<char*> argv = Pointers(arguments);
  std::vector<char*> envp = Pointers(environment);
  std::array<int, 2> error_pipe{};
  if (pipe2(error_pipe.data(), O_CLOEXEC) != 0) return absl::ErrnoToStatus(errno, "pipe");
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid == 0) {
    Become(argv.data(), envp.data(), command.output.c_str(), command.log.c_str(), parent,
           error_pipe[1]);
  }
  const int fork_error = errno;
  close(error_pipe[1]);
  int reason = 0;
  ssize_t got = 0;
  if (pid > 0) {
    do {
      got = read(error_pipe[0], &reason, sizeof reason);
    } while (got < 0 && errno == EINTR);
  }
  close(error_pipe[0]);
  if (pid < 0) return absl::ErrnoToStatus(fork_error, "fork");
  if (got == sizeof reason) {
    waitpid(pid, nullptr, 0);
    return absl::InternalError(command.arguments[0] + " cannot be run: " + std::strerror(reason));
  }
  return ChildProcess(std::move(command), pid);
}

ChildProcess::ChildProcess(ChildProcess&& other) noexcept
    : command_(std::move(other.command_)),
      pid_(std::exchange(other.pid_, -1)),
      status_(other.status_) {}

ChildProcess& ChildProcess::operator=(ChildProcess&& other) noexcept {
  if (this != &other) {
    Stop(kDefaultGrace);
    command_ = std::move(other.command_);
    pid_ = std::exchange(other.pid_, -1);
    status_ = other.status_;
  }
  return *this;
}

ChildProcess::~ChildProcess() { Stop(kDefaultGrace); }

std::optional<int> ChildProcess::ExitStatus() {
  if (status_ || pid_ < 0) return status_;
  int status = 0;
  if (waitpid(pid_, &status, WNOHANG) == pid_) {
    status_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }
  return status_;
}

void ChildProcess::Terminate() {
  if (pid_ > 0 && !ExitStatus()) kill(pid_, SIGTERM);
}

int ChildProcess::Stop(std::chrono::milliseconds grace) {
  if (pid_ < 0) return status_.value_or(0);
  Terminate();
  const auto deadline = std::chrono::steady_clock::now() + grace;
  while (!ExitStatus() && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::sleep_for(kPollInterval);
  }
  kill(-pid_, SIGKILL);  // Also what it started and left behind.
  while (!ExitStatus()) std::this_thread::sleep_for(kPollInterval);
  pid_ = -1;
  return *status_;
}

std::vector<std::string> EnvironmentWithout(const std::vector<std::string>& prefixes) {
  std::vector<std::string> kept;
  for (char** at = environ; *at != nullptr; ++at) {
    const std::string_view variable = *at;
    if (std::none_of(prefixes.begin(), prefixes.end(), [variable](const std::string& prefix) {
          return variable.starts_with(prefix);
        })) {
      kept.emplace_back(variable);
    }
  }
  return kept;
}

}  // namespace weft::cli
