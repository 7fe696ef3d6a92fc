// SPDX-License-Identifier: Apache-2.0
// Kills a collector again and again while clients send over every receiver, and looks whether
// everything that it acknowledged can be read and has been forwarded, with its bytes.
//
//   kill_loop [--kills N] [--check-every N] [--seed N] [--data DIR]
#include <signal.h>
#include <unistd.h>
#include <zstd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <iostream>
#include <map>
#include <mutex>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <grpcpp/grpcpp.h>
#include <opentelemetry/proto/collector/trace/v1/trace_service.grpc.pb.h>
#include <weft/collector/v1/collector.grpc.pb.h>
#include <boost/json.hpp>

#include <weft/testing/fake_langsmith.h>

#include "../collector/http_test_util.h"
#include "../e2e/collector_process.h"
#include "kill_loop_batch.h"

namespace weft::stress {
namespace {

namespace fs = std::filesystem;
namespace v1 = weft::collector::v1;
namespace otlp = opentelemetry::proto::collector::trace::v1;
using collector::HttpClient;
using collector::RequestText;
using e2e::CollectorProcess;
using std::chrono::milliseconds;
using testing::FakeLangSmith;
using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds kPatience{60};

struct Settings {
  std::uint64_t kills = 200;
  std::uint64_t check_every = 50;
  std::uint64_t seed = std::random_device{}();
  fs::path data;
};

// --- Who sends what where ----------------------------------------------------------------------

struct Addresses {
  std::string grpc, http, otlp_http;
};

/// What the writers share: where the collector is, and what it acknowledged since the last check.
class Ledger {
 public:
  void Announce(const CollectorProcess& collector) {
    std::lock_guard lock(mutex_);
    const auto without_scheme = [](const std::string& url) { return url.substr(7); };
    addresses_ = {collector.grpc(), without_scheme(collector.http()),
                  without_scheme(collector.otlp_http())};
    ++generation_;
    changed_.notify_all();
  }
  // Waits for a collector other than that of `generation`; nothing: it is over.
  std::optional<Addresses> Next(int& generation) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return over_ || generation_ != generation; });
    generation = generation_;
    return over_ ? std::nullopt : std::optional(addresses_);
  }
  std::uint64_t NewNumber() { return next_number_++; }
  std::uint64_t numbers() const { return next_number_; }

  void Acknowledge(const Batch& batch, bool spans) {
    std::lock_guard lock(mutex_);
    acknowledged_.emplace(batch.number(), spans);
    changed_.notify_all();
  }
  // True: that many more came.
  bool WaitForMore(std::size_t count, milliseconds timeout) {
    std::unique_lock lock(mutex_);
    const std::size_t wanted = acknowledged_.size() + count;
    return changed_.wait_for(lock, timeout, [&] { return acknowledged_.size() >= wanted; });
  }
  std::map<std::uint64_t, bool> Take() {
    std::lock_guard lock(mutex_);
    return std::exchange(acknowledged_, {});
  }
  // What should not be happens in a thread that cannot say so otherwise.
  void Complain(std::string text) {
    std::lock_guard lock(mutex_);
    if (complaint_.empty()) complaint_ = std::move(text);
  }
  std::string complaint() {
    std::lock_guard lock(mutex_);
    return complaint_;
  }
  void End() {
    std::lock_guard lock(mutex_);
    over_ = true;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  Addresses addresses_;
  int generation_ = 0;
  bool over_ = false;
  std::string complaint_;
  std::atomic<std::uint64_t> next_number_{1};
  std::map<std::uint64_t, bool> acknowledged_;  ///< Number, and whether it was sent as spans.
};

std::string Zstd(const std::string& text) {
  std::string packed(ZSTD_compressBound(text.size()), '\0');
  packed.resize(ZSTD_compress(packed.data(), packed.size(), text.data(), text.size(), 1));
  return packed;
}

// Posts until the connection breaks.
void PostAll(Ledger& ledger, const std::string& address, bool spans, int accepted,
             const std::function<std::string(const Batch&)>& request) {
  HttpClient client(address);
  while (client.connected()) {
    const Batch batch(ledger.NewNumber(), spans);
    if (!client.Send(request(batch))) return;
    const int status = client.Read().status;
    if (status == 0) return;
    if (status == accepted) {
      ledger.Acknowledge(batch, spans);
    } else if (status != 503) {
      return ledger.Complain("a batch was answered with " + std::to_string(status));
    }
  }
}

void SendMultipart(Ledger& ledger, const Addresses& to) {
  PostAll(ledger, to.http, false, 202, [](const Batch& batch) {
    return RequestText("POST", "/runs/multipart",
                       {{"x-api-key", batch.Key()},
                        {"Content-Type", "multipart/form-data; boundary=B"},
                        {"Content-Encoding", "zstd"}},
                       Zstd(batch.Multipart()));
  });
}

