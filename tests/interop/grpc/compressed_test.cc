// SPDX-License-Identifier: Apache-2.0
// gRPC's interop cases of compression, with an intercepted C++ client and server: the interop
// package of grpc-go has none of them.
#include <memory>
#include <ostream>
#include <string>
#include <tuple>

#include <grpcpp/client_context.h>
#include <grpcpp/security/credentials.h>

#include <weft/async/call.h>
#include <weft/async/stream.h>
#include <weft/interceptors/create_channel.h>

#include "grpc_testing.grpc.pb.h"
#include "interop_server.h"
#include "interop_test.h"
#include "message_flags.h"

namespace weft::interop {
namespace {

namespace pb = ::grpc::testing;
using Stub = pb::TestService::Stub;

// The published cases' own numbers.
constexpr int kRequest = 271828;
constexpr int kResponse = 314159;

enum class Client { kSync, kQueue };
std::ostream& operator<<(std::ostream& out, Client client) {
  return out << (client == Client::kSync ? "Sync" : "Queue");
}

template <typename Message>
void SetBody(Message& message, int size) {
  message.mutable_payload()->set_body(std::string(static_cast<std::size_t>(size), '\0'));
}

grpc::WriteOptions Plain() { return grpc::WriteOptions().set_no_compression(); }

class CompressedTest : public InteropTest,
                       public ::testing::WithParamInterface<std::tuple<Flavour, Client>> {
 protected:
  CompressedTest() {
    stub_ = pb::TestService::NewStub(
        CreateChannel(server_->address(), grpc::InsecureChannelCredentials(), Options()));
  }

  struct Unary {
    grpc::Status status;
    pb::SimpleResponse response;
    bool compressed;
  };
  Unary CallUnary(pb::SimpleRequest request, grpc_compression_algorithm algorithm) {
    request.set_response_size(kResponse);
    SetBody(request, kRequest);
    grpc::ClientContext context;
    context.set_compression_algorithm(algorithm);
    Unary result;
    if (client() == Client::kSync) {
      result.status = stub_->UnaryCall(&context, request, &result.response);
    } else {
      auto reply = weft::CallUnary(*stub_, &Stub::PrepareAsyncUnaryCall, request, context);
      result.status = reply.status;
      result.response = std::move(reply.response);
    }
    result.compressed = LastMessageWasCompressed(context);
    return result;
  }

  /// `send(writer)` sends the requests, and says whether all of them went.
  template <typename Send>
  grpc::Status Upload(Send send, pb::StreamingInputCallResponse* response) {
    grpc::ClientContext context;
    context.set_compression_algorithm(GRPC_COMPRESS_GZIP);
    if (client() == Client::kSync) {
      const auto stream = stub_->StreamingInputCall(&context, response);
      send(*stream);
      stream->WritesDone();
      return stream->Finish();
    }
    auto stream = OpenStream(*stub_, &Stub::PrepareAsyncStreamingInputCall, &context);
    send(stream);
    auto reply = stream.Finish();
    *response = std::move(reply.response);
    return reply.status;
  }

  /// `check(context, stream)` reads all responses.
  template <typename Check>
  grpc::Status Download(const pb::StreamingOutputCallRequest& request, Check check) {
    grpc::ClientContext context;
    if (client() == Client::kSync) {
      const auto stream = stub_->StreamingOutputCall(&context, request);
      check(context, *stream);
      return stream->Finish();
    }
    auto stream = OpenStream(*stub_, &Stub::PrepareAsyncStreamingOutputCall, request, &context);
    check(context, stream);
    return stream.Finish();
  }

  /// What weft tells of the calls. Both sides do, in the same words but for the counts of a stream.
  std::string Finish() {
    server_->Shutdown();
    return Calls();
  }

 private:
  static Client client() { return std::get<Client>(GetParam()); }

  const std::unique_ptr<InteropServer> server_ =
      Serve(std::get<Flavour>(GetParam()), Options(), /*gzip=*/false);
  std::unique_ptr<Stub> stub_;
};

TEST_P(CompressedTest, ClientCompressedUnary) {
  pb::SimpleRequest request;
  request.mutable_expect_compressed()->set_value(true);
  // The server looks: what says that it is compressed and is not is refused.
  EXPECT_EQ(CallUnary(request, GRPC_COMPRESS_NONE).status.error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
  const Unary compressed = CallUnary(request, GRPC_COMPRESS_GZIP);
  EXPECT_TRUE(compressed.status.ok()) << compressed.status.error_message();
  EXPECT_EQ(compressed.response.payload().body().size(), std::size_t{kResponse});
  request.mutable_expect_compressed()->set_value(false);
  const Unary plain = CallUnary(request, GRPC_COMPRESS_NONE);
  EXPECT_TRUE(plain.status.ok()) << plain.status.error_message();
  EXPECT_EQ(plain.response.payload().body().size(), std::size_t{kResponse});
  EXPECT_EQ(Finish(),
            "UnaryCall INVALID_ARGUMENT, UnaryCall INVALID_ARGUMENT, UnaryCall OK, UnaryCall OK, "
            "UnaryCall OK, UnaryCall OK");
}

TEST_P(CompressedTest, ServerCompressedUnary) {
  for (const bool compressed : {true, false}) {
    pb::SimpleRequest request;
    request.mutable_response_compressed()->set_value(compressed);
    const Unary result = CallUnary(request, GRPC_COMPRESS_NONE);
    EXPECT_TRUE(result.status.ok()) << result.status.error_message();
    EXPECT_EQ(result.compressed, compressed);
    EXPECT_EQ(result.response.payload().body().size(), std::size_t{kResponse});
  }
  EXPECT_EQ(Finish(), "UnaryCall OK, UnaryCall OK, UnaryCall OK, UnaryCall OK");
}

TEST_P(CompressedTest, ClientCompressedStreaming) {
  pb::StreamingInputCallResponse response;
  pb::StreamingInputCallRequest first;
  first.mutable_expect_compressed()->set_value(true);
  SetBody(first, 27182);
  EXPECT_EQ(Upload([&](auto& stream) { stream.Write(first, Plain()); }, &response).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
  const auto send_both = [&](auto& stream) {
    EXPECT_TRUE(stream.Write(first));
    pb::StreamingInputCallRequest second;
    second.mutable_expect_compressed()->set_value(false);
    SetBody(second, 45904);
    EXPECT_TRUE(stream.Write(second, Plain()));
  };
  const grpc::Status status = Upload(send_both, &response);
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(response.aggregated_payload_size(), 73086);
  EXPECT_EQ(Finish(),
            "StreamingInputCall INVALID_ARGUMENT 0/1, StreamingInputCall INVALID_ARGUMENT 1/0, "
            "StreamingInputCall OK 1/2, StreamingInputCall OK 2/1");
}

TEST_P(CompressedTest, ServerCompressedStreaming) {
  constexpr int kSizes[] = {31415, 92653};
  pb::StreamingOutputCallRequest request;
  for (const int size : kSizes) {
    pb::ResponseParameters& wanted = *request.add_response_parameters();
    wanted.mutable_compressed()->set_value(size == kSizes[0]);
    wanted.set_size(size);
  }
  const grpc::Status status = Download(request, [&](grpc::ClientContext& context, auto& stream) {
    pb::StreamingOutputCallResponse response;
    for (const int size : kSizes) {
      EXPECT_TRUE(stream.Read(&response));
      EXPECT_EQ(LastMessageWasCompressed(context), size == kSizes[0]);
      EXPECT_EQ(response.payload().body().size(), static_cast<std::size_t>(size));
    }
    EXPECT_FALSE(stream.Read(&response));
  });
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(Finish(), "StreamingOutputCall OK 1/2, StreamingOutputCall OK 2/1");
}

std::string NameOf(const ::testing::TestParamInfo<std::tuple<Flavour, Client>>& test) {
  return ::testing::PrintToString(std::get<Flavour>(test.param)) + "From" +
         ::testing::PrintToString(std::get<Client>(test.param));
}

INSTANTIATE_TEST_SUITE_P(All, CompressedTest,
                         ::testing::Combine(::testing::Values(Flavour::kSync, Flavour::kCallback,
                                                              Flavour::kFiber, Flavour::kPlainSync,
                                                              Flavour::kPlainCallback),
                                            ::testing::Values(Client::kSync, Client::kQueue)),
                         NameOf);

}  // namespace
}  // namespace weft::interop
