// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include <absl/status/status.h>
#include <grpcpp/server.h>

#include <weft/interceptors/metrics_registry.h>
#include <weft/tracing/tracer.h>

#include "planning.grpc.pb.h"

namespace planning {

/// What callers of the gateway prove who they are with.
inline constexpr char kKeyHeader[] = "x-api-key";

/// Lets the right calls through to a retriever, and answers the others itself.
class Gateway {
 public:
  explicit Gateway(std::shared_ptr<weft::Tracer> tracer);
  ~Gateway();

  /// Listens on a free port of this machine, in front of the retriever at `backend`.
  absl::Status Start(const std::string& backend);
  const std::string& address() const { return address_; }
  /// Returns when the calls have ended.
  void Stop();

  /// What it counted, as Prometheus reads it.
  std::string Metrics() const { return registry_->Prometheus(); }

 private:
  const std::shared_ptr<weft::Tracer> tracer_;
  const std::shared_ptr<weft::MetricsRegistry> registry_;
  std::unique_ptr<Retriever::Service> service_;
  std::unique_ptr<grpc::Server> server_;
  std::string address_;
};

}  // namespace planning
