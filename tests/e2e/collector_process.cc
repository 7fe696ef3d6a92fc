// SPDX-License-Identifier: Apache-2.0
#include "collector_process.h"

#include <curl/curl.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <memory>
#include <utility>

extern char** environ;

namespace weft::e2e {
namespace {

// Generous: under sanitizers and on a busy machine everything is slow.
constexpr std::chrono::seconds kPatience{60};

std::vector<char*> Pointers(std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  for (std::string& string : strings) pointers.push_back(string.data());
  pointers.push_back(nullptr);
  return pointers;
}

std::string Field(const std::string& text, const std::string& name) {
  const std::size_t start = text.find(" " + name + "=");
  if (start == std::string::npos) return "";
  const std::size_t value = start + name.size() + 2;
  return text.substr(value, text.find_first_of(" \n", value) - value);
}

std::size_t OnBody(char* data, std::size_t size, std::size_t count, void* user) {
  static_cast<std::string*>(user)->append(data, size * count);
  return size * count;
}

std::vector<std::string> OnFreePorts(const std::filesystem::path& data,
                                     std::vector<std::string> arguments) {
  const std::vector<std::string> base = {
      "collect",       "--data",      data.string(),        "--listen-grpc", "127.0.0.1:0",
      "--listen-http", "127.0.0.1:0", "--listen-otlp-http", "127.0.0.1:0"};
  arguments.insert(arguments.begin(), base.begin(), base.end());
  return arguments;
}

}  // namespace

WeftProcess::WeftProcess(const std::vector<std::string>& arguments,
                         const std::map<std::string, std::string>& environment) {
  std::vector<std::string> argv = {WEFT_BINARY};
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  std::vector<std::string> variables;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view variable = *entry;
    if (!variable.starts_with("LANGSMITH_") && !variable.starts_with("WEFT_")) {
      variables.emplace_back(variable);
    }
  }
  for (const auto& [name, value] : environment) variables.push_back(name + "=" + value);
  std::vector<char*> argv_pointers = Pointers(argv);
  std::vector<char*> variable_pointers = Pointers(variables);
  std::array<int, 2> pipe{};
  if (::pipe2(pipe.data(), O_CLOEXEC) != 0) return;
  pid_ = ::fork();
  if (pid_ == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::dup2(pipe[1], STDERR_FILENO);
    ::dup2(pipe[1], STDOUT_FILENO);
    ::execve(argv_pointers[0], argv_pointers.data(), variable_pointers.data());
    ::_exit(127);
  }
  ::close(pipe[1]);
  reader_ = std::thread([this, descriptor = pipe[0]] { Read(descriptor); });
}

WeftProcess::~WeftProcess() {
  if (pid_ > 0 && !status_) Signal(SIGKILL);
  if (pid_ > 0) WaitForEnd();
  if (reader_.joinable()) reader_.join();
}

void WeftProcess::Read(int descriptor) {
  std::array<char, 4096> block;
  for (;;) {
    const ssize_t got = ::read(descriptor, block.data(), block.size());
    std::lock_guard lock(mutex_);
    if (got <= 0) {
      closed_ = true;
      changed_.notify_all();
      break;
    }
    errors_.append(block.data(), static_cast<std::size_t>(got));
    changed_.notify_all();
  }
  ::close(descriptor);
}

void WeftProcess::Signal(int signal) const { ::kill(pid_, signal); }

bool WeftProcess::WaitForText(std::string_view text) {
  std::unique_lock lock(mutex_);
  const auto found = [&] { return errors_.find(text) != std::string::npos; };
  changed_.wait_for(lock, kPatience, [&] { return found() || closed_; });
  return found();
}

std::string WeftProcess::Errors() {
  std::lock_guard lock(mutex_);
  return errors_;
}

std::optional<int> WeftProcess::WaitForEnd() {
  if (status_) return status_;
  {
    // Its end closes the pipe.
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, kPatience, [this] { return closed_; })) return std::nullopt;
  }
  int status = 0;
  if (::waitpid(pid_, &status, 0) != pid_) return std::nullopt;
  status_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return status_;
}

CollectorProcess::CollectorProcess(const std::filesystem::path& data,
                                   std::vector<std::string> arguments,
                                   const std::map<std::string, std::string>& environment)
    : process_(OnFreePorts(data, std::move(arguments)), environment) {
  if (!process_.WaitForText("\n")) return;
  const std::string errors = process_.Errors();
  const std::string line = errors.substr(0, errors.find('\n') + 1);
  grpc_ = Field(line, "grpc");
  http_ = "http://" + Field(line, "http");
  otlp_http_ = "http://" + Field(line, "otlp_http");
  listening_ = !grpc_.empty();
}

std::optional<int> CollectorProcess::Stop() {
  process_.Signal(SIGTERM);
  return process_.WaitForEnd();
}

void CollectorProcess::Kill() {
  process_.Signal(SIGKILL);
  process_.WaitForEnd();
}

HttpAnswer Http(const std::string& method, const std::string& url, const std::string& body,
                const std::vector<std::string>& headers) {
  static const CURLcode initialised = curl_global_init(CURL_GLOBAL_DEFAULT);
  (void)initialised;
  // Kept for its connection.
  thread_local const std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> kept(curl_easy_init(),
                                                                              &curl_easy_cleanup);
  CURL* const curl = kept.get();
  curl_easy_reset(curl);
  HttpAnswer answer;
  curl_slist* list = nullptr;
  for (const std::string& header : headers) list = curl_slist_append(list, header.c_str());
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_PROXY, "");
  curl_easy_setopt(curl, CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl, CURLOPT_TIMEOUT, static_cast<long>(kPatience.count()));
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, &OnBody);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &answer.body);
  if (method != "GET") {
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, static_cast<long>(body.size()));
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body.c_str());
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method.c_str());
    list = curl_slist_append(list, "Content-Type: application/json");
  }
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, list);
  if (curl_easy_perform(curl) == CURLE_OK) {
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &answer.status);
  }
  curl_slist_free_all(list);
  return answer;
}

double Metric(const std::string& text, std::string_view name) {
  double sum = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    const std::string line = text.substr(at, end - at);
    if (line.starts_with(name) && (line[name.size()] == ' ' || line[name.size()] == '{')) {
      sum += std::strtod(line.c_str() + line.rfind(' '), nullptr);
    }
    at = end + 1;
  }
  return sum;
}

}  // namespace weft::e2e
