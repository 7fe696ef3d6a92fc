// SPDX-License-Identifier: Apache-2.0
#include "http.h"

#include <chrono>
#include <string>
#include <thread>
#include <utility>

#include <absl/status/status.h>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>

#include <weft/tracing/run.h>
#include <weft/tracing/trace_headers.h>
#include <weft/tracing/tracing_context.h>

namespace trip {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using asio::ip::tcp;
using Request = http::request<http::string_body>;
using Response = http::response<http::string_body>;

constexpr std::chrono::seconds kTimeout{30};
constexpr std::size_t kThreads = 4;

std::string Text(beast::string_view text) { return {text.data(), text.size()}; }

/// A connection whose reads and writes block, but not for ever.
class Connection {
 public:
  explicit Connection(std::unique_ptr<asio::io_context> io) : io_(std::move(io)), stream_(*io_) {}

  beast::error_code Connect(const tcp::endpoint& endpoint) {
    return Do([&](auto done) { stream_.async_connect(endpoint, done); });
  }
  template <typename Message>
  beast::error_code Read(Message& message) {
    return Do([&](auto done) { http::async_read(stream_, buffer_, message, done); });
  }
  template <typename Message>
  beast::error_code Write(const Message& message) {
    return Do([&](auto done) { http::async_write(stream_, message, done); });
  }
  tcp::socket& socket() { return stream_.socket(); }

 private:
  template <typename Start>
  beast::error_code Do(const Start& start) {
    beast::error_code result;
    stream_.expires_after(kTimeout);
    start([&result](beast::error_code error, auto&&...) { result = error; });
    io_->restart();
    io_->run();
    return result;
  }

  std::unique_ptr<asio::io_context> io_;
  beast::tcp_stream stream_;
  beast::flat_buffer buffer_;
};

absl::StatusOr<tcp::endpoint> ReadAddress(const std::string& address) {
  const std::size_t colon = address.rfind(':');
  beast::error_code error;
  const auto host = asio::ip::make_address(address.substr(0, colon), error);
  const int port = colon == address.npos ? -1 : std::atoi(address.c_str() + colon + 1);
  if (error || port < 0 || port > 0xffff) {
    return absl::InvalidArgumentError("\"" + address + "\" is no HOST:PORT with a number as host");
  }
  return tcp::endpoint(host, static_cast<std::uint16_t>(port));
}

absl::StatusOr<weft::JsonObject> ReadObject(const std::string& body) {
  std::optional<weft::Json> json = weft::ParseJson(body);
  if (!json || !json->is_object()) return absl::InvalidArgumentError("the body is no JSON object");
  return std::move(json->get_object());
}

// snippet: handle
/// The answer to a request; all that is done for it is below the caller's run.
absl::StatusOr<weft::JsonObject> Handle(const Request& request, const Handler& handler,
                                        const std::shared_ptr<weft::Tracer>& tracer) {
  weft::TraceHeaders headers;
  for (const auto& field : request) headers.Add(Text(field.name_string()), Text(field.value()));
  const weft::TracingContext caller({.parent = headers.Parse(), .tracer = tracer});

  weft::Run run("POST " + Text(request.target()));
  auto body = ReadObject(request.body());
  if (!body.ok()) return body;
  run.SetInputs(*body);
  auto answer = handler(*body);
  if (answer.ok()) {
    run.SetOutputs(*answer);
  } else {
    run.SetError(answer.status());
  }
  return answer;
}
// end snippet

}  // namespace

