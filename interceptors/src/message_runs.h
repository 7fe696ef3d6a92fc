// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
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
    bool envelope = false;                                     // in its place
    std::shared_ptr<const RunTemplate> kind;
  };
  CallSide side = CallSide::kClient;
  std::array<Way, 2> ways;  // by direction
  /// Whether the server that a client called last takes envelopes: else the first messages of a
  /// stream, which do not wait for its answer, would have none.
  mutable std::atomic<bool> server_takes_envelopes{false};
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

  /// Before the first message: the peer is told nothing, and not believed.
  void KeepToThisSide() noexcept { is_alone_ = true; }

  void Add(const MessageView& message, Time time) noexcept;
  bool takes_envelopes() const noexcept {
    return !is_alone_ && (method_->ways[0].envelope || method_->ways[1].envelope);
  }
  bool peer_takes_envelopes() const noexcept {
    return peer_takes_envelopes_.load(std::memory_order_relaxed);
  }
  void SetPeerTakesEnvelopes(bool takes) noexcept;

  /// Something that the stream's run is linked to besides.
  void AddLink(const RunContext& foreign);
  /// Ends the run of the last message. Returns `weft_links` of the stream's run, or nothing.
  JsonObject End(Time time) noexcept;

  /// `base` with the run of the message that was last received, if it is `message` (null: any).
  Context ContextOfLast(const Context& base, const void* message) const noexcept;

 private:
  const MethodMessageRuns::Way& WayOf(const MessageView& message) const noexcept {
    return method_->ways[static_cast<std::size_t>(message.direction)];
  }
  void Sent(const MessageView& message, Time time);
  void Received(const MessageView& message, Time time);
  RunContext SenderRun() const noexcept;
  Run Begin(const MessageView& message, RunContext carried, RunContext otherwise, Time time);
  RunContext CarriedBy(const MessageView& message) const;

  const std::shared_ptr<const MethodMessageRuns> method_;
  const Context call_;
  const RunContext stream_;
  const std::shared_ptr<Tracer> tracer_;
  bool is_alone_ = false;
  std::atomic<bool> peer_takes_envelopes_;
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
