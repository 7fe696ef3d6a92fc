// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>

#include <grpcpp/server_context.h>

#include <weft/context/context.h>
#include <weft/interceptors/middleware.h>

#include "call_memory.h"
#include "chain.h"
#include "held_call.h"

namespace weft {
inline namespace v0 {
namespace internal {

/// The verdict against a call.
struct Rejection {
  Verdict verdict;
  std::string_view by;
  std::chrono::nanoseconds after;
};

/// A rejection that is set once, by whoever comes first: a stream's message may be rejected while
/// its status is sent.
class RejectionSlot {
 public:
  RejectionSlot() = default;
  RejectionSlot(const RejectionSlot&) = delete;
  RejectionSlot& operator=(const RejectionSlot&) = delete;
  ~RejectionSlot() { delete get(); }

  void Set(std::unique_ptr<const Rejection> rejection) noexcept {
    const Rejection* none = nullptr;
    if (value_.compare_exchange_strong(none, rejection.get(), std::memory_order_acq_rel)) {
      static_cast<void>(rejection.release());
    }
  }

  const Rejection* get() const noexcept { return value_.load(std::memory_order_acquire); }
  const Rejection* operator->() const noexcept { return get(); }
  friend bool operator==(const RejectionSlot& slot, std::nullptr_t) noexcept {
    return slot.get() == nullptr;
  }

 private:
  std::atomic<const Rejection*> value_{nullptr};
};

/// What both sides keep for one call. The states of the middlewares lie behind the interceptor that
/// holds it, in the same allocation.
struct CallData {
  enum Flag : std::uint32_t {
    kStarted = 1,
    kCancelled = 2,   // client: TryCancel; server: known to be cancelled
    kStatusSent = 4,  // server
    kPeerClosed = 8,  // server
    kEnded = 16,
    kHeld = 32,  // client: was held, and may be
  };

  CallData(MethodRef method_ref, std::byte* state_memory) noexcept
      : method(std::move(method_ref)), states(state_memory) {}
  CallData(const CallData&) = delete;
  CallData& operator=(const CallData&) = delete;
  ~CallData();

  /// Constructs the states and tells the middlewares; before it nothing else may be called.
  void Start() noexcept;
  void SendMetadata(MetadataWriter::Map& map) noexcept;
  /// All that a call needs for which NeedsOnlyHeaders; without Start.
  void SendOnlyHeaders(MetadataWriter::Map& map) noexcept;
  /// All that a call needs for which all middlewares say OnlyReceives; without Start.
  void ReceiveOnly(const MetadataView& view) noexcept;
  void SendTrailers(MetadataWriter::Map& map) noexcept;
  void ReceiveMetadata(const MetadataView& view) noexcept;
  /// A client's: asks each middleware whether the call may be sent, until one rejects it. False:
  /// one holds the call; to be called again once `hold` is decided.
  bool AdmitSending(MetadataWriter::Map& map) noexcept;
  /// A server's: asks each middleware, then shows it the metadata, until one rejects the call; then
  /// tells them all.
  void Admit(const MetadataView& view) noexcept;
  void ReceiveTrailers(const MetadataView& view) noexcept;
  /// A message that `batch` is about to send.
  void SendMessage(grpc::experimental::InterceptorBatchMethods& batch) noexcept;
  void ReceiveMessage(void* message) noexcept;
  /// `status` may change. On a server, on the stack that sends it.
  void Status(grpc::Status& status) noexcept;
  /// Ends the call unless it has ended; fills in the counts and the rejection.
  void End(CallReport report) noexcept;

  void Reject(Verdict verdict, const Middleware& by) noexcept;

  bool Is(std::uint32_t flag) const noexcept {
    return (flags.load(std::memory_order_acquire) & flag) != 0;
  }
  /// Returns the flags from before.
  std::uint32_t Set(std::uint32_t flag) noexcept {
    return flags.fetch_or(flag, std::memory_order_acq_rel);
  }
  bool WantsMessages() const noexcept { return method.info->messages != nullptr; }
  bool deadline_passed(std::chrono::system_clock::time_point now) const noexcept {
    return deadline && now >= *deadline;
  }

  MethodRef method;
  std::byte* states;
  std::atomic<std::uint32_t> flags{0};
  std::atomic<std::uint64_t> sent{0};
  std::atomic<std::uint64_t> received{0};
  std::chrono::system_clock::time_point start;
  std::optional<std::chrono::system_clock::time_point> deadline;
  Context context;
  const grpc::ServerContextBase* server_context = nullptr;  // while its headers are worked on
  std::string peer;                                         // once somebody asked
  std::exception_ptr thrown;  // by a server's handler, as far as it is known
  ServerApi api = ServerApi::kNone;
  int previous_attempts = 0;
  bool generic = false;  // the application has messages as grpc::ByteBuffer; see WantsMessages
  RejectionSlot rejection;
  std::shared_ptr<Hold> hold;  // a client's, while one of the middlewares makes it wait
  const MethodInfo::Link* asked = nullptr;  // the last, whether the call may be sent

 private:
  void NoteThrown() noexcept;
  /// `content`: null where nobody wants messages.
  void Message(MessageView::Direction direction, MessageContent* content) noexcept;
  const google::protobuf::Message* Prototype(MessageView::Direction direction) const noexcept;
};

/// Whether all middlewares of a client's method say so; `map` is what the call sends.
bool NeedsOnlyHeaders(const MethodInfo& info, MetadataWriter::Map& map) noexcept;

/// gRPC's form of a deadline; absent for infinity.
std::optional<std::chrono::system_clock::time_point> ToDeadline(gpr_timespec deadline) noexcept;

/// Gives an interceptor room for the states of the middlewares behind itself.
template <typename Derived>
struct WithTrailingStates {
  static constexpr std::size_t StateOffset() noexcept {
    constexpr std::size_t kAlignment = alignof(std::max_align_t);
    return (sizeof(Derived) + sizeof(CallMemory) + kAlignment - 1) & ~(kAlignment - 1);
  }
  static void* operator new(std::size_t /*size*/, std::size_t state_bytes) {
    void* const start = ::operator new(StateOffset() + state_bytes);
    new (&MemoryOf(start)) CallMemory(start);
    return start;
  }
  static void operator delete(void* start) { MemoryOf(start).Release(); }
  static void operator delete(void* start, std::size_t /*state_bytes*/) {
    MemoryOf(start).Release();
  }

 private:
  static CallMemory& MemoryOf(void* start) noexcept {
    return CallMemory::Before(static_cast<std::byte*>(start) + StateOffset());
  }
};

}  // namespace internal
}  // namespace v0
}  // namespace weft