void SendJson(Ledger& ledger, const Addresses& to) {
  PostAll(ledger, to.http, false, 202, [](const Batch& batch) {
    return RequestText("POST", "/runs/batch",
                       {{"x-api-key", batch.Key()}, {"Content-Type", "application/json"}},
                       batch.Json());
  });
}

void SendOtlpHttp(Ledger& ledger, const Addresses& to) {
  PostAll(ledger, to.otlp_http, true, 200, [](const Batch& batch) {
    return RequestText("POST", "/v1/traces",
                       {{"x-api-key", batch.Key()}, {"Content-Type", "application/x-protobuf"}},
                       batch.Spans().SerializeAsString());
  });
}

void SendOtlpGrpc(Ledger& ledger, const Addresses& to) {
  const auto stub =
      otlp::TraceService::NewStub(grpc::CreateChannel(to.grpc, grpc::InsecureChannelCredentials()));
  for (;;) {
    const Batch batch(ledger.NewNumber(), true);
    grpc::ClientContext context;
    context.AddMetadata("x-api-key", batch.Key());
    otlp::ExportTraceServiceResponse response;
    const grpc::Status status = stub->Export(&context, batch.Spans(), &response);
    // Both are tried again by OpenTelemetry's senders.
    if (status.error_code() == grpc::StatusCode::UNAVAILABLE ||
        status.error_code() == grpc::StatusCode::CANCELLED) {
      return;
    }
    if (!status.ok() || response.partial_success().rejected_spans() != 0) {
      return ledger.Complain("spans were answered with " + status.error_message() +
                             response.ShortDebugString());
    }
    ledger.Acknowledge(batch, true);
  }
}

