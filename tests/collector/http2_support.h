// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>
#include <thread>

namespace weft::collector {

/// Begins a call of gRPC on a connection of its own, announces a message and sends only the begin
/// of it. No library does that.
class HalfCall {
 public:
  /// `port` of 127.0.0.1.
  HalfCall(std::uint16_t port, std::string_view method, std::uint32_t announced, std::size_t sent)
      : left_(sent), socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(socket_, reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0) return;
    thread_ = std::thread([this, method = std::string(method), announced] {
      Run(method, announced);
      over_ = true;
    });
  }
  ~HalfCall() {
    ::shutdown(socket_, SHUT_RDWR);
    if (thread_.joinable()) thread_.join();
    ::close(socket_);
  }
  HalfCall(const HalfCall&) = delete;
  HalfCall& operator=(const HalfCall&) = delete;

  /// The server ended the call or the connection.
  bool over() const { return over_; }

 private:
  enum Type : std::uint8_t { kData, kHeaders, kReset = 3, kSettings, kPing = 6, kAway, kWindow };
  static constexpr std::uint16_t kInitialWindow = 4;
  static constexpr std::size_t kHead = 9, kMostData = 16'384;

  static std::string Number(std::uint32_t value, int bytes) {
    std::string text;
    for (int i = bytes; i-- > 0;) text += static_cast<char>(value >> (8 * i));
    return text;
  }
  static std::uint32_t NumberIn(std::string_view bytes) {
    std::uint32_t value = 0;
    for (const char c : bytes) value = value << 8 | static_cast<unsigned char>(c);
    return value;
  }
  // A header that is in no table.
  static std::string Literal(std::string_view name, std::string_view value) {
    return std::string(1, '\0') + static_cast<char>(name.size()) + std::string(name) +
           static_cast<char>(value.size()) + std::string(value);
  }

  bool Put(Type type, int flags, std::uint32_t stream, std::string_view content) {
    const std::string frame = Number(static_cast<std::uint32_t>(content.size()), 3) +
                              static_cast<char>(type) + static_cast<char>(flags) +
                              Number(stream, 4) + std::string(content);
    return Write(frame);
  }
  bool Write(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t put = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (put <= 0) return false;
      bytes.remove_prefix(static_cast<std::size_t>(put));
    }
    return true;
  }
  bool Read(std::size_t size, std::string& bytes) {
    bytes.resize(size);
    return size == 0 ||
           ::recv(socket_, bytes.data(), size, MSG_WAITALL) == static_cast<ssize_t>(size);
  }

  void Run(const std::string& method, std::uint32_t announced) {
    constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    constexpr std::string_view kPostOverHttp = "\x83\x86";
    if (!Write(kPreface) || !Put(kSettings, 0, 0, "")) return;
    if (!Put(kHeaders, 4, 1,
             std::string(kPostOverHttp) + Literal(":path", method) + Literal(":authority", "x") +
                 Literal("content-type", "application/grpc") + Literal("te", "trailers"))) {
      return;
    }
    next_ = std::string(1, '\0') + Number(announced, 4);
    while (Send() && Receive()) {
    }
  }

  // As much as the server has room for.
  bool Send() {
    for (;;) {
      const std::int64_t room = std::min(windows_[0], windows_[1]);
      const std::size_t size =
          std::min({kMostData, left_, static_cast<std::size_t>(std::max<std::int64_t>(room, 0))});
      if (size < next_.size() || size == 0) return true;
      next_.resize(size, 'x');
      if (!Put(kData, 0, 1, next_)) return false;
      next_.clear();
      left_ -= size;
      for (std::int64_t& window : windows_) window -= static_cast<std::int64_t>(size);
    }
  }

  // One frame. False: it is over.
  bool Receive() {
    std::string head, content;
    if (!Read(kHead, head) || !Read(NumberIn(std::string_view(head).substr(0, 3)), content)) {
      return false;
    }
    const std::uint32_t stream = NumberIn(std::string_view(head).substr(5, 4));
    const bool is_answer = (head[4] & 1) != 0;
    switch (head[3]) {
      case kReset:
      case kAway:
      case kHeaders:
        return false;
      case kWindow:
        windows_[stream == 0 ? 0 : 1] += NumberIn(content);
        return true;
      case kPing:
        return is_answer || Put(kPing, 1, 0, content);
      case kSettings:
        return is_answer || (TakeSettings(content), Put(kSettings, 1, 0, ""));
      default:
        return true;
    }
  }

  void TakeSettings(std::string_view settings) {
    for (; settings.size() >= 6; settings.remove_prefix(6)) {
      if (NumberIn(settings.substr(0, 2)) != kInitialWindow) continue;
      const std::int64_t initial = NumberIn(settings.substr(2, 4));
      windows_[1] += initial - initial_;
      initial_ = initial;
    }
  }

  std::array<std::int64_t, 2> windows_{65'535, 65'535};  ///< Of the connection, of the call.
  std::int64_t initial_ = 65'535;
  std::string next_;  ///< What the next frame begins with.
  std::size_t left_;
  const int socket_;
  std::atomic<bool> over_{false};
  std::thread thread_;
};

}  // namespace weft::collector
