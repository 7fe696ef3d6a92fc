// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <memory>
#include <mutex>
#include <string>

#include <google/protobuf/descriptor.h>

#include <weft/context/context.h>
#include <weft/interceptors/middleware.h>
#include <weft/interceptors/per_message.h>
#include <weft/tracing/json.h>
#include <weft/tracing/run.h>
#include <weft/tracing/tracer.h>

namespace weft {
inline namespace v0 {
namespace internal {

bool RunsPerMessage(const std::optional<PerMessage>& options,
                    const MethodDescription& method) noexcept;

/// What the message runs of a method have in common.
struct MethodMessageRuns {
  /// Null: its messages have no runs.
  static std::shared_ptr<const MethodMessageRuns> Of(const std::optional<PerMessage>& options,
                                                     const MethodDescription& method,
                                                     const std::string& run_name);

  struct Way {
    bool is_stream = false;
    const google::protobuf::FieldDescriptor* field = nullptr;  // null: none
    std::shared_ptr<const RunTemplate> kind;
  };
  std::array<Way, 2> ways;  // by direction
};

/// The runs of the messages of one call.
///
/// Threads: any; a hook for sent messages runs on the sender's stack.
class MessageRuns {
 public:
  using Time = std::chrono::system_clock::time_point;

  /// `call`: what the call was made in, or is handled in; `stream`: its run.
  MessageRuns(std::shared_ptr<const MethodMessageRuns> method, Context call, RunContext stream,
              std::shared_ptr<Tracer> tracer) noexcept;
  ~MessageRuns();

  void Add(const MessageView& message, Time time) noexcept;
  /// Something that the stream's run is linked to besides.
  void AddLink(const RunContext& foreign);
  /// Ends the run of the last message. Returns `weft_links` of the stream's run, or nothing.
  JsonObject End(Time time) noexcept;

  /// `base` with the run of the message that was last received, if it is `message` (null: any).
  Context ContextOfLast(const Context& base, const void* message) const noexcept;

 private:
  void Sent(const MessageView& message, Time time);
  void Received(const MessageView& message, Time time);
  RunContext SenderRun() const noexcept;
  Run Begin(const MessageView& message, RunContext carried, RunContext otherwise, Time time);
  RunContext CarriedBy(const MessageView& message) const;

  const std::shared_ptr<const MethodMessageRuns> method_;
  const Context call_;
  const RunContext stream_;
  const std::shared_ptr<Tracer> tracer_;
  mutable std::mutex mutex_;
  Run last_;                            // of the message last received
  const void* last_message_ = nullptr;  // the object that it was received into
  RunContext last_carried_;             // by that message; may be empty
  JsonArray links_;
};

/// In the context of a call whose messages have runs.
inline constexpr ContextKey<std::shared_ptr<MessageRuns>> kMessageRunsKey;

}  // namespace internal
}  // namespace v0
}  // namespace weft
