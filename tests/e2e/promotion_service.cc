// SPDX-License-Identifier: Apache-2.0
//
// One process of promotion_test.py. FromEnvironment() says what is sampled, and where it goes.
//
//     promotion_service serve [NEXT | fragile]   # prints its address, serves until stdin ends
//     promotion_service ask COUNT SIDE MIDDLE
//
// `ask` begins COUNT traces in which all is well, then one in which a fragile service has an error
// that it handles, and prints the ids of the traces, the failing one last.
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include <grpc/grpc.h>
#include <grpcpp/create_channel.h>

#include <weft/interceptors/create_channel.h>
#include <weft/testing/ping_client.h>
#include <weft/testing/ping_server.h>
#include <weft/tracing/run.h>
#include <weft/tracing/tracing_context.h>

namespace {

using weft::testing::ClientFlavour;
using weft::testing::Ping;
using weft::testing::PingServer;
using Channel = std::shared_ptr<grpc::Channel>;

[[noreturn]] void Fail(const std::string& why) {
  std::cerr << why << "\n";
  std::exit(1);
}

Channel Connect(const std::string& address, const std::shared_ptr<weft::Tracer>& tracer) {
  return weft::CreateChannel(address, grpc::InsecureChannelCredentials(), {.tracer = tracer});
}

void Call(const Channel& channel) {
  grpc::ClientContext context;
  context.set_wait_for_ready(true);
  const grpc::Status status =
      Ping(ClientFlavour::kSync, weft::RpcKind::kUnary, channel, context, "hello");
  if (!status.ok()) Fail(status.error_message());
}

void Serve(const std::shared_ptr<weft::Tracer>& tracer, const std::string& next) {
  auto server = PingServer::Start({.interceptors = {.tracer = tracer}});
  if (!server.ok()) Fail(std::string(server.status().message()));
  const bool fragile = next == "fragile";
  const Channel channel = next.empty() || fragile ? nullptr : Connect(next, tracer);
  (*server)->progress().during_work = [channel, fragile] {
    if (channel != nullptr) return Call(channel);
    weft::Run search("search");
    if (fragile && weft::CurrentBaggage("wish") == "trouble") search.SetError("the index is gone");
  };
  std::cout << (*server)->address() << std::endl;
  std::cin.ignore(1);
}

void Ask(const std::shared_ptr<weft::Tracer>& tracer, int count, const std::string& side,
         const std::string& middle) {
  const Channel side_channel = Connect(side, tracer);
  const Channel middle_channel = Connect(middle, tracer);
  for (int i = 0; i <= count; ++i) {
    const weft::TracingContext wish({.baggage = {{"wish", i < count ? "ease" : "trouble"}}});
    const weft::Run run("answer", {.inputs = {{"question", "how deep?"}}});
    Call(side_channel);
    Call(middle_channel);
    std::cout << run.context().trace_id().ToString() << "\n";
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  grpc_init();
  auto tracer = weft::Tracer::FromEnvironment();
  if (!tracer.ok()) Fail(std::string(tracer.status().message()));
  weft::SetGlobalTracer(*tracer);
  if (!words.empty() && words[0] == "serve") {
    Serve(*tracer, words.size() > 1 ? words[1] : "");
  } else if (words.size() == 4 && words[0] == "ask") {
    Ask(*tracer, std::atoi(words[1].c_str()), words[2], words[3]);
  } else {
    Fail("serve [NEXT | fragile] | ask COUNT SIDE MIDDLE");
  }
  if (!(*tracer)->Shutdown(std::chrono::seconds(30))) Fail("runs are left over");
  return 0;
}
