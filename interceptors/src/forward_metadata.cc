// SPDX-License-Identifier: Apache-2.0
#include <weft/interceptors/forward_metadata.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

namespace weft {
inline namespace v0 {
namespace {

using Headers = std::vector<std::pair<std::string, std::string>>;

constexpr ContextKey<Headers> kForwardedKey;
constexpr std::size_t kMostBytes = 2048;
constexpr std::size_t kPairOverhead = 32;  // as HTTP/2 counts

bool IsSecret(std::string_view key) noexcept {
  return key == "authorization" || key == "proxy-authorization" || key == "cookie";
}

bool IsOfTrace(std::string_view key) noexcept {
  constexpr std::array<std::string_view, 4> kNames = {"langsmith-trace", "baggage", "traceparent",
                                                      "tracestate"};
  return key.starts_with("weft-") || std::ranges::find(kNames, key) != kNames.end();
}

bool Names(std::string_view name, std::string_view key) noexcept {
  if (!name.ends_with('*')) return name == key;
  name.remove_suffix(1);
  return key.starts_with(name) && !IsSecret(key);
}

class ForwardMetadataMiddleware final : public Middleware {
 public:
  explicit ForwardMetadataMiddleware(std::vector<std::string> names) : names_(std::move(names)) {}

  std::string_view name() const noexcept override { return "forward_metadata"; }
  HookSet hooks() const noexcept override { return HooksOf<ForwardMetadataMiddleware>(); }

  bool OnlyHeaders(const MethodDescription& /*method*/, void* /*method_state*/,
                   const MetadataWriter& /*metadata*/) noexcept override {
    return true;
  }

  void OnReceiveMetadata(Call& call, const MetadataView& metadata) noexcept override {
    if (call.side() == CallSide::kClient) return;
    Headers headers;
    std::size_t bytes = 0;
    for (const std::string& name : names_) Remember(name, metadata, headers, bytes);
    if (headers.empty()) return;
    call.SetContext(call.context().With(kForwardedKey, std::move(headers)));
  }

  void OnSendMetadata(Call& call, MetadataWriter& metadata) noexcept override {
    if (call.side() == CallSide::kServer) return;
    const auto* const headers = call.context().Find(kForwardedKey);
    if (headers == nullptr) return;
    // One name may have several values: what is there is looked at before any is added.
    Headers missing;
    for (const auto& [key, value] : *headers) {
      if (!metadata.Get(key) && Selects(key)) missing.emplace_back(key, value);
    }
    for (const auto& [key, value] : missing) metadata.Add(key, value);
  }

 private:
  bool Selects(std::string_view key) const noexcept {
    return std::ranges::any_of(names_, [&](const auto& name) { return Names(name, key); });
  }

  static void Remember(std::string_view name, const MetadataView& metadata, Headers& headers,
                       std::size_t& bytes) {
    std::string_view prefix = name;
    if (prefix.ends_with('*')) prefix.remove_suffix(1);
    const MetadataView::Map& map = metadata.map();
    const grpc::string_ref from(prefix.data(), prefix.size());
    for (auto it = map.lower_bound(from); it != map.end() && it->first.starts_with(from); ++it) {
      const std::string_view key(it->first.data(), it->first.size());
      const std::string_view value(it->second.data(), it->second.size());
      if (!Names(name, key) || IsOfTrace(key) || MetadataProblem(key, value) != nullptr) continue;
      if (std::ranges::any_of(headers, [&](const auto& pair) {
            return pair.first == key && pair.second == value;
          })) {
        continue;
      }
      const std::size_t size = key.size() + value.size() + kPairOverhead;
      if (bytes + size > kMostBytes) continue;
      bytes += size;
      headers.emplace_back(key, value);
    }
  }

  std::vector<std::string> names_;
};

}  // namespace

std::shared_ptr<Middleware> ForwardMetadata(std::vector<std::string> names) {
  return std::make_shared<ForwardMetadataMiddleware>(std::move(names));
}

}  // namespace v0
}  // namespace weft
