// SPDX-License-Identifier: Apache-2.0
// Whatever becomes of a call: one run on each side under its parent, the status that gRPC gave, and
// nothing left behind. `kSkipped` lists what there is not, and why.
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <optional>
#include <sstream>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include <gmock/gmock.h>
#include <grpcpp/create_channel_posix.h>
#include <grpcpp/server_posix.h>
#include <gtest/gtest.h>

#include <weft/testing/run_matchers.h>
#include <weft/tracing/run.h>

#include "echo_client.h"
#include "fixture.h"
#include "recorder.h"

namespace weft::echo_test {
namespace {

using ::testing::AnyOf;
using ::testing::Contains;
using weft::testing::HasMetadata;
using weft::testing::RunInTree;
using weft::testing::RunTree;
using Code = grpc::StatusCode;

enum class Ending {
  kOk,
  kError,
  kErrorAfterFirst,
  kClientCancel,
  kServerCancel,
  kDeadline,
  kDropped,        // by the client
  kNeverFinished,  // cancelled by the client, which does not ask how it ended
  kForgotten,      // by the handler, which does not reply
  kThrow,
  kChannelDies,
  kShutdown,
  kUnknownMethod,
  kMalformed,
  kRejected,
  kBigRequest,
  kBigReply,
  kBigRequestHeader,
  kBigReplyHeader,
};
constexpr int kEndings = static_cast<int>(Ending::kBigReplyHeader) + 1;

std::ostream& operator<<(std::ostream& out, Ending ending) {
  constexpr const char* kNames[] = {
      "Ok",          "Error",    "ErrorAfterFirst",  "ClientCancel",  "ServerCancel",
      "Deadline",    "Dropped",  "NeverFinished",    "Forgotten",     "Throw",
      "ChannelDies", "Shutdown", "UnknownMethod",    "Malformed",     "Rejected",
      "BigRequest",  "BigReply", "BigRequestHeader", "BigReplyHeader"};
  return out << kNames[static_cast<int>(ending)];
}

bool IsCallback(Flavour flavour) {
  return flavour == Flavour::kCallback || flavour == Flavour::kGenericCallback;
}
bool IsGeneric(Flavour flavour) {
  return flavour == Flavour::kGenericCq || flavour == Flavour::kGenericCallback;
}
bool IsQueue(Flavour flavour) { return flavour == Flavour::kCq || flavour == Flavour::kGenericCq; }
/// Of a typed service: the request is there before the handler.
bool HasOneRequest(RpcKind kind) {
  return kind == RpcKind::kUnary || kind == RpcKind::kServerStream;
}

using Case = std::tuple<Flavour, RpcKind, Ending, bool>;  // the last: registered with weft

struct Skip {
  bool (*applies)(Flavour flavour, RpcKind kind, Ending ending);
  const char* reason;
};
constexpr Skip kSkipped[] = {
#if defined(__SANITIZE_ADDRESS__)
    {[](Flavour flavour, RpcKind, Ending ending) {
       return ending == Ending::kThrow && flavour == Flavour::kFiber;
     },
     "AddressSanitizer reports the stack of a fiber that an exception unwinds"},
#endif
    {[](Flavour flavour, RpcKind, Ending ending) {
       return ending == Ending::kForgotten && !IsQueue(flavour);
     },
     "elsewhere a handler returns a status, and a reactor must finish"},
    {[](Flavour, RpcKind kind, Ending ending) {
       return (ending == Ending::kDropped || ending == Ending::kNeverFinished) &&
              kind == RpcKind::kUnary;
     },
     "a unary call has no object to let go of; see ACallThatIsNeverStartedIsNone"},
    {[](Flavour flavour, RpcKind kind, Ending ending) {
       return ending == Ending::kUnknownMethod && (IsGeneric(flavour) || kind != RpcKind::kUnary);
     },
     "a generic service has every method; elsewhere an unknown one has no kind"},
    {[](Flavour flavour, RpcKind, Ending ending) {
       return ending == Ending::kMalformed && IsGeneric(flavour);
     },
     "to a generic service all bytes are a message"},
};

std::vector<Case> Cases() {
  std::vector<Case> cases;
  for (int i = 0; i < 6 * 4 * kEndings * 2; ++i) {
    const auto flavour = static_cast<Flavour>(i / 2 / kEndings / 4);
    const auto kind = static_cast<RpcKind>(i / 2 / kEndings % 4);
    const auto ending = static_cast<Ending>(i / 2 % kEndings);
    const bool skipped = std::any_of(std::begin(kSkipped), std::end(kSkipped), [&](const Skip& s) {
      return s.applies(flavour, kind, ending);
    });
    if (!skipped) cases.emplace_back(flavour, kind, ending, i % 2 == 0);
  }
  return cases;
}

/// What the two sides are to say.
struct Expected {
  std::vector<int> client = {0};
  std::vector<int> server = {0};  ///< Empty: gRPC answered before there was a call.
  bool client_abandoned = false;
  bool server_abandoned = false;
  std::optional<bool> server_cancelled = false;  ///< Absent: a race of gRPC's.
};

class CallEndings : public EchoTest, public ::testing::WithParamInterface<Case> {
 protected:
  Flavour flavour() const { return std::get<0>(GetParam()); }
  RpcKind kind() const { return std::get<1>(GetParam()); }
  Ending ending() const { return std::get<2>(GetParam()); }
  bool guarded() const { return std::get<3>(GetParam()); }

