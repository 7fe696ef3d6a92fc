// SPDX-License-Identifier: Apache-2.0
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <weft/interceptors/intercept_server.h>
#include <weft/interceptors/logging.h>
#include <weft/interceptors/rate_limit.h>
#include <weft/interceptors/real_peer.h>

#include "echo_client.h"
#include "fixture.h"

namespace weft::echo_test {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;

class RealPeerTest : public EchoTest, public ::testing::WithParamInterface<Flavour> {
 protected:
  void Serve(RealPeerOptions options, std::vector<ChainLink> later = {}) {
    auto real_peer = RealPeer(std::move(options));
    ASSERT_TRUE(real_peer.ok()) << std::string(real_peer.status().message());
    later.insert(later.begin(), *std::move(real_peer));
    EchoTest::Serve(GetParam(), {.middlewares = std::move(later)}, {});
    server_->progress().during_work = [this] {
      const std::lock_guard lock(mutex_);
      seen_ = CurrentRealPeer();
    };
  }
  grpc::StatusCode Call(const std::vector<std::string>& forwarded) {
    grpc::ClientContext context;
    for (const std::string& value : forwarded) context.AddMetadata("x-forwarded-for", value);
    return CallSync(RpcKind::kUnary, channel_, context).error_code();
  }
  std::string PeerOf(const std::vector<std::string>& forwarded) {
    EXPECT_EQ(Call(forwarded), grpc::StatusCode::OK);
    const std::lock_guard lock(mutex_);
    return std::exchange(seen_, "");
  }

 private:
  std::mutex mutex_;
  std::string seen_;
};

TEST_P(RealPeerTest, IsTheFirstFromTheEndThatIsNoTrustedProxy) {
  Serve({.trusted = {"127.0.0.0/8", "10.0.0.0/9", "fd00::/8", "192.0.2.7"}});
  EXPECT_EQ(PeerOf({"203.0.113.9"}), "203.0.113.9");
  EXPECT_EQ(PeerOf({"6.6.6.6, 203.0.113.9, 10.1.2.3,192.0.2.7"}), "203.0.113.9");
  EXPECT_EQ(PeerOf({"6.6.6.6", "203.0.113.9 , 10.1.2.3", "[fd12::1]:443"}), "203.0.113.9");
  EXPECT_EQ(PeerOf({"203.0.113.9, 10.200.0.1"}), "10.200.0.1") << "not in 10.0.0.0/9";
  EXPECT_EQ(PeerOf({"2001:DB8:0::1"}), "2001:db8::1");
  EXPECT_EQ(PeerOf({"[2001:db8::1]:5000, ::ffff:10.0.0.1"}), "2001:db8::1");
  EXPECT_EQ(PeerOf({"203.0.113.9:5000"}), "203.0.113.9");
}

TEST_P(RealPeerTest, IsTheLastOneThatWasNamedWhereTheHeaderSaysNoMore) {
  Serve({.trusted = {"127.0.0.1", "10.0.0.0/8"}});
  EXPECT_EQ(PeerOf({}), "127.0.0.1");
  EXPECT_EQ(PeerOf({""}), "127.0.0.1");
  EXPECT_EQ(PeerOf({"10.0.0.5"}), "10.0.0.5");
  for (const char* nothing : {"unknown", "1.2.3", "1.2.3.4.5", "[::1", ",", "1.2.3.4,"}) {
    EXPECT_EQ(PeerOf({std::string(nothing) + ", 10.0.0.5"}), "10.0.0.5") << nothing;
  }
}

TEST_P(RealPeerTest, IsTheConnectionsAddressWhenThatIsNotTrusted) {
  Serve({.trusted = {"10.0.0.0/8", "0.0.0.0/32", "unix"}});
  EXPECT_EQ(PeerOf({"6.6.6.6"}), "127.0.0.1");
}

TEST_P(RealPeerTest, AContextThatOutlivesItsCallAndServerHasTheAddress) {
  Serve({.hops = 1});
  Context kept;
  server_->progress().during_work = [&kept] { kept = Context::Current(); };
  EXPECT_EQ(Call({"2001:db8:1234:5678::1"}), grpc::StatusCode::OK);
  server_.reset();
  EXPECT_EQ(RealPeerOf(kept), "2001:db8:1234:5678::1");
}

TEST_P(RealPeerTest, CountsHopsFromTheEnd) {
  Serve({.hops = 2});
  EXPECT_EQ(PeerOf({"6.6.6.6, 203.0.113.9, 8.8.8.8"}), "203.0.113.9");
  EXPECT_EQ(PeerOf({"203.0.113.9", "8.8.8.8"}), "203.0.113.9");
  EXPECT_EQ(PeerOf({"8.8.8.8"}), "127.0.0.1");
  EXPECT_EQ(PeerOf({"203.0.113.9, nobody"}), "127.0.0.1");
}

TEST_P(RealPeerTest, IsWhatRateLimitCountsByAndLoggingWrites) {
  std::mutex mutex;
  std::vector<std::string> lines;
  const auto log = [&](LogLevel, std::string_view line) {
    const std::lock_guard lock(mutex);
    lines.emplace_back(line);
  };
  Serve({.trusted = {"127.0.0.1"}},
        {Logging(log), RateLimit({.per_second = 1e-4, .burst = 1, .key = RateLimitKey::kPeer})});
  EXPECT_EQ(Call({"203.0.113.9"}), grpc::StatusCode::OK);
  EXPECT_EQ(Call({"203.0.113.10"}), grpc::StatusCode::OK);
  EXPECT_EQ(Call({"6.6.6.6, 203.0.113.9"}), grpc::StatusCode::RESOURCE_EXHAUSTED);
  server_->Shutdown();
  EXPECT_THAT(lines, Contains(HasSubstr(" peer.address=203.0.113.9 ")).Times(2));
}

INSTANTIATE_TEST_SUITE_P(All, RealPeerTest,
                         ::testing::Values(Flavour::kSync, Flavour::kCallback, Flavour::kCq,
                                           Flavour::kGenericCallback),
                         ::testing::PrintToStringParamName());

class RealPeerUnixTest : public ::testing::Test {
 protected:
  void Serve(std::vector<std::string> trusted) {
    const auto real_peer = RealPeer({.trusted = std::move(trusted)});
    ASSERT_TRUE(real_peer.ok());
    progress_.during_work = [this] { seen_ = CurrentRealPeer(); };
    grpc::ServerBuilder builder;
    const std::string address =
        "unix:" + ::testing::TempDir() + "real_peer_" + std::to_string(getpid()) + ".sock";
    builder.AddListeningPort(address, grpc::InsecureServerCredentials());
    ASSERT_TRUE(service_->Register(builder, /*guarded=*/true).ok());
    ASSERT_TRUE(InterceptServer(builder, {.middlewares = {*real_peer}}).ok());
    server_ = builder.BuildAndStart();
    ASSERT_NE(server_, nullptr);
    channel_ = grpc::CreateChannel(address, grpc::InsecureChannelCredentials());
  }
  std::string PeerOf(const std::string& forwarded) {
    grpc::ClientContext context;
    if (!forwarded.empty()) context.AddMetadata("x-forwarded-for", forwarded);
    EXPECT_TRUE(CallSync(RpcKind::kUnary, channel_, context).ok());
    return std::exchange(seen_, "");
  }

