// SPDX-License-Identifier: Apache-2.0
#include "example.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <iostream>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

#include <grpcpp/client_context.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server_builder.h>

#include <weft/interceptors/create_channel.h>
#include <weft/interceptors/intercept_server.h>
#include <weft/tracing/run.h>

namespace planning {
namespace {

constexpr auto kLibrary = std::to_array<std::string_view>({
    "The guide for operators has a chapter on backups, last changed in spring.",
    "Backups are tested on the first Monday of a month by restoring one of them.",
    "Readers of the guide ask most often how long a restore takes.",
    "The release calendar is kept by the product team.",
});
constexpr auto kVague = std::to_array<std::string_view>({"better", "improve", "some", "soon"});
constexpr std::size_t kLongWord = 5;

constexpr std::string_view kDraft = "Improve the guide on backups soon";
constexpr std::string_view kBetterDraft = "Say in the guide how to test backups";

std::vector<std::string> Words(std::string_view text) {
  std::vector<std::string> words(1);
  for (const char c : text) {
    if (std::isalnum(static_cast<unsigned char>(c)) != 0) {
      words.back() += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    } else if (!words.back().empty()) {
      words.emplace_back();
    }
  }
  if (words.back().empty()) words.pop_back();
  return words;
}

/// Short words say little about what a text is about.
std::set<std::string> Topics(std::string_view text) {
  std::set<std::string> topics;
  for (std::string& word : Words(text)) {
    if (word.size() >= kLongWord) topics.insert(std::move(word));
  }
  return topics;
}

class RetrieverService final : public Retriever::Service {
  grpc::Status Find(grpc::ServerContext*, const Task* task, Notes* notes) override {
    weft::Run run("search",
                  {.run_type = weft::RunType::kRetriever, .inputs = {{"query", task->text()}}});
    const std::set<std::string> wanted = Topics(task->text());
    for (const std::string_view note : kLibrary) {
      const std::set<std::string> topics = Topics(note);
      const auto shared = std::count_if(topics.begin(), topics.end(),
                                        [&](const auto& topic) { return wanted.contains(topic); });
      if (shared > 0) notes->add_notes(std::string(note));
    }
    run.SetOutputs({{"found", notes->notes_size()}});
    return grpc::Status::OK;
  }
};

class CriticService final : public Critic::Service {
  grpc::Status Review(grpc::ServerContext*, const Task* task, Objections* objections) override {
    for (const std::string& word : Words(task->text())) {
      if (std::find(kVague.begin(), kVague.end(), word) != kVague.end()) {
        objections->add_objections('"' + word + "\" can mean anything");
      }
    }
    return grpc::Status::OK;
  }
};

std::string AddressOf(int port) { return "127.0.0.1:" + std::to_string(port); }

Task TaskOf(std::string_view text) {
  Task task;
  task.set_text(std::string(text));
  return task;
}

void Print(const Plan& plan) {
  int number = 0;
  for (const std::string& step : plan.steps()) std::cout << ++number << ". " << step << "\n";
  std::cout << "\n";
}

absl::Status ToAbsl(const grpc::Status& status) {
  return {static_cast<absl::StatusCode>(status.error_code()), status.error_message()};
}

}  // namespace

Example::Example()
    : runs_(std::make_shared<weft::testing::InMemoryExporter>()),
      retriever_(std::make_unique<RetrieverService>()),
      critic_(std::make_unique<CriticService>()) {}

Example::~Example() = default;

absl::Status Example::MakeTracer() {
  auto made = weft::Tracer::FromEnvironment();
  if (made.ok() && !(*made)->enabled()) made = weft::Tracer::Create({.exporters = {runs_}});
  if (made.ok()) tracer_ = *std::move(made);
  return made.status();
}

absl::Status Example::Start() {
  if (absl::Status status = MakeTracer(); !status.ok()) return status;
  int port = 0;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(retriever_.get());
  builder.RegisterService(critic_.get());
  if (absl::Status status = weft::InterceptServer(builder, {.tracer = tracer_}); !status.ok()) {
    return status;
  }
  server_ = builder.BuildAndStart();
  if (server_ == nullptr) return absl::UnavailableError("the peers could not start");
  peers_ = AddressOf(port);
  return absl::OkStatus();
}

void Example::Finish() {
  server_->Shutdown();
  server_->Wait();
  std::cout << runs_->Tree();
}

std::unique_ptr<Planner::Stub> Example::ConnectToPlanner() const {
  return Planner::NewStub(weft::CreateChannel(AddressOf(port_), grpc::InsecureChannelCredentials(),
                                              {.tracer = tracer_}));
}

absl::Status Example::AskForPlan() {
  const auto planner = ConnectToPlanner();
  grpc::ClientContext call;
  Plan plan;
  const grpc::Status status = planner->MakePlan(&call, TaskOf(kDraft), &plan);
  if (status.ok()) Print(plan);
  return ToAbsl(status);
}

absl::Status Example::Discuss() {
  const auto planner = ConnectToPlanner();
  grpc::ClientContext call;
  const auto discussion = planner->Discuss(&call);
  Plan plan;
  for (const std::string_view draft : {kDraft, kBetterDraft}) {
    if (!discussion->Write(TaskOf(draft)) || !discussion->Read(&plan)) break;
    std::cout << draft << ":\n";
    Print(plan);
  }
  discussion->WritesDone();
  return ToAbsl(discussion->Finish());
}

Plan WritePlan(const Notes& notes, const Objections& objections) {
  Plan plan;
  for (const std::string& objection : objections.objections()) {
    plan.add_steps("Say it clearly: " + objection + ".");
  }
  for (const std::string& note : notes.notes()) plan.add_steps("Take in: " + note);
  plan.add_steps("Write a draft and show it to a reader.");
  return plan;
}

Plan PlanFromNotes(const Notes& notes) { return WritePlan(notes, {}); }

Plan PlanFromObjections(const Objections& objections) { return WritePlan({}, objections); }

int Exit(const absl::Status& status) {
  if (status.ok()) return 0;
  std::cerr << status << "\n";
  return 1;
}

}  // namespace planning
