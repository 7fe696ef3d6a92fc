// SPDX-License-Identifier: Apache-2.0
#include "client.h"

#include <iostream>
#include <string>

#include <grpcpp/client_context.h>

#include "a2a.grpc.pb.h"

namespace a2a_example {
namespace {

namespace proto = a2a::v1;

proto::SendMessageRequest RequestOf(const std::string& id, const std::string& conversation,
                                    const std::string& text) {
  proto::SendMessageRequest request;
  proto::Message& message = *request.mutable_request();
  message.set_message_id(id);
  message.set_context_id(conversation);
  message.set_role(proto::ROLE_USER);
  message.add_content()->set_text(text);
  return request;
}

void Print(const proto::Artifact& artifact) {
  std::cout << artifact.name() << ":\n";
  for (const proto::Part& part : artifact.parts()) std::cout << "  " << part.text() << "\n";
}

void Print(const std::string& task, const proto::TaskStatus& status) {
  std::cout << task << ": " << proto::TaskState_Name(status.state()) << "\n";
}

void Print(const proto::Task& task) {
  Print(task.id(), task.status());
  for (const proto::Artifact& artifact : task.artifacts()) Print(artifact);
}

grpc::Status Ask(proto::A2AService::Stub& agent, proto::Task* task) {
  grpc::ClientContext context;
  proto::SendMessageResponse response;
  const grpc::Status status =
      agent.SendMessage(&context, RequestOf("message-1", "", "we test backups"), &response);
  Print(*task = response.task());
  return status;
}

// In the conversation that the agent opened with its first reply.
grpc::Status AskAndListen(proto::A2AService::Stub& agent, const std::string& conversation) {
  grpc::ClientContext context;
  const auto updates = agent.SendStreamingMessage(
      &context, RequestOf("message-2", conversation, "we restore one each month"));
  proto::StreamResponse update;
  while (updates->Read(&update)) {
    if (update.has_task()) Print(update.task());
    if (update.has_status_update()) {
      Print(update.status_update().task_id(), update.status_update().status());
    }
    if (update.has_artifact_update()) Print(update.artifact_update().artifact());
  }
  return updates->Finish();
}

grpc::Status LookAgain(proto::A2AService::Stub& agent, const std::string& id) {
  grpc::ClientContext context;
  proto::GetTaskRequest request;
  request.set_name("tasks/" + id);
  proto::Task task;
  const grpc::Status status = agent.GetTask(&context, request, &task);
  Print(task.id(), task.status());
  return status;
}

}  // namespace

grpc::Status Converse(const std::shared_ptr<grpc::Channel>& channel) {
  const auto agent = proto::A2AService::NewStub(channel);
  proto::Task first;
  grpc::Status status = Ask(*agent, &first);
  if (status.ok()) status = AskAndListen(*agent, first.context_id());
  if (status.ok()) status = LookAgain(*agent, first.id());
  return status;
}

}  // namespace a2a_example
