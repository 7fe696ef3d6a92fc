// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/server.h>

#include <weft/collector/v1/collector.grpc.pb.h>

namespace bench {

/// Acknowledges everything: by the batch's number alone, or after unpacking the runs.
class AcknowledgingCollector {
 public:
  explicit AcknowledgingCollector(bool unpack);
  ~AcknowledgingCollector();

  const std::string& target() const { return target_; }

 private:
  using Request = weft::collector::v1::ExportStreamRequest;
  using Response = weft::collector::v1::ExportStreamResponse;

  static Response Acknowledgement(std::uint64_t batch_id);

  class Unpacking final : public weft::collector::v1::CollectorService::Service {
    grpc::Status ExportStream(grpc::ServerContext* context,
                              grpc::ServerReaderWriter<Response, Request>* stream) override;
  };

  class Plain final : public grpc::CallbackGenericService {
    class Reactor;
    grpc::ServerGenericBidiReactor* CreateReactor(
        grpc::GenericCallbackServerContext* context) override;
  };

  Unpacking unpacking_;
  Plain plain_;
  std::unique_ptr<grpc::Server> server_;
  std::string target_;
};

}  // namespace bench