// A stream has one key: that of the numbers it takes.
void SendStream(Ledger& ledger, const Addresses& to) {
  const auto stub = v1::CollectorService::NewStub(
      grpc::CreateChannel(to.grpc, grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  context.AddMetadata("x-api-key", Batch(0, false).Key());
  const auto stream = stub->ExportStream(&context);
  constexpr std::size_t kWindow = 8;
  std::set<std::uint64_t> unanswered;
  for (bool alive = true; alive;) {
    std::uint64_t number = ledger.NewNumber();
    while (number % 3 != 0) number = ledger.NewNumber();
    v1::ExportStreamRequest request;
    request.set_batch_id(number);
    if (number % 2 == 0) {
      *request.mutable_batch() = Batch(number, false).Operations();
    } else {
      request.set_zstd_batch(Zstd(Batch(number, false).Operations().SerializeAsString()));
    }
    alive = stream->Write(request);
    if (alive) unanswered.insert(number);
    v1::ExportStreamResponse response;
    while (alive && unanswered.size() >= kWindow) {
      alive = stream->Read(&response);
      if (!alive || unanswered.erase(response.batch_id()) == 0) continue;
      if (response.result().code() == grpc::StatusCode::UNAVAILABLE) continue;
      if (response.result().code() != 0 || response.result().rejected_size() != 0) {
        ledger.Complain("a batch was answered with " + response.result().ShortDebugString());
        continue;
      }
      ledger.Acknowledge(Batch(response.batch_id(), false), false);
    }
  }
  context.TryCancel();
  stream->Finish();
}

using Send = void (*)(Ledger&, const Addresses&);
constexpr std::array<Send, 5> kSenders = {SendMultipart, SendJson, SendStream, SendOtlpHttp,
                                          SendOtlpGrpc};

// --- The check ---------------------------------------------------------------------------------

struct Problem {
  std::string text;
};

[[noreturn]] void Fail(const std::string& text) { throw Problem{text}; }

void ExpectTexts(const Batch& batch, std::uint64_t run, std::string_view content,
                 const std::string& where) {
  for (const std::string& text : {batch.InputText(run), batch.OutputText(run)}) {
    if (content.find(text) == std::string_view::npos) {
      Fail("batch " + std::to_string(batch.number()) + ", run " + batch.Id(run).ToString() +
           ": its bytes are not " + where + "; there is: " + std::string(content.substr(0, 2000)));
    }
  }
}

void CheckReadable(HttpClient& client, const Batch& batch) {
  client.Send(RequestText("POST", "/runs/query", {{"Content-Type", "application/json"}},
                          R"({"trace":")" + batch.trace_id().ToString() + "\"}"));
  const collector::HttpResponse answer = client.Read();
  if (answer.status != 200) Fail("/runs/query answered " + std::to_string(answer.status));
  std::map<std::string, std::string> runs;
  const boost::json::value parsed = boost::json::parse(answer.body);
  for (const auto& run : parsed.at("runs").as_array()) {
    runs[run.at("id").as_string().c_str()] = boost::json::serialize(run);
  }
  for (std::uint64_t run = 0; run < Batch::kRuns; ++run) {
    ExpectTexts(batch, run, runs[batch.Id(run).ToString()], "in what is read");
  }
}

// All that arrived about each run, and that it came with its own key.
std::map<std::string, std::string> Arrived(const FakeLangSmith& langsmith, const Ledger& ledger) {
  std::map<std::string, std::string> arrived;
  for (const FakeLangSmith::Request& request : langsmith.Requests()) {
    if (request.status / 100 != 2) continue;
    for (const FakeLangSmith::Part& part : request.parts) {
      const std::size_t dot = part.name.find('.');
      const std::string id = part.name.substr(dot + 1, 36);
      const auto named = Batch::Parse(id);
      if (!named || named->first >= ledger.numbers() || named->second >= Batch::kRuns) {
        Fail("LangSmith was sent a run that nobody sent: " + part.name);
      }
      if (request.Header("x-api-key") != Batch(named->first, false).Key()) {
        Fail("run " + id + " was forwarded with the key " + request.Header("x-api-key"));
      }
      arrived[id] += part.content;
    }
  }
  return arrived;
}

bool IsSettled(const std::string& metrics) {
  return metrics.find("weft_dest_lag_runs{") != std::string::npos &&
         e2e::Metric(metrics, "weft_dest_lag_runs") == 0 &&
         e2e::Metric(metrics, "weft_store_lag_records") == 0;
}

void CheckCounts(const std::string& metrics) {
  using e2e::Metric;
  const double received = Metric(metrics, "weft_received_runs_total");
  const double accounted = Metric(metrics, "weft_logged_runs_total") +
                           Metric(metrics, "weft_refused_runs_total") +
                           Metric(metrics, "weft_parked_runs_total");
  if (received != accounted) Fail("received runs are not logged, refused or parked");
  const double logged = Metric(metrics, "weft_dest_logged_runs_total");
  const double sent = Metric(metrics, "weft_dest_sent_runs_total");
  if (Metric(metrics, "weft_dest_parked_runs") != 0) Fail("runs were parked");
  if (logged != sent) Fail("logged runs were not sent");
  if (Metric(metrics, "weft_log_quarantined_bytes") != 0) Fail("bytes of the log were damaged");
}

// --- The loop ----------------------------------------------------------------------------------

class KillLoop {
 public:
  explicit KillLoop(const Settings& settings)
      : settings_(settings), random_(settings.seed), langsmith_(FakeLangSmith::Start()) {}

  void Run() {
    std::vector<std::thread> writers;
    for (const Send send : kSenders) {
      writers.emplace_back([this, send] {
        for (int generation = 0; const auto addresses = ledger_.Next(generation);) {
          send(ledger_, *addresses);
        }
      });
    }
    std::optional<Problem> problem;
    try {
      for (std::uint64_t kill = 1; kill <= settings_.kills; ++kill) {
        KillOnce();
        if (kill % settings_.check_every == 0 || kill == settings_.kills) Check(kill);
      }
    } catch (const Problem& found) {
      problem = found;
    }
    ledger_.End();
    for (std::thread& writer : writers) writer.join();
    if (problem) throw *problem;
  }

 private:
  std::vector<std::string> Arguments() const {
    return {"--forward", "langsmith=" + langsmith_->url()};
  }
  static std::map<std::string, std::string> Environment() {
    return {{"WEFT_LOG_SEGMENT_SIZE", "1MiB"}, {"WEFT_LOG_RETENTION_SIZE", "256MiB"}};
  }
  std::uint64_t Random(std::uint64_t limit) { return random_() % limit; }

  // At times before it listens, else after some answers or some time, whichever is first; at times
  // while its destination is in trouble, and at times by SIGTERM.
  void KillOnce() {
    if (Random(8) == 0) {
      std::vector<std::string> arguments = {"collect", "--data", settings_.data.string()};
      for (const char* listen : {"--listen-grpc", "--listen-http", "--listen-otlp-http"}) {
        arguments.insert(arguments.end(), {listen, "127.0.0.1:0"});
      }
      const std::vector<std::string> more = Arguments();
      arguments.insert(arguments.end(), more.begin(), more.end());
      const e2e::WeftProcess starting(arguments, Environment());
      ledger_.WaitForMore(1, milliseconds(Random(60)));
      return;  // its end kills it
    }
    if (Random(8) == 0) {
      FakeLangSmith::Reply unavailable, reset;
      unavailable.status = 503;
      reset.reset = true;
      langsmith_->Script({reset, unavailable, reset});
    }
    const auto collector = Start();
    ledger_.Announce(*collector);
    ledger_.WaitForMore(Random(60), milliseconds(5 + Random(100)));
    if (Random(16) > 0) return collector->Kill();
    const std::optional<int> status = collector->Stop();
    if (status != 0) Fail("it does not stop cleanly: " + collector->process().Errors());
  }

  std::unique_ptr<CollectorProcess> Start() {
    const auto begin = Clock::now();
    auto collector = std::make_unique<CollectorProcess>(settings_.data, Arguments(), Environment());
    if (!collector->listening()) Fail("it does not start: " + collector->process().Errors());
    const std::chrono::duration<double, std::milli> took = Clock::now() - begin;
    starts_.push_back(took.count());
    return collector;
  }

  // With nobody sending: waits until everything is forwarded, and looks at all of it.
  void Check(std::uint64_t kill) {
    // The trouble is over: what collectors that were killed have left of it may take minutes.
    langsmith_->SetHandler([](const auto&) { return FakeLangSmith::Reply(); });
    const auto collector = Start();
    const auto deadline = Clock::now() + kPatience;
    std::string metrics;
    while (!IsSettled(metrics)) {
      if (Clock::now() > deadline) Fail("not settled in a minute:\n" + metrics);
      metrics = e2e::Http("GET", collector->http() + "/metrics").body;
    }
    CheckCounts(metrics);
    if (!ledger_.complaint().empty()) Fail(ledger_.complaint());
    const std::map<std::uint64_t, bool> acknowledged = ledger_.Take();
    std::map<std::string, std::string> arrived = Arrived(*langsmith_, ledger_);
    HttpClient client(collector->http().substr(7));
    for (const auto& [number, spans] : acknowledged) {
      const Batch batch(number, spans);
      CheckReadable(client, batch);
      for (std::uint64_t run = 0; run < Batch::kRuns; ++run) {
        ExpectTexts(batch, run, arrived[batch.Id(run).ToString()], "in what was forwarded");
      }
    }
    collector->Kill();
    const int port = langsmith_->port();
    langsmith_.reset();
    langsmith_ = FakeLangSmith::Start(port);
    if (!langsmith_) Fail("the port of the fake LangSmith is gone");
    runs_ += acknowledged.size() * Batch::kRuns;
    std::sort(starts_.begin(), starts_.end());
    std::printf(
        "%llu of %llu kills: %llu runs acknowledged, none lost; starts %.0f ms, at most %.0f\n",
        static_cast<unsigned long long>(kill), static_cast<unsigned long long>(settings_.kills),
        static_cast<unsigned long long>(runs_), starts_[starts_.size() / 2], starts_.back());
    std::fflush(stdout);
    if (acknowledged.empty()) Fail("nothing was acknowledged");
  }

  const Settings settings_;
  std::mt19937_64 random_;
  std::unique_ptr<FakeLangSmith> langsmith_;
  Ledger ledger_;
  std::vector<double> starts_;  ///< Milliseconds until it listened.
  std::uint64_t runs_ = 0;
};

constexpr char kHelp[] = R"(Usage: kill_loop [OPTION...]

Kills a collector again and again while clients send over every receiver, and
checks that all it acknowledged can be read and was forwarded, unaltered.

  --kills N        how often (200)
  --check-every N  kills between two checks (50)
  --seed N         of the moments of the kills; printed (random)
  --data DIR       the collector's data, kept when a check fails (a new folder)
)";

