// SPDX-License-Identifier: Apache-2.0
//
// What a run costs: time on the calling thread, CPU of all threads, allocations. Each figure is the
// best of several rounds, next to the same loop without tracing.
//
//     build/release/bin/tracing_benchmark             # all
//     build/release/bin/tracing_benchmark headers     # what a run says to the next process

#include <time.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <new>
#include <string>
#include <string_view>

#include <weft/tracing/collector_exporter.h>
#include <weft/tracing/run.h>
#include <weft/tracing/trace_headers.h>
#include <weft/tracing/traceable.h>
#include <weft/tracing/tracing_context.h>

#include "collector_process.h"

namespace {

// Of this thread: what the exporter's thread allocates is not the caller's.
thread_local std::uint64_t allocations = 0;

}  // namespace

void* operator new(std::size_t size) {
  ++allocations;
  if (void* const block = std::malloc(size)) return block;
  std::abort();
}
void operator delete(void* block) noexcept { std::free(block); }
void operator delete(void* block, std::size_t) noexcept { std::free(block); }

namespace {

using weft::Run;
using weft::Tracer;

constexpr int kRounds = 7;

double SecondsOf(clockid_t clock) {
  timespec time{};
  clock_gettime(clock, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

struct Cost {
  double thread_ns = 1e18;
  double process_ns = 1e18;
  double allocations = 1e18;
};

/// Per call of `work`; `settle` waits for what other threads do with it.
Cost Measure(int calls, const std::function<void()>& work, const std::function<void()>& settle) {
  Cost best;
  for (int round = 0; round < kRounds; ++round) {
    const double thread = SecondsOf(CLOCK_THREAD_CPUTIME_ID);
    const double process = SecondsOf(CLOCK_PROCESS_CPUTIME_ID);
    const std::uint64_t allocated = allocations;
    for (int i = 0; i < calls; ++i) work();
    const std::uint64_t allocated_after = allocations;
    const double thread_after = SecondsOf(CLOCK_THREAD_CPUTIME_ID);
    settle();
    const double per_call = 1e9 / calls;
    best.thread_ns = std::min(best.thread_ns, (thread_after - thread) * per_call);
    best.process_ns =
        std::min(best.process_ns, (SecondsOf(CLOCK_PROCESS_CPUTIME_ID) - process) * per_call);
    best.allocations =
        std::min(best.allocations, static_cast<double>(allocated_after - allocated) / calls);
  }
  return best;
}

/// Of the middle one of many small batches: where few calls are of another kind, most batches have
/// none of them.
double MedianOfBatches(const std::function<void()>& work) {
  constexpr int kBatches = 20'000;
  constexpr int kCalls = 16;
  std::vector<double> batches;
  for (int batch = 0; batch < kBatches; ++batch) {
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < kCalls; ++i) work();
    const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - start;
    batches.push_back(took.count() / kCalls);
  }
  std::nth_element(batches.begin(), batches.begin() + kBatches / 2, batches.end());
  return batches[kBatches / 2];
}

void Print(const char* what, const Cost& cost) {
  std::printf("%-52s %8.1f %8.1f %8.2f\n", what, cost.thread_ns, cost.process_ns, cost.allocations);
}

/// Serialises nothing, keeps nothing: what is left is the cost of making a run.
class NullExporter final : public weft::Exporter {
 public:
  void Export(weft::RunRecord&& record) noexcept override {
    weft::RunRecord gone(std::move(record));
  }
  bool Flush(std::chrono::steady_clock::duration) noexcept override { return true; }
  bool Shutdown(std::chrono::steady_clock::duration) noexcept override { return true; }
  weft::ExporterStats Stats() const noexcept override { return {}; }
};

std::shared_ptr<Tracer> TracerWith(std::shared_ptr<weft::Exporter> exporter) {
  return Tracer::Create({.service_name = "benchmark", .exporters = {std::move(exporter)}}).value();
}

void MeasureWith(const char* name, const std::shared_ptr<Tracer>& tracer, int calls) {
  std::printf("\n%s\n", name);
  const weft::TracingContext context({.tracer = tracer});
  const auto settle = [&] { tracer->Flush(std::chrono::seconds(30)); };
  auto empty = weft::Traceable("empty", [] {});
  Print("Traceable around an empty function", Measure(
                                                  calls, [&] { empty(); }, settle));
  auto answer = weft::Traceable("answer", {.arguments = {"question", "k"}},
                                [](const std::string& question, int) { return question; });
  const std::string question(1000, 'q');
  Print("Traceable, 1 KB in and 1 KB out", Measure(
                                               calls, [&] { answer(question, 8); }, settle));
  Print("Run by name", Measure(
                           calls, [] { Run run("step"); }, settle));
  const auto kind =
      std::make_shared<const weft::RunTemplate>("shop.Cart/Add", weft::RunType::kTool,
                                                weft::JsonObject{{"rpc.system", "grpc"},
                                                                 {"rpc.service", "shop.Cart"},
                                                                 {"rpc.method", "Add"},
                                                                 {"rpc.grpc.kind", "unary"},
                                                                 {"otel_kind", "CLIENT"}});
  const auto rpc = [&] {
    Run run(kind, {.make_current = false});
    run.AddAttribute("rpc.grpc.status_code", std::int64_t{0});
  };
  Print("Run of a kind, not current, one attribute", Measure(calls, rpc, settle));
  Run parent("parent");
  Print("the same, below another run", Measure(calls, rpc, settle));
}

/// A sampler of one's own that keeps nothing.
class OwnSampler final : public weft::Sampler {
 public:
  explicit OwnSampler(bool asks_for_id) : asks_for_id_(asks_for_id) {}

  weft::SamplingDecision Decide(const weft::SamplingQuestion& asked) const noexcept override {
    return {.sampled = asks_for_id_ && asked.trace_id().IsNil()};
  }

 private:
  const bool asks_for_id_;
};

void MeasureSamplers() {
  const auto measure = [](const char* name, std::shared_ptr<const weft::Sampler> sampler) {
    weft::SetGlobalTracer(Tracer::Create({.sampler = std::move(sampler),
                                          .error_promotion = false,
                                          .exporters = {std::make_shared<NullExporter>()}})
                              .value());
    std::printf("    %-50s %10.1f\n", name, MedianOfBatches([] { const Run step("step"); }));
  };
  measure("by Never", weft::Never());
  measure("by a sampler of one's own", std::make_shared<const OwnSampler>(false));
  measure("by one that asks for the id", std::make_shared<const OwnSampler>(true));
}

/// The fourth run of a chain, which hands down five keys.
weft::RunContext DeepRun(std::string_view user) {
  weft::TraceBaggage baggage;
  baggage.project = "checkout";
  baggage.metadata = {{"user_id", user},
                      {"thread_id", "0b6e1c2a-5c1c-4f2e-8a61-0f7d5a1e9c11"},
                      {"workflow", "refund request"},
                      {"tenant", "alpha/eu"},
                      {"attempt", 2}};
  const auto now = std::chrono::system_clock::now();
  weft::RunContext run = weft::RunContext::Root(
      weft::RunId::New(now), now, std::make_shared<const weft::TraceBaggage>(std::move(baggage)));
  for (int depth = 2; depth <= 4; ++depth) run = run.Child(weft::RunId::New(now), now);
  return run;
}

void MeasureHeaders() {
  std::printf("\nheaders of the fourth run of a chain, five keys of metadata\n");
  const weft::RunContext runs[] = {DeepRun("u-1047"), DeepRun("u-1048")};
  const weft::TraceHeaders received[] = {weft::TraceHeaders::Of(runs[0]),
                                         weft::TraceHeaders::Of(runs[1])};
  Print("written and read, as calls of one trace do",
        Measure(
            100'000, [&] { weft::TraceHeaders::Of(runs[0]).Parse(); }, [] {}));
  // What was rendered or parsed last is kept; here that is never of use.
  int turn = 0;
  const auto copy = [&] {
    turn = 1 - turn;
    return runs[turn].WithBaggage(std::make_shared<const weft::TraceBaggage>(runs[turn].baggage()));
  };
  const auto anew = [&] {
    weft::TraceHeaders::Of(copy());
    received[turn].Parse();
  };
  Print("the same, with metadata of its own each time", Measure(50'000, anew, [] {}));
  Print("    of this, making a copy to be rendered", Measure(50'000, copy, [] {}));
}

}  // namespace

int main(int argc, char** argv) {
  const CollectorProcess collector;  // Before gRPC has threads here.
  std::printf("%-52s %8s %8s %8s\n", "per call", "thread", "process", "allocs");
  std::printf("%-52s %8s %8s %8s\n", "", "ns", "ns", "");
  if (argc > 1 && argv[1] == std::string_view("headers")) {
    MeasureHeaders();
    return 0;
  }
  int value = 0;
  std::function<void()> nothing = [&value] { asm volatile("" : "+r"(value)); };
  Print("an empty function", Measure(1'000'000, nothing, [] {}));

  const auto off = Tracer::Create({.enabled = false}).value();
  weft::SetGlobalTracer(off);
  Print("Run, tracer off", Measure(
                               1'000'000, [] { Run run("step"); }, [] {}));
  weft::SetGlobalTracer(nullptr);
  Print("Run, no tracer", Measure(
                              1'000'000, [] { Run run("step"); }, [] {}));
  {
    const weft::TracingContext context({.tracer = Tracer::Create({.sampling_rate = 0}).value()});
    Print("Run, out of the sample", Measure(
                                        500'000, [] { Run run("step"); }, [] {}));
  }
  for (const bool keeps_errors : {false, true}) {
    const weft::TracingContext context(
        {.tracer = Tracer::Create({.sampling_rate = 0,
                                   .error_promotion = keeps_errors,
                                   .exporters = {std::make_shared<NullExporter>()}})
                       .value()});
    const auto run = [] { const Run step("step"); };
    Print(keeps_errors ? "the same, held in case of an error" : "the same, with an exporter",
          Measure(500'000, run, [] {}));
    const Run parent("parent");
    Print("    below another run", Measure(500'000, run, [] {}));
  }
  for (const double rate : {0.0, 0.01, 1e-9}) {
    weft::SetGlobalTracer(Tracer::Create({.sampling_rate = rate,
                                          .error_promotion = false,
                                          .exporters = {std::make_shared<NullExporter>()}})
                              .value());
    const auto run = [] { const Run step("step"); };
    const Cost cost = Measure(500'000, run, [] {});
    if (rate == 0) {
      Print("out of the sample, of the global tracer", cost);
      continue;
    }
    std::printf("    of a rate of %-5g %41.1f\n", rate, MedianOfBatches(run));
    Print("    with those in the sample, and its ids", cost);
  }
  weft::SetGlobalTracer(Tracer::Create({.sampling_rules = {{.name = "st*", .rate = 0.01}},
                                        .error_promotion = false,
                                        .exporters = {std::make_shared<NullExporter>()}})
                            .value());
  std::printf("    of a rule with a rate of 0.01 %31.1f\n",
              MedianOfBatches([] { const Run step("step"); }));
  const auto traceable = weft::Traceable("step", [] {});
  std::printf("    the same, a Traceable %39.1f\n", MedianOfBatches([&] { traceable(); }));
  {
    const weft::TracingContext context({.project = "checkout", .tags = {"canary"}});
    std::printf("    the same, with a project and a tag around %19.1f\n",
                MedianOfBatches([] { const Run step("step"); }));
  }
  MeasureSamplers();
  weft::SetGlobalTracer(nullptr);
  MeasureWith("made, and thrown away", TracerWith(std::make_shared<NullExporter>()), 200'000);

  MeasureWith("sent to a collector in another process",
              TracerWith(weft::CollectorExporter::Create({.target = collector.target()}).value()),
              20'000);
  MeasureHeaders();
  return 0;
}
