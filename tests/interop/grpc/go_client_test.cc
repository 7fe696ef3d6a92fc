// SPDX-License-Identifier: Apache-2.0
// gRPC's interop cases: the client of grpc-go against intercepted servers.
#include <ostream>
#include <string>
#include <tuple>
#include <vector>

#include "go_peer.h"
#include "interop_server.h"
#include "interop_test.h"

namespace weft::interop {
namespace {

using ::testing::MatchesRegex;

/// A case, and a regular expression for what the server tells of its calls.
struct Case {
  const char* name;
  const char* calls;
  const char* calls_of_fibers = nullptr;  // Else the same.
};
std::ostream& operator<<(std::ostream& out, const Case& c) { return out << c.name; }

class GoClientTest : public InteropTest,
                     public ::testing::WithParamInterface<std::tuple<Flavour, Case>> {
 protected:
  void RunCase(bool gzip) {
    const auto& [flavour, wanted] = GetParam();
    const auto server = Serve(flavour, Options(), gzip);
    std::vector<std::string> arguments = {"client", server->address(), wanted.name};
    if (gzip) arguments.emplace_back("gzip");
    EXPECT_EQ(GoPeer(arguments).Wait(), 0);
    server->Shutdown();
    const bool other = flavour == Flavour::kFiber && wanted.calls_of_fibers != nullptr;
    EXPECT_THAT(Calls(), MatchesRegex(other ? wanted.calls_of_fibers : wanted.calls));
  }
};

TEST_P(GoClientTest, Succeeds) { RunCase(/*gzip=*/false); }
TEST_P(GoClientTest, SucceedsCompressed) { RunCase(/*gzip=*/true); }

// Of a call that is cancelled at once the server may hear nothing. Fibers, on a completion queue,
// may hear only that the stream ended: to which the handlers here answer OK.
const auto kCases = ::testing::Values(
    Case{"empty_unary", "EmptyCall OK"}, Case{"large_unary", "UnaryCall OK"},
    Case{"client_streaming", "StreamingInputCall OK 4/1"},
    Case{"server_streaming", "StreamingOutputCall OK 1/4"},
    Case{"ping_pong", "FullDuplexCall OK 4/4"}, Case{"empty_stream", "FullDuplexCall OK 0/0"},
    Case{"timeout_on_sleeping_server", "(FullDuplexCall (CANCELLED|DEADLINE_EXCEEDED) [01]/0)?",
         "(FullDuplexCall (OK|CANCELLED|DEADLINE_EXCEEDED) [01]/0)?"},
    Case{"cancel_after_begin", "(StreamingInputCall CANCELLED 0/[01])?"},
    Case{"cancel_after_first_response", "FullDuplexCall CANCELLED 1/1",
         "FullDuplexCall (OK|CANCELLED) 1/1"},
    Case{"status_code_and_message", "FullDuplexCall UNKNOWN 1/0, UnaryCall UNKNOWN"},
    Case{"special_status_message", "UnaryCall UNKNOWN"},
    Case{"custom_metadata", "FullDuplexCall OK 1/1, UnaryCall OK"},
    Case{"unimplemented_method", "UnimplementedCall UNIMPLEMENTED"},
    // gRPC takes the methods of unknown services for streams; a synchronous server does not even
    // tell their names.
    Case{"unimplemented_service", "(UnimplementedCall|unknown) UNIMPLEMENTED 0/0"});

const auto kFlavours = ::testing::Values(Flavour::kSync, Flavour::kCallback, Flavour::kFiber,
                                         Flavour::kPlainSync, Flavour::kPlainCallback);

std::string NameOf(const ::testing::TestParamInfo<std::tuple<Flavour, Case>>& test) {
  return ::testing::PrintToString(std::get<Flavour>(test.param)) + "_" +
         std::get<Case>(test.param).name;
}

INSTANTIATE_TEST_SUITE_P(All, GoClientTest, ::testing::Combine(kFlavours, kCases), NameOf);

}  // namespace
}  // namespace weft::interop
