// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <weft/collector/http_server.h>
#include <weft/collector/ingest.h>

namespace weft::collector {

struct HttpResponse {
  int status = 0;                              ///< 0: the connection ended before an answer.
  std::map<std::string, std::string> headers;  ///< Names in lower case.
  std::string body;
};

/// A connection that sends exactly the bytes it is told.
class HttpClient {
 public:
  explicit HttpClient(const std::string& address) {
    const std::size_t colon = address.rfind(':');
    fd_ = ::socket(AF_INET, SOCK_STREAM, 0);
    const timeval patience{30, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    ::setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<std::uint16_t>(std::stoi(address.substr(colon + 1))));
    ::inet_pton(AF_INET, address.substr(0, colon).c_str(), &to.sin_addr);
    connected_ = ::connect(fd_, reinterpret_cast<sockaddr*>(&to), sizeof to) == 0;
  }
  ~HttpClient() { ::close(fd_); }
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  bool connected() const { return connected_; }

  bool Send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
    return true;
  }

  /// SendSome gives up at once from now on.
  void DoNotWait() { ::fcntl(fd_, F_SETFL, O_NONBLOCK); }
  /// Sends what goes through; 0 = nothing.
  std::size_t SendSome(std::string_view bytes) {
    const ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    return sent > 0 ? static_cast<std::size_t>(sent) : 0;
  }

  void EndSending() { ::shutdown(fd_, SHUT_WR); }

  /// The next answer; an interim one only if it is `100 Continue` and asked for.
  HttpResponse Read(bool head = false) {
    HttpResponse response;
    std::size_t end;
    while ((end = buffer_.find("\r\n\r\n")) == std::string::npos) {
      if (!Fill()) return response;
    }
    const std::string header = buffer_.substr(0, end + 2);
    buffer_.erase(0, end + 4);
    response.status = std::stoi(header.substr(9, 3));
    for (std::size_t at = header.find("\r\n") + 2; at < header.size();) {
      const std::size_t line_end = header.find("\r\n", at);
      const std::size_t colon = header.find(": ", at);
      std::string name = header.substr(at, colon - at);
      std::transform(name.begin(), name.end(), name.begin(), ::tolower);
      response.headers[name] = header.substr(colon + 2, line_end - colon - 2);
      at = line_end + 2;
    }
    const auto length = response.headers.find("content-length");
    const std::size_t size =
        head || length == response.headers.end() ? 0 : std::stoul(length->second);
    while (buffer_.size() < size) {
      if (!Fill()) return {};
    }
    response.body = buffer_.substr(0, size);
    buffer_.erase(0, size);
    return response;
  }

  /// Whether the server ends the connection, and nothing more comes before.
  bool IsClosed() { return buffer_.empty() && !Fill(); }

 private:
  bool Fill() {
    char bytes[16384];
    const ssize_t got = ::recv(fd_, bytes, sizeof bytes, 0);
    if (got <= 0) return false;
    buffer_.append(bytes, static_cast<std::size_t>(got));
    return true;
  }

  int fd_ = -1;
  bool connected_ = false;
  std::string buffer_;
};

using Headers = std::vector<std::pair<std::string, std::string>>;

inline std::string RequestText(std::string_view method, std::string_view target,
                               const Headers& headers, std::string_view body = {},
                               std::string_view host = "localhost") {
  std::string text = std::string(method) + " " + std::string(target) + " HTTP/1.1\r\n";
  if (!host.empty()) text += "Host: " + std::string(host) + "\r\n";
  for (const auto& [name, value] : headers) text += name + ": " + value + "\r\n";
  if (!body.empty()) text += "Content-Length: " + std::to_string(body.size()) + "\r\n";
  return (text += "\r\n").append(body);
}

/// Sends one request on a connection of its own.
inline HttpResponse Fetch(const std::string& address, std::string_view method,
                          std::string_view target, const Headers& headers = {},
                          std::string_view body = {}, std::string_view host = "localhost") {
  HttpClient client(address);
  client.Send(RequestText(method, target, headers, body, host));
  return client.Read(method == "HEAD");
}

/// Keeps what it is given, and answers as it is told.
class FakeIngest final : public Ingest {
 public:
  void Accept(IngestBatch batch, Done done) override {
    std::unique_lock lock(mutex_);
    batches_.push_back(std::move(batch));
    if (hold_) {
      held_.push_back(std::move(done));
      changed_.notify_all();
      return;
    }
    const absl::Status status = status_;
    lock.unlock();
    done(status);
  }
  void CountRefused(Receiver, std::string_view reason, std::uint64_t) override {
    std::lock_guard lock(mutex_);
    refused_.emplace_back(reason);
  }
  absl::Status Ready() const override { return absl::OkStatus(); }
  const IngestStats& stats(Receiver) const override { return stats_; }
  std::uint64_t logged() const override { return 0; }
  void WriteMetrics(MetricsWriter&) const override {}

  void AnswerWith(absl::Status status) {
    std::lock_guard lock(mutex_);
    status_ = std::move(status);
  }
  void Hold() {
    std::lock_guard lock(mutex_);
    hold_ = true;
  }
  /// Waits until `count` batches are held.
  bool WaitForHeld(std::size_t count) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(30), [&] { return held_.size() >= count; });
  }
  void Release() {
    std::vector<Done> held;
    {
      std::lock_guard lock(mutex_);
      hold_ = false;
      held = std::exchange(held_, {});
    }
    for (const Done& done : held) done(absl::OkStatus());
  }
  std::vector<IngestBatch> TakeBatches() {
    std::lock_guard lock(mutex_);
    return std::exchange(batches_, {});
  }
  std::vector<std::string> refused() {
    std::lock_guard lock(mutex_);
    return refused_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<IngestBatch> batches_;
  std::vector<Done> held_;
  std::vector<std::string> refused_;
  absl::Status status_;
  bool hold_ = false;
  IngestStats stats_;
};

}  // namespace weft::collector