  void ServeTraced() {
    InterceptorOptions server{.tracer = tracer_, .middlewares = {balance_}};
    InterceptorOptions client = server;
    server.guard_services = guarded();
    if (ending() == Ending::kRejected) {
      server.middlewares.emplace_back(std::make_shared<RejectAll>());
    }
    Serve(flavour(), std::move(server), client, 1, guarded());
    if (ending() == Ending::kChannelDies) ConnectBySocket(std::move(client));
  }

  /// A connection that can be cut.
  void ConnectBySocket(InterceptorOptions client) {
    int ends[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
    wire_ = dup(ends[0]);
    grpc::AddInsecureChannelFromFd(&server_->server(), ends[1]);
    channel_ = grpc::experimental::CreateCustomInsecureChannelWithInterceptorsFromFd(
        "wire", ends[0], {}, ClientInterceptors(std::move(client), "wire"));
  }
  void Cut() {
    EXPECT_EQ(shutdown(wire_, SHUT_RDWR), 0);
    close(wire_);
  }

  Code Call(const std::string& behaviour, const std::string& text = {}) {
    grpc::ClientContext context;
    context.AddMetadata(kBehaviour, behaviour);
    const bool expires = ending() == Ending::kDeadline || ending() == Ending::kForgotten;
    if (expires) {
      context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(200));
    }
    if (ending() == Ending::kBigRequestHeader) {
      context.AddMetadata("big", std::string(kBigMetadata, 'x'));
    }
    if (ending() == Ending::kMalformed)
      return CallMalformed(kind(), channel_, context).error_code();
    return CallSync(kind(), channel_, context, text).error_code();
  }

  /// A call to a handler that waits; `end(context)` ends it from another thread.
  template <typename F>
  Code CallAndEnd(F&& end) {
    grpc::ClientContext context;
    context.AddMetadata(kBehaviour, kWait);
    std::thread ender([&] {
      EXPECT_TRUE(server_->progress().WaitForHandler());
      end(context);
    });
    const grpc::Status status = CallSync(kind(), channel_, context);
    ender.join();
    return status.error_code();
  }

  Code CallRejected() {
    grpc::ClientContext context;
    const grpc::Status status = CallSync(kind(), channel_, context);
    EXPECT_EQ(status.error_message(), RejectAll::kText);
    if (guarded() || flavour() == Flavour::kFiber) {
      EXPECT_EQ(server_->progress().handled, 0);
      const auto& trailers = context.GetServerTrailingMetadata();
      EXPECT_EQ(trailers.count("retry-after"), 1u);
      EXPECT_EQ(trailers.size(), 1u);
      EXPECT_EQ(Dropped("bad-key"), 1u);
    }
    return status.error_code();
  }

  Code Drop(bool cancels) {
    DropCall(
        kind(), channel_, kWait, [this] { EXPECT_TRUE(server_->progress().WaitForHandler()); },
        cancels);
    return Code::CANCELLED;
  }

  /// Makes the call. Returns its status.
  Code Happen() {
    switch (ending()) {
      case Ending::kOk:
      case Ending::kMalformed:
      case Ending::kBigRequestHeader:
        return Call(kOk);
      case Ending::kError:
        return Call(kError);
      case Ending::kErrorAfterFirst:
        return Call(kErrorAfterFirst);
      case Ending::kClientCancel:
        return CallAndEnd([](grpc::ClientContext& context) { context.TryCancel(); });
      case Ending::kServerCancel:
        return Call(kCancel);
      case Ending::kDeadline:
        return Call(kWait);
      case Ending::kDropped:
        return Drop(false);
      case Ending::kNeverFinished:
        return Drop(true);
      case Ending::kForgotten:
        return Call(kForget);
      case Ending::kThrow:
        return Call(kThrow);
      case Ending::kChannelDies:
        return CallAndEnd([this](auto& /*context*/) { Cut(); });
      case Ending::kShutdown:
        return CallAndEnd([this](auto& /*context*/) { server_->Shutdown(); });
      case Ending::kUnknownMethod:
        return CallUnknownMethod(channel_).error_code();
      case Ending::kRejected:
        return CallRejected();
      case Ending::kBigRequest:
        return Call(kOk, std::string(kBigMessage, 'x'));
      case Ending::kBigReply:
        return Call(kBigReply);
      case Ending::kBigReplyHeader:
        return Call(kBigTrailer);
    }
    return Code::UNKNOWN;
  }

