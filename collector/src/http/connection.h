// SPDX-License-Identifier: Apache-2.0
#pragma once

// Included by server.cc alone: Beast takes long to compile.

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/basic_stream.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/buffer_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>

#include "admission.h"
#include "http/connection_shared.h"
#include "http/stream.h"
#include "otlp/http_api.h"

namespace weft::collector {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;

using ErrorCode = boost::system::error_code;

/// One client. Requests are served one after another; a request that follows before its answer
/// stays in the buffer.
///
/// Lifetime: the pending operation holds it, except while Ingest decides: then only the server
/// does. Threads: everything runs on the strand.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(TcpStream::socket_type socket, const std::shared_ptr<ConnectionShared>& shared)
      : stream_(std::move(socket), shared->options.tls ? shared->options.tls->context() : nullptr),
        shared_(*shared),
        weak_shared_(shared) {
    ErrorCode gone;
    is_loopback_ = stream_.tcp().socket().remote_endpoint(gone).address().is_loopback() && !gone;
  }
  ~Connection() { Release(); }

  void Start() {
    asio::post(stream_.get_executor(), [self = shared_from_this()] {
      self->stream_.has_tls() ? self->Handshake() : self->WaitForRequest();
    });
  }

  /// Closes when no request is in progress, else after its answer.
  void Finish() {
    asio::post(stream_.get_executor(), [self = shared_from_this()] {
      if (self->idle_) self->Close();
    });
  }

 private:
  using Clock = std::chrono::steady_clock;
  using Parser = http::request_parser<http::buffer_body>;

  static constexpr std::size_t kFirstRead = 4096;
  static constexpr std::size_t kMaxHeader = 64u << 10;
  static constexpr std::size_t kStep = 1u << 20;  ///< By which bodies of unknown size grow.
  static constexpr std::uint64_t kSmallBody = 64u << 10;
  static constexpr std::uint64_t kSlowest = 1024;  ///< Bytes per second.
  static constexpr std::chrono::seconds kLinger{10};

  /// Wraps a handler so that it keeps the connection alive.
  template <typename Method>
  auto Then(Method method) {
    return [self = shared_from_this(), method](ErrorCode error, std::size_t bytes) {
      (self.get()->*method)(error, bytes);
    };
  }

  void Handshake() {
    if (shared_.stopping) return Close();
    stream_.tcp().expires_after(shared_.options.header_timeout);
    stream_.async_handshake([self = shared_from_this()](ErrorCode error) {
      if (!error) return self->WaitForRequest();
      ++self->shared_.stats.tls_failures;
      self->Close();
    });
  }

  // --- Header ---------------------------------------------------------------------------------

  void WaitForRequest() {
    idle_ = true;
    if (shared_.stopping) return Close();
    if (buffer_.size() > 0) return ReadHeader();
    stream_.tcp().expires_after(shared_.options.idle_timeout);
    stream_.async_read_some(buffer_.prepare(kFirstRead), Then(&Connection::OnFirstBytes));
  }

  void OnFirstBytes(ErrorCode error, std::size_t bytes) {
    if (error) return OnBroken(error);
    buffer_.commit(bytes);
    ReadHeader();
  }

  void ReadHeader() {
    idle_ = false;
    request_ = HttpRequest{};
    target_ = Target{};
    parser_.emplace();
    parser_->header_limit(kMaxHeader);
    parser_->body_limit(boost::none);  // Decided below, with an answer.
    stream_.tcp().expires_after(shared_.options.header_timeout);
    http::async_read_header(stream_, buffer_, *parser_, Then(&Connection::OnHeader));
  }

