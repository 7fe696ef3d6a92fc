// SPDX-License-Identifier: Apache-2.0
#include "replica.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>

// Header-only use: nothing to link for those who install weft.
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "dotted_order.h"

namespace weft {
inline namespace v0 {
namespace internal {
namespace {

constexpr std::string_view kDefaultProject = "default";

bool IsVersion7(const RunId& id) noexcept { return (id.bytes[6] & 0xf0) == 0x70; }

std::string ReplicaDottedOrder(std::string_view dotted_order, std::string_view project) {
  std::string mapped;
  mapped.reserve(dotted_order.size());
  while (true) {
    const std::size_t dot = std::min(dotted_order.find('.'), dotted_order.size());
    const std::string_view segment = dotted_order.substr(0, dot);
    const std::optional<DottedOrder> parsed = ParseDottedOrder(segment);
    if (!parsed) return {};
    const auto start_ms =
        static_cast<std::uint64_t>(std::max<std::int64_t>(parsed->micros, 0)) / 1000;
    mapped.append(segment.substr(0, segment.size() - RunId::kTextSize));
    mapped.append(ReplicaId(parsed->id, project, start_ms).ToString());
    if (dot == dotted_order.size()) return mapped;
    mapped += '.';
    dotted_order.remove_prefix(dot + 1);
  }
}

}  // namespace

RunId ReplicaId(const RunId& id, std::string_view project, std::uint64_t start_ms) noexcept {
  std::array<char, RunId::kTextSize + 1> text;
  id.Write(text.data());
  text.back() = ':';
  XXH3_state_t state;
  XXH3_128bits_reset(&state);
  XXH3_128bits_update(&state, text.data(), text.size());
  XXH3_128bits_update(&state, project.data(), project.size());
  XXH128_canonical_t hash;
  XXH128_canonicalFromHash(&hash, XXH3_128bits_digest(&state));
  const auto& digest = hash.digest;

  RunId mapped = id;
  if (!IsVersion7(id)) {
    for (std::size_t i = 0; i < 6; ++i) {
      mapped.bytes[i] = static_cast<std::uint8_t>(start_ms >> (40 - 8 * i));
    }
  }
  mapped.bytes[6] = static_cast<std::uint8_t>(0x70 | (digest[0] & 0x0f));
  mapped.bytes[7] = digest[1];
  mapped.bytes[8] = static_cast<std::uint8_t>(0x80 | (digest[2] & 0x3f));
  std::copy_n(digest + 3, 7, mapped.bytes.begin() + 9);
  return mapped;
}

std::shared_ptr<const TraceBaggage> Replica::BaggageFor(const RunContext& context) {
  std::shared_ptr<const TraceBaggage> own = context.shared_baggage();
  if (project_.empty()) return own;
  if (own != from_) {
    auto changed = std::make_shared<TraceBaggage>(*own);
    changed->project = project_;
    changed->address.reset();
    from_ = std::move(own);
    to_ = std::move(changed);
  }
  return to_;
}

std::optional<RunContext> Replica::Map(const RunContext& context) {
  if (!context) return std::nullopt;
  const TraceBaggage& baggage = context.baggage();
  const std::string_view own = baggage.address   ? std::string_view(*baggage.address)
                               : baggage.project ? std::string_view(*baggage.project)
                                                 : kDefaultProject;
  const std::string_view target = project_.empty() ? own : std::string_view(project_);
  if (!primary_ && target == own) return std::nullopt;
  if (primary_.value_or(false)) return context.WithBaggage(BaggageFor(context));
  const std::string mapped = ReplicaDottedOrder(context.dotted_order(), target);
  return RunContext::Remote(mapped, BaggageFor(context));
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
