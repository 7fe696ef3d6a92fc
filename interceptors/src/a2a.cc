// SPDX-License-Identifier: Apache-2.0
#include <weft/interceptors/a2a.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

namespace weft {
inline namespace v0 {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

constexpr auto kServices =
    std::to_array<std::string_view>({"a2a.v1.A2AService", "lf.a2a.v1.A2AService"});

constexpr std::size_t kLongestId = 512;  // of what a peer may have us hand down

bool IsA2a(const MethodDescription& method) noexcept {
  return std::ranges::find(kServices, method.service) != kServices.end();
}

// What an agent works on, rather than a question about it. The last is the name in version 0.3.
bool IsWork(const MethodDescription& method) noexcept {
  constexpr auto kWork = std::to_array<std::string_view>(
      {"SendMessage", "SendStreamingMessage", "SubscribeToTask", "TaskSubscription"});
  return std::ranges::find(kWork, method.method) != kWork.end();
}

std::string TextOf(const Message& message, const char* name) {
  const FieldDescriptor* const field = message.GetDescriptor()->FindFieldByName(name);
  if (field == nullptr || field->is_repeated() || field->type() != FieldDescriptor::TYPE_STRING) {
    return {};
  }
  return message.GetReflection()->GetString(message, field);
}

const Message* PartOf(const Message& message, const FieldDescriptor* field) {
  if (field == nullptr || field->is_repeated() ||
      field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE ||
      !message.GetReflection()->HasField(message, field)) {
    return nullptr;
  }
  return &message.GetReflection()->GetMessage(message, field);
}

/// Collects what the messages of both versions say: they use the same names for the same things,
/// with different numbers and in different wrappers.
class Reader {
 public:
  explicit Reader(bool is_request) noexcept : is_request_(is_request) {}

  void Read(const Message& message) {
    const std::string_view type = message.GetDescriptor()->name();
    Put(facts_.handed_down, "thread_id", TextOf(message, "context_id"));
    Put(facts_.metadata, "a2a.task_id", TaskIdOf(message, type));
    if (is_request_) Put(facts_.metadata, "a2a.message_id", TextOf(message, "message_id"));
    ReadState(message);
    // Requests and replies wrap what they are about.
    for (int i = 0; i < message.GetDescriptor()->field_count(); ++i) {
      const Message* const part = PartOf(message, message.GetDescriptor()->field(i));
      if (part != nullptr && IsAboutTask(part->GetDescriptor()->name())) Read(*part);
    }
  }

  MessageFacts Take() noexcept { return std::move(facts_); }

 private:
  static bool IsAboutTask(std::string_view type) noexcept {
    constexpr auto kTypes = std::to_array<std::string_view>(
        {"Message", "Task", "TaskStatusUpdateEvent", "TaskArtifactUpdateEvent"});
    return std::ranges::find(kTypes, type) != kTypes.end();
  }

  // `task_id`, the `id` of a task or of a request for one, or a resource's name: `tasks/ID/...`.
  static std::string TaskIdOf(const Message& message, std::string_view type) {
    if (std::string id = TextOf(message, "task_id"); !id.empty()) return id;
    constexpr auto kWithId = std::to_array<std::string_view>(
        {"Task", "GetTaskRequest", "CancelTaskRequest", "SubscribeToTaskRequest"});
    if (std::ranges::find(kWithId, type) != kWithId.end()) {
      if (std::string id = TextOf(message, "id"); !id.empty()) return id;
    }
    constexpr std::string_view kPrefix = "tasks/";
    for (const char* field : {"name", "parent"}) {
      const std::string name = TextOf(message, field);
      if (!name.starts_with(kPrefix)) continue;
      return name.substr(kPrefix.size(), name.find('/', kPrefix.size()) - kPrefix.size());
    }
    return {};
  }

  void ReadState(const Message& message) {
    const Message* const status =
        PartOf(message, message.GetDescriptor()->FindFieldByName("status"));
    if (status == nullptr) return;
    const FieldDescriptor* const state = status->GetDescriptor()->FindFieldByName("state");
    if (state == nullptr || state->type() != FieldDescriptor::TYPE_ENUM || state->is_repeated()) {
      return;
    }
    Put(facts_.metadata, "a2a.task_state",
        status->GetReflection()->GetEnum(*status, state)->name());
  }

  // The outermost message says it first.
  static void Put(JsonObject& facts, std::string_view key, const std::string& value) {
    if (!value.empty() && value.size() <= kLongestId) facts.emplace(key, value);
  }

  const bool is_request_;
  MessageFacts facts_;
};

MessageReader ReaderFor(CallSide side) {
  const auto request =
      side == CallSide::kClient ? MessageView::Direction::kSent : MessageView::Direction::kReceived;
  return [request](const MessageView& view) -> MessageFacts {
    const Message* const message = view.message();
    if (message == nullptr) return {};
    Reader reader(view.direction == request);
    reader.Read(*message);
    return reader.Take();
  };
}

}  // namespace

TracingOptions A2aTracing(TracingOptions options) {
  const TracingOptions other = options;
  options.run_type = [other](const MethodDescription& method) {
    if (IsA2a(method)) return IsWork(method) ? RunType::kChain : RunType::kTool;
    if (other.run_type) return other.run_type(method);
    if (method.side == CallSide::kServer) return other.server_run_type;
    return method.kind == RpcKind::kUnary ? other.client_run_type : other.client_stream_run_type;
  };
  options.run_name = [name = other.run_name](const MethodDescription& method) {
    if (IsA2a(method)) return std::string("A2A ").append(method.method);
    return name ? name(method) : std::string();
  };
  options.message_reader = [reader = other.message_reader](const MethodDescription& method) {
    if (IsA2a(method)) return ReaderFor(method.side);
    return reader ? reader(method) : MessageReader();
  };
  return options;
}

Selector A2aCalls() { return AnyOf({"/a2a.v1.A2AService/*", "/lf.a2a.v1.A2AService/*"}); }

}  // namespace v0
}  // namespace weft
