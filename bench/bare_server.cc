// SPDX-License-Identifier: Apache-2.0
#include "bare_server.h"

#include <thread>

#include <boost/asio.hpp>
#include <boost/beast.hpp>

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;

namespace {

constexpr char kInfo[] =
    R"({"version":"0.16.9","batch_ingest_config":{"use_multipart_endpoint":true,"size_limit":100,)"
    R"("size_limit_bytes":20971520},"instance_flags":{"zstd_compression_enabled":true}})";

}  // namespace

void ServeBare(const std::function<void(const std::string& address)>& listening) {
  asio::io_context io(2);
  asio::ip::tcp::acceptor acceptor(io, {asio::ip::make_address("127.0.0.1"), 0});
  const auto serve = [](beast::tcp_stream stream) -> asio::awaitable<void> {
    beast::flat_buffer buffer;
    try {
      for (;;) {
        http::request_parser<http::string_body> parser;
        parser.body_limit(1u << 30);
        co_await http::async_read(stream, buffer, parser, asio::use_awaitable);
        http::response<http::string_body> answer(http::status::accepted, 11);
        answer.body() = R"({"message":"accepted"})";
        if (parser.get().method() == http::verb::get) {
          answer.result(http::status::ok);
          answer.body() = kInfo;
        }
        answer.prepare_payload();
        co_await http::async_write(stream, answer, asio::use_awaitable);
      }
    } catch (const boost::system::system_error&) {
      // The sender is done.
    }
  };
  const auto accept = [&]() -> asio::awaitable<void> {
    for (;;) {
      auto socket = co_await acceptor.async_accept(asio::make_strand(io), asio::use_awaitable);
      socket.set_option(asio::ip::tcp::no_delay(true));
      const auto executor = socket.get_executor();
      asio::co_spawn(executor, serve(beast::tcp_stream(std::move(socket))), asio::detached);
    }
  };
  asio::co_spawn(io, accept(), asio::detached);
  listening("127.0.0.1:" + std::to_string(acceptor.local_endpoint().port()));
  std::thread other([&] { io.run(); });
  io.run();
}