absl::StatusOr<weft::JsonObject> Post(const std::string& address, std::string_view path,
                                      const weft::JsonObject& body) {
  const auto endpoint = ReadAddress(address);
  if (!endpoint.ok()) return endpoint.status();
  // snippet: send
  Request request(http::verb::post, {path.data(), path.size()}, 11);
  const weft::TraceHeaders headers = weft::CurrentRun().ToHeaders();
  if (!headers.langsmith_trace.empty()) request.set("langsmith-trace", headers.langsmith_trace);
  if (!headers.baggage.empty()) request.set("baggage", headers.baggage);
  // end snippet
  request.set(http::field::host, address);
  request.set(http::field::content_type, "application/json");
  request.body() = boost::json::serialize(body);
  request.keep_alive(false);
  request.prepare_payload();

  Connection connection(std::make_unique<asio::io_context>());
  Response response;
  beast::error_code error = connection.Connect(*endpoint);
  if (!error) error = connection.Write(request);
  if (!error) error = connection.Read(response);
  if (error) return absl::UnavailableError(address + ": " + error.message());
  if (response.result() != http::status::ok) {
    return absl::UnknownError(address + ": " + response.body());
  }
  return ReadObject(response.body());
}

class HttpServer::Impl {
 public:
  Impl(std::map<std::string, Handler> routes, std::shared_ptr<weft::Tracer> tracer)
      : routes_(std::move(routes)), tracer_(std::move(tracer)) {}
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;
  ~Impl() {
    if (!accepting_.joinable()) return;
    acceptor_.cancel();
    asio::post(io_, [this] { acceptor_.close(); });
    accepting_.join();
    workers_.join();
  }

  absl::Status Listen(const std::string& address) {
    const auto endpoint = ReadAddress(address);
    if (!endpoint.ok()) return endpoint.status();
    beast::error_code error;
    acceptor_.open(endpoint->protocol(), error);
    if (!error) acceptor_.bind(*endpoint, error);
    if (!error) acceptor_.listen(asio::socket_base::max_listen_connections, error);
    if (error)
      return absl::UnavailableError("cannot listen on " + address + ": " + error.message());
    const tcp::endpoint local = acceptor_.local_endpoint();
    address_ = local.address().to_string() + ":" + std::to_string(local.port());
    Accept();
    accepting_ = std::thread([this] { io_.run(); });
    return absl::OkStatus();
  }

  const std::string& address() const { return address_; }

 private:
  void Accept() {
    auto connection = std::make_shared<Connection>(std::make_unique<asio::io_context>());
    tcp::socket& socket = connection->socket();
    acceptor_.async_accept(socket, [this, connection](beast::error_code error) {
      if (error == asio::error::operation_aborted) return;
      if (!error) asio::post(workers_, [this, connection] { Answer(*connection); });
      Accept();
    });
  }

  void Answer(Connection& connection) {
    Request request;
    if (connection.Read(request)) return;
    Response response;
    response.keep_alive(false);
    response.set(http::field::content_type, "application/json");
    const auto route = routes_.find(Text(request.target()));
    if (route == routes_.end() || request.method() != http::verb::post) {
      response.result(http::status::not_found);
    } else if (const auto answer = Handle(request, route->second, tracer_); answer.ok()) {
      response.body() = boost::json::serialize(*answer);
    } else {
      const bool wrong = absl::IsInvalidArgument(answer.status());
      response.result(wrong ? http::status::bad_request : http::status::internal_server_error);
      response.body() = boost::json::serialize(
          weft::JsonObject{{"error", std::string(answer.status().message())}});
    }
    response.prepare_payload();
    connection.Write(response);
  }

  const std::map<std::string, Handler> routes_;
  const std::shared_ptr<weft::Tracer> tracer_;
  std::string address_;
  asio::io_context io_;
  tcp::acceptor acceptor_{io_};
  asio::thread_pool workers_{kThreads};
  std::thread accepting_;
};

absl::StatusOr<std::unique_ptr<HttpServer>> HttpServer::Start(
    const std::string& address, std::map<std::string, Handler> routes,
    std::shared_ptr<weft::Tracer> tracer) {
  auto impl = std::make_unique<Impl>(std::move(routes), std::move(tracer));
  if (absl::Status status = impl->Listen(address); !status.ok()) return status;
  return std::unique_ptr<HttpServer>(new HttpServer(std::move(impl)));
}

HttpServer::HttpServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
HttpServer::~HttpServer() = default;

const std::string& HttpServer::address() const { return impl_->address(); }

}  // namespace trip