  void OnHeader(ErrorCode error, std::size_t) {
    if (error == http::error::header_limit || error == http::error::buffer_overflow) {
      return Refuse(ErrorReply(431, "the header is larger than 64 KiB"));
    }
    if (error && error.category() == http::make_error_code(http::error::bad_method).category() &&
        error != http::error::end_of_stream && error != http::error::partial_message) {
      return Refuse(ErrorReply(400, "not a request: " + error.message(), "unreadable"));
    }
    if (error) return OnBroken(error);
    ++shared_.stats.requests;
    const std::string defect = TakeHeader();
    if (!defect.empty()) return Refuse(ErrorReply(400, defect, "unreadable"));
    early_reply_ = shared_.guard.Check(request_, target_.route);
    if (!early_reply_) early_reply_ = shared_.api.CheckHeader(request_, target_);
    StartBody();
  }

  /// Copies what matters. Returns what is wrong: anything that a proxy in front could understand in
  /// another way than we do.
  std::string TakeHeader() {
    const auto& message = parser_->get();
    request_.method = message.method_string();
    request_.target = message.target();
    request_.is_loopback = is_loopback_;
    bool has_host = false;
    const std::pair<std::string_view, std::string*> single[] = {
        {"host", &request_.host},
        {"origin", &request_.origin},
        {"x-api-key", &request_.api_key},
        {"authorization", &request_.authorization},
        {"content-type", &request_.content_type},
        {"content-encoding", &request_.content_encoding},
        {"langsmith-project", &request_.project},
        {"content-length", nullptr},
        {"transfer-encoding", nullptr},
        {"expect", nullptr},
    };
    unsigned seen = 0;
    for (const auto& field : message) {
      for (std::size_t i = 0; i < std::size(single); ++i) {
        const auto& [name, slot] = single[i];
        if (!beast::iequals(field.name_string(), {name.data(), name.size()})) continue;
        if ((seen >> i & 1) != 0) return std::string(name) + ": given twice";
        seen |= 1u << i;
        if (slot != nullptr) slot->assign(field.value().data(), field.value().size());
        if (name == "host") has_host = true;
        if (name == "origin") request_.has_origin = true;
      }
    }
    const auto coding = message[http::field::transfer_encoding];
    if (!coding.empty() && !beast::iequals(coding, "chunked")) {
      return "transfer-encoding: only chunked is known";
    }
    if (message.version() > 11 || message.version() < 10) return "HTTP version: not 1.0 or 1.1";
    if (!has_host && message.version() == 11) return "host: missing";
    keep_alive_ = message.keep_alive();
    target_ = ParseTarget(request_.target);
    return "";
  }

  // --- Body -----------------------------------------------------------------------------------

  void StartBody() {
    const auto& message = parser_->get();
    const auto declared = parser_->content_length();
    const bool chunked = parser_->chunked();
    const std::uint64_t size = declared ? *declared : 0;
    const auto expect = message[http::field::expect];
    body_.clear();
    received_ = 0;
    if (!chunked && size == 0) return OnBody();
    if (!expect.empty() && !beast::iequals(expect, "100-continue")) {
      return Refuse(ErrorReply(417, "expect: only 100-continue is known"));
    }
    if (early_reply_) {
      // A short body is read over, so that the connection can go on.
      if (chunked || size > kSmallBody || !expect.empty()) return Refuse(*std::move(early_reply_));
    } else if (size > shared_.options.max_wire_bytes) {
      return Refuse(TooLargeOnWire());
    }
    if (shared_.services.budget_of) budget_ = shared_.services.budget_of(KeyOf(request_));
    if (!Reserve(chunked ? kStep : size)) return Refuse(Overloaded());
    body_started_ = Clock::now();
    body_size_ = chunked ? std::nullopt : std::optional(size);
    if (expect.empty() || buffer_.size() > 0) return ReadBody();
    constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
    asio::async_write(stream_, asio::buffer(kContinue.data(), kContinue.size()),
                      [self = shared_from_this()](ErrorCode error, std::size_t) {
                        if (error) return self->OnBroken(error);
                        self->ReadBody();
                      });
  }

