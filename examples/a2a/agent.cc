// SPDX-License-Identifier: Apache-2.0
#include "agent.h"

#include <string_view>

#include <weft/tracing/run.h>

namespace a2a_example {
namespace {

namespace proto = a2a::v1;

constexpr std::string_view kTasks = "tasks/";

std::string TextOf(const proto::Message& message) {
  std::string text;
  for (const proto::Part& part : message.content()) text += part.text();
  return text;
}

// What an agent would ask a model for. The first message of a conversation does not name it yet, so
// the run does.
proto::Artifact WriteOutline(const proto::Task& task, const std::string& subject) {
  weft::Run run("write_outline", {.run_type = weft::RunType::kLlm,
                                  .inputs = {{"subject", subject}},
                                  .metadata = {{"thread_id", task.context_id()}}});
  proto::Artifact outline;
  outline.set_artifact_id("outline");
  outline.set_name("Outline");
  for (const std::string_view question : {"Why", "How", "How to know that it works:"}) {
    outline.add_parts()->set_text(std::string(question) + " " + subject);
  }
  run.SetOutputs({{"lines", outline.parts_size()}});
  return outline;
}

proto::StreamResponse UpdateOf(const proto::Task& task, bool final) {
  proto::StreamResponse response;
  proto::TaskStatusUpdateEvent& update = *response.mutable_status_update();
  update.set_task_id(task.id());
  update.set_context_id(task.context_id());
  *update.mutable_status() = task.status();
  update.set_final(final);
  return response;
}

}  // namespace

proto::Task Agent::NewTask(const proto::Message& message) {
  const std::lock_guard lock(mutex_);
  proto::Task task;
  task.set_id("task-" + std::to_string(tasks_.size() + 1));
  task.set_context_id(message.context_id().empty()
                          ? "conversation-" + std::to_string(++conversations_)
                          : message.context_id());
  task.mutable_status()->set_state(proto::TASK_STATE_SUBMITTED);
  tasks_[task.id()] = task;
  return task;
}

void Agent::Keep(const proto::Task& task) {
  const std::lock_guard lock(mutex_);
  tasks_[task.id()] = task;
}

grpc::Status Agent::SendMessage(grpc::ServerContext* /*context*/,
                                const proto::SendMessageRequest* request,
                                proto::SendMessageResponse* response) {
  proto::Task task = NewTask(request->request());
  *task.add_artifacts() = WriteOutline(task, TextOf(request->request()));
  task.mutable_status()->set_state(proto::TASK_STATE_COMPLETED);
  Keep(task);
  *response->mutable_task() = task;
  return grpc::Status::OK;
}

grpc::Status Agent::SendStreamingMessage(grpc::ServerContext* /*context*/,
                                         const proto::SendMessageRequest* request,
                                         grpc::ServerWriter<proto::StreamResponse>* writer) {
  proto::Task task = NewTask(request->request());
  proto::StreamResponse response;
  *response.mutable_task() = task;
  writer->Write(response);
  task.mutable_status()->set_state(proto::TASK_STATE_WORKING);
  writer->Write(UpdateOf(task, /*final=*/false));

  *task.add_artifacts() = WriteOutline(task, TextOf(request->request()));
  proto::TaskArtifactUpdateEvent& made = *response.mutable_artifact_update();
  made.set_task_id(task.id());
  made.set_context_id(task.context_id());
  *made.mutable_artifact() = task.artifacts(0);
  made.set_last_chunk(true);
  writer->Write(response);

  task.mutable_status()->set_state(proto::TASK_STATE_COMPLETED);
  Keep(task);
  writer->Write(UpdateOf(task, /*final=*/true));
  return grpc::Status::OK;
}

grpc::Status Agent::GetTask(grpc::ServerContext* /*context*/, const proto::GetTaskRequest* request,
                            proto::Task* task) {
  const std::lock_guard lock(mutex_);
  const std::string& name = request->name();
  const auto found =
      name.starts_with(kTasks) ? tasks_.find(name.substr(kTasks.size())) : tasks_.end();
  if (found == tasks_.end()) return {grpc::StatusCode::NOT_FOUND, "no task is called " + name};
  *task = found->second;
  return grpc::Status::OK;
}

}  // namespace a2a_example
