// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace weft {
inline namespace v0 {
namespace testing {

/// A LangSmith for tests: takes what exporters send, remembers it, and fails on command.
///
///     auto langsmith = FakeLangSmith::Start();
///     langsmith->Script({{.status = 503, .retry_after = std::chrono::seconds(1)}, {.reset =
///     true}});
///     ...  // the program under test sends to langsmith->url()
///     langsmith->WaitUntil([](const auto& fake) { return fake.RunIds().size() == 100; }, 10s);
///
/// `/info` is answered with SetInfo's JSON (default: multipart with zstd) unless the fake is down
/// (SetDefault with another status than 202). Every other request takes the next scripted reply,
/// and the default reply when there is none.
///
/// Lifetime: the destructor closes all connections. Stop and Start with the same port play an
/// outage.
/// Threads: any.
/// Errors: Start returns null when the port cannot be had.
class FakeLangSmith {
 public:
  struct Reply {
    int status = 202;
    std::optional<std::chrono::seconds> retry_after{};
    std::string body = "{}";
    std::string content_type = "application/json";
    bool reset = false;  ///< The connection is reset after the request was read; no answer.
    bool hold = false;   ///< Answered once Release is called.
    std::string retry_after_date{};  ///< `Retry-After` in its other form.
  };

  /// A part of a multipart body: `post.<id>`, `post.<id>.inputs` ...
  struct Part {
    std::string name;
    std::string content_type;
    std::string content;
  };

  struct Request {
    std::string method;
    std::string target;
    std::map<std::string, std::string> headers;  ///< Names in lower case.
    std::string body;                            ///< Without its content coding.
    std::vector<Part> parts;                     ///< Of a multipart body.
    int status = 0;                              ///< What it was answered; 0 = reset.

    std::string Header(const std::string& name) const;
    /// The part's content, or nothing.
    std::optional<std::string> Find(std::string_view part) const;
  };

  /// Listens on loopback; port 0 means any free port.
  static std::unique_ptr<FakeLangSmith> Start(int port = 0);
  ~FakeLangSmith();
  FakeLangSmith(const FakeLangSmith&) = delete;
  FakeLangSmith& operator=(const FakeLangSmith&) = delete;

  /// `http://127.0.0.1:PORT`
  std::string url() const;
  int port() const;

  /// Replies for the next requests other than `GET /info`, in order, behind those still waiting.
  void Script(std::vector<Reply> replies);
  /// The reply when the script is over. Another status than 202 answers `/info`, too.
  void SetDefault(Reply reply);
  /// Decides by the request, before the script.
  void SetHandler(std::function<std::optional<Reply>(const Request&)> handler);
  void SetInfo(std::string json);
  /// Answers held requests, and lets later ones of `hold` through.
  void Release();

  /// All requests so far but `GET /info`, with what they were answered.
  std::vector<Request> Requests() const;

  /// Ids of runs in accepted requests (status 2xx), each once: from part names, bodies of
  /// `/runs/batch` and `/runs`, and paths.
  std::vector<std::string> RunIds() const;

  /// Waits for so many more `GET /info`, counted from the call; false: not in time.
  bool WaitUntilProbed(std::size_t times, std::chrono::milliseconds timeout) const;

  /// Waits until the condition holds; false: not in time. It is asked after each request.
  bool WaitUntil(const std::function<bool(const FakeLangSmith&)>& condition,
                 std::chrono::milliseconds timeout) const;

 private:
  class Impl;
  explicit FakeLangSmith(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace testing
}  // namespace v0
}  // namespace weft
