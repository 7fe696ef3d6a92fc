// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include <google/protobuf/dynamic_message.h>
#include <grpcpp/support/byte_buffer.h>

#include <weft/interceptors/capture.h>
#include <weft/interceptors/middleware.h>
#include <weft/tracing/run_record.h>

namespace weft {
inline namespace v0 {
namespace internal {

bool Captures(const Capture& capture, const MethodDescription& method) noexcept;

/// How the messages of a method are kept and read.
class MethodCapture {
 public:
  /// Null: the method's messages are not captured.
  static std::shared_ptr<const MethodCapture> Of(const Capture& capture,
                                                 const MethodDescription& method);

  struct Way {
    bool is_request = false;
    bool is_stream = false;
    const google::protobuf::Message* prototype = nullptr;  // null: the type is not known
  };
  const Way& way(MessageView::Direction direction) const noexcept {
    return ways_[static_cast<std::size_t>(direction)];
  }
  std::size_t max_bytes() const noexcept { return max_bytes_; }
  std::size_t max_messages() const noexcept { return max_messages_; }
  std::size_t attach_bytes() const noexcept { return attach_bytes_; }

 private:
  const google::protobuf::Message* PrototypeOf(const google::protobuf::Descriptor* type);

  std::array<Way, 2> ways_;
  std::size_t max_bytes_ = 0;
  std::size_t max_messages_ = 0;
  std::size_t attach_bytes_ = 0;
  std::shared_ptr<const google::protobuf::DescriptorPool> descriptors_;
  google::protobuf::DynamicMessageFactory dynamic_;
};

/// The messages of one call, as bytes, until its run is sent.
///
/// Threads: any.
class CapturedCall final : public RunPayload {
 public:
  explicit CapturedCall(std::shared_ptr<const MethodCapture> method) noexcept
      : method_(std::move(method)) {}

  void Add(const MessageView& message, std::chrono::system_clock::time_point time) noexcept;

  void RenderInto(RunRecord& record, Hidden hidden) const override;
  void SendsOpen() const noexcept override;
  std::size_t size() const noexcept override;

 private:
  struct Message {
    grpc::ByteBuffer bytes;  // may be the beginning only
    std::size_t kept = 0;
    std::size_t size = 0;
    std::uint64_t index = 0;
    std::chrono::system_clock::time_point time;
    bool unknown = false;  // gRPC has it in a form that nobody knows
  };
  // What is kept of one direction: the first ones, then the last ones. Between them some were
  // omitted.
  struct Kept {
    std::vector<Message> first;
    std::deque<Message> last;
    std::size_t first_bytes = 0;
    std::size_t last_bytes = 0;
    bool first_is_full = false;
    std::uint64_t omitted = 0;
    std::uint64_t omitted_bytes = 0;
    std::chrono::system_clock::time_point omitted_until;
    std::uint64_t seen = 0;
    mutable std::uint64_t sent_open = 0;  // Of those; their attachments went with the open run.
  };

  static Message Take(const MessageView& view, std::size_t room);
  void Keep(Kept& kept, bool is_stream, const MessageView& view,
            std::chrono::system_clock::time_point time);
  void Omit(Kept& kept, const Message& message) const noexcept;
  Json ToJson(const Message& message, MessageView::Direction direction, const Kept& kept,
              RunRecord& record) const;
  Json ToJson(const Message& message, MessageView::Direction direction,
              std::vector<RunAttachment>& attachments) const;
  void RenderSingle(const Kept& kept, MessageView::Direction direction, RunRecord& record) const;
  void RenderStream(const Kept& kept, MessageView::Direction direction, RunRecord& record) const;

  const std::shared_ptr<const MethodCapture> method_;
  mutable std::mutex mutex_;
  std::array<Kept, 2> kept_;  // by direction
};

/// Those of the sent or received headers that `capture` names, as metadata of the run.
template <typename Map>
JsonObject CaptureHeaders(const Capture& capture, const Map& headers) {
  JsonObject metadata;
  for (const std::string& name : capture.headers) {
    const auto [first, last] =
        headers.equal_range(typename Map::key_type(name.data(), name.size()));
    std::string value;
    for (auto it = first; it != last; ++it) {
      if (it != first) value += ", ";
      value.append(it->second.data(), it->second.size());
    }
    if (first != last) metadata["rpc.grpc.request.metadata." + name] = value;
  }
  return metadata;
}

/// Without the headers that are never captured.
std::vector<std::string> WithoutSecrets(std::vector<std::string> headers);

}  // namespace internal
}  // namespace v0
}  // namespace weft
