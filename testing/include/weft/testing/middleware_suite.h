// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include <weft/interceptors/middleware.h>
#include <weft/testing/ping_server.h>

namespace weft {
inline namespace v0 {
namespace testing {

/// A middleware that the suite below is to try.
struct MiddlewareUnderTest {
  std::shared_ptr<Middleware> middleware;
  bool on_clients = true;
  bool on_servers = true;
  /// Request metadata of calls that it lets through.
  std::multimap<std::string, std::string> metadata{};
  /// Request metadata of calls that a server's rejects; empty: it rejects none.
  std::multimap<std::string, std::string> rejected{};
};

/// Called once for each test.
using MakeMiddleware = std::function<MiddlewareUnderTest()>;

/// How the calls of a test end.
enum class CallEnding {
  kOk,
  kError,
  kErrorAfterFirst,
  kClientCancel,
  kServerCancel,
  kDeadline,
  kDropped,
  kThrow,
  kShutdown,
  kUnknownMethod,
  kRejected,
  kConcurrent,  ///< Well, and many at a time.
};

struct MiddlewareCase {
  ServerFlavour flavour;
  RpcKind kind;
  CallEnding ending;

  /// `Fiber_bidi_stream_ClientCancel`.
  std::string Name() const;
};

/// All that gRPC can do: there is no letting go of a unary call.
std::vector<MiddlewareCase> MiddlewareCases();

/// Tries one case with a traced server and client, with the middleware around their calls. Returns
/// what was wrong: see WEFT_MIDDLEWARE_SUITE.
std::vector<std::string> CheckMiddleware(const MakeMiddleware& make, const MiddlewareCase& one);

namespace internal {

class MiddlewareTest final : public ::testing::Test {
 public:
  MiddlewareTest(MakeMiddleware make, MiddlewareCase one) : make_(std::move(make)), case_(one) {}

  void TestBody() override {
    if (case_.ending == CallEnding::kRejected && make_().rejected.empty()) {
      GTEST_SKIP() << "the middleware rejects no calls";
    }
    for (const std::string& problem : CheckMiddleware(make_, case_)) ADD_FAILURE() << problem;
  }

 private:
  const MakeMiddleware make_;
  const MiddlewareCase case_;
};

inline bool RegisterMiddlewareSuite(const char* name, const MakeMiddleware& make, const char* file,
                                    int line) {
  for (const MiddlewareCase& one : MiddlewareCases()) {
    ::testing::RegisterTest(name, one.Name().c_str(), nullptr, nullptr, file, line,
                            [=]() -> ::testing::Test* { return new MiddlewareTest(make, one); });
  }
  return true;
}

}  // namespace internal

/// Tests of a middleware of yours, one for each way to serve, kind of call and ending. At the top
/// level of a source file of a GoogleTest program:
///
///     WEFT_MIDDLEWARE_SUITE(Quota, [] {
///       return weft::testing::MiddlewareUnderTest{.middleware = std::make_shared<Quota>(),
///                                                 .on_clients = false,
///                                                 .metadata = {{"account", "rich"}},
///                                                 .rejected = {{"account", "poor"}}};
///     });
///
/// They check what a chain promises of its middlewares as long as each keeps its own promises:
/// - a call that ends well without the middleware ends well with it, many at a time, too;
/// - a call that does not end well is not made to look so;
/// - every call that starts ends exactly once on each side, and leaves no state behind;
/// - nothing is added to metadata that could not be sent;
/// - a rejected call reaches no handler, whatever serves it; the verdict carries the middleware's
///   name, and may_reject() says so before;
/// - the run of the server stays a child of the client's.
#define WEFT_MIDDLEWARE_SUITE(Name, ...)                            \
  [[maybe_unused]] static const bool weft_middleware_suite_##Name = \
      ::weft::testing::internal::RegisterMiddlewareSuite(#Name, __VA_ARGS__, __FILE__, __LINE__)

}  // namespace testing
}  // namespace v0
}  // namespace weft
