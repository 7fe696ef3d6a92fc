// SPDX-License-Identifier: Apache-2.0
#include <weft/interceptors/forward_metadata.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <string>
#include <string_view>
#include <utility>

#include "context_room.h"

namespace weft {
inline namespace v0 {
namespace {

constexpr std::size_t kMostBytes = 2048;
constexpr std::size_t kPairOverhead = 32;  // as HTTP/2 counts

/// Received pairs, in one piece of memory: two lengths and two texts each.
class Headers {
 public:
  // Not defaulted: for each call that would fill the bytes below with zeros.
  Headers() noexcept : size_(0) {}
  Headers(Headers&& other) noexcept
      : size_(std::exchange(other.size_, 0)),
        charge_(std::exchange(other.charge_, 0)),
        long_(std::move(other.long_)),
        short_(other.short_) {}

  bool empty() const noexcept { return size_ == 0; }

  /// Unless it is there, or is too much.
  void Add(std::string_view key, std::string_view value) noexcept {
    const std::size_t texts = key.size() + value.size();
    if (charge_ + texts + kPairOverhead > kMostBytes) return;
    if (!empty() && Has(key, value)) return;
    if (size_ + sizeof(Sizes) + texts > short_.size() && !Grow()) return;
    charge_ += texts + kPairOverhead;
    const Sizes sizes = {static_cast<std::uint16_t>(key.size()),
                         static_cast<std::uint16_t>(value.size())};
    char* const out = bytes() + size_;
    std::memcpy(out, sizes.data(), sizeof(sizes));
    std::memcpy(out + sizeof(sizes), key.data(), key.size());
    std::memcpy(out + sizeof(sizes) + key.size(), value.data(), value.size());
    size_ += sizeof(sizes) + texts;
  }

  /// Calls `f(key, value)`.
  template <typename F>
  void ForEach(F&& f) const {
    for (std::string_view rest(bytes(), size_); !rest.empty();) {
      Sizes sizes;
      std::memcpy(sizes.data(), rest.data(), sizeof(sizes));
      rest.remove_prefix(sizeof(sizes));
      f(rest.substr(0, sizes[0]), rest.substr(sizes[0], sizes[1]));
      rest.remove_prefix(std::size_t{sizes[0]} + sizes[1]);
    }
  }

 private:
  using Sizes = std::array<std::uint16_t, 2>;  // neither is over kMostBytes

  char* bytes() noexcept { return long_ != nullptr ? long_.get() : short_.data(); }
  const char* bytes() const noexcept { return long_ != nullptr ? long_.get() : short_.data(); }

  // Of its own, for most calls have one header: Add is short then, and needs no call.
  [[gnu::noinline]] bool Has(std::string_view key, std::string_view value) const noexcept {
    bool has = false;
    ForEach([&](std::string_view k, std::string_view v) { has |= k == key && v == value; });
    return has;
  }

  // Enough for all that Add lets in. False: no memory.
  bool Grow() noexcept {
    if (long_ != nullptr) return true;
    long_.reset(new (std::nothrow) char[kMostBytes]);
    if (long_ != nullptr) std::memcpy(long_.get(), short_.data(), size_);
    return long_ != nullptr;
  }

  std::size_t size_;
  std::size_t charge_ = 0;
  std::unique_ptr<char[]> long_;
  std::array<char, 144> short_;  // two or three headers
};

constexpr ContextKey<Headers> kForwardedKey;
using HeadersRoom = internal::ContextRoom<Headers>;

bool IsSecret(std::string_view key) noexcept {
  return key == "authorization" || key == "proxy-authorization" || key == "cookie";
}

bool IsOfTrace(std::string_view key) noexcept {
  constexpr std::array<std::string_view, 4> kNames = {"langsmith-trace", "baggage", "traceparent",
                                                      "tracestate"};
  return key.starts_with("weft-") || std::ranges::find(kNames, key) != kNames.end();
}

/// Values are looked at when they are sent.
bool CanBeSent(std::string_view key) noexcept { return MetadataProblem(key, {}) == nullptr; }

/// A name of the list, which may end with `*`.
class Name {
 public:
  explicit Name(std::string text)
      : is_prefix_(text.ends_with('*')),
        text_(is_prefix_ ? text.substr(0, text.size() - 1) : std::move(text)) {}

  /// False: there is nothing that it lets through.
  bool NamesAny() const noexcept { return is_prefix_ || (!IsOfTrace(text_) && CanBeSent(text_)); }

  bool Fits(std::string_view key) const noexcept {
    if (!is_prefix_) return key == text_;
    return key.starts_with(text_) && !IsSecret(key) && !IsOfTrace(key) && CanBeSent(key);
  }

  void AddTo(Headers& headers, const MetadataView& received) const noexcept {
    if (!is_prefix_) {
      return received.ForEach(text_, [&](std::string_view value) { headers.Add(text_, value); });
    }
    const MetadataView::Map& map = received.map();
    for (auto at = map.lower_bound(text_); at != map.end(); ++at) {
      const std::string_view key(at->first.data(), at->first.size());
      if (!key.starts_with(text_)) return;
      if (Fits(key)) headers.Add(key, {at->second.data(), at->second.size()});
    }
  }

 private:
  bool is_prefix_;
  std::string text_;
};

class ForwardMetadataMiddleware final : public Middleware {
 public:
  explicit ForwardMetadataMiddleware(std::vector<std::string> names) {
    for (std::string& text : names) {
      Name name(std::move(text));
      if (name.NamesAny()) names_.push_back(std::move(name));
    }
  }

  std::string_view name() const noexcept override { return "forward_metadata"; }
  HookSet side_hooks(CallSide side) const noexcept override {
    HookSet hooks = HooksOf<ForwardMetadataMiddleware>();
    hooks.Remove(side == CallSide::kServer ? HookSet::kOnSendMetadata
                                           : HookSet::kOnReceiveMetadata);
    return hooks;
  }
  CallStateType call_state() const noexcept override { return HeadersRoom::State(); }

  bool OnlyHeaders(const MethodDescription& /*method*/, void* /*method_state*/,
                   const MetadataWriter& /*metadata*/) noexcept override {
    return true;
  }

  void OnReceiveMetadata(Call& call, const MetadataView& metadata) noexcept override {
    Headers& headers = HeadersRoom::Prepare(call, kForwardedKey);
    for (const Name& name : names_) name.AddTo(headers, metadata);
    if (headers.empty()) return HeadersRoom::Discard(call);
    HeadersRoom::Attach(call);
  }

  void OnSendMetadata(Call& call, MetadataWriter& metadata) noexcept override {
    const auto* const headers = call.context().Find(kForwardedKey);
    if (headers == nullptr) return;
    // One name may have several values: what is there is looked at before any is added.
    std::vector<std::pair<std::string_view, std::string_view>> missing;
    headers->ForEach([&](std::string_view key, std::string_view value) {
      if (!metadata.Get(key) && Selects(key)) missing.emplace_back(key, value);
    });
    for (const auto& [key, value] : missing) metadata.Add(key, value);
  }

 private:
  bool Selects(std::string_view key) const noexcept {
    return std::ranges::any_of(names_, [&](const Name& name) { return name.Fits(key); });
  }

  std::vector<Name> names_;
};

}  // namespace

std::shared_ptr<Middleware> ForwardMetadata(std::vector<std::string> names) {
  return std::make_shared<ForwardMetadataMiddleware>(std::move(names));
}

}  // namespace v0
}  // namespace weft
