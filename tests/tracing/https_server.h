// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>

#include "../interceptors/certificate.h"

namespace weft {

/// Takes any request over TLS, one in a connection, and answers 200 with `{}`.
class HttpsServer {
 public:
  explicit HttpsServer(const echo_test::Certificate& certificate) {
    Use(certificate);
    thread_ = std::thread([this] { Serve(); });
  }
  ~HttpsServer() {
    stop_ = true;
    // Wakes the thread.
    boost::asio::ip::tcp::socket(io_).connect(acceptor_.local_endpoint());
    thread_.join();
  }
  HttpsServer(const HttpsServer&) = delete;
  HttpsServer& operator=(const HttpsServer&) = delete;

  /// Shown from the next connection on.
  void Use(const echo_test::Certificate& certificate) {
    using boost::asio::buffer;
    auto tls = std::make_shared<Tls>(Tls::tls_server);
    tls->use_certificate_chain(buffer(certificate.pem));
    tls->use_private_key(buffer(certificate.key), Tls::pem);
    const std::lock_guard lock(mutex_);
    tls_ = std::move(tls);
  }

  std::string url() const {
    return "https://127.0.0.1:" + std::to_string(acceptor_.local_endpoint().port());
  }
  /// The targets and bodies of all POSTs.
  std::vector<std::pair<std::string, std::string>> Posts() const {
    const std::lock_guard lock(mutex_);
    return posts_;
  }

 private:
  using Tls = boost::asio::ssl::context;

  std::shared_ptr<Tls> Current() const {
    const std::lock_guard lock(mutex_);
    return tls_;
  }

  void Serve() {
    while (!stop_) {
      boost::asio::ip::tcp::socket socket = acceptor_.accept();
      const std::shared_ptr<Tls> tls = Current();
      boost::asio::ssl::stream<boost::asio::ip::tcp::socket> stream(std::move(socket), *tls);
      if (!stop_) Answer(stream);
    }
  }

  void Answer(boost::asio::ssl::stream<boost::asio::ip::tcp::socket>& stream) {
    namespace http = boost::beast::http;
    boost::system::error_code error;
    stream.handshake(boost::asio::ssl::stream_base::server, error);
    if (error) return;  // The client does not believe us.
    boost::beast::flat_buffer buffer;
    http::request<http::string_body> request;
    http::read(stream, buffer, request, error);
    if (error) return;
    if (request.method() == http::verb::post) {
      const std::lock_guard lock(mutex_);
      posts_.emplace_back(request.target(), request.body());
    }
    http::response<http::string_body> response(http::status::ok, request.version(), "{}");
    response.set(http::field::content_type, "application/json");
    response.keep_alive(false);
    response.prepare_payload();
    http::write(stream, response, error);
    stream.shutdown(error);
  }

  boost::asio::io_context io_;
  boost::asio::ip::tcp::acceptor acceptor_{io_, {boost::asio::ip::make_address("127.0.0.1"), 0}};
  mutable std::mutex mutex_;
  std::shared_ptr<Tls> tls_;
  std::vector<std::pair<std::string, std::string>> posts_;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

}  // namespace weft
