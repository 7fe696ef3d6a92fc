// SPDX-License-Identifier: Apache-2.0
#include <weft/tracing/trace_baggage.h>

#include <algorithm>
#include <array>
#include <memory>

#include "json_writer.h"
#include "percent.h"
#include "text.h"

namespace weft {
inline namespace v0 {
namespace internal {

BaggageHeader& BaggageHeader::operator=(const BaggageHeader& other) noexcept {
  if (this != &other) delete text_.exchange(nullptr, std::memory_order_acq_rel);
  return *this;
}

BaggageHeader::~BaggageHeader() { delete text_.load(std::memory_order_acquire); }

std::string_view BaggageHeader::Get(const TraceBaggage& owner) const {
  const std::string* text = text_.load(std::memory_order_acquire);
  if (text == nullptr) [[unlikely]] {
    auto made = std::make_unique<const std::string>(EncodeBaggage(owner));
    // Another thread may have been faster; all must see the same string.
    if (text_.compare_exchange_strong(text, made.get(), std::memory_order_acq_rel)) {
      text = made.release();
    }
  }
  return *text;
}

namespace {

// Bytes that spare most headers a second allocation.
constexpr std::size_t kUsualMetadata = 256;
constexpr std::size_t kUsualHeader = 384;

class MemberWriter {
 public:
  // `key` is a token.
  std::string& Begin(std::string_view key) {
    if (out_.empty()) {
      out_.reserve(kUsualHeader);
    } else {
      out_ += ',';
    }
    out_ += key;
    out_ += '=';
    return out_;
  }
  void Add(std::string_view key, std::string_view value) {
    AppendPercentEncoded(Begin(key), value);
  }
  std::string Take() && { return std::move(out_); }

 private:
  std::string out_;
};

}  // namespace
}  // namespace internal

std::optional<std::string> NormalizeAgentAddress(std::string_view address) {
  constexpr std::string_view kAgents = "lrn:agents/";
  constexpr std::string_view kEnvironments = "/environments/";
  constexpr std::array<std::string_view, 4> kKnown = {"local", "development", "staging",
                                                      "production"};
  constexpr std::size_t kLongestId = 63;
  if (!address.starts_with(kAgents)) return std::nullopt;
  const std::size_t slash = address.find('/', kAgents.size());
  if (slash == std::string_view::npos) return std::nullopt;
  const std::string_view id = address.substr(kAgents.size(), slash - kAgents.size());
  const std::string_view rest = address.substr(slash);
  if (id.empty() || id.size() > kLongestId || id.front() < 'a' || id.front() > 'z' ||
      id.back() == '-' || !rest.starts_with(kEnvironments)) {
    return std::nullopt;
  }
  const bool id_ok = std::all_of(id.begin(), id.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
  });
  const std::string environment = internal::AsciiLower(rest.substr(kEnvironments.size()));
  if (!id_ok || std::find(kKnown.begin(), kKnown.end(), environment) == kKnown.end()) {
    return std::nullopt;
  }
  return std::string(address.substr(0, slash + kEnvironments.size())) + environment;
}

std::string EncodeBaggage(const TraceBaggage& baggage) {
  internal::MemberWriter writer;
  if (!baggage.metadata.empty()) {
    std::string json;
    json.reserve(internal::kUsualMetadata);
    internal::AppendJson(json, baggage.metadata);
    writer.Add("langsmith-metadata", json);
  }
  if (!baggage.tags.empty()) {
    std::string& out = writer.Begin("langsmith-tags");
    for (std::size_t i = 0; i < baggage.tags.size(); ++i) {
      if (i > 0) out += "%2C";
      internal::AppendPercentEncoded(out, baggage.tags[i]);
    }
  }
  if (baggage.project && !baggage.project->empty()) {
    writer.Add("langsmith-project", *baggage.project);
  } else if (baggage.address) {
    const std::optional<std::string> address = NormalizeAgentAddress(*baggage.address);
    if (address) writer.Add("langsmith-address", *address);
  }
  for (const auto& [key, value] : baggage.foreign) {
    if (internal::IsToken(key)) writer.Add(key, value);
  }
  return std::move(writer).Take();
}

}  // namespace v0
}  // namespace weft
