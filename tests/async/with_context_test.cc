// SPDX-License-Identifier: Apache-2.0
#include <weft/async/with_context.h>

#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>

namespace weft {
namespace {

constexpr ContextKey<int> kNumberKey;

int CurrentNumber() {
  const int* const number = Context::View().Find(kNumberKey);
  return number != nullptr ? *number : 0;
}
Context Numbered(int number) { return Context().With(kNumberKey, number); }

grpc::ByteBuffer Message(const std::string& text) {
  const grpc::Slice slice(text);
  return grpc::ByteBuffer(&slice, 1);
}

// Which numbers each reaction saw, on either side.
class Sightings {
 public:
  void Add(const std::string& reaction) {
    std::lock_guard lock(mutex_);
    seen_[reaction].insert(CurrentNumber());
  }
  std::map<std::string, std::set<int>> all() {
    std::lock_guard lock(mutex_);
    return seen_;
  }

 private:
  std::mutex mutex_;
  std::map<std::string, std::set<int>> seen_;
};

// Sends each message back.
class Echo : public grpc::ServerGenericBidiReactor {
 public:
  Echo(Sightings& sightings, std::promise<void>& done) : sightings_(sightings), done_(done) {
    StartSendInitialMetadata();
    StartRead(&message_);
  }
  void OnSendInitialMetadataDone(bool) override { sightings_.Add("server metadata"); }
  void OnReadDone(bool ok) override {
    sightings_.Add("server read");
    if (ok) {
      StartWrite(&message_);
    } else {
      Finish(grpc::Status::OK);
    }
  }
  void OnWriteDone(bool) override {
    sightings_.Add("server write");
    StartRead(&message_);
  }
  void OnDone() override {
    sightings_.Add("server done");
    done_.set_value();
    delete this;
  }

 private:
  Sightings& sightings_;
  std::promise<void>& done_;
  grpc::ByteBuffer message_;
};

class Thrower : public grpc::ServerGenericBidiReactor {
 public:
  Thrower(Sightings& sightings, std::promise<void>& done) : sightings_(sightings), done_(done) {
    StartRead(&message_);
  }
  void OnReadDone(bool) override {
    sightings_.Add("server read");
    throw 1;
  }
  void OnDone() override {
    done_.set_value();
    delete this;
  }

 private:
  Sightings& sightings_;
  std::promise<void>& done_;
  grpc::ByteBuffer message_;
};

template <typename Reactor>
class Service : public grpc::CallbackGenericService {
 public:
  Service(Sightings& sightings, std::promise<void>& done) : sightings_(sightings), done_(done) {}
  grpc::ServerGenericBidiReactor* CreateReactor(grpc::GenericCallbackServerContext*) override {
    ContextScope scope(Numbered(1));  // what the interceptor does
    return new WithContext<Reactor>(sightings_, done_);
  }

 private:
  Sightings& sightings_;
  std::promise<void>& done_;
};

// Writes `count` messages, reads each back, and ends.
class Talker : public grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
 public:
  Talker(Sightings& sightings, int count) : sightings_(sightings), left_(count) {}
  void Begin() {
    StartWrite(&message_);
    StartCall();
  }
  void OnReadInitialMetadataDone(bool) override { sightings_.Add("client metadata"); }
  void OnWriteDone(bool ok) override {
    sightings_.Add("client write");
    if (ok) StartRead(&message_);
  }
  void OnReadDone(bool ok) override {
    sightings_.Add("client read");
    if (!ok) return;
    if (--left_ > 0) {
      StartWrite(&message_);
    } else {
      StartWritesDone();
    }
  }
  void OnWritesDoneDone(bool) override { sightings_.Add("client writes done"); }
  void OnDone(const grpc::Status& status) override {
    sightings_.Add("client done");
    status_.set_value(status);
  }
  grpc::Status Await() { return status_.get_future().get(); }

 private:
  Sightings& sightings_;
  int left_;
  grpc::ByteBuffer message_ = Message("hello");
  std::promise<grpc::Status> status_;
};

template <typename Reactor>
grpc::Status Converse(Sightings& sightings) {
  std::promise<void> done;
  Service<Reactor> service(sightings, done);
  grpc::ServerBuilder builder;
  builder.RegisterCallbackGenericService(&service);
  std::unique_ptr<grpc::Server> server = builder.BuildAndStart();

  grpc::GenericStub stub(server->InProcessChannel({}));
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
  std::unique_ptr<WithContext<Talker>> talker;
  {
    ContextScope scope(Numbered(2));
    talker = std::make_unique<WithContext<Talker>>(sightings, 3);
    stub.PrepareBidiStreamingCall(&context, "/a.B/C", {}, talker.get());
  }
  talker->Begin();
  const grpc::Status status = talker->Await();
  EXPECT_EQ(done.get_future().wait_for(std::chrono::seconds(20)), std::future_status::ready)
      << "OnDone never came";
  server->Shutdown();
  return status;
}

TEST(WithContextTest, EveryReactionSeesTheContextOfItsMaking) {
  Sightings sightings;
  EXPECT_TRUE(Converse<Echo>(sightings).ok());
  const std::map<std::string, std::set<int>> expected{
      {"server metadata", {1}}, {"server read", {1}},  {"server write", {1}},
      {"server done", {1}},     {"client write", {2}}, {"client metadata", {2}},
      {"client read", {2}},     {"client done", {2}},  {"client writes done", {2}}};
  EXPECT_EQ(sightings.all(), expected);
}

TEST(WithContextTest, AnExceptionOfAServerReactionFinishesTheCall) {
  Sightings sightings;
  EXPECT_EQ(Converse<Thrower>(sightings).error_code(), grpc::StatusCode::INTERNAL);
  EXPECT_EQ(sightings.all()["server read"], (std::set<int>{1}));
}

// The kinds of reactor that the tests above do not use.
template <typename Base>
struct ServerRecorder : Base {
  void OnDone() override { seen = CurrentNumber(); }
  int seen = 0;
};
template <typename Base>
struct ClientRecorder : Base {
  void OnDone(const grpc::Status&) override { seen = CurrentNumber(); }
  int seen = 0;
};

template <typename Reactor, typename... Args>
int SeenWhenDone(const Args&... args) {
  std::unique_ptr<WithContext<Reactor>> reactor;
  {
    ContextScope scope(Numbered(3));
    reactor = std::make_unique<WithContext<Reactor>>();
  }
  reactor->OnDone(args...);
  return reactor->seen;
}

TEST(WithContextTest, FitsEveryKindOfReactor) {
  using Bytes = grpc::ByteBuffer;
  EXPECT_EQ(SeenWhenDone<ServerRecorder<grpc::ServerUnaryReactor>>(), 3);
  EXPECT_EQ(SeenWhenDone<ServerRecorder<grpc::ServerReadReactor<Bytes>>>(), 3);
  EXPECT_EQ(SeenWhenDone<ServerRecorder<grpc::ServerWriteReactor<Bytes>>>(), 3);
  const grpc::Status ok;
  EXPECT_EQ(SeenWhenDone<ClientRecorder<grpc::ClientUnaryReactor>>(ok), 3);
  EXPECT_EQ(SeenWhenDone<ClientRecorder<grpc::ClientReadReactor<Bytes>>>(ok), 3);
  EXPECT_EQ(SeenWhenDone<ClientRecorder<grpc::ClientWriteReactor<Bytes>>>(ok), 3);
}

}  // namespace
}  // namespace weft
