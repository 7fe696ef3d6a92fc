// SPDX-License-Identifier: Apache-2.0
// The C++ agents of the example: one program, one process for each.
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include <grpcpp/grpcpp.h>

#include <weft/interceptors/create_channel.h>
#include <weft/interceptors/intercept_server.h>
#include <weft/tracing/run.h>
#include <weft/tracing/tracer.h>

#include "http.h"
#include "trip.grpc.pb.h"

namespace trip {
namespace {

constexpr std::string_view kUsage =
    R"(Usage: example_interop AGENT [--NAME ADDRESS...] --ready-file PATH

  stations    HTTP: who measures the weather of a city
  forecaster  gRPC: its weather; asks --climate over HTTP
  desk        HTTP: advice for a trip; asks --forecaster over gRPC and --writer over HTTP
)";

using Flags = std::map<std::string, std::string>;

weft::Json Member(const weft::JsonObject& object, std::string_view name) {
  const weft::Json* const value = object.if_contains({name.data(), name.size()});
  return value != nullptr ? *value : weft::Json();
}

std::string Text(const weft::Json& value) {
  return value.is_string() ? std::string(value.get_string()) : std::string();
}

absl::StatusOr<weft::JsonObject> FindStations(const weft::JsonObject& question) {
  const std::string city = Text(Member(question, "city"));
  if (city.empty()) return absl::InvalidArgumentError("city is missing");
  return weft::JsonObject{{"stations", {city + " airport", city + " harbour"}}};
}

class ForecasterService final : public Forecaster::Service {
 public:
  explicit ForecasterService(std::string climate) : climate_(std::move(climate)) {}

  grpc::Status Forecast(grpc::ServerContext*, const Place* place, Weather* weather) override {
    // The run of this call is current: the interceptor has seen to it.
    const auto normals = Post(climate_, "/normals", {{"city", place->city()}});
    if (!normals.ok()) {
      return {grpc::StatusCode::UNAVAILABLE, std::string(normals.status().message())};
    }
    weather->set_summary(Text(Member(*normals, "summary")));
    return grpc::Status::OK;
  }

 private:
  const std::string climate_;
};

class Desk {
 public:
  Desk(const std::string& forecaster, std::string writer, std::shared_ptr<weft::Tracer> tracer)
      : forecaster_(Forecaster::NewStub(weft::CreateChannel(
            forecaster, grpc::InsecureChannelCredentials(), {.tracer = std::move(tracer)}))),
        writer_(std::move(writer)) {}

  absl::StatusOr<weft::JsonObject> Advise(const weft::JsonObject& question) const {
    Place place;
    place.set_city(Text(Member(question, "city")));
    if (place.city().empty()) return absl::InvalidArgumentError("city is missing");
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
    Weather weather;
    if (const grpc::Status status = forecaster_->Forecast(&context, place, &weather);
        !status.ok()) {
      return absl::UnavailableError(status.error_message());
    }
    return Post(writer_, "/text", {{"city", place.city()}, {"weather", weather.summary()}});
  }

 private:
  const std::unique_ptr<Forecaster::Stub> forecaster_;
  const std::string writer_;
};

int Fail(const std::string& agent, std::string_view text) {
  std::cerr << agent << ": " << text << "\n";
  return 1;
}

// Says where the agent listens and waits for the signal to end.
int AnnounceAndWait(const Flags& flags, const std::string& kind, const std::string& address) {
  const std::filesystem::path draft = flags.at("ready-file") + ".draft";
  std::ofstream(draft) << boost::json::serialize(
      weft::JsonObject{{"pid", getpid()}, {kind, address}});
  std::error_code error;
  std::filesystem::rename(draft, flags.at("ready-file"), error);
  if (error) return Fail("example_interop", "cannot write " + flags.at("ready-file"));
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  int signal = 0;
  sigwait(&signals, &signal);
  return 0;
}

int ServeHttp(const Flags& flags, std::map<std::string, Handler> routes,
              const std::shared_ptr<weft::Tracer>& tracer) {
  const auto server = HttpServer::Start("127.0.0.1:0", std::move(routes), tracer);
  if (!server.ok()) return Fail("example_interop", std::string(server.status().message()));
  return AnnounceAndWait(flags, "http", (*server)->address());
}

int ServeGrpc(const Flags& flags, grpc::Service& service,
              const std::shared_ptr<weft::Tracer>& tracer) {
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(&service);
  if (const auto status = weft::InterceptServer(builder, {.tracer = tracer}); !status.ok()) {
    return Fail("example_interop", std::string(status.message()));
  }
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr) return Fail("example_interop", "cannot listen");
  const int status = AnnounceAndWait(flags, "grpc", "127.0.0.1:" + std::to_string(port));
  server->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(2));
  return status;
}

[[noreturn]] void WrongUse(std::string_view text) {
  std::cerr << "example_interop: " << text << "\n" << kUsage;
  std::exit(2);
}

Flags ReadFlags(int argc, char** argv,
                const std::map<std::string, std::vector<std::string>>& needs) {
  const std::string agent = argc > 1 ? argv[1] : "";
  if (!needs.contains(agent)) WrongUse("there is no agent \"" + agent + "\"");
  Flags flags;
  for (int i = 2; i + 1 < argc; i += 2) flags[std::string(argv[i]).substr(2)] = argv[i + 1];
  for (const std::string& name : needs.at(agent)) {
    if (!flags.contains(name)) WrongUse("--" + name + " is missing");
  }
  return flags;
}

int Main(int argc, char** argv) {
  const Flags flags = ReadFlags(argc, argv,
                                {{"stations", {"ready-file"}},
                                 {"forecaster", {"ready-file", "climate"}},
                                 {"desk", {"ready-file", "forecaster", "writer"}}});
  // Before anything starts a thread: AnnounceAndWait waits for them.
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);

  const auto tracer = weft::Tracer::FromEnvironment();
  if (!tracer.ok()) return Fail(argv[1], std::string(tracer.status().message()));
  const std::string_view agent = argv[1];
  if (agent == "stations") return ServeHttp(flags, {{"/stations", FindStations}}, *tracer);
  if (agent == "forecaster") {
    ForecasterService service(flags.at("climate"));
    return ServeGrpc(flags, service, *tracer);
  }
  const Desk desk(flags.at("forecaster"), flags.at("writer"), *tracer);
  const auto advise = [&desk](const weft::JsonObject& question) { return desk.Advise(question); };
  return ServeHttp(flags, {{"/advice", advise}}, *tracer);
}

}  // namespace
}  // namespace trip

int main(int argc, char** argv) { return trip::Main(argc, argv); }