  void ReadBody() {
    if (!body_size_) return ReadChunked();
    // Not through the parser: it would copy everything once more.
    body_.reserve(*body_size_ + 64);
    const std::size_t here = std::min<std::size_t>(buffer_.size(), *body_size_);
    const auto data = buffer_.data();
    body_.assign(static_cast<const char*>(data.data()), here);
    buffer_.consume(here);
    received_ = here;
    ReadMore();
  }

  void ReadMore() {
    if (received_ == *body_size_) {
      body_.resize(received_);
      return OnBody();
    }
    body_.resize(std::min<std::size_t>(*body_size_, received_ + kStep));
    stream_.tcp().expires_at(BodyDeadline());
    stream_.async_read_some(asio::buffer(body_.data() + received_, body_.size() - received_),
                            Then(&Connection::OnMore));
  }

  void OnMore(ErrorCode error, std::size_t bytes) {
    if (error) return OnBroken(error);
    received_ += bytes;
    ReadMore();
  }

  void ReadChunked() {
    if (body_.size() - received_ < kStep / 16) body_.resize(received_ + kStep / 8);
    auto& piece = parser_->get().body();
    piece.data = body_.data() + received_;
    piece.size = body_.size() - received_;
    piece.more = true;
    stream_.tcp().expires_at(BodyDeadline());
    http::async_read_some(stream_, buffer_, *parser_, Then(&Connection::OnChunked));
  }

  void OnChunked(ErrorCode error, std::size_t) {
    if (error == http::error::need_buffer) error = {};
    received_ = body_.size() - parser_->get().body().size;
    if (error && error.category() == http::make_error_code(http::error::bad_method).category() &&
        error != http::error::end_of_stream && error != http::error::partial_message) {
      return Refuse(ErrorReply(400, "chunked body: " + error.message(), "unreadable"));
    }
    if (error) return OnBroken(error);
    if (received_ > shared_.options.max_wire_bytes) return Refuse(TooLargeOnWire());
    if (parser_->is_done()) {
      body_.resize(received_);
      return OnBody();
    }
    while (received_ + kStep / 8 > reserved_) {
      if (!Reserve(kStep)) return Refuse(Overloaded());
    }
    ReadChunked();
  }

  Clock::time_point BodyDeadline() const {
    return body_started_ + shared_.options.body_grace +
           std::chrono::milliseconds(received_ * 1000 / kSlowest);
  }

  // --- Answer ---------------------------------------------------------------------------------

  void OnBody() {
    if (early_reply_) return Reply(*std::exchange(early_reply_, std::nullopt));
    if (!LangSmithApi::IsWrite(request_, target_)) {
      if (!LangSmithApi::ReadsStore(target_)) {
        return Reply(shared_.api.Read(request_, target_, body_));
      }
      asio::post(shared_.readers, [self = shared_from_this()] {
        HttpReply reply = self->shared_.api.Read(self->request_, self->target_, self->body_);
        asio::post(self->stream_.get_executor(),
                   [self, reply = std::move(reply)]() mutable { self->Reply(std::move(reply)); });
      });
      return;
    }
    // Ingest may answer when the server is gone: what the strand runs on must be there then, and go
    // after the strand (captures go in reverse order).
    shared_.api.Write(request_, target_, std::move(body_),
                      [weak = weak_from_this(), shared = weak_shared_.lock(),
                       strand = stream_.get_executor()](HttpReply reply) {
                        asio::post(strand, [weak, reply = std::move(reply)]() mutable {
                          if (const auto self = weak.lock()) self->Reply(std::move(reply));
                        });
                      });
    body_ = std::string();
  }

  HttpReply TooLargeOnWire() const {
    return ErrorReply(
        413, "body: larger than " + std::to_string(shared_.options.max_wire_bytes) + " bytes",
        "too_large");
  }

  HttpReply Overloaded() const {
    if (!over_budget_.ok()) {
      HttpReply reply = ErrorReply(over_budget_);
      reply.reason_counted = "tenant_in_flight";
      return reply;
    }
    return ErrorReply(503, "too many bytes are being received", "overload");
  }

