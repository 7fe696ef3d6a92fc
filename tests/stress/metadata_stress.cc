// SPDX-License-Identifier: Apache-2.0
// Random metadata in both directions, through servers of every kind: pairs that middlewares write,
// trace headers that a peer made up, and what runs put into theirs. No call may fail; what a writer
// took must arrive, byte by byte.
//
//   metadata_stress [PAIRS]   Ends with status 1 if anything was wrong.
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <string_view>
#include <utility>

#include <grpcpp/grpcpp.h>

#include <weft/interceptors/create_channel.h>
#include <weft/interceptors/interceptor_stats.h>
#include <weft/tracing/run.h>
#include <weft/tracing/tracer.h>

#include "echo_client.h"
#include "echo_server.h"

namespace weft::echo_test {
namespace {

using Pairs = std::multimap<std::string, std::string>;

long g_wrong = 0;

void Require(bool holds, const std::string& what) {
  if (holds) return;
  if (++g_wrong <= 10) std::fprintf(stderr, "metadata_stress: %s\n", what.c_str());
}

class Random {
 public:
  explicit Random(std::uint64_t seed) : engine_(seed) {}

  bool Chance(double p) { return std::bernoulli_distribution(p)(engine_); }
  std::size_t Below(std::size_t n) {
    return std::uniform_int_distribution<std::size_t>(0, n - 1)(engine_);
  }
  std::string Text(std::size_t most, std::string_view alphabet) {
    std::string text(Below(most + 1), '\0');
    for (char& c : text) {
      c = alphabet.empty() ? static_cast<char>(Below(256)) : alphabet[Below(alphabet.size())];
    }
    return text;
  }
  std::string Printable(std::size_t most) {
    std::string text = Text(most, {});
    for (char& c : text) c = static_cast<char>(' ' + static_cast<unsigned char>(c) % 95);
    return text;
  }
  // Half of them from what is nearly right, so that not all are refused.
  std::string Key() {
    constexpr std::string_view kTame = "abcdefghijklmnopqrstuvwxyz0123456789-_.";
    constexpr const char* kKnown[] = {"te",
                                      "host",
                                      "grpc-timeout",
                                      "grpc-status",
                                      "content-type",
                                      ":path",
                                      "baggage",
                                      "traceparent",
                                      "langsmith-trace",
                                      "user-agent",
                                      "Upper",
                                      "weft-keep",
                                      "-bin",
                                      "grpc-bin",
                                      "grpc-trace-bin",
                                      "trailer",
                                      "connection",
                                      "authorization",
                                      "",
                                      "tracestate",
                                      "grpc-message-type"};
    if (Chance(0.1)) return kKnown[Below(std::size(kKnown))];
    std::string key = Text(12, Chance(0.7) ? kTame : std::string_view());
    return Chance(0.2) ? key + "-bin" : key;
  }
  std::string Value() {
    const std::size_t most = Chance(0.01) ? 9000 : 60;
    return Chance(0.6) ? Printable(most) : Text(most, {});
  }
  // A header's value that is nearly one of weft's.
  std::string TraceValue() {
    std::string value(Chance(0.5)
                          ? "20260910T004640000001Z01a0b35e-7a00-7000-8000-000000000001"
                          : "langsmith-metadata=%7B%22a%22%3A1%7D,langsmith-tags=x,k=v;p=1");
    for (int i = 0; i < 3 && Chance(0.7); ++i) {
      value[Below(value.size())] = static_cast<char>(' ' + static_cast<char>(Below(95)));
    }
    if (Chance(0.2)) value += Printable(200);
    return Chance(0.2) ? Printable(100) : value;
  }

 private:
  std::mt19937_64 engine_;
};

Random g_random{20261121};  // guarded by the order of one call's hooks

/// Writes pairs in all three places, and remembers what was taken.
class Scatter : public Middleware {
 public:
  static constexpr int kPairs = 10;

  void OnSendMetadata(Call& call, MetadataWriter& metadata) noexcept override {
    Write(metadata, call.side() == CallSide::kClient ? request : initial);
  }
  void OnSendTrailers(Call& /*call*/, MetadataWriter& metadata) noexcept override {
    Write(metadata, trailing);
  }
  void OnReceiveMetadata(Call& call, const MetadataView& metadata) noexcept override {
    const std::lock_guard lock(mutex_);
    Check(call.side() == CallSide::kServer ? request : initial, metadata, "initial metadata");
  }
  void OnReceiveTrailers(Call& /*call*/, const MetadataView& metadata) noexcept override {
    const std::lock_guard lock(mutex_);
    Check(trailing, metadata, "trailing metadata");
  }

