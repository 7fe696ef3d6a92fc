// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdlib>
#include <memory>
#include <ostream>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <weft/interceptors/fault_injection.h>

#include "echo_client.h"
#include "fixture.h"

namespace weft::echo_test {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using Codes = std::vector<grpc::StatusCode>;

const grpc::Status kAbort(grpc::StatusCode::ABORTED, "injected");

/// Lets faults be made as long as it lives.
class AllowFaults {
 public:
  AllowFaults() { ::setenv("WEFT_ALLOW_FAULTS", "1", /*overwrite=*/1); }
  ~AllowFaults() { ::unsetenv("WEFT_ALLOW_FAULTS"); }
};

std::shared_ptr<Middleware> Make(std::vector<Fault> faults, std::uint64_t seed = 0) {
  const AllowFaults allow;
  auto made = FaultInjection({.faults = std::move(faults), .seed = seed});
  EXPECT_TRUE(made.ok()) << std::string(made.status().message());
  return *std::move(made);
}

struct Place {
  CallSide side;
  Flavour flavour;
  ClientApi api;
};

std::ostream& operator<<(std::ostream& out, const Place& place) {
  if (place.side == CallSide::kServer) return out << "Server" << place.flavour;
  return out << "Client" << place.api;
}

class FaultInjectionTest : public EchoTest,
                           public ::testing::WithParamInterface<std::tuple<Place, RpcKind>> {
 protected:
  void Serve(std::vector<Fault> faults) {
    const Place& place = std::get<0>(GetParam());
    const InterceptorOptions with{.middlewares = {Make(std::move(faults))}};
    const bool client = place.side == CallSide::kClient;
    EchoTest::Serve(place.flavour, client ? InterceptorOptions() : with,
                    client ? with : InterceptorOptions());
  }
  grpc::Status Call(grpc::ClientContext& context) {
    return CallEcho(std::get<0>(GetParam()).api, std::get<1>(GetParam()), channel_, context);
  }
  grpc::Status Call() {
    grpc::ClientContext context;
    return Call(context);
  }
  int Handled() { return server_->progress().handled; }
};

TEST_P(FaultInjectionTest, AnAbortedCallIsNotHandled) {
  Serve({{.abort = kAbort}});
  const grpc::Status status = Call();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::ABORTED);
  EXPECT_EQ(status.error_message(), "injected");
  EXPECT_EQ(Handled(), 0);
}

TEST_P(FaultInjectionTest, ACallWhoseReplyIsLostIsHandled) {
  Serve({{.drop_reply = true}});
  EXPECT_EQ(Call().error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(Handled(), 1);
}

TEST_P(FaultInjectionTest, ALateCallIsHandledAllTheSame) {
  Serve({{.delay = 1ms}});
  EXPECT_TRUE(Call().ok());
  EXPECT_EQ(Handled(), 1);
}

TEST_P(FaultInjectionTest, NobodyWaitsForLongerThanTheDeadline) {
  Serve({{.delay = 1h}});
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + 30ms);
  EXPECT_EQ(Call(context).error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
}

TEST_P(FaultInjectionTest, TheFirstFaultThatTakesACallHappens) {
  Serve({{.methods = "/other.Service/*", .drop_reply = true},
         {.header = "x-fault", .value = "abort", .delay = 1ms, .abort = kAbort},
         {.header = "x-fault", .drop_reply = true}});
  const auto code = [&](const char* value) {
    grpc::ClientContext context;
    if (value != nullptr) context.AddMetadata("x-fault", value);
    return Call(context).error_code();
  };
  EXPECT_EQ(code(nullptr), grpc::StatusCode::OK);
  EXPECT_EQ(code("abort"), grpc::StatusCode::ABORTED);
  EXPECT_EQ(code("other"), grpc::StatusCode::UNAVAILABLE);
}

std::string NameOf(const ::testing::TestParamInfo<std::tuple<Place, RpcKind>>& test) {
  const auto& [place, kind] = test.param;
  return ::testing::PrintToString(place) + "_" + std::string(RpcKindName(kind));
}

INSTANTIATE_TEST_SUITE_P(
    All, FaultInjectionTest,
    ::testing::Combine(
        ::testing::Values(Place{CallSide::kServer, Flavour::kSync, ClientApi::kSync},
                          Place{CallSide::kServer, Flavour::kCallback, ClientApi::kSync},
                          Place{CallSide::kServer, Flavour::kCq, ClientApi::kSync},
                          Place{CallSide::kClient, Flavour::kSync, ClientApi::kSync},
                          Place{CallSide::kClient, Flavour::kSync, ClientApi::kCallback},
                          Place{CallSide::kClient, Flavour::kSync, ClientApi::kCq}),
        ::testing::Values(RpcKind::kUnary, RpcKind::kClientStream, RpcKind::kServerStream,
                          RpcKind::kBidiStream)),
    NameOf);

Codes CodesOf(std::uint64_t seed, double percent) {
  EchoServer server(Flavour::kSync, {});
  const auto channel =
      CreateChannel(server.address(), grpc::InsecureChannelCredentials(),
                    {.middlewares = {Make({{.percent = percent, .abort = kAbort}}, seed)}});
  Codes codes;
  for (int i = 0; i < 100; ++i) {
    grpc::ClientContext context;
    codes.push_back(CallSync(RpcKind::kUnary, channel, context).error_code());
  }
  return codes;
}

TEST(FaultSeedTest, TheSameSeedTakesTheSameCalls) {
  const Codes codes = CodesOf(7, 30);
  EXPECT_EQ(codes, CodesOf(7, 30));
  EXPECT_NE(codes, CodesOf(8, 30));
  const auto aborted = std::ranges::count(codes, grpc::StatusCode::ABORTED);
  EXPECT_GT(aborted, 15);
  EXPECT_LT(aborted, 45);
  EXPECT_EQ(CodesOf(7, 0), Codes(100, grpc::StatusCode::OK));
  EXPECT_EQ(CodesOf(7, 100), Codes(100, grpc::StatusCode::ABORTED));
}

TEST(FaultOptionsTest, AreRefusedWhereFaultsAreNotAllowed) {
  ::unsetenv("WEFT_ALLOW_FAULTS");
  const auto made = FaultInjection({.faults = {{.abort = kAbort}}});
#ifdef WEFT_FAULT_INJECTION
  EXPECT_TRUE(made.ok());
#else
  EXPECT_EQ(made.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(made.status().message()), HasSubstr("WEFT_ALLOW_FAULTS=1"));
#endif
}

TEST(FaultOptionsTest, NameWhatIsWrong) {
  const AllowFaults allow;
  const auto problem = [](Fault fault) {
    return std::string(FaultInjection({.faults = {{}, std::move(fault)}}).status().message());
  };
  EXPECT_THAT(problem({.percent = 101}), HasSubstr("faults[1].percent is 101"));
  EXPECT_THAT(problem({.percent = -1}), HasSubstr("faults[1].percent is -1"));
  EXPECT_THAT(problem({.delay = -5ns}), HasSubstr("faults[1].delay is -5 ns"));
  EXPECT_THAT(problem({.value = "x"}), HasSubstr("faults[1].value is 'x' without a header"));
}

}  // namespace
}  // namespace weft::echo_test
