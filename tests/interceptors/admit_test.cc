// SPDX-License-Identifier: Apache-2.0
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <weft/testing/run_matchers.h>

#include "echo_client.h"
#include "fixture.h"
#include "recorder.h"

namespace weft::echo_test {
namespace {

using ::testing::ElementsAre;
using weft::testing::HasMetadata;
using weft::testing::RunInTree;
using weft::testing::RunTree;

/// Notes what it is asked; rejects what `verdict` says.
class Gate : public Middleware {
 public:
  Gate(std::string name, std::vector<std::string>& journal, Verdict verdict = {})
      : name_(std::move(name)), journal_(journal), verdict_(std::move(verdict)) {}

  std::string_view name() const noexcept override { return name_; }
  Verdict Admit(Call& /*call*/, const MetadataView& metadata) noexcept override {
    EXPECT_TRUE(metadata.Get("user-agent").has_value());
    journal_.push_back(name_ + " admit");
    return verdict_;
  }
  void OnStart(Call&) noexcept override { journal_.push_back(name_ + " start"); }
  void OnReceiveMetadata(Call&, const MetadataView&) noexcept override {
    journal_.push_back(name_ + " receive");
  }
  void OnEnd(Call&, const CallReport& report) noexcept override {
    journal_.push_back(name_ + " end " + std::string(StatusCodeName(report.status.error_code())) +
                       " by " + std::string(report.rejected_by));
  }

 private:
  std::string name_;
  std::vector<std::string>& journal_;  // one call at a time; read after the server's shutdown
  Verdict verdict_;
};

class Admission : public EchoTest {
 protected:
  grpc::Status CallUnary() {
    grpc::ClientContext context;
    return CallSync(RpcKind::kUnary, channel_, context);
  }
  std::vector<std::string> journal_;
};

TEST_F(Admission, IsAskedOfEachBeforeItReceives) {
  Serve(Flavour::kSync,
        {.middlewares = {std::make_shared<Gate>("A", journal_),
                         std::make_shared<Gate>("B", journal_)}},
        {});
  EXPECT_TRUE(CallUnary().ok());
  server_->Shutdown();
  EXPECT_THAT(journal_, ElementsAre("A start", "B start", "A admit", "A receive", "B admit",
                                    "B receive", "B end OK by ", "A end OK by "));
}

TEST_F(Admission, EndsWithTheFirstRejection) {
  const Verdict no{.status = {grpc::StatusCode::PERMISSION_DENIED, "not you"}};
  Serve(Flavour::kSync,
        {.middlewares = {std::make_shared<Gate>("A", journal_),
                         std::make_shared<Gate>("B", journal_, no),
                         std::make_shared<Gate>("C", journal_, no)}},
        {});
  const grpc::Status status = CallUnary();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(status.error_message(), "not you");
  server_->Shutdown();
  EXPECT_THAT(journal_,
              ElementsAre("A start", "B start", "C start", "A admit", "A receive", "B admit",
                          "C end PERMISSION_DENIED by B", "B end PERMISSION_DENIED by B",
                          "A end PERMISSION_DENIED by B"));
}

TEST_F(Admission, ARejectedCallHasARunThatSaysByWhom) {
  Serve(Flavour::kSync,
        {.tracer = tracer_,
         .middlewares = {std::make_shared<Gate>(
             "gate", journal_, Verdict{.status = {grpc::StatusCode::UNAUTHENTICATED, "no key"}})}},
        {.tracer = tracer_});
  EXPECT_EQ(CallUnary().error_code(), grpc::StatusCode::UNAUTHENTICATED);
  channel_.reset();
  server_->Shutdown();
  const RunTree tree = exporter_->Tree();
  ASSERT_EQ(tree.Roots().size(), 1u);
  ASSERT_EQ(tree.Roots()[0].Children().size(), 1u);
  const RunInTree run = tree.Roots()[0].Children()[0];
  EXPECT_THAT(run, HasMetadata("weft.rejected_by", "gate"));
  EXPECT_THAT(run, HasMetadata("weft.verdict", "UNAUTHENTICATED: no key"));
  EXPECT_THAT(run, HasMetadata("rpc.grpc.status_code", int{grpc::StatusCode::UNAUTHENTICATED}));
  EXPECT_TRUE(run->AllMetadata().contains("weft.rejected_after_us"));
  EXPECT_FALSE(run->error.has_value());
}

}  // namespace
}  // namespace weft::echo_test
