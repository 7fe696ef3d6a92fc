// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include <grpcpp/impl/call_op_set.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/status.h>

#include "grpc_testing.grpc.pb.h"
#include "message_flags.h"

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

/// The server's part in the compressed cases: OK unless the request says that it came compressed,
/// or plain, and it came the other way.
template <typename Context, typename Request>
grpc::Status CheckCompression(Context& context, const Request& request) {
  if (!request.has_expect_compressed() ||
      request.expect_compressed().value() == LastMessageWasCompressed(context)) {
    return grpc::Status::OK;
  }
  return {grpc::StatusCode::INVALID_ARGUMENT, "compressed otherwise than it says"};
}

inline void SetCompression(grpc::ServerContextBase& context, bool compressed) {
  context.set_compression_level(compressed ? GRPC_COMPRESS_LEVEL_HIGH : GRPC_COMPRESS_LEVEL_NONE);
}

/// For a call of which each message may say that it is to be plain.
inline void SetCompression(grpc::ServerContextBase& context,
                           const pb::StreamingOutputCallRequest& request) {
  for (const pb::ResponseParameters& wanted : request.response_parameters()) {
    if (wanted.compressed().value()) SetCompression(context, true);
  }
}

inline grpc::WriteOptions OptionsFor(const pb::ResponseParameters& wanted) {
  grpc::WriteOptions options;
  if (wanted.has_compressed() && !wanted.compressed().value()) options.set_no_compression();
  return options;
}

template <typename Context>
grpc::Status UnaryCall(Context* context, const pb::SimpleRequest* request,
                       pb::SimpleResponse* response) {
  EchoMetadata(*context);
  grpc::Status status = CheckCompression(*context, *request);
  if (!status.ok()) return status;
  if (request->has_response_compressed()) {
    SetCompression(*context, request->response_compressed().value());
  }
  Fill(response->mutable_payload(), request->response_size());
  return WantedStatus(request->response_status());
}

// The streams of synchronous services and of fibers look alike.

template <typename Writer>
grpc::Status StreamingOutputCall(grpc::ServerContextBase& context,
                                 const pb::StreamingOutputCallRequest& request, Writer& writer) {
  SetCompression(context, request);
  pb::StreamingOutputCallResponse response;
  for (const pb::ResponseParameters& wanted : request.response_parameters()) {
    Fill(response.mutable_payload(), wanted.size());
    if (!writer.Write(response, OptionsFor(wanted))) break;
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
  while (reader.Read(&request)) {
    const grpc::Status status = CheckCompression(*context, request);
    if (!status.ok()) return status;
    size += request.payload().body().size();
  }
  while (size == 0 && !context->IsCancelled()) yield();
  response->set_aggregated_payload_size(static_cast<int>(size));
  return grpc::Status::OK;
}

template <typename Stream>
grpc::Status FullDuplexCall(grpc::ServerContextBase* context, Stream& stream) {
  EchoMetadata(*context);
  pb::StreamingOutputCallRequest request;
  while (stream.Read(&request)) {
    const grpc::Status status = StreamingOutputCall(*context, request, stream);
    if (!status.ok()) return status;
  }
  return grpc::Status::OK;
}

}  // namespace weft::interop
