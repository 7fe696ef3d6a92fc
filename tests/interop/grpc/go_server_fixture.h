// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <memory>
#include <string>

#include <grpcpp/client_context.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/channel_arguments.h>

#include <weft/interceptors/create_channel.h>
#include <weft/tracing/run.h>

#include "go_peer.h"
#include "grpc_testing.grpc.pb.h"
#include "interop_test.h"

namespace weft::interop {

namespace pb = ::grpc::testing;

// The published cases' own numbers.
inline constexpr std::array kRequestSizes = {27182, 8, 1828, 45904};
inline constexpr std::array kResponseSizes = {31415, 9, 2653, 58979};
inline constexpr int kLargeRequest = 271828;
inline constexpr int kLargeResponse = 314159;

inline std::string Zeros(int size) { return std::string(static_cast<std::size_t>(size), '\0'); }

inline pb::StreamingOutputCallRequest OutputRequest(int request_size, int response_size) {
  pb::StreamingOutputCallRequest request;
  request.mutable_payload()->set_body(Zeros(request_size));
  request.add_response_parameters()->set_size(response_size);
  return request;
}

/// The parameter says whether messages are compressed.
class GoServerTest : public InteropTest, public ::testing::WithParamInterface<bool> {
 protected:
  GoServerTest() {
    grpc::ChannelArguments arguments;
    if (GetParam()) arguments.SetCompressionAlgorithm(GRPC_COMPRESS_GZIP);
    const auto channel =
        CreateChannel(server_.ReadLine(), grpc::InsecureChannelCredentials(), Options(), arguments);
    stub_ = pb::TestService::NewStub(channel);
    unimplemented_ = pb::UnimplementedService::NewStub(channel);
    caller_ = std::make_unique<weft::Run>("caller", RunOptions{.tracer = tracer_});
  }

  /// Ends all; what weft tells of the calls. Checks that the caller is the parent of each.
  std::string Finish() {
    caller_.reset();
    const auto tree = exporter_->Tree();
    EXPECT_THAT(tree.Roots(), ::testing::SizeIs(1));
    EXPECT_THAT(tree.FindRun("caller").Children(), ::testing::SizeIs(tree.size() - 1));
    return Calls();
  }

  std::unique_ptr<pb::TestService::Stub> stub_;
  std::unique_ptr<pb::UnimplementedService::Stub> unimplemented_;
  grpc::ClientContext context_;

 private:
  GoPeer server_{{"server"}};
  std::unique_ptr<weft::Run> caller_;
};

}  // namespace weft::interop
