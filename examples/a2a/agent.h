// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <mutex>
#include <string>

#include <grpcpp/server_context.h>

#include "a2a.grpc.pb.h"

namespace a2a_example {

/// An agent that writes outlines. It knows the A2A protocol and nothing of traces but the one run
/// that it makes itself; conversations and tasks become part of the trace by A2aTracing.
class Agent final : public a2a::v1::A2AService::Service {
 public:
  grpc::Status SendMessage(grpc::ServerContext* context, const a2a::v1::SendMessageRequest* request,
                           a2a::v1::SendMessageResponse* response) override;
  grpc::Status SendStreamingMessage(grpc::ServerContext* context,
                                    const a2a::v1::SendMessageRequest* request,
                                    grpc::ServerWriter<a2a::v1::StreamResponse>* writer) override;
  grpc::Status GetTask(grpc::ServerContext* context, const a2a::v1::GetTaskRequest* request,
                       a2a::v1::Task* task) override;

 private:
  a2a::v1::Task NewTask(const a2a::v1::Message& message);
  void Keep(const a2a::v1::Task& task);

  std::mutex mutex_;
  std::map<std::string, a2a::v1::Task> tasks_;
  int conversations_ = 0;
};

}  // namespace a2a_example