  Expected Expect() const;
  Expected ExpectMalformed() const;
  Expected ExpectBigRequest() const;
  void CheckClientRun(const RunInTree& run, Code code, const Expected& expected);
  void CheckServerRun(const RunInTree& run, const RunInTree& client, const Expected& expected);
  void CheckBalance(const Expected& expected);

  std::shared_ptr<Balance> balance_ = std::make_shared<Balance>();
  int wire_ = -1;
};

// A stream of requests just ends for its handler; elsewhere there is no handler.
Expected CallEndings::ExpectMalformed() const {
  if (!HasOneRequest(kind())) return {};
  if (flavour() == Flavour::kSync) return {.client = {Code::INTERNAL}, .server = {Code::INTERNAL}};
  if (IsCallback(flavour())) {
    return {.client = {Code::UNIMPLEMENTED}, .server = {Code::UNIMPLEMENTED}};
  }
  return {.client = {Code::INTERNAL}, .server = {}};
}

// A message that is there before the handler is refused before there is a call.
Expected CallEndings::ExpectBigRequest() const {
  if (!IsGeneric(flavour()) && HasOneRequest(kind())) {
    return {.client = {Code::RESOURCE_EXHAUSTED}, .server = {}};
  }
  return {.client = {Code::RESOURCE_EXHAUSTED},
          .server = {Code::OK, Code::CANCELLED},
          .server_cancelled = {}};
}

Expected CallEndings::Expect() const {
  switch (ending()) {
    case Ending::kOk:
      return {};
    case Ending::kError:
      return {.client = {Code::FAILED_PRECONDITION}, .server = {Code::FAILED_PRECONDITION}};
    case Ending::kErrorAfterFirst:
      return {.client = {Code::INTERNAL}, .server = {Code::INTERNAL}};
    case Ending::kClientCancel:
    case Ending::kServerCancel:
      return {.client = {Code::CANCELLED}, .server = {Code::CANCELLED}, .server_cancelled = true};
    case Ending::kDeadline:
      // The client's reset may arrive just before the server's own deadline.
      return {.client = {Code::DEADLINE_EXCEEDED},
              .server = {Code::DEADLINE_EXCEEDED, Code::CANCELLED},
              .server_cancelled = true};
    case Ending::kDropped:
    case Ending::kNeverFinished:
      return {.client = {Code::CANCELLED},
              .server = {Code::CANCELLED},
              .client_abandoned = ending() == Ending::kDropped,
              .server_cancelled = true};
    case Ending::kForgotten:
      return {.client = {Code::DEADLINE_EXCEEDED},
              .server = {Code::CANCELLED},
              .server_abandoned = true,
              .server_cancelled = true};
    case Ending::kThrow: {
      // Elsewhere weft catches it, see recovery_test.cc.
      const bool in_grpc =
          flavour() == Flavour::kCallback || (flavour() == Flavour::kGenericCallback && !guarded());
      const Code code = in_grpc                       ? Code::UNIMPLEMENTED
                        : flavour() == Flavour::kSync ? Code::UNKNOWN
                                                      : Code::INTERNAL;
      return {.client = {code}, .server = {code}};
    }
    case Ending::kChannelDies:
      return {.client = {Code::UNAVAILABLE}, .server = {Code::CANCELLED}, .server_cancelled = true};
    case Ending::kShutdown:
      return {.client = {Code::UNAVAILABLE, Code::CANCELLED},
              .server = {Code::CANCELLED},
              .server_cancelled = true};
    case Ending::kUnknownMethod:
      return {.client = {Code::UNIMPLEMENTED}, .server = {Code::UNIMPLEMENTED}};
    case Ending::kMalformed:
      return ExpectMalformed();
    case Ending::kRejected:
      return {.client = {RejectAll::kCode}, .server = {RejectAll::kCode}};
    case Ending::kBigRequest:
      return ExpectBigRequest();
    case Ending::kBigReply:
    case Ending::kBigReplyHeader:
      return {.client = {Code::RESOURCE_EXHAUSTED},
              .server = {0, Code::CANCELLED},
              .server_cancelled = {}};
    case Ending::kBigRequestHeader:
      // A write that fails first hides the reason.
      return {.client = {Code::RESOURCE_EXHAUSTED, Code::UNAVAILABLE}, .server = {}};
  }
  return {};
}

void CallEndings::CheckClientRun(const RunInTree& run, Code code, const Expected& expected) {
  EXPECT_THAT(expected.client, Contains(int{code}));
  EXPECT_EQ(run->DisplayName(),
            ending() == Ending::kUnknownMethod ? "echo.Echo/Nope" : RunNameOf(kind()));
  EXPECT_THAT(run, HasMetadata("otel_kind", "CLIENT"));
  EXPECT_THAT(run, HasMetadata("rpc.grpc.status_code", int{code}));
  EXPECT_EQ(run->error.has_value(), code != Code::OK);
  EXPECT_EQ(run->AllMetadata().contains("weft.abandoned"), expected.client_abandoned);
}

void CallEndings::CheckServerRun(const RunInTree& run, const RunInTree& client,
                                 const Expected& expected) {
  EXPECT_EQ(run->context.parent_id(), client->context.id());
  EXPECT_EQ(run->context.trace_id(), client->context.trace_id());
  EXPECT_THAT(run, HasMetadata("otel_kind", "SERVER"));
  const JsonObject metadata = run->AllMetadata();
  EXPECT_THAT(expected.server, Contains(metadata.at("rpc.grpc.status_code").to_number<int>()));
  if (expected.server_cancelled) {
    EXPECT_EQ(metadata.contains("weft.cancelled"), *expected.server_cancelled);
  }
  EXPECT_EQ(metadata.contains("weft.abandoned"), expected.server_abandoned);
  if (ending() == Ending::kUnknownMethod) return;
  EXPECT_THAT(
      run,
      HasMetadata("rpc.grpc.kind",
                  std::string(RpcKindName(IsGeneric(flavour()) ? RpcKind::kBidiStream : kind()))));
  const char* api = IsCallback(flavour())          ? "callback"
                    : flavour() == Flavour::kSync  ? "sync"
                    : flavour() == Flavour::kFiber ? "fiber"
                                                   : "cq";
  EXPECT_THAT(run, HasMetadata("weft.server_api", api));
  const bool rejected = ending() == Ending::kRejected;
  EXPECT_EQ(metadata.contains("weft.rejected_by"), rejected);
  if (rejected && !guarded()) return;
  for (const RunInTree& child : run.Children()) {
    EXPECT_THAT(child->DisplayName(), AnyOf("work", "body"));
  }
  const bool threw_in_body = ending() == Ending::kThrow && IsCallback(flavour());
  const bool unread = (ending() == Ending::kMalformed || ending() == Ending::kBigRequest) &&
                      !IsGeneric(flavour()) && HasOneRequest(kind());
  EXPECT_EQ(run.Children().size(), threw_in_body || rejected || unread ? 0u
                                   : IsCallback(flavour())             ? 2u
                                                                       : 1u);
}

void CallEndings::CheckBalance(const Expected& expected) {
  EXPECT_EQ(balance_->client.started, 1);
  EXPECT_EQ(balance_->client.ended, 1);
  EXPECT_EQ(balance_->server.started, expected.server.empty() ? 0 : 1);
  EXPECT_EQ(balance_->server.ended, balance_->server.started);
  EXPECT_EQ(balance_->repeated_ends, 0);
  EXPECT_EQ(balance_->live(), 0);
}

TEST_P(CallEndings, GiveOneRunOnEachSideUnderItsParent) {
  const Expected expected = Expect();
  ServeTraced();
  Code code;
  {
    weft::Run test("test", {.tracer = tracer_});
    code = Happen();
  }
  channel_.reset();
  server_->Shutdown();  // all server calls end before
  const RunTree tree = exporter_->Tree();
  SCOPED_TRACE(tree.ToString());
  CheckBalance(expected);
  ASSERT_EQ(tree.FindRun("test").Children().size(), 1u);
  const RunInTree client = tree.FindRun("test").Children()[0];
  CheckClientRun(client, code, expected);
  ASSERT_EQ(client.Children().size(), expected.server.empty() ? 0u : 1u);
  if (!expected.server.empty()) CheckServerRun(client.Children()[0], client, expected);
}

INSTANTIATE_TEST_SUITE_P(All, CallEndings, ::testing::ValuesIn(Cases()), [](const auto& param) {
  std::ostringstream name;
  name << std::get<0>(param.param) << '_' << RpcKindName(std::get<1>(param.param)) << '_'
       << std::get<2>(param.param) << (std::get<3>(param.param) ? "" : "_Unguarded");
  return name.str();
});

}  // namespace
}  // namespace weft::echo_test
