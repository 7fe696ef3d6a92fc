// SPDX-License-Identifier: Apache-2.0
#include <weft/testing/fake_langsmith.h>

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <list>
#include <mutex>
#include <set>
#include <thread>
#include <utility>

#include <zstd.h>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <boost/json.hpp>

namespace weft {
inline namespace v0 {
namespace testing {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using asio::ip::tcp;

constexpr std::uint64_t kMaxBody = 512ull << 20;
constexpr std::chrono::seconds kHoldLimit{60};
constexpr char kInfo[] = R"({"version":"0.16.0","license_expiration_time":null,
 "batch_ingest_config":{"use_multipart_endpoint":true,"size_limit":100,"size_limit_bytes":20971520,
  "scale_up_qsize_trigger":1000,"scale_up_nthreads_limit":16,"scale_down_nempty_trigger":4},
 "instance_flags":{"gzip_body_enabled":true,"zstd_compression_enabled":true}})";

std::string Lower(std::string_view text) {
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; });
  return lower;
}

std::string DecodeZstd(const std::string& body) {
  std::unique_ptr<ZSTD_DStream, decltype(&ZSTD_freeDStream)> stream(ZSTD_createDStream(),
                                                                    &ZSTD_freeDStream);
  std::string out;
  std::string block(ZSTD_DStreamOutSize(), '\0');
  ZSTD_inBuffer in{body.data(), body.size(), 0};
  while (in.pos < in.size) {
    ZSTD_outBuffer to{block.data(), block.size(), 0};
    if (ZSTD_isError(ZSTD_decompressStream(stream.get(), &to, &in))) return "(bad zstd)";
    out.append(block, 0, to.pos);
  }
  return out;
}

// `value` of `key="value"` or `key=value` in a header.
std::string Parameter(std::string_view header, std::string_view key) {
  const std::size_t found = header.find(std::string(key) + "=");
  if (found == std::string_view::npos) return "";
  std::string_view value = header.substr(found + key.size() + 1);
  if (value.starts_with('"')) {
    value.remove_prefix(1);
    return std::string(value.substr(0, value.find('"')));
  }
  return std::string(value.substr(0, value.find(';')));
}

std::vector<FakeLangSmith::Part> SplitForm(const std::string& body, const std::string& boundary) {
  std::vector<FakeLangSmith::Part> parts;
  const std::string delimiter = "--" + boundary;
  std::size_t at = body.find(delimiter);
  while (at != std::string::npos && body.compare(at + delimiter.size(), 2, "--") != 0) {
    const std::size_t head = at + delimiter.size() + 2;
    const std::size_t content = body.find("\r\n\r\n", head);
    const std::size_t next = body.find("\r\n" + delimiter, head);
    if (content == std::string::npos || next == std::string::npos || content > next) break;
    FakeLangSmith::Part part;
    part.content = body.substr(content + 4, next - content - 4);
    const std::string headers = body.substr(head, content - head);
    for (std::size_t line = 0; line < headers.size();) {
      const std::size_t end = std::min(headers.find("\r\n", line), headers.size());
      const std::string text = headers.substr(line, end - line);
      const std::string lower = Lower(text);
      if (lower.starts_with("content-disposition:")) part.name = Parameter(text, "name");
      if (lower.starts_with("content-type: ")) part.content_type = text.substr(14);
      line = end + 2;
    }
    parts.push_back(std::move(part));
    at = next + 2;
  }
  return parts;
}

void AddIds(const boost::json::value& value, std::set<std::string>& ids) {
  if (const auto* array = value.if_array()) {
    for (const auto& element : *array) AddIds(element, ids);
  } else if (const auto* object = value.if_object()) {
    if (const auto* id = object->if_contains("id"); id != nullptr && id->is_string()) {
      ids.emplace(id->get_string().c_str());
    }
  }
}

}  // namespace

class FakeLangSmith::Impl {
 public:
  bool Listen(int port) {
    boost::system::error_code error;
    const tcp::endpoint endpoint(asio::ip::address_v4::loopback(),
                                 static_cast<unsigned short>(port));
    acceptor_.open(tcp::v4(), error);
    if (!error) acceptor_.set_option(tcp::acceptor::reuse_address(true), error);
    if (!error) acceptor_.bind(endpoint, error);
    if (!error) acceptor_.listen(asio::socket_base::max_listen_connections, error);
    if (error) return false;
    port_ = acceptor_.local_endpoint().port();
    accepting_ = std::thread([this] { Accept(); });
    return true;
  }