  void Forget() {
    const std::lock_guard lock(mutex_);
    for (Pairs* pairs : {&request, &initial, &trailing}) pairs->clear();
  }
  long written() const { return written_; }
  long refused() const { return refused_; }

 private:
  void Write(MetadataWriter& metadata, Pairs& sent) {
    const std::lock_guard lock(mutex_);
    for (int i = 0; i < kPairs; ++i) {
      std::string key = g_random.Key();
      std::string value = g_random.Value();
      if (metadata.Add(key, value)) {
        ++written_;
        sent.emplace(std::move(key), std::move(value));
      } else {
        ++refused_;
      }
    }
  }

  // Trace headers are weft's own: its tracing puts what it has in the place of others.
  static bool IsTraceHeader(const std::string& key) {
    return key == "langsmith-trace" || key == "baggage" || key == "weft-keep" ||
           key == "traceparent" || key == "tracestate";
  }

  // Other headers of the same names may be there, too.
  static void Check(const Pairs& sent, const MetadataView& metadata, const char* where) {
    for (const auto& [key, value] : sent) {
      if (IsTraceHeader(key)) continue;
      bool found = false;
      metadata.ForEach(key, [&, &wanted = value](std::string_view got) { found |= got == wanted; });
      Require(found, std::string(where) + ": lost \"" + key + "\"");
    }
  }

  std::mutex mutex_;
  Pairs request;
  Pairs initial;
  Pairs trailing;
  long written_ = 0;
  long refused_ = 0;
};

/// One call in a run whose own headers are as odd.
void CallOnce(RpcKind kind, const std::shared_ptr<grpc::Channel>& channel,
              const std::shared_ptr<Tracer>& tracer) {
  RunOptions options{.tags = {g_random.Text(40, {}), g_random.Printable(200)},
                     .metadata = {{g_random.Text(20, {}), g_random.Text(400, {})}},
                     .tracer = tracer};
  if (g_random.Chance(0.3)) options.project = g_random.Text(30, {});
  const Run run(g_random.Text(30, {}), options);
  grpc::ClientContext context;
  for (const char* key : {"langsmith-trace", "baggage", "traceparent", "tracestate", "weft-keep"}) {
    if (g_random.Chance(0.3)) context.AddMetadata(key, g_random.TraceValue());
  }
  const grpc::Status status = CallSync(kind, channel, context);
  Require(status.ok(), "a call failed: " + status.error_message());
}

int Main(long pairs) {
  const InterceptorStats before = GetInterceptorStats();
  auto tracer = Tracer::Create({.exporters = {}}).value();
  auto scatter = std::make_shared<Scatter>();
  long calls = 0;
  constexpr int kFlavours = 6;
  for (int flavour = 0; flavour < kFlavours; ++flavour) {
    InterceptorOptions options{.tracer = tracer, .middlewares = {scatter}};
    EchoServer server(static_cast<Flavour>(flavour), options);
    const auto channel =
        CreateChannel(server.address(), grpc::InsecureChannelCredentials(), options);
    while (scatter->written() + scatter->refused() < pairs * (flavour + 1) / kFlavours) {
      CallOnce(static_cast<RpcKind>(calls % 4), channel, tracer);
      scatter->Forget();
      ++calls;
    }
  }
  const InterceptorStats after = GetInterceptorStats();
  Require(after.client_ended - before.client_ended == static_cast<std::uint64_t>(calls) &&
              after.server_ended - before.server_ended == static_cast<std::uint64_t>(calls),
          "calls did not end");
  Require(after.hook_failures == before.hook_failures, "hooks failed");
  std::printf("%ld pairs: %ld sent, %ld refused; %ld calls, %ld wrong\n",
              scatter->written() + scatter->refused(), scatter->written(), scatter->refused(),
              calls, g_wrong);
  return g_wrong == 0 && scatter->written() > 0 && scatter->refused() > 0 ? 0 : 1;
}

}  // namespace
}  // namespace weft::echo_test

int main(int argc, char** argv) {
  return weft::echo_test::Main(argc > 1 ? std::atol(argv[1]) : 1'000'000);
}
