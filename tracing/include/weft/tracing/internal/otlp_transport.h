// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <string>

#include <absl/status/statusor.h>

#include <weft/tracing/internal/delivery.h>
#include <weft/tracing/otlp_exporter.h>

namespace weft {
inline namespace v0 {
namespace internal {

/// Takes requests to a receiver of OTLP. Threads: one call at a time.
class OtlpTransport {
 public:
  OtlpTransport() = default;
  OtlpTransport(const OtlpTransport&) = delete;
  OtlpTransport& operator=(const OtlpTransport&) = delete;
  virtual ~OtlpTransport() = default;

  /// `request`: a serialised ExportTraceServiceRequest.
  virtual SendResult Send(std::string request, std::size_t spans,
                          const std::atomic<bool>& abort) = 0;
};

/// Errors: InvalidArgument names the option and the value.
absl::StatusOr<std::unique_ptr<OtlpTransport>> MakeOtlpGrpc(const OtlpExporterOptions& options);
absl::StatusOr<std::unique_ptr<OtlpTransport>> MakeOtlpHttp(const OtlpExporterOptions& options);

}  // namespace internal
}  // namespace v0
}  // namespace weft
