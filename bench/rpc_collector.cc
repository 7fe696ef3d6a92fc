// SPDX-License-Identifier: Apache-2.0
#include "rpc_collector.h"

#include <algorithm>
#include <chrono>
#include <vector>

#include <google/protobuf/io/coded_stream.h>
#include <grpcpp/grpcpp.h>

namespace bench {

AcknowledgingCollector::AcknowledgingCollector(bool unpack) {
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  if (unpack) {
    builder.RegisterService(&unpacking_);
  } else {
    builder.RegisterCallbackGenericService(&plain_);
  }
  server_ = builder.BuildAndStart();
  target_ = "127.0.0.1:" + std::to_string(port);
}

AcknowledgingCollector::~AcknowledgingCollector() {
  server_->Shutdown(std::chrono::system_clock::now());
}

auto AcknowledgingCollector::Acknowledgement(std::uint64_t batch_id) -> Response {
  Response response;
  response.set_batch_id(batch_id);
  response.mutable_result();
  return response;
}

grpc::Status AcknowledgingCollector::Unpacking::ExportStream(
    grpc::ServerContext* /*context*/, grpc::ServerReaderWriter<Response, Request>* stream) {
  Request request;
  while (stream->Read(&request)) stream->Write(Acknowledgement(request.batch_id()));
  return grpc::Status::OK;
}

class AcknowledgingCollector::Plain::Reactor final : public grpc::ServerGenericBidiReactor {
 public:
  Reactor() { StartRead(&request_); }
  void OnReadDone(bool ok) override {
    if (!ok) return Finish(grpc::Status::OK);
    bool owned = false;
    grpc::SerializationTraits<Response>::Serialize(Acknowledgement(BatchId()), &response_, &owned);
    StartWrite(&response_);
  }
  void OnWriteDone(bool ok) override {
    if (ok) StartRead(&request_);
  }
  void OnDone() override { delete this; }

 private:
  // The first field of the request.
  std::uint64_t BatchId() {
    std::vector<grpc::Slice> slices;
    if (!request_.Dump(&slices).ok() || slices.empty()) return 0;
    google::protobuf::io::CodedInputStream input(
        slices[0].begin(), static_cast<int>(std::min<std::size_t>(slices[0].size(), 11)));
    std::uint64_t id = 0;
    return input.ReadTag() == 8 && input.ReadVarint64(&id) ? id : 0;
  }

  grpc::ByteBuffer request_;
  grpc::ByteBuffer response_;
};

grpc::ServerGenericBidiReactor* AcknowledgingCollector::Plain::CreateReactor(
    grpc::GenericCallbackServerContext* /*context*/) {
  return new Reactor;
}

}  // namespace bench