std::optional<Settings> Parse(int argc, char** argv) {
  Settings settings;
  for (int i = 1; i < argc; ++i) {
    const std::string option = argv[i];
    if (option == "--help") {
      std::cout << kHelp;
      std::exit(0);
    }
    if (i + 1 == argc) return std::nullopt;
    const std::string value = argv[++i];
    const auto number = [&value] { return std::strtoull(value.c_str(), nullptr, 10); };
    if (option == "--data") {
      settings.data = value;
    } else if (option == "--seed") {
      settings.seed = number();
    } else if (option == "--kills" && number() > 0) {
      settings.kills = number();
    } else if (option == "--check-every" && number() > 0) {
      settings.check_every = number();
    } else {
      return std::nullopt;
    }
  }
  return settings;
}

int Main(int argc, char** argv) {
  std::optional<Settings> settings = Parse(argc, argv);
  if (!settings) {
    std::cerr << "kill_loop: wrong use\n\n" << kHelp;
    return 2;
  }
  if (settings->data.empty()) {
    std::string path = fs::temp_directory_path() / "weft-kill-loop-XXXXXX";
    if (::mkdtemp(path.data()) == nullptr) return 1;
    settings->data = path;
  }
  std::cout << "seed " << settings->seed << std::endl;
  try {
    KillLoop(*settings).Run();
  } catch (const Problem& problem) {
    std::cerr << "FAILED (seed " << settings->seed << ", data in " << settings->data.string()
              << "): " << problem.text << "\n";
    return 1;
  }
  fs::remove_all(settings->data);
  return 0;
}

}  // namespace
}  // namespace weft::stress

int main(int argc, char** argv) { return weft::stress::Main(argc, argv); }
