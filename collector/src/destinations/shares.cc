// SPDX-License-Identifier: Apache-2.0
#include "destinations/shares.h"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <functional>
#include <map>
#include <optional>
#include <utility>

#include <absl/container/flat_hash_map.h>

namespace weft::collector {
namespace {

const RunId& TraceOf(const OutgoingOp& op) {
  return op.op->trace_id.IsNil() ? op.op->run_id : op.op->trace_id;
}

// The same for an id each time, unlike std::hash: so which traces go together can be repeated.
std::size_t Spread(const RunId& id) noexcept {
  std::uint64_t head = 0;
  std::uint64_t tail = 0;
  std::memcpy(&head, id.bytes.data(), sizeof(head));
  std::memcpy(&tail, id.bytes.data() + sizeof(head), sizeof(tail));
  // Ids of others may be counters in either half.
  std::uint64_t mixed = (head ^ std::rotl(tail, 32)) * 0x9E3779B97F4A7C15;
  mixed ^= tail;
  mixed = (mixed ^ mixed >> 32) * 0xD6E8FEB86659FD93;
  return static_cast<std::size_t>(mixed ^ mixed >> 32);
}

// The shares of one key.
class KeyShares {
 public:
  KeyShares(Sink& sink, std::size_t slots, bool has_whole)
      : sink_(sink), slots_(slots), has_whole_(has_whole), share_of_slot_(slots) {}

  void Add(Round& round, std::size_t i, std::uint64_t key_id) {
    Share& share = shares_[ShareOf(round.ops[i])];
    share.key_id = key_id;
    share.ops.push_back(round.ops[i]);
    share.positions.push_back(round.positions[i]);
  }

  // Operations [i, end) are a record. False: its traces are in several shares.
  bool AddWhole(Round& round, std::size_t i, std::size_t end, std::uint64_t key_id) {
    std::optional<std::size_t> found;
    for (std::size_t at = i; at < end; ++at) {
      const auto known = share_of_trace_.find(TraceOf(round.ops[at]));
      if (known == share_of_trace_.end()) continue;
      if (found && *found != known->second) return false;
      found = known->second;
    }
    const std::size_t place = found ? *found : NewShare();
    Share& share = shares_[place];
    share.key_id = key_id;
    for (; i < end; ++i) {
      share_of_trace_.try_emplace(TraceOf(round.ops[i]), place);
      share.ops.push_back(round.ops[i]);
      share.positions.push_back(round.positions[i]);
    }
    return true;
  }

  std::vector<Share>& shares() { return shares_; }

 private:
  std::size_t NewShare() {
    shares_.emplace_back();
    return shares_.size() - 1;
  }

  std::size_t ShareOf(const OutgoingOp& op) {
    const bool by_trace = sink_.keeps_traces_in_order();
    const std::size_t slot = by_trace ? Spread(TraceOf(op)) % slots_ : op.seq % slots_;
    const auto of_slot = [&] {
      std::optional<std::size_t>& share = share_of_slot_[slot];
      if (!share) share = NewShare();
      return *share;
    };
    // Without whole records the hash says it all.
    if (!has_whole_ || !by_trace) return of_slot();
    const auto known = share_of_trace_.find(TraceOf(op));
    if (known != share_of_trace_.end()) return known->second;
    return share_of_trace_[TraceOf(op)] = of_slot();
  }

  Sink& sink_;
  const std::size_t slots_;
  const bool has_whole_;
  std::vector<Share> shares_;
  std::vector<std::optional<std::size_t>> share_of_slot_;
  absl::flat_hash_map<RunId, std::size_t, std::hash<RunId>> share_of_trace_;
};

}  // namespace

Delivery::Counts Share::CountsBefore(const Position& end) const {
  if (positions.empty() || (done == ops.size() && positions.back() < end)) return counts;
  Delivery::Counts before;
  for (std::size_t i = 0; i < done && positions[i] < end; ++i) before.sent += ops[i].covers;
  for (const std::size_t place : parked) {
    if (positions[place] < end) before.sent -= ops[place].covers;
  }
  before.batches = counts.batches;
  return before;
}

std::vector<Share> Divide(Round& round, Sink& sink, std::size_t workers) {
  const bool has_whole = std::any_of(round.ops.begin(), round.ops.end(),
                                     [](const OutgoingOp& op) { return op.whole != nullptr; });
  const bool one_batch = !has_whole && round.ops.size() <= sink.Limits().operations;
  std::map<std::uint64_t, KeyShares> keys;
  for (std::size_t i = 0; i < round.ops.size();) {
    const std::uint64_t key_id = sink.uses_keys() ? round.key_ids[i] : 0;
    KeyShares& shares =
        keys.try_emplace(key_id, sink, one_batch ? 1 : workers, has_whole).first->second;
    const Record* const whole = round.ops[i].whole;
    const std::size_t end = whole != nullptr ? i + whole->header.ops.size() : i + 1;
    if (whole != nullptr) {
      if (shares.AddWhole(round, i, end, key_id)) {
        i = end;
        continue;
      }
      // A damaged record would not have passed its checksum.
      Unpack(*whole, std::span(round.ops).subspan(i, end - i), &round.unpacked.emplace_back());
    }
    for (; i < end; ++i) shares.Add(round, i, key_id);
  }
  std::vector<Share> list;
  for (std::size_t turn = 0, left = keys.size(); left > 0; ++turn) {
    left = 0;
    for (auto& [key_id, shares] : keys) {
      if (turn >= shares.shares().size()) continue;
      list.push_back(std::move(shares.shares()[turn]));
      ++left;
    }
  }
  return list;
}

}  // namespace weft::collector
