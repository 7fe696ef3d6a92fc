// SPDX-License-Identifier: Apache-2.0
// Passes calls on to --next: a server and a client in one process, between peers in other
// languages.
#include <memory>
#include <utility>

#include <grpcpp/grpcpp.h>

#include <weft/interceptors/create_channel.h>
#include <weft/interceptors/intercept_server.h>
#include <weft/tracing/run.h>
#include <weft/tracing/tracer.h>

#include "agent.h"
#include "relay.grpc.pb.h"

namespace interop {
namespace {

class RelayService final : public Relay::Service {
 public:
  explicit RelayService(const std::shared_ptr<grpc::Channel>& next) : next_(Relay::NewStub(next)) {}

  grpc::Status Ask(grpc::ServerContext* context, const Question* question,
                   Answer* answer) override {
    const weft::Run run("pass_on");
    const auto call = grpc::ClientContext::FromServerContext(*context);
    return next_->Ask(call.get(), *question, answer);
  }

  grpc::Status Follow(grpc::ServerContext* context, const Question* question,
                      grpc::ServerWriter<Answer>* answers) override {
    const weft::Run run("pass_on");
    const auto call = grpc::ClientContext::FromServerContext(*context);
    const auto stream = next_->Follow(call.get(), *question);
    for (Answer answer; stream->Read(&answer);) {
      if (!answers->Write(answer)) call->TryCancel();
    }
    return stream->Finish();
  }

 private:
  const std::unique_ptr<Relay::Stub> next_;
};

int Main(int argc, char** argv) {
  const auto options = research_team::ReadFlags(argc, argv, {.name = "relay", .peers = {"next"}});
  const auto tracer = weft::Tracer::FromEnvironment();
  if (!tracer.ok()) return research_team::Fail(options, tracer.status());
  RelayService service(weft::CreateChannel(
      options.peers.at("next"), grpc::InsecureChannelCredentials(), {.tracer = *tracer}));
  grpc::ServerBuilder builder;
  builder.RegisterService(&service);
  if (const auto status = weft::InterceptServer(builder, {.tracer = *tracer}); !status.ok()) {
    return research_team::Fail(options, status);
  }
  return research_team::Serve(builder, options);
}

}  // namespace
}  // namespace interop

int main(int argc, char** argv) { return interop::Main(argc, argv); }