  ~Impl() {
    {
      std::lock_guard lock(mutex_);
      stopping_ = true;
      changed_.notify_all();
      // Ends the reads of the connections; accept ends by the connection made below.
      for (Connection& connection : connections_) Shutdown(connection.socket);
    }
    if (accepting_.joinable()) {
      boost::system::error_code ignored;
      tcp::socket wake(io_);
      wake.connect(tcp::endpoint(asio::ip::address_v4::loopback(), port_), ignored);
      accepting_.join();
    }
    for (Connection& connection : connections_) connection.thread.join();
  }

  unsigned short port_ = 0;
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  std::deque<Reply> script_;
  Reply default_;
  std::function<std::optional<Reply>(const Request&)> handler_;
  std::string info_ = kInfo;
  std::vector<Request> requests_;
  std::size_t probes_ = 0;
  bool released_ = false;

 private:
  struct Connection {
    explicit Connection(tcp::socket given) : socket(std::move(given)) {}
    tcp::socket socket;
    std::thread thread;
  };

  static void Shutdown(tcp::socket& socket) {
    boost::system::error_code ignored;
    socket.shutdown(tcp::socket::shutdown_both, ignored);
  }

  void Accept() {
    for (;;) {
      boost::system::error_code error;
      tcp::socket socket(io_);
      acceptor_.accept(socket, error);
      std::lock_guard lock(mutex_);
      if (stopping_) {
        acceptor_.close(error);
        return;
      }
      if (error) continue;
      Connection& connection = connections_.emplace_back(std::move(socket));
      connection.thread = std::thread([this, &connection] { Serve(connection.socket); });
    }
  }

  void Serve(tcp::socket& socket) {
    boost::beast::flat_buffer buffer;
    boost::system::error_code error;
    bool open = true;
    while (open) {
      http::request_parser<http::string_body> parser;
      parser.body_limit(kMaxBody);
      http::read(socket, buffer, parser, error);
      if (error) break;
      open = Answer(socket, parser.get());
    }
    Shutdown(socket);
  }

  static Request Read(const http::request<http::string_body>& message) {
    Request request;
    request.method = std::string(message.method_string());
    request.target = std::string(message.target());
    for (const auto& field : message) {
      request.headers[Lower({field.name_string().data(), field.name_string().size()})] =
          std::string(field.value());
    }
    request.body = message.body();
    if (request.Header("content-encoding") == "zstd") request.body = DecodeZstd(request.body);
    const std::string type = request.Header("content-type");
    if (type.starts_with("multipart/form-data")) {
      request.parts = SplitForm(request.body, Parameter(type, "boundary"));
    }
    return request;
  }

  Reply NextReply(const Request& request) {
    if (handler_) {
      if (std::optional<Reply> reply = handler_(request)) return *std::move(reply);
    }
    if (request.method == "GET" && request.target.ends_with("/info")) {
      if (default_.status != 202) return default_;
      Reply reply;
      reply.status = 200;
      reply.body = info_;
      return reply;
    }
    if (script_.empty()) return default_;
    Reply reply = std::move(script_.front());
    script_.pop_front();
    return reply;
  }

  // False: the connection is over.
  bool Answer(tcp::socket& socket, const http::request<http::string_body>& message) {
    Request request = Read(message);
    Reply reply;
    {
      std::unique_lock lock(mutex_);
      reply = NextReply(request);
      request.status = reply.reset ? 0 : reply.status;
      const bool is_info = request.method == "GET" && request.target.ends_with("/info");
      if (is_info) ++probes_;
      if (!is_info) requests_.push_back(std::move(request));
      changed_.notify_all();
      if (reply.hold) {
        changed_.wait_for(lock, kHoldLimit, [this] { return released_ || stopping_; });
      }
    }
    boost::system::error_code error;
    if (reply.reset) {
      std::lock_guard lock(mutex_);
      socket.set_option(asio::socket_base::linger(true, 0), error);
      socket.close(error);
      return false;
    }
    http::response<http::string_body> response(static_cast<http::status>(reply.status), 11);
    response.set(http::field::content_type, reply.content_type);
    if (reply.retry_after) {
      response.set(http::field::retry_after, std::to_string(reply.retry_after->count()));
    }
    if (!reply.retry_after_date.empty()) {
      response.set(http::field::retry_after, reply.retry_after_date);
    }
    response.body() = reply.body;
    response.keep_alive(message.keep_alive());
    response.prepare_payload();
    http::write(socket, response, error);
    return !error && message.keep_alive();
  }

