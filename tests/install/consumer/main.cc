// SPDX-License-Identifier: Apache-2.0
// What a user of an installed weft writes first: a tracer, an intercepted server, a run.
#include <cstdio>

#include <grpcpp/grpcpp.h>

#include <weft/interceptors/create_channel.h>
#include <weft/interceptors/intercept_server.h>
#include <weft/tracing/run.h>
#include <weft/tracing/tracer.h>
#include <weft/version.h>

int main() {
  auto tracer = weft::Tracer::FromEnvironment();
  if (!tracer.ok()) {
    std::fprintf(stderr, "%s\n", std::string(tracer.status().message()).c_str());
    return 1;
  }
  grpc::ServerBuilder builder;
  if (!weft::InterceptServer(builder, {.tracer = *tracer}).ok()) return 1;
  auto channel =
      weft::CreateChannel("127.0.0.1:1", grpc::InsecureChannelCredentials(), {.tracer = *tracer});
  weft::Run run("consumer", {.tracer = *tracer});
  std::printf("weft %s\n", WEFT_VERSION);
  return channel ? 0 : 1;
}
