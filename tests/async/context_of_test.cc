// SPDX-License-Identifier: Apache-2.0
#include <weft/async/context_of.h>

#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/support/server_interceptor.h>
#include <gtest/gtest.h>

#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <weft/async/internal/call_sentinel.h>

namespace weft {
namespace {

constexpr ContextKey<int> kNumberKey;

using ReceivedMetadata = std::multimap<grpc::string_ref, grpc::string_ref>;
using SentMetadata = std::multimap<std::string, std::string>;

static_assert(noexcept(ContextOf(std::declval<const grpc::ServerContextBase&>())));

TEST(CallSentinelTest, IsFoundByTheAddressOfItsKeyOnly) {
  const Context context = Context().With(kNumberKey, 7);
  ReceivedMetadata received;
  ASSERT_TRUE(internal::InstallCallContext(received, &context));
  ASSERT_EQ(received.size(), 1);
  EXPECT_EQ(internal::FindCallContext(received), &context);

  // What a peer sends has the same name at another address.
  const std::string name(received.begin()->first.data(), received.begin()->first.size());
  const ReceivedMetadata forged{{name, "not a pointer"}};
  EXPECT_EQ(internal::FindCallContext(forged), nullptr);
}

TEST(CallSentinelTest, ReplacesWhatWasThere) {
  const Context first = Context().With(kNumberKey, 1);
  const Context second = Context().With(kNumberKey, 2);
  ReceivedMetadata received{{"other", "kept"}};
  ASSERT_TRUE(internal::InstallCallContext(received, &first));
  ASSERT_TRUE(internal::InstallCallContext(received, &second));
  EXPECT_EQ(received.size(), 2);
  EXPECT_EQ(internal::FindCallContext(received), &second);
}

TEST(CallSentinelTest, CodeThatForwardsMetadataCopiesAnEmptyValueThatIsRemoved) {
  const Context context;
  ReceivedMetadata received{{"other", "kept"}, {"weft-keep", "1"}, {"weft-hops", "3"}};
  ASSERT_TRUE(internal::InstallCallContext(received, &context));
  SentMetadata sent;
  for (const auto& [key, value] : received) {
    sent.emplace(std::string(key.data(), key.size()), std::string(value.data(), value.size()));
  }
  EXPECT_TRUE(internal::RemoveForwardedSentinel(sent));
  EXPECT_EQ(sent, (SentMetadata{{"other", "kept"}}));
  EXPECT_FALSE(internal::RemoveForwardedSentinel(sent));
}

class Installer : public grpc::experimental::Interceptor {
 public:
  void Intercept(grpc::experimental::InterceptorBatchMethods* methods) override {
    using grpc::experimental::InterceptionHookPoints;
    if (methods->QueryInterceptionHookPoint(InterceptionHookPoints::POST_RECV_INITIAL_METADATA)) {
      internal::InstallCallContext(*methods->GetRecvInitialMetadata(), &context_);
    }
    methods->Proceed();
  }

 private:
  const Context context_ = Context().With(kNumberKey, 42);
};

class InstallerFactory : public grpc::experimental::ServerInterceptorFactoryInterface {
 public:
  grpc::experimental::Interceptor* CreateServerInterceptor(
      grpc::experimental::ServerRpcInfo*) override {
    return new Installer;
  }
};

// One call of a generic service over a completion queue, in steps.
class GenericCallTest : public ::testing::Test {
 protected:
  void Start(bool intercepted) {
    grpc::ServerBuilder builder;
    builder.RegisterAsyncGenericService(&service_);
    server_queue_ = builder.AddCompletionQueue();
    if (intercepted) {
      std::vector<std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>> factories;
      factories.push_back(std::make_unique<InstallerFactory>());
      builder.experimental().SetInterceptorCreators(std::move(factories));
    }
    server_ = builder.BuildAndStart();
    ASSERT_NE(server_, nullptr);
  }

  // Runs `handler` with the server context of a call that carries `sent`.
  template <typename Handler>
  void Serve(const SentMetadata& sent, Handler handler) {
    grpc::GenericServerContext server_context;
    grpc::GenericServerAsyncReaderWriter responder(&server_context);
    service_.RequestCall(&server_context, &responder, server_queue_.get(), server_queue_.get(),
                         this);

    grpc::GenericStub stub(server_->InProcessChannel({}));
    grpc::ClientContext client_context;
    client_context.set_deadline(Deadline());
    for (const auto& [key, value] : sent) client_context.AddMetadata(key, value);
    grpc::CompletionQueue client_queue;
    auto call = stub.PrepareUnaryCall(&client_context, "/a.B/C", grpc::ByteBuffer(), &client_queue);
    grpc::ByteBuffer response;
    grpc::Status status;
    call->StartCall();
    call->Finish(&response, &status, this);

    ASSERT_TRUE(Next(*server_queue_));
    handler(server_context);
    responder.Finish(grpc::Status(grpc::StatusCode::NOT_FOUND, "nothing here"), this);
    ASSERT_TRUE(Next(*server_queue_));
    ASSERT_TRUE(Next(client_queue));
    EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND) << status.error_message();
    client_queue.Shutdown();
    EXPECT_FALSE(Next(client_queue));
  }

  void TearDown() override {
    server_->Shutdown(Deadline());
    server_queue_->Shutdown();
    while (Next(*server_queue_)) {
    }
  }

 private:
  static std::chrono::system_clock::time_point Deadline() {
    return std::chrono::system_clock::now() + std::chrono::seconds(20);
  }
  static bool Next(grpc::CompletionQueue& queue) {
    void* tag = nullptr;
    bool ok = false;
    return queue.AsyncNext(&tag, &ok, Deadline()) == grpc::CompletionQueue::GOT_EVENT;
  }

  grpc::AsyncGenericService service_;
  std::unique_ptr<grpc::ServerCompletionQueue> server_queue_;
  std::unique_ptr<grpc::Server> server_;
};

TEST_F(GenericCallTest, ContextOfFindsWhatTheInterceptorInstalled) {
  Start(true);
  Serve({}, [](const grpc::ServerContextBase& context) {
    const Context found = ContextOf(context);
    ASSERT_NE(found.Find(kNumberKey), nullptr);
    EXPECT_EQ(*found.Find(kNumberKey), 42);
  });
}

TEST_F(GenericCallTest, AnEntryFromThePeerIsRemoved) {
  Start(true);
  Serve({{"weft-call", "forged"}}, [](const grpc::ServerContextBase& context) {
    EXPECT_EQ(context.client_metadata().count("weft-call"), 1);
    EXPECT_EQ(*ContextOf(context).Find(kNumberKey), 42);
  });
}

TEST_F(GenericCallTest, ContextOfIsTheRootWithoutAnInterceptor) {
  Start(false);
  Serve({{"weft-call", "forged"}}, [](const grpc::ServerContextBase& context) {
    EXPECT_EQ(context.client_metadata().count("weft-call"), 1);
    EXPECT_FALSE(ContextOf(context));
  });
}

}  // namespace
}  // namespace weft
