// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <weft/interceptors/interceptor_options.h>
#include <weft/interceptors/middleware.h>

#include "server_guards.h"

namespace weft {
inline namespace v0 {
namespace internal {

struct MethodMessages;

/// What is done with those middlewares of a method that have something to do then.
enum class Step : std::uint8_t {
  kConstruct,  // of the states
  kStart,
  kAdmit,  // and what a server receives
  kVerdict,
  kAdmitSending,
  kSendMetadata,
  kSendTrailers,
  kReceiveMetadata,
  kReceiveTrailers,
  kMessage,
  kStatus,
  kEnd,
  kDestroy,  // the states
};
inline constexpr std::size_t kSteps = static_cast<std::size_t>(Step::kDestroy) + 1;

/// The middlewares that see one method, and what they keep for it.
struct MethodInfo {
  struct Link {
    std::shared_ptr<Middleware> middleware;
    std::shared_ptr<void> method_state;
    CallStateType call_state;
    std::size_t offset = 0;  // of its state in a call's state memory
    HookSet hooks;
    /// The one after it that the step is for: a step costs nothing where it does nothing.
    std::array<const Link*, kSteps> next{};
  };

  /// Those that a step is for, in its order.
  class LinksOf {
   public:
    class Iterator {
     public:
      Iterator(const Link* at, std::size_t step) noexcept : at_(at), step_(step) {}
      const Link& operator*() const noexcept { return *at_; }
      Iterator& operator++() noexcept {
        at_ = at_->next[step_];
        return *this;
      }
      friend bool operator==(const Iterator& a, const Iterator& b) noexcept {
        return a.at_ == b.at_;
      }

     private:
      const Link* at_;
      std::size_t step_;
    };

    LinksOf(const MethodInfo& method, Step step) noexcept
        : step_(static_cast<std::size_t>(step)), first_(method.first[step_]) {}
    Iterator begin() const noexcept { return {first_, step_}; }
    Iterator end() const noexcept { return {nullptr, step_}; }

   private:
    std::size_t step_;
    const Link* first_;
  };
  LinksOf With(Step step) const noexcept { return {*this, step}; }
  /// The one after `link`; null: the first.
  const Link* After(const Link* link, Step step) const noexcept {
    return (link == nullptr ? first : link->next)[static_cast<std::size_t>(step)];
  }

  /// Once all links are there.
  void OrderSteps() noexcept;

  std::string name;
  std::string target;
  MethodDescription description;  // views of the two above
  std::vector<Link> links;
  std::array<const Link*, kSteps> first{};
  std::size_t state_bytes = 0;
  std::shared_ptr<const MethodMessages> messages;  // null: no middleware wants messages
  bool sees_messages = false;                      // some middleware does
  bool guarded = false;  // a server's: nothing handles its calls once they are rejected
  ServedBy served_by = ServedBy::kUnknown;  // a server's
};

class Chain;

/// A method, kept alive as long as a call needs it.
struct MethodRef {
  std::shared_ptr<const Chain> chain;       // a server's context may outlive the server
  const MethodInfo* info = nullptr;         // never null in a call
  std::unique_ptr<const MethodInfo> owned;  // of a method that the table had no room for
};

/// The middlewares of a channel or a server, and the methods seen so far. Immutable but for those.
class Chain : public std::enable_shared_from_this<Chain> {
 public:
  /// `guards`: a server's; else null.
  Chain(CallSide side, InterceptorOptions options, std::string target,
        std::shared_ptr<ServerGuards> guards);
  ~Chain();

  /// The method; `info` has no links when no middleware wants it, and null `chain` then.
  MethodRef Find(std::string_view full_method, RpcKind kind) const;

  /// Whether any middleware wants the method.
  bool Sees(std::string_view full_method) const;

  /// The first middleware that may reject calls of a service; empty: none.
  std::string RejectorOf(std::string_view service) const;
  ServerGuards& guards() const noexcept { return *guards_; }

  /// The tracer's clock, else the system's.
  std::chrono::system_clock::time_point Now() const noexcept;

 private:
  static constexpr std::size_t kSlots = 1024;  // a power of two
  static constexpr std::size_t kProbes = 16;

  std::shared_ptr<const Chain> ForCall() const;
  std::unique_ptr<const MethodInfo> Describe(std::string_view full_method, RpcKind kind) const;

  CallSide side_;
  std::string target_;
  Selector selector_;
  std::optional<Selector> byte_buffers_;
  std::shared_ptr<const Clock> clock_;  // may be null
  std::vector<ChainLink> links_;
  std::shared_ptr<ServerGuards> guards_;
  // Open addressing, read without a lock; entries are only ever added.
  mutable std::array<std::atomic<const MethodInfo*>, kSlots> methods_{};
  mutable std::mutex insert_;
};

}  // namespace internal
}  // namespace v0
}  // namespace weft
