// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include <weft/collector/run_store.h>

#include "destinations/span_places.h"
#include "destinations/stage.h"
#include "otlp/span_to_run.h"

namespace weft::collector {

struct PlacedSpansOptions {
  std::shared_ptr<Log> log;
  /// Asked about parents that went out long ago; may be null.
  const RunStore* store = nullptr;
  std::shared_ptr<const Prices> prices{};
  /// Once the root of a trace is there, how long a span still waits for its parent.
  std::chrono::milliseconds grace{2'000};
  /// How long it waits anyway.
  std::chrono::milliseconds orphan_wait{60'000};
  std::size_t max_bytes = std::size_t{64} << 20;
  /// Microseconds since any time.
  std::function<std::uint64_t()> now = SteadyMicroseconds;
};

/// For targets that know runs only: makes runs of spans, each once all of its ancestors are known,
/// so that none goes out below a parent that never comes. A span whose parent is missing goes below
/// the root of its trace; where there is none, one is made up, `(missing root)`, and when the real
/// root comes later it replaces that by a PATCH.
class PlacedSpans final : public Stage {
 public:
  explicit PlacedSpans(PlacedSpansOptions options);

  bool Takes(Receiver receiver) const override { return receiver == Receiver::kOtlp; }
  void Take(Round::Loaded record, Round& round) override;
  void Release(Round& round) override;
  std::vector<OpPlace> Waiting() const override;
  std::size_t waiting() const override { return places_.waiting() + ready_.size(); }
  std::size_t open_traces() const override { return places_.open_traces(); }
  void Resume(const std::vector<OpPlace>& places) override;

 private:
  const SpanIds& IdsOf(const Round::Loaded& record, std::uint32_t index);
  bool Place(const Round::Loaded& record, std::uint32_t index, const SpanIds& ids,
             RoundWriter* writer);
  void Emit(const Round::Loaded& record, std::uint32_t index, const SpanIds& ids,
            const RunPlace& place, bool replaces, RoundWriter& writer);
  void Collect();
  void Drain(Round& round);
  void Settle(const SpanPlaces::Missing& missing, Round& round);
  bool FindStored(const SpanPlaces::Missing& missing, SpanId parent, std::vector<StoredRun>& trace,
                  bool& asked);
  void EmitMadeUpRoot(const RunPlace& place, OpPlace sample, Round& round);

  const PlacedSpansOptions options_;
  RecordCache records_;
  SpanPlaces places_;
  std::deque<OpPlace> ready_;  ///< Whose parents are known by now.
  /// Of the record that is being taken, whose root often comes last and makes all others ready; of
  /// another record, of one span.
  std::vector<SpanIds> ids_;
  std::uint64_t ids_seq_ = 0;
  std::uint64_t now_us_ = 0;  ///< Read once for all spans of a record: the clock takes 25 ns.
};

}  // namespace weft::collector
