// SPDX-License-Identifier: Apache-2.0
#include <weft/collector/http_server.h>

#include <condition_variable>
#include <mutex>
#include <thread>
#include <unordered_map>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/steady_timer.hpp>

#include "http/connection.h"

namespace weft::collector {

using asio::ip::tcp;

class HttpServer::Core final : public ConnectionShared,
                               public std::enable_shared_from_this<HttpServer::Core> {
 public:
  using ConnectionShared::ConnectionShared;

  absl::Status Listen();
  void Run();
  void Stop(std::chrono::milliseconds patience);
  void Forget(Connection* connection) override;
  const std::string& address() const { return address_; }

 private:
  absl::Status Failed(std::string_view what, const ErrorCode& error) const;
  void Accept();
  void OnAccepted(const ErrorCode& error, TcpStream::socket_type socket);

  /// While Ingest decides about the last requests, nothing else keeps the threads running.
  asio::executor_work_guard<IoExecutor> work_{io.get_executor()};
  tcp::acceptor acceptor_{io};
  asio::steady_timer pause_{io};
  std::string address_;
  std::vector<std::thread> threads_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::unordered_map<Connection*, std::shared_ptr<Connection>> connections_;
};

absl::Status HttpServer::Core::Failed(std::string_view what, const ErrorCode& error) const {
  std::string text = "HTTP listener " + options.address + ": " + std::string(what);
  if (error == asio::error::address_in_use) {
    text += "the port is in use";
  } else if (error) {
    text += error.message();
  }
  return absl::UnavailableError(text);
}

absl::Status HttpServer::Core::Listen() {
  const std::size_t colon = options.address.rfind(':');
  if (colon == std::string::npos) return Failed("expected HOST:PORT", {});
  std::string host = options.address.substr(0, colon);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  }
  ErrorCode error;
  tcp::resolver resolver(io);
  const auto found =
      resolver.resolve(host, options.address.substr(colon + 1),
                       tcp::resolver::passive | tcp::resolver::numeric_service, error);
  if (error || found.empty()) return Failed("", error);
  const tcp::endpoint endpoint = *found.begin();
  acceptor_.open(endpoint.protocol(), error);
  if (!error) acceptor_.set_option(tcp::acceptor::reuse_address(true), error);
  if (!error) acceptor_.bind(endpoint, error);
  if (!error) acceptor_.listen(asio::socket_base::max_listen_connections, error);
  if (error) return Failed("", error);
  const tcp::endpoint bound = acceptor_.local_endpoint();
  const std::string ip = bound.address().to_string();
  address_ = (bound.address().is_v6() ? "[" + ip + "]" : ip) + ":" + std::to_string(bound.port());
  return absl::OkStatus();
}

void HttpServer::Core::Run() {
  Accept();
  for (int i = 0; i < std::max(1, options.threads); ++i) {
    threads_.emplace_back([this] { io.run(); });
  }
}

void HttpServer::Core::Accept() {
  acceptor_.async_accept(asio::make_strand(io.get_executor()),
                         [this](const ErrorCode& error, TcpStream::socket_type socket) {
                           OnAccepted(error, std::move(socket));
                         });
}

void HttpServer::Core::OnAccepted(const ErrorCode& error, TcpStream::socket_type socket) {
  if (stopping) return;
  if (error) {
    // Out of file descriptors, most likely: the next attempt would fail at once, too.
    pause_.expires_after(std::chrono::milliseconds(100));
    pause_.async_wait([this](const ErrorCode& cancelled) {
      if (!cancelled) Accept();
    });
    return;
  }
  {
    std::lock_guard lock(mutex_);
    if (!stopping && connections_.size() < options.max_connections) {
      ErrorCode ignored;
      socket.set_option(tcp::no_delay(true), ignored);
      auto connection = std::make_shared<Connection>(std::move(socket), shared_from_this());
      connections_.emplace(connection.get(), connection);
      ++stats.connections;
      connection->Start();
    }
  }
  Accept();
}

void HttpServer::Core::Forget(Connection* connection) {
  std::lock_guard lock(mutex_);
  if (connections_.erase(connection) > 0) --stats.connections;
  changed_.notify_all();
}

void HttpServer::Core::Stop(std::chrono::milliseconds patience) {
  if (stopping.exchange(true)) return;
  asio::post(io, [this] {
    ErrorCode ignored;
    acceptor_.close(ignored);
    pause_.cancel();
  });
  {
    std::unique_lock lock(mutex_);
    for (const auto& [key, connection] : connections_) connection->Finish();
    changed_.wait_for(lock, patience, [this] { return connections_.empty(); });
  }
  readers.stop();
  readers.join();
  io.stop();
  for (std::thread& thread : threads_) thread.join();
  std::lock_guard lock(mutex_);
  stats.connections = 0;
  connections_.clear();
}

HttpServer::HttpServer(std::shared_ptr<Core> core) : core_(std::move(core)) {}

HttpServer::~HttpServer() { Stop(std::chrono::milliseconds(0)); }

absl::StatusOr<std::unique_ptr<HttpServer>> HttpServer::Start(HttpServerOptions options,
                                                              HttpServices services) {
  auto core = std::make_shared<Core>(std::move(options), std::move(services));
  if (auto status = core->Listen(); !status.ok()) return status;
  core->Run();
  return std::unique_ptr<HttpServer>(new HttpServer(std::move(core)));
}

std::string HttpServer::address() const { return core_->address(); }

void HttpServer::Stop(std::chrono::milliseconds patience) { core_->Stop(patience); }

void HttpServer::SetAllowedHosts(std::vector<std::string> hosts) {
  core_->guard.SetAllowedHosts(std::move(hosts));
}

const HttpStats& HttpServer::stats() const { return core_->stats; }

}  // namespace weft::collector
