// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <absl/status/statusor.h>

#include <weft/tracing/exporter.h>
#include <weft/tracing/json.h>

namespace weft {
inline namespace v0 {

enum class OtlpProtocol : std::uint8_t { kHttpProtobuf, kGrpc, kHttpJson };
enum class OtlpCompression : std::uint8_t {
  kNone,
  kGzip,
  kZstd,  ///< Over HTTP, to receivers that take it; else gzip.
};

struct OtlpExporterOptions {
  OtlpProtocol protocol = OtlpProtocol::kHttpProtobuf;
  /// HTTP: the whole URL, path included. gRPC: `http://HOST:PORT`, `https://HOST:PORT` (TLS), or a
  /// gRPC target without a scheme, with TLS unless `insecure`. Empty:
  /// `http://localhost:4318/v1/traces` or `http://localhost:4317`.
  std::string endpoint{};
  bool insecure = false;
  /// Sent with each request; gRPC's names are lower case.
  std::vector<std::pair<std::string, std::string>> headers{};
  /// Of one request; zero: none.
  std::chrono::milliseconds timeout{10'000};
  OtlpCompression compression = OtlpCompression::kNone;
  // Files in PEM; empty: the system's certificates, and none of one's own.
  std::string certificate{};
  std::string client_certificate{};
  std::string client_key{};
  /// Attributes of the resource beside `service.name`, which is the runs' unless it is here.
  JsonObject resource{};
  /// Text of a run is cut until its span has at most so many bytes: many receivers take no request
  /// above 4 MiB.
  std::size_t max_span_bytes = std::size_t{2} << 20;
  /// A run still open after so long, or at shutdown, goes out unfinished.
  std::chrono::milliseconds max_open{std::chrono::hours(1)};
  /// Where runs go that could not be delivered in time; they are sent when the receiver answers
  /// again, and by the next exporter with this folder and endpoint. Made if need be. Empty: they
  /// are dropped.
  std::filesystem::path spill_dir{};
  /// What the folder may hold.
  std::uint64_t spill_bytes = std::uint64_t{100} << 20;
  /// What unacknowledged runs may occupy, about; a run beyond it goes to the folder or is dropped.
  /// Open ones may occupy as much again.
  std::size_t queue_bytes = std::size_t{64} << 20;
  /// A batch is sent when it has this many runs, this many bytes, or is this old.
  std::size_t batch_runs = 500;
  std::size_t batch_bytes = std::size_t{1} << 20;
  std::chrono::milliseconds flush_interval{200};
  /// A run that could not be delivered for so long is given up.
  std::chrono::milliseconds retry_for{std::chrono::minutes(5)};
};

/// Sends runs as OpenTelemetry's spans, over OTLP with gRPC or HTTP.
///
///     auto exporter = weft::OtlpExporter::Create({.endpoint = "https://otel.example/v1/traces",
///                                                 .headers = {{"api-key", key}}});
///     auto tracer = weft::Tracer::Create({.exporters = {exporter.value()}});
///
/// OTLP knows finished spans only. A run that is sent while it is open is kept here until its end,
/// and counts once. What OTLP calls retryable is sent again; what it does not is dropped and
/// counted (docs/tracing.md). The folder is that of LangSmithExporter: several exporters may share
/// it.
///
/// Lifetime: the destructor stops at once; call Shutdown to deliver what is left. The child of a
///   fork drops everything.
/// Threads: any. It has one thread of its own (two with a folder), which has no current context,
/// and
///   its requests are never traced.
class OtlpExporter final : public Exporter {
 public:
  /// Errors: InvalidArgument names the option and the value; the error of a folder that cannot be
  /// made. A receiver that cannot be reached is none.
  static absl::StatusOr<std::shared_ptr<OtlpExporter>> Create(OtlpExporterOptions options);

  ~OtlpExporter() override;

  void Export(RunRecord&& record) noexcept override;
  bool Flush(std::chrono::steady_clock::duration timeout) noexcept override;
  bool Shutdown(std::chrono::steady_clock::duration timeout) noexcept override;
  ExporterStats Stats() const noexcept override;
  bool finishes_records() const noexcept override { return true; }
  bool speaks_opentelemetry() const noexcept override { return true; }

 private:
  class Impl;
  explicit OtlpExporter(std::unique_ptr<Impl> impl) noexcept;

  std::unique_ptr<Impl> impl_;
};

}  // namespace v0
}  // namespace weft
