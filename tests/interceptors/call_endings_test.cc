// SPDX-License-Identifier: Apache-2.0
#include <chrono>
#include <optional>
#include <sstream>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <weft/testing/run_matchers.h>
#include <weft/tracing/run.h>

#include "echo_client.h"
#include "fixture.h"
#include "recorder.h"

namespace weft::echo_test {
namespace {

using ::testing::AnyOf;
using ::testing::Combine;
using ::testing::Values;
using weft::testing::HasMetadata;
using weft::testing::HasParent;
using weft::testing::RunInTree;
using weft::testing::RunTree;

enum class Ending {
  kOk,
  kError,
  kErrorAfterFirst,
  kClientCancel,
  kDeadline,
  kDropped,
  kThrow,
  kUnknownMethod,
  kShutdown,
  kRejected,
  kRejectedUnguarded
};

std::ostream& operator<<(std::ostream& out, Ending ending) {
  constexpr const char* kNames[] = {
      "Ok",    "Error",         "ErrorAfterFirst", "ClientCancel", "Deadline",         "Dropped",
      "Throw", "UnknownMethod", "Shutdown",        "Rejected",     "RejectedUnguarded"};
  return out << kNames[static_cast<int>(ending)];
}

bool IsCallback(Flavour flavour) {
  return flavour == Flavour::kCallback || flavour == Flavour::kGenericCallback;
}
bool IsGeneric(Flavour flavour) {
  return flavour == Flavour::kGenericCq || flavour == Flavour::kGenericCallback;
}

/// What both sides are to say.
struct Expected {
  grpc::StatusCode client = grpc::StatusCode::OK;
  std::vector<int> server = {0};
  bool client_abandoned = false;
  bool server_cancelled = false;
};

class CallEndings : public EchoTest,
                    public ::testing::WithParamInterface<std::tuple<Flavour, RpcKind, Ending>> {
 protected:
  Flavour flavour() const { return std::get<0>(GetParam()); }
  RpcKind kind() const { return std::get<1>(GetParam()); }
  Ending ending() const { return std::get<2>(GetParam()); }

  bool rejected() const { return ending() >= Ending::kRejected; }

  void ServeTraced() {
    InterceptorOptions options{.tracer = tracer_};
    if (rejected()) options.middlewares = {std::make_shared<RejectAll>()};
    Serve(flavour(), std::move(options), {.tracer = tracer_}, 1,
          ending() != Ending::kRejectedUnguarded);
  }

  Expected CallRejected() {
    grpc::ClientContext context;
    const grpc::Status status = CallSync(kind(), channel_, context);
    EXPECT_EQ(status.error_code(), RejectAll::kCode);
    EXPECT_EQ(status.error_message(), RejectAll::kText);
    if (ending() == Ending::kRejected) {
      EXPECT_EQ(server_->progress().handled, 0);
      const auto& trailers = context.GetServerTrailingMetadata();
      EXPECT_EQ(trailers.count("retry-after"), 1u);
      EXPECT_EQ(trailers.size(), 1u);
      EXPECT_EQ(Dropped("bad-key"), 1u);
    }
    return {.client = RejectAll::kCode, .server = {RejectAll::kCode}};
  }

  grpc::Status Call(const std::string& behaviour,
                    std::optional<std::chrono::milliseconds> timeout = std::nullopt) {
    grpc::ClientContext context;
    context.AddMetadata(kBehaviour, behaviour);
    if (timeout) context.set_deadline(std::chrono::system_clock::now() + *timeout);
    return CallSync(kind(), channel_, context);
  }

  /// A call to a handler that waits; `end(context)` ends it from another thread.
  template <typename F>
  grpc::Status CallAndEnd(F&& end) {
    grpc::ClientContext context;
    context.AddMetadata(kBehaviour, kWait);
    std::thread ender([&] {
      EXPECT_TRUE(server_->progress().WaitForHandler());
      end(context);
    });
    const grpc::Status status = CallSync(kind(), channel_, context);
    ender.join();
    return status;
  }

  /// Makes the call; what it returned is checked against `expected`.
  Expected Happen() {
    using Code = grpc::StatusCode;
    switch (ending()) {
      case Ending::kOk:
        EXPECT_EQ(Call(kOk).error_code(), Code::OK);
        return {};
      case Ending::kError:
        EXPECT_EQ(Call(kError).error_code(), Code::FAILED_PRECONDITION);
        return {.client = Code::FAILED_PRECONDITION, .server = {Code::FAILED_PRECONDITION}};
      case Ending::kErrorAfterFirst:
        EXPECT_EQ(Call(kErrorAfterFirst).error_code(), Code::INTERNAL);
        return {.client = Code::INTERNAL, .server = {Code::INTERNAL}};
      case Ending::kClientCancel:
        EXPECT_EQ(CallAndEnd([](auto& context) { context.TryCancel(); }).error_code(),
                  Code::CANCELLED);
        return {.client = Code::CANCELLED, .server = {Code::CANCELLED}, .server_cancelled = true};
      case Ending::kDeadline:
        EXPECT_EQ(Call(kWait, std::chrono::milliseconds(100)).error_code(),
                  Code::DEADLINE_EXCEEDED);
        // The client's reset may arrive just before the server's own deadline.
        return {.client = Code::DEADLINE_EXCEEDED,
                .server = {Code::DEADLINE_EXCEEDED, Code::CANCELLED},
                .server_cancelled = true};
      case Ending::kDropped:
        DropCall(kind(), channel_, kWait,
                 [this] { EXPECT_TRUE(server_->progress().WaitForHandler()); });
        return {.client = Code::CANCELLED,
                .server = {Code::CANCELLED},
                .client_abandoned = true,
                .server_cancelled = true};
      case Ending::kThrow: {
        const Code code = IsCallback(flavour()) ? Code::UNIMPLEMENTED : Code::UNKNOWN;
        EXPECT_EQ(Call(kThrow).error_code(), code);
        return {.client = code, .server = {code}};
      }
      case Ending::kUnknownMethod:
        EXPECT_EQ(CallUnknownMethod(channel_).error_code(), Code::UNIMPLEMENTED);
        return {.client = Code::UNIMPLEMENTED, .server = {Code::UNIMPLEMENTED}};
      case Ending::kShutdown: {
        const Code code =
            CallAndEnd([this](auto& /*context*/) { server_->Shutdown(); }).error_code();
        EXPECT_THAT(code, AnyOf(Code::UNAVAILABLE, Code::CANCELLED));
        return {.client = code, .server = {Code::CANCELLED}, .server_cancelled = true};
      }
      case Ending::kRejected:
      case Ending::kRejectedUnguarded:
        return CallRejected();
    }
    return {};
  }

  void CheckServerRun(const RunInTree& run, const RunInTree& client, const Expected& expected) {
    ASSERT_TRUE(run);
    EXPECT_EQ(run->context.parent_id(), client->context.id());
    EXPECT_EQ(run->context.trace_id(), client->context.trace_id());
    EXPECT_THAT(run, HasMetadata("otel_kind", "SERVER"));
    const JsonObject metadata = run->AllMetadata();
    EXPECT_THAT(expected.server,
                ::testing::Contains(metadata.at("rpc.grpc.status_code").to_number<int>()))
        << boost::json::serialize(metadata);
    EXPECT_EQ(metadata.contains("weft.cancelled"), expected.server_cancelled)
        << boost::json::serialize(metadata);
    EXPECT_FALSE(metadata.contains("weft.abandoned"));
    if (ending() == Ending::kUnknownMethod) return;
    EXPECT_THAT(run, HasMetadata("rpc.grpc.kind",
                                 std::string(RpcKindName(IsGeneric(flavour()) ? RpcKind::kBidiStream
                                                                              : kind()))));
    const char* api = IsCallback(flavour())         ? "callback"
                      : flavour() == Flavour::kSync ? "sync"
                                                    : "cq";
    EXPECT_THAT(run, HasMetadata("weft.server_api", api));
    EXPECT_EQ(metadata.contains("weft.rejected_by"), rejected());
    if (ending() == Ending::kRejectedUnguarded) return;
    for (const RunInTree& child : run.Children()) {
      EXPECT_THAT(child->DisplayName(), AnyOf("work", "body"));
    }
    const bool threw_in_body = ending() == Ending::kThrow && IsCallback(flavour());
    EXPECT_EQ(run.Children().size(), threw_in_body || rejected() ? 0u
                                     : IsCallback(flavour())     ? 2u
                                                                 : 1u);
  }
};

TEST_P(CallEndings, GiveOneRunOnEachSideUnderItsParent) {
  ServeTraced();
  Expected expected;
  {
    weft::Run test("test", {.tracer = tracer_});
    expected = Happen();
  }
  channel_.reset();
  server_->Shutdown();  // all server calls end before
  const RunTree tree = exporter_->Tree();
  const std::string name =
      ending() == Ending::kUnknownMethod ? "echo.Echo/Nope" : RunNameOf(kind());
  SCOPED_TRACE(tree.ToString());
  RunInTree client = tree.FindRun("test").Children().at(0);
  EXPECT_EQ(tree.FindRun("test").Children().size(), 1u);
  EXPECT_EQ(client->DisplayName(), name);
  EXPECT_THAT(client, HasMetadata("otel_kind", "CLIENT"));
  EXPECT_THAT(client, HasMetadata("rpc.grpc.status_code", int{expected.client}));
  EXPECT_EQ(client->error.has_value(), expected.client != grpc::StatusCode::OK);
  EXPECT_EQ(client->AllMetadata().contains("weft.abandoned"), expected.client_abandoned);

  ASSERT_EQ(client.Children().size(), 1u);
  CheckServerRun(client.Children()[0], client, expected);
}

std::vector<std::tuple<Flavour, RpcKind, Ending>> Cases() {
  std::vector<std::tuple<Flavour, RpcKind, Ending>> cases;
  for (int flavour = 0; flavour < 5; ++flavour) {
    for (int kind = 0; kind < 4; ++kind) {
      for (int ending = 0; ending < 11; ++ending) {
        cases.emplace_back(static_cast<Flavour>(flavour), static_cast<RpcKind>(kind),
                           static_cast<Ending>(ending));
      }
    }
  }
  std::erase_if(cases, [](const auto& one) {
    const auto& [flavour, kind, ending] = one;
    // Nothing of gRPC's is between a completion-queue loop and its handlers.
    if (ending == Ending::kThrow) return flavour == Flavour::kCq || flavour == Flavour::kGenericCq;
    // A unary call cannot be let go of while it waits; see ACallThatIsNeverStartedIsNone.
    if (ending == Ending::kDropped && kind == RpcKind::kUnary) return true;
    // A generic service has every method; elsewhere the kind of an unknown one does not matter.
    return ending == Ending::kUnknownMethod && (IsGeneric(flavour) || kind != RpcKind::kUnary);
  });
  return cases;
}

INSTANTIATE_TEST_SUITE_P(All, CallEndings, ::testing::ValuesIn(Cases()), [](const auto& param) {
  std::ostringstream name;
  name << std::get<0>(param.param) << '_' << RpcKindName(std::get<1>(param.param)) << '_'
       << std::get<2>(param.param);
  return name.str();
});

class ClientApis : public EchoTest,
                   public ::testing::WithParamInterface<std::tuple<ClientApi, RpcKind>> {
 protected:
  ClientApi api() const { return std::get<0>(GetParam()); }
  RpcKind kind() const { return std::get<1>(GetParam()); }
};

TEST_P(ClientApis, MakeTheCallAChildOfTheCallersRun) {
  Serve(Flavour::kSync);
  for (const char* behaviour : {kOk, kError}) {
    weft::Run test(behaviour, {.tracer = tracer_});
    grpc::ClientContext context;
    context.AddMetadata(kBehaviour, behaviour);
    EXPECT_EQ(CallEcho(api(), kind(), channel_, context).ok(), behaviour == kOk);
  }
  channel_.reset();
  server_->Shutdown();
  const RunTree tree = exporter_->Tree();
  SCOPED_TRACE(tree.ToString());
  EXPECT_EQ(tree.size(), 8u);
  for (const char* behaviour : {kOk, kError}) {
    ASSERT_EQ(tree.FindRun(behaviour).Children().size(), 1u);
    const RunInTree client = tree.FindRun(behaviour).Children()[0];
    EXPECT_EQ(client->error.has_value(), behaviour == kError);
    EXPECT_EQ(client->type, kind() == RpcKind::kUnary ? RunType::kTool : RunType::kChain);
    ASSERT_EQ(client.Children().size(), 1u);
    EXPECT_EQ(client.Children()[0].Children().size(), 1u);
  }
}

TEST_F(EchoTest, ACallThatIsNeverStartedIsNone) {
  Serve(Flavour::kSync);
  PrepareAndDrop(channel_);
  channel_.reset();
  server_->Shutdown();
  EXPECT_EQ(exporter_->Tree().size(), 0u);
}

std::string NameOf(const ::testing::TestParamInfo<std::tuple<ClientApi, RpcKind>>& param) {
  std::ostringstream name;
  name << std::get<0>(param.param) << '_' << RpcKindName(std::get<1>(param.param));
  return name.str();
}

INSTANTIATE_TEST_SUITE_P(All, ClientApis,
                         Combine(Values(ClientApi::kSync, ClientApi::kCallback, ClientApi::kCq),
                                 Values(RpcKind::kUnary, RpcKind::kClientStream,
                                        RpcKind::kServerStream, RpcKind::kBidiStream)),
                         NameOf);
INSTANTIATE_TEST_SUITE_P(Generic, ClientApis,
                         Combine(Values(ClientApi::kGenericCq), Values(RpcKind::kUnary)), NameOf);

}  // namespace
}  // namespace weft::echo_test
