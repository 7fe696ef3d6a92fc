// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include <grpcpp/server_context.h>
#include <grpcpp/support/status.h>

#include "grpc_testing.grpc.pb.h"

namespace weft::interop {

namespace pb = ::grpc::testing;

/// Metadata that the server sends back; the second one in its trailers.
inline constexpr char kEchoInitial[] = "x-grpc-test-echo-initial";
inline constexpr char kEchoTrailing[] = "x-grpc-test-echo-trailing-bin";

inline void EchoMetadata(grpc::ServerContextBase& context) {
  for (const auto& [key, value] : context.client_metadata()) {
    const std::string text(value.data(), value.size());
    if (key == kEchoInitial) context.AddInitialMetadata(kEchoInitial, text);
    if (key == kEchoTrailing) context.AddTrailingMetadata(kEchoTrailing, text);
  }
}

/// The status that a request asks for; OK when it asks for none.
inline grpc::Status WantedStatus(const pb::EchoStatus& wanted) {
  return {static_cast<grpc::StatusCode>(wanted.code()), wanted.message()};
}

inline void Fill(pb::Payload* payload, int size) {
  payload->set_body(std::string(static_cast<std::size_t>(size), '\0'));
}

inline grpc::Status UnaryCall(grpc::ServerContextBase* context, const pb::SimpleRequest* request,
                              pb::SimpleResponse* response) {
  EchoMetadata(*context);
  Fill(response->mutable_payload(), request->response_size());
  return WantedStatus(request->response_status());
}

// The streams of synchronous services and of fibers look alike.

template <typename Writer>
grpc::Status StreamingOutputCall(const pb::StreamingOutputCallRequest& request, Writer& writer) {
  pb::StreamingOutputCallResponse response;
  for (const pb::ResponseParameters& wanted : request.response_parameters()) {
    Fill(response.mutable_payload(), wanted.size());
    if (!writer.Write(response)) break;
  }
  return WantedStatus(request.response_status());
}

/// A caller that sent nothing is about to cancel, and may end its stream before. Answering that
/// would be a race with it.
template <typename Reader>
grpc::Status StreamingInputCall(grpc::ServerContext* context, Reader& reader,
                                pb::StreamingInputCallResponse* response, void (*yield)()) {
  std::size_t size = 0;
  pb::StreamingInputCallRequest request;
  while (reader.Read(&request)) size += request.payload().body().size();
  while (size == 0 && !context->IsCancelled()) yield();
  response->set_aggregated_payload_size(static_cast<int>(size));
  return grpc::Status::OK;
}

template <typename Stream>
grpc::Status FullDuplexCall(grpc::ServerContextBase* context, Stream& stream) {
  EchoMetadata(*context);
  pb::StreamingOutputCallRequest request;
  while (stream.Read(&request)) {
    const grpc::Status status = StreamingOutputCall(request, stream);
    if (!status.ok()) return status;
  }
  return grpc::Status::OK;
}

}  // namespace weft::interop
