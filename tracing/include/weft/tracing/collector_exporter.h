// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include <absl/status/statusor.h>

#include <weft/tracing/exporter.h>

namespace grpc {
class ChannelCredentials;
}  // namespace grpc

namespace weft {
inline namespace v0 {

struct CollectorExporterOptions {
  /// `HOST:PORT` of the collector's gRPC listener, or any gRPC target.
  std::string target = "127.0.0.1:4317";
  /// Sent as `x-api-key`; empty: none.
  std::string api_key{};
  /// Null: plain text.
  std::shared_ptr<grpc::ChannelCredentials> credentials{};
  /// Where runs go that could not be delivered in time; they are sent when the collector answers
  /// again, and by the next exporter with this folder and target. Made if need be. Empty: they are
  /// dropped.
  std::filesystem::path spill_dir{};
  /// What the folder may hold.
  std::uint64_t spill_bytes = std::uint64_t{100} << 20;
  /// What unacknowledged runs may occupy, about; a run beyond it goes to the folder or is dropped.
  std::size_t queue_bytes = std::size_t{64} << 20;
  /// A batch is sent when it has this many runs, this many bytes, or is this old.
  std::size_t batch_runs = 500;
  std::size_t batch_bytes = std::size_t{1} << 20;
  std::chrono::milliseconds flush_interval{200};
  /// Whether batches are compressed (zstd) where the collector takes it. For a network between: a
  /// fifth of the bytes, for about 4 us of CPU a KB.
  bool compress = false;
  /// A run that could not be delivered for so long is given up.
  std::chrono::milliseconds retry_for{std::chrono::minutes(5)};
};

/// Sends runs to a weft collector over one gRPC stream, and sends again what the collector has not
/// acknowledged.
///
///     auto exporter = weft::CollectorExporter::Create({.target = "collector:4317"});
///     auto tracer = weft::Tracer::Create({.exporters = {exporter.value()}});
///
/// A collector that is away is tried again, at most about a second apart. What is lost in the end
/// is counted in Stats() and said on stderr: once a minute at most, and at the end. The folder is
/// that of LangSmithExporter: several exporters may share it.
///
/// Lifetime: the destructor stops at once; call Shutdown to deliver what is left. The child of a
///   fork drops everything.
/// Threads: any. It has one thread of its own (two with a folder), which has no current context,
/// and
///   its channel has no interceptors, so its own calls are never traced.
/// Cost: Export takes a lock for as long as a record takes to move; JSON is made on the exporter's
///   thread, which is woken once per batch.
class CollectorExporter final : public Exporter {
 public:
  /// Errors: InvalidArgument names the option and the value; the error of a folder that cannot be
  /// made. A collector that cannot be reached is none.
  static absl::StatusOr<std::shared_ptr<CollectorExporter>> Create(
      CollectorExporterOptions options);

  ~CollectorExporter() override;

  void Export(RunRecord&& record) noexcept override;
  bool Flush(std::chrono::steady_clock::duration timeout) noexcept override;
  bool Shutdown(std::chrono::steady_clock::duration timeout) noexcept override;
  ExporterStats Stats() const noexcept override;
  bool finishes_records() const noexcept override { return true; }

 private:
  class Impl;
  explicit CollectorExporter(std::unique_ptr<Impl> impl) noexcept;

  std::unique_ptr<Impl> impl_;
};

}  // namespace v0
}  // namespace weft
