// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <absl/status/status.h>
#include <grpcpp/server.h>

#include <weft/testing/in_memory_exporter.h>
#include <weft/tracing/tracer.h>

#include "planning.grpc.pb.h"

namespace planning {

/// What is around the planner of each example: a retriever and a critic for it to ask (synchronous
/// services, both on one free port of this machine), somebody who asks it, and the tracer.
class Example {
 public:
  Example();
  ~Example();

  /// Starts the peers, and makes the tracer: that of the environment when LANGSMITH_TRACING says
  /// `true`, else one that keeps the runs for Finish.
  absl::Status Start();

  std::shared_ptr<weft::Tracer> tracer() const { return tracer_; }
  /// The address of retriever and critic.
  const std::string& peers() const { return peers_; }
  /// Where the planner's server writes which port it got.
  int* port() { return &port_; }

  /// Asks the planner for a plan and prints it.
  absl::Status AskForPlan();
  /// The same in a conversation: a draft, and a better one after the first plan.
  absl::Status Discuss();

  /// The runs that were kept until now.
  std::vector<weft::RunRecord> runs() const { return runs_->Runs(); }

  /// Stops the peers, and prints the runs if they were kept. Before, the planner's server has
  /// finished all calls.
  void Finish();

 private:
  absl::Status MakeTracer();
  std::unique_ptr<Planner::Stub> ConnectToPlanner() const;

  const std::shared_ptr<weft::testing::InMemoryExporter> runs_;
  const std::unique_ptr<Retriever::Service> retriever_;
  const std::unique_ptr<Critic::Service> critic_;
  std::shared_ptr<weft::Tracer> tracer_;
  std::unique_ptr<grpc::Server> server_;
  std::string peers_;
  int port_ = 0;
};

/// What a planner makes of the answers.
Plan WritePlan(const Notes& notes, const Objections& objections);
Plan PlanFromNotes(const Notes& notes);
Plan PlanFromObjections(const Objections& objections);

/// Says what went wrong, if anything; the exit status for it.
int Exit(const absl::Status& status);

}  // namespace planning