  /// Answers although not all of the request was read, and closes.
  void Refuse(HttpReply reply) {
    keep_alive_ = false;
    unread_ = true;
    Reply(std::move(reply));
  }

  void Reply(HttpReply reply) {
    if (reply.status >= 400) {
      ++shared_.stats.refused;
      const bool is_otlp = target_.route == Route::kOtlpTraces;
      if (!reply.reason_counted.empty() && shared_.services.ingest != nullptr &&
          LangSmithApi::IsWrite(request_, target_)) {
        shared_.services.ingest->CountRefused(is_otlp ? Receiver::kOtlp : Receiver::kLangSmith,
                                              reply.reason_counted, 1);
      }
      if (is_otlp) reply = OtlpError(request_, std::move(reply));
    }
    Release();
    early_reply_.reset();
    if (body_.capacity() > kStep) body_ = std::string();
    if (shared_.stopping) keep_alive_ = false;
    out_ = Serialize(reply, keep_alive_, request_.method == "HEAD");
    stream_.tcp().expires_after(shared_.options.idle_timeout +
                                std::chrono::milliseconds(out_.size() * 1000 / (64 * kSlowest)));
    asio::async_write(stream_, asio::buffer(out_), Then(&Connection::OnWritten));
  }

  void OnWritten(ErrorCode error, std::size_t) {
    if (error) return OnBroken(error);
    if (out_.capacity() > kSmallBody) out_ = std::string();
    if (keep_alive_) return WaitForRequest();
    if (stream_.has_tls()) {
      if (!unread_) return EndTls();
    } else {
      ErrorCode ignored;
      stream_.tcp().socket().shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
      if (!unread_) return Close();
    }
    // What is still coming is read over: closing now would reset the connection, and the client
    // would not see the answer.
    body_.resize(kSmallBody);
    stream_.tcp().expires_after(kLinger);
    Discard();
  }

  void EndTls() {
    stream_.tcp().expires_after(kLinger);
    stream_.async_shutdown([self = shared_from_this()](ErrorCode) { self->Close(); });
  }

  void Discard() { stream_.async_read_some(asio::buffer(body_), Then(&Connection::OnDiscarded)); }

  void OnDiscarded(ErrorCode error, std::size_t) {
    if (error) return Close();
    Discard();
  }

  // --- End ------------------------------------------------------------------------------------

  void OnBroken(ErrorCode error) {
    if (error == beast::error::timeout) ++shared_.stats.timeouts;
    Close();
  }

  void Close() {
    Release();
    stream_.tcp().close();
    shared_.Forget(this);
  }

  bool Reserve(std::uint64_t bytes) {
    over_budget_ = budget_ == nullptr ? absl::OkStatus() : budget_->Reserve(bytes, reserved_);
    if (!over_budget_.ok()) return false;
    if (!shared_.Reserve(bytes)) {
      if (budget_ != nullptr) budget_->Release(bytes);
      return false;
    }
    reserved_ += bytes;
    return true;
  }

  void Release() {
    if (budget_ != nullptr) budget_->Release(reserved_);
    budget_ = nullptr;
    shared_.stats.inflight_bytes -= std::exchange(reserved_, 0);
  }

  ClientStream stream_;
  ConnectionShared& shared_;
  std::weak_ptr<ConnectionShared> weak_shared_;
  beast::flat_buffer buffer_;
  std::optional<Parser> parser_;
  HttpRequest request_;
  Target target_;
  std::optional<HttpReply> early_reply_;  ///< Decided from the header; sent after the body.
  std::string body_;
  std::optional<std::uint64_t> body_size_;  ///< Absent for a chunked body.
  std::uint64_t received_ = 0;
  std::uint64_t reserved_ = 0;
  std::shared_ptr<TenantBudget> budget_;  ///< Counts the same.
  absl::Status over_budget_;
  Clock::time_point body_started_;
  std::string out_;
  bool is_loopback_ = false;
  bool keep_alive_ = false;
  bool unread_ = false;
  bool idle_ = true;
};

}  // namespace weft::collector