  asio::io_context io_;
  tcp::acceptor acceptor_{io_};
  std::thread accepting_;
  std::list<Connection> connections_;
  bool stopping_ = false;
};

std::string FakeLangSmith::Request::Header(const std::string& name) const {
  const auto found = headers.find(name);
  return found == headers.end() ? "" : found->second;
}

std::optional<std::string> FakeLangSmith::Request::Find(std::string_view part) const {
  for (const Part& candidate : parts) {
    if (candidate.name == part) return candidate.content;
  }
  return std::nullopt;
}

std::unique_ptr<FakeLangSmith> FakeLangSmith::Start(int port) {
  auto impl = std::make_unique<Impl>();
  if (!impl->Listen(port)) return nullptr;
  return std::unique_ptr<FakeLangSmith>(new FakeLangSmith(std::move(impl)));
}

FakeLangSmith::FakeLangSmith(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
FakeLangSmith::~FakeLangSmith() = default;

std::string FakeLangSmith::url() const { return "http://127.0.0.1:" + std::to_string(port()); }
int FakeLangSmith::port() const { return impl_->port_; }

void FakeLangSmith::Script(std::vector<Reply> replies) {
  std::lock_guard lock(impl_->mutex_);
  for (Reply& reply : replies) impl_->script_.push_back(std::move(reply));
}

void FakeLangSmith::SetDefault(Reply reply) {
  std::lock_guard lock(impl_->mutex_);
  impl_->default_ = std::move(reply);
}

void FakeLangSmith::SetHandler(std::function<std::optional<Reply>(const Request&)> handler) {
  std::lock_guard lock(impl_->mutex_);
  impl_->handler_ = std::move(handler);
}

void FakeLangSmith::SetInfo(std::string json) {
  std::lock_guard lock(impl_->mutex_);
  impl_->info_ = std::move(json);
}

void FakeLangSmith::Release() {
  std::lock_guard lock(impl_->mutex_);
  impl_->released_ = true;
  impl_->changed_.notify_all();
}

std::vector<FakeLangSmith::Request> FakeLangSmith::Requests() const {
  std::lock_guard lock(impl_->mutex_);
  return impl_->requests_;
}

std::vector<std::string> FakeLangSmith::RunIds() const {
  std::set<std::string> ids;
  for (const Request& request : Requests()) {
    if (request.status < 200 || request.status > 299) continue;
    for (const Part& part : request.parts) {
      const bool run = part.name.starts_with("post.") || part.name.starts_with("patch.");
      const std::size_t start = part.name.find('.') + 1;
      if (run) ids.insert(part.name.substr(start, part.name.find('.', start) - start));
    }
    const std::size_t id = request.target.find("/runs/") + 6;
    if (request.method == "PATCH" && id < request.target.size()) {
      ids.insert(request.target.substr(id));
    }
    boost::system::error_code error;
    const boost::json::value body = boost::json::parse(request.body, error);
    if (error || !body.is_object()) continue;
    AddIds(body, ids);
    for (const char* list : {"post", "patch"}) {
      if (const auto* runs = body.get_object().if_contains(list)) AddIds(*runs, ids);
    }
  }
  return {ids.begin(), ids.end()};
}

bool FakeLangSmith::WaitUntilProbed(std::size_t times, std::chrono::milliseconds timeout) const {
  std::unique_lock lock(impl_->mutex_);
  const std::size_t wanted = impl_->probes_ + times;
  return impl_->changed_.wait_for(lock, timeout, [&] { return impl_->probes_ >= wanted; });
}

bool FakeLangSmith::WaitUntil(const std::function<bool(const FakeLangSmith&)>& condition,
                              std::chrono::milliseconds timeout) const {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  for (;;) {
    std::size_t seen = 0;
    {
      std::lock_guard lock(impl_->mutex_);
      seen = impl_->requests_.size();
    }
    if (condition(*this)) return true;
    std::unique_lock lock(impl_->mutex_);
    const bool more =
        impl_->changed_.wait_until(lock, deadline, [&] { return impl_->requests_.size() != seen; });
    if (!more) {
      lock.unlock();
      return condition(*this);
    }
  }
}

}  // namespace testing
}  // namespace v0
}  // namespace weft
