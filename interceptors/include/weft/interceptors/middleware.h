// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <map>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/interceptor.h>
#include <grpcpp/support/status.h>
#include <grpcpp/support/string_ref.h>

#include <weft/context/context.h>
#include <weft/interceptors/hook_set.h>

namespace google::protobuf {
class Message;
}

namespace weft {
inline namespace v0 {

namespace internal {
struct CallData;
template <typename T>
class ContextRoom;
class HeaderIndex;
class HeaderWriter;
class MessageContent;
}  // namespace internal

enum class CallSide : std::uint8_t { kClient, kServer };

/// As gRPC reports it; calls of generic services are always kBidiStream.
enum class RpcKind : std::uint8_t { kUnary, kClientStream, kServerStream, kBidiStream };

/// Which of gRPC's server interfaces handles a call; known for certain when the call ends.
enum class ServerApi : std::uint8_t { kNone, kSync, kCallback, kCompletionQueue, kFiber };

/// `unary`, `client_stream`, `server_stream`, `bidi_stream`.
std::string_view RpcKindName(RpcKind kind) noexcept;

/// `sync`, `callback`, `cq`, `fiber`; empty for kNone.
std::string_view ServerApiName(ServerApi api) noexcept;

/// `OK`, `CANCELLED` ... as in gRPC's documentation.
std::string_view StatusCodeName(grpc::StatusCode code) noexcept;

/// Received metadata of a call. Borrows: valid during the hook.
///
/// Cost: gRPC builds its map at the first look; a hook that looks at nothing pays nothing.
class MetadataView {
 public:
  using Map = std::multimap<grpc::string_ref, grpc::string_ref>;
  enum class Part : std::uint8_t { kInitial, kTrailing };

  explicit MetadataView(const Map& map) noexcept : map_(&map) {}
  /// The same; `index` is of `map`, or null.
  MetadataView(const Map& map, const internal::HeaderIndex* index) noexcept
      : map_(&map), index_(index) {}
  MetadataView(grpc::experimental::InterceptorBatchMethods& batch, Part part) noexcept
      : batch_(&batch), part_(part) {}
  /// What a server received.
  explicit MetadataView(const grpc::ServerContextBase& context) noexcept : context_(&context) {}

  /// The first value of `key` (lower case), or nothing.
  std::optional<std::string_view> Get(std::string_view key) const noexcept {
    const Pairs pairs = Find(key);
    return pairs.count == 0 ? std::nullopt : std::optional(ValueAt(pairs.first));
  }

  /// The value of `key` if it has exactly one, so that nobody can hide one behind another.
  std::optional<std::string_view> GetOnly(std::string_view key) const noexcept {
    const Pairs pairs = Find(key);
    return pairs.count != 1 ? std::nullopt : std::optional(ValueAt(pairs.first));
  }

  /// Calls `f(std::string_view value)` for every value of `key`, in the order received.
  template <typename F>
  void ForEach(std::string_view key, F&& f) const {
    for (auto [at, left] = Find(key); left != 0;) {
      f(ValueAt(at));
      if (--left != 0) ++at;
    }
  }

  const Map& map() const noexcept;

 private:
  friend class internal::HeaderIndex;

  /// Those of one key: they are next to each other.
  struct Pairs {
    Map::const_iterator first{};
    std::size_t count = 0;
  };
  Pairs Find(std::string_view key) const noexcept;
  static std::string_view ValueAt(Map::const_iterator pair) noexcept {
    return {pair->second.data(), pair->second.size()};
  }

  mutable const Map* map_ = nullptr;
  const internal::HeaderIndex* index_ = nullptr;
  grpc::experimental::InterceptorBatchMethods* batch_ = nullptr;
  const grpc::ServerContextBase* context_ = nullptr;
  Part part_ = Part::kInitial;
};

/// Metadata that is about to be sent. gRPC aborts the process on a malformed pair, and fails the
/// call on too much metadata; so whatever cannot be sent is dropped here and counted instead.
///
/// A key holds `a-z 0-9 _ - .`, is not empty and is none that the transport owns (`grpc-...`, `te`,
/// `content-type` ...); a value holds printable ASCII, or anything when the key ends in `-bin`.
class MetadataWriter {
 public:
  using Map = std::multimap<std::string, std::string>;

  /// `limit` bounds the whole map after an Add, counted as HTTP/2 does: name + value + 32 a pair.
  MetadataWriter(Map& map, std::size_t limit) noexcept : map_(map), limit_(limit) {}

  /// Adds a pair; earlier ones of the same key stay. False: dropped, and counted by reason.
  bool Add(std::string_view key, std::string_view value) noexcept;

  /// Removes every pair of `key`. Returns how many there were.
  std::size_t Remove(std::string_view key) noexcept;

  std::optional<std::string_view> Get(std::string_view key) const noexcept;

  const Map& map() const noexcept { return map_; }

  /// Bytes of the map as HTTP/2 counts them, and how many the limit leaves.
  std::size_t Size() const noexcept;
  std::size_t Room() const noexcept;

 private:
  friend class internal::HeaderWriter;

  // A pair of weft's own, which needs no look at its bytes.
  bool AddOwn(std::string_view key, std::string_view value) noexcept;
  bool AddUnless(const char* problem, std::string_view key, std::string_view value) noexcept;

  Map& map_;
  std::size_t limit_;
};

/// Why a pair must not be sent, or null. The reason is a stable code for counters: `empty-key`,
/// `bad-key`, `reserved-key`, `bad-value`.
const char* MetadataProblem(std::string_view key, std::string_view value) noexcept;

/// What a middleware keeps for each call: constructed before its OnStart, destroyed after its
/// OnEnd, in the memory of the call itself.
struct CallStateType {
  std::size_t size = 0;
  std::size_t alignment = 1;
  void (*construct)(void*) = nullptr;
  void (*destroy)(void*) = nullptr;

  template <typename State>
  static constexpr CallStateType Of() noexcept {
    static_assert(alignof(State) <= alignof(std::max_align_t));
    return {sizeof(State), alignof(State), [](void* at) { new (at) State(); },
            [](void* at) { static_cast<State*>(at)->~State(); }};
  }
};

/// A method as calls name it. On servers of generic services peers invent names, so a chain
/// remembers a bounded number of methods and describes the rest anew for each call.
struct MethodDescription {
  CallSide side;
  RpcKind kind;
  std::string_view full_method;  ///< `/package.Service/Method`.
  std::string_view service;      ///< `package.Service`; empty when the name has another form.
  std::string_view method;       ///< `Method`.
  std::string_view target;       ///< What a channel was made for; empty on servers.
};

class Middleware;
struct Verdict;

/// A client's call that waits before it is sent: see Call::Hold.
class HeldCall {
 public:
  virtual ~HeldCall() = default;
  /// Lets the call go on. False: it waits no more, because its time was up or it was cancelled.
  /// From any thread; runs no hook.
  virtual bool Release() noexcept = 0;
};

/// The call that a hook works on. Valid during the hook only.
class Call {
 public:
  Call(internal::CallData& data, const Middleware& middleware, void* state,
       void* method_state) noexcept
      : data_(data), middleware_(middleware), state_(state), method_state_(method_state) {}
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

  const MethodDescription& method() const noexcept;
  CallSide side() const noexcept { return method().side; }
  RpcKind kind() const noexcept { return method().kind; }

  /// When the stub was called, or when the request reached the server.
  std::chrono::system_clock::time_point start() const noexcept;
  /// Absent: no deadline.
  std::optional<std::chrono::system_clock::time_point> deadline() const noexcept;
  /// The calling peer, as gRPC writes it; servers only, from OnStart to OnVerdict.
  const std::string& peer() const;
  /// The names that the peer's TLS certificate proves: its subject alternative names, else its
  /// common name. Servers only, from OnStart to OnVerdict; empty for a peer without a certificate
  /// that gRPC has verified.
  std::vector<std::string> tls_identities() const;
  /// How often gRPC tried this call before (`grpc-previous-rpc-attempts`); servers only.
  int previous_attempts() const noexcept;
  /// What handles the call; for certain from OnStatus on. Servers only.
  ServerApi api() const noexcept;
  /// What the handler threw; in OnStatus and OnEnd, null when nothing or when gRPC keeps it to
  /// itself (see Recovery). Servers only.
  const std::exception_ptr& exception() const noexcept;

  /// Client: the context of the code that made the call. Server: the context of the handler.
  const Context& context() const noexcept;
  /// Replaces the context; in OnStart, in a server's Admit, OnReceiveMetadata and OnVerdict, and in
  /// its OnMessage of the one request of a unary or server-streaming call. Later middlewares and
  /// the handler see it.
  void SetContext(Context context) noexcept;

  /// Client only, in AdmitSending: keeps the call from being sent until it is released or
  /// cancelled, or `until` comes: then it ends with `late`, or goes on if that is OK. Whoever calls
  /// the stub waits as for a reply: an asynchronous caller does not. A call that is cancelled, or
  /// whose own deadline comes, asks nobody else and ends as gRPC ends it.
  std::shared_ptr<HeldCall> Hold(std::chrono::system_clock::time_point until, Verdict late);

  /// Server only, in OnMessage of a received message: ends the call with the verdict, unless it was
  /// rejected before. A single request is rejected before the handler runs, like by Admit. A stream
  /// is cancelled with the verdict's code and text; its handler may still read the message.
  void Reject(Verdict verdict);

  /// What this middleware keeps for the call; `State` is what its call_state() named.
  template <typename State>
  State& state() const noexcept {
    return *static_cast<State*>(state_);
  }

  /// Whether one hook is all that the call has; see Middleware::OnlyHeaders and OnlyReceives.
  bool only_headers() const noexcept { return state_ == nullptr; }

  /// What this middleware's OnMethod returned for the call's method.
  template <typename State>
  State& method_state() const noexcept {
    return *static_cast<State*>(method_state_);
  }

 private:
  template <typename T>
  friend class internal::ContextRoom;

  internal::CallData& data_;
  const Middleware& middleware_;  // whose hook runs
  void* state_;
  void* method_state_;
};

/// One message of a call. Valid during the hook.
///
/// What is in it is known only where a middleware of the chain says that it wants messages. gRPC
/// names no type: a message is recognised as one of the method's generated class, or known to be
/// bytes because a completion queue or a generic service has it so (or InterceptorOptions says so).
///
/// Cost: nothing until something is asked.
struct MessageView {
  enum class Direction : std::uint8_t { kSent, kReceived };
  Direction direction;
  std::uint64_t index;  ///< From 0, in its direction.
  internal::MessageContent* content = nullptr;

  /// Bytes before compression; absent: nobody wants messages, or it has another type.
  std::optional<std::size_t> size() const noexcept;

  /// The message as an object of the method's generated class: the application's own, else one
  /// parsed from the bytes. Null: the class is not in this program, or the bytes are not of it.
  const google::protobuf::Message* message() const noexcept;

  /// Gives the bytes: a reference to those that gRPC has, else made now. False: it has another
  /// type.
  bool Serialize(grpc::ByteBuffer* bytes) const noexcept;
};

/// What a middleware says about a call before its handler runs, or before it is sent.
struct Verdict {
  grpc::Status status{};  ///< OK: go on.
  /// Trailing metadata of the reply to a rejected call, such as `retry-after`.
  std::vector<std::pair<std::string, std::string>> trailers{};
};

/// How a call ended.
struct CallReport {
  /// Client: what the stub got. Server: what was sent; CANCELLED or DEADLINE_EXCEEDED in the place
  /// of an OK that nobody waited for any more. Without a status (`abandoned`): CANCELLED.
  const grpc::Status& status;
  ServerApi api = ServerApi::kNone;
  bool cancelled = false;          ///< By TryCancel, by the peer, or because the peer went away.
  bool deadline_exceeded = false;  ///< On a server as far as its clock can tell.
  bool abandoned = false;          ///< Dropped by this side before there was a status.
  std::uint64_t messages_sent = 0;
  /// Server: those that were read before the status was sent.
  std::uint64_t messages_received = 0;
  std::chrono::system_clock::time_point end;
  /// The name of the middleware that rejected the call, and how long after its start; empty: none.
  std::string_view rejected_by{};
  std::chrono::nanoseconds rejected_after{};
};

/// Sees every call of a channel or a server.
///
///     class SlowCalls : public weft::Middleware {
///      public:
///       void OnEnd(weft::Call& call, const weft::CallReport& report) noexcept override {
///         if (report.end - call.start() > 1s) Log(call.method().full_method);
///       }
///     };
///     auto channel = weft::CreateChannel(target, credentials,
///                                        {.middlewares = {std::make_shared<SlowCalls>()}});
///
/// Order: OnStart and what is received run in the order of registration, what is sent and the end
///   in reverse, like nested calls. On a server each middleware admits a call and receives its
///   metadata before the next one does; the first rejection ends that, and OnEnd comes for all.
/// Lifetime: shared by all calls of all chains that it is registered in.
/// Threads: hooks of different calls run at the same time; of one call too, for OnMessage. A hook
///   never runs on the fiber that made the call; the ambient context is not the call's.
/// Errors: a hook must not throw, block or do I/O.
class Middleware {
 public:
  Middleware() = default;
  Middleware(const Middleware&) = delete;
  Middleware& operator=(const Middleware&) = delete;
  virtual ~Middleware() = default;

  /// What runs and warnings call it: a few lower-case letters. Must outlive all calls.
  virtual std::string_view name() const noexcept { return "middleware"; }

  virtual CallStateType call_state() const noexcept { return {}; }

  /// The hooks from OnStart on that do anything; no others are called. Asked once per method. A
  /// final class may say `return HooksOf<Itself>();`, which makes it cost less.
  virtual HookSet hooks() const noexcept { return {}; }
  /// The same for a middleware that does different things on both sides.
  virtual HookSet side_hooks(CallSide /*side*/) const noexcept { return hooks(); }

  /// Before the first call of a method: makes what the middleware keeps for the method. It is
  /// shared by all its calls.
  virtual std::shared_ptr<void> OnMethod(const MethodDescription& /*method*/) noexcept {
    return nullptr;
  }

  /// Client only, before all else, on the stack that calls the stub: whether OnSendMetadata is all
  /// that this middleware does about the call. When all of a chain say so, it comes at once and
  /// nothing else: no OnStart, no call_state, no OnEnd. The call has no hooks then, which is what
  /// most of an intercepted call costs.
  virtual bool OnlyHeaders(const MethodDescription& /*method*/, void* /*method_state*/,
                           const MetadataWriter& /*metadata*/) noexcept {
    return false;
  }

  /// Server only, before all else: whether this middleware does nothing about the call. When all of
  /// a chain say so, the call has no hooks.
  virtual bool Skips(const MethodDescription& /*method*/,
                     const MetadataView& /*metadata*/) noexcept {
    return false;
  }

  /// Server only, before all else: whether OnReceiveMetadata is all that this middleware does about
  /// the call. When all of a chain say so and the builder was given the service, it comes at once
  /// and nothing else: no OnStart, no call_state, no OnEnd. The call, be it a stream, has no hooks
  /// then; `peer()` is empty.
  virtual bool OnlyReceives(const MethodDescription& /*method*/, void* /*method_state*/,
                            const MetadataView& /*metadata*/) noexcept {
    return false;
  }

  /// The call begins: a client is about to send, a server has received the headers.
  virtual void OnStart(Call& /*call*/) noexcept {}

  /// Server only, before the handler and before OnReceiveMetadata: whether the call may go on. What
  /// enforces a rejection: see InterceptServer.
  virtual Verdict Admit(Call& /*call*/, const MetadataView& /*metadata*/) noexcept { return {}; }
  /// To be true where Admit is overridden: a server then names, when it starts, the services whose
  /// handlers run for rejected calls.
  virtual bool may_reject() const noexcept { return false; }
  /// Server only, when all middlewares have admitted the call or one has rejected it: who calls is
  /// known then, as far as it ever is. The last place for SetContext, just before the handler.
  virtual void OnVerdict(Call& /*call*/, const MetadataView& /*metadata*/) noexcept {}

  /// Client only, after OnStart and before OnSendMetadata: whether the call may be sent. One that
  /// may not ends at once with the verdict's status and trailers, as if a server had replied so;
  /// OnSendMetadata comes all the same. `metadata` is what the application sends.
  virtual Verdict AdmitSending(Call& /*call*/, const MetadataWriter& /*metadata*/) noexcept {
    return {};
  }

  /// Client: request headers. Server: the reply's initial metadata.
  virtual void OnSendMetadata(Call& /*call*/, MetadataWriter& /*metadata*/) noexcept {}
  /// Server only, just after OnStatus.
  virtual void OnSendTrailers(Call& /*call*/, MetadataWriter& /*metadata*/) noexcept {}
  /// Server: request headers. Client: the reply's initial metadata.
  virtual void OnReceiveMetadata(Call& /*call*/, const MetadataView& /*metadata*/) noexcept {}
  /// Client only, just before OnStatus.
  virtual void OnReceiveTrailers(Call& /*call*/, const MetadataView& /*metadata*/) noexcept {}

  virtual void OnMessage(Call& /*call*/, const MessageView& /*message*/) noexcept {}
  /// Whether OnMessage looks at more of a message than its direction and index; asked once per
  /// method.
  virtual bool wants_messages(const MethodDescription& /*method*/) const noexcept { return false; }
  /// Whether OnMessage does anything at all; asked once per method. Where nobody's does, messages
  /// are only counted.
  virtual bool sees_messages(const MethodDescription& /*method*/) const noexcept { return true; }

  /// The status, which may be changed: by a client before the stub sees it, by a server before it
  /// is sent. Not every call has one; OnEnd always comes.
  virtual void OnStatus(Call& /*call*/, grpc::Status& /*status*/) noexcept {}

  /// Exactly once for each call that had OnStart, whatever becomes of the call.
  virtual void OnEnd(Call& /*call*/, const CallReport& /*report*/) noexcept {}
};

}  // namespace v0
}  // namespace weft
