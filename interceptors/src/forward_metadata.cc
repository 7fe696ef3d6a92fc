// SPDX-License-Identifier: Apache-2.0
#include <weft/interceptors/forward_metadata.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>

namespace weft {
inline namespace v0 {
namespace {

constexpr std::size_t kMostBytes = 2048;
constexpr std::size_t kPairOverhead = 32;  // as HTTP/2 counts

/// Received pairs, in one piece of memory: two lengths and two texts each.
class Headers {
 public:
  bool empty() const noexcept { return bytes_.empty(); }

  /// Unless it is there, or is too much.
  void Add(std::string_view key, std::string_view value) {
    const std::size_t size = key.size() + value.size() + kPairOverhead;
    if (charge_ + size > kMostBytes || Has(key, value)) return;
    charge_ += size;
    // Neither is longer than kMostBytes.
    const std::array<std::uint16_t, 2> sizes = {static_cast<std::uint16_t>(key.size()),
                                                static_cast<std::uint16_t>(value.size())};
    bytes_.reserve(bytes_.size() + sizeof(sizes) + key.size() + value.size());
    bytes_.append(reinterpret_cast<const char*>(sizes.data()), sizeof(sizes));
    bytes_.append(key).append(value);
  }

  /// Calls `f(key, value)`.
  template <typename F>
  void ForEach(F&& f) const {
    for (std::string_view rest = bytes_; !rest.empty();) {
      std::array<std::uint16_t, 2> sizes;
      std::memcpy(sizes.data(), rest.data(), sizeof(sizes));
      rest.remove_prefix(sizeof(sizes));
      f(rest.substr(0, sizes[0]), rest.substr(sizes[0], sizes[1]));
      rest.remove_prefix(std::size_t{sizes[0]} + sizes[1]);
    }
  }

 private:
  bool Has(std::string_view key, std::string_view value) const {
    bool has = false;
    ForEach([&](std::string_view k, std::string_view v) { has |= k == key && v == value; });
    return has;
  }

  std::string bytes_;
  std::size_t charge_ = 0;
};

constexpr ContextKey<Headers> kForwardedKey;

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

  void AddTo(Headers& headers, const MetadataView::Map& received) const {
    const grpc::string_ref from(text_.data(), text_.size());
    for (auto it = received.lower_bound(from); it != received.end(); ++it) {
      const std::string_view key(it->first.data(), it->first.size());
      if (!key.starts_with(text_)) break;
      const std::string_view value(it->second.data(), it->second.size());
      if (Fits(key)) headers.Add(key, value);
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
  HookSet hooks() const noexcept override { return HooksOf<ForwardMetadataMiddleware>(); }

  bool OnlyHeaders(const MethodDescription& /*method*/, void* /*method_state*/,
                   const MetadataWriter& /*metadata*/) noexcept override {
    return true;
  }

  void OnReceiveMetadata(Call& call, const MetadataView& metadata) noexcept override {
    if (call.side() == CallSide::kClient) return;
    Headers headers;
    for (const Name& name : names_) name.AddTo(headers, metadata.map());
    if (headers.empty()) return;
    call.SetContext(call.context().With(kForwardedKey, std::move(headers)));
  }

  void OnSendMetadata(Call& call, MetadataWriter& metadata) noexcept override {
    if (call.side() == CallSide::kServer) return;
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