 private:
  std::string seen_;  // one call at a time
  Progress progress_;
  std::unique_ptr<EchoService> service_ = MakeService(Flavour::kSync, progress_);
  std::unique_ptr<grpc::Server> server_;
  std::shared_ptr<grpc::Channel> channel_;
};

TEST_F(RealPeerUnixTest, TakesTheWordOfATrustedOne) {
  Serve({"unix"});
  EXPECT_EQ(PeerOf("6.6.6.6, 203.0.113.9"), "203.0.113.9");
  EXPECT_EQ(PeerOf(""), "");
}

TEST_F(RealPeerUnixTest, IsNobodyOtherwise) {
  Serve({"127.0.0.1"});
  EXPECT_EQ(PeerOf("203.0.113.9"), "");
}

TEST(RealPeerOptionsTest, NamesWhatIsWrong) {
  const auto problem = [](RealPeerOptions options) {
    return std::string(RealPeer(std::move(options)).status().message());
  };
  EXPECT_THAT(problem({}), HasSubstr("trusted and hops"));
  EXPECT_THAT(problem({.trusted = {"::1"}, .hops = 1}), HasSubstr("trusted and hops"));
  EXPECT_THAT(problem({.hops = -1}), HasSubstr("hops is -1"));
  EXPECT_THAT(problem({.hops = 1, .header = "X-Real"}), HasSubstr("'X-Real': bad-key"));
  for (const char* wrong : {"", "10.0.0.0/33", "::/129", "10.0.0.0/", "10.0.0.0/-1", "10.0.0/8",
                            "10.0.0.0/8x", "proxy"}) {
    EXPECT_THAT(problem({.trusted = {"::1", wrong}}),
                HasSubstr("trusted[1] is no network: '" + std::string(wrong) + "'"));
  }
}

}  // namespace
}  // namespace weft::echo_test
