// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <opentelemetry/proto/collector/trace/v1/trace_service.pb.h>
#include <weft/collector/v1/collector.pb.h>

#include <weft/tracing/run_id.h>

namespace weft::stress {

/// A trace whose every byte follows from its number: a root with three children.
///
/// Ids end in the number, so that a run that comes back says which batch it is of. Texts differ in
/// length and content from run to run, so that no two can be taken for each other.
class Batch {
 public:
  static constexpr std::uint64_t kRuns = 4;

  /// Spans have other ids than runs: 8 bytes, behind zeros.
  explicit Batch(std::uint64_t number, bool spans) : number_(number), spans_(spans) {}

  std::uint64_t number() const { return number_; }
  RunId Id(std::uint64_t run) const;
  RunId trace_id() const { return Id(0); }
  std::string Key() const { return "key-" + std::to_string(number_ % 3); }

  /// What must be in a run wherever it turns up.
  std::string InputText(std::uint64_t run) const { return Text(run); }
  std::string OutputText(std::uint64_t run) const { return Text(kRuns + run); }

  std::string Multipart() const;  ///< Boundary `B`; each run in a POST and a PATCH.
  std::string Json() const;       ///< For `/runs/batch`.
  weft::collector::v1::RunBatch Operations() const;
  opentelemetry::proto::collector::trace::v1::ExportTraceServiceRequest Spans() const;

  /// The batch and the run that an id names.
  static std::optional<std::pair<std::uint64_t, std::uint64_t>> Parse(std::string_view id);

 private:
  std::string Text(std::uint64_t salt) const;
  std::string Head(std::uint64_t run) const;
  std::string Inputs(std::uint64_t run) const { return R"({"text":")" + InputText(run) + "\"}"; }
  std::string Outputs(std::uint64_t run) const { return R"({"text":")" + OutputText(run) + "\"}"; }

  const std::uint64_t number_;
  const bool spans_;
};

}  // namespace weft::stress
