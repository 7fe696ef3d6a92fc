// SPDX-License-Identifier: Apache-2.0
#include "child_process.h"

#include <unistd.h>

#include <cstdlib>

#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace weft::cli {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;

/// A pipe whose writing end the children inherit: a byte says that one has come so far, the end of
/// the file that none is left.
class Pipe {
 public:
  Pipe() { EXPECT_EQ(pipe(ends_), 0); }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  ~Pipe() {
    CloseWriter();
    close(ends_[0]);
  }
  std::string Writer() const { return std::to_string(ends_[1]); }
  void CloseWriter() {
    if (ends_[1] >= 0) close(std::exchange(ends_[1], -1));
  }
  /// Waits for a byte; false: nobody holds the writing end any more.
  bool Read() {
    char byte = 0;
    return read(ends_[0], &byte, 1) == 1;
  }

 private:
  int ends_[2] = {-1, -1};
};

absl::StatusOr<ChildProcess> StartShell(const std::string& script) {
  return ChildProcess::Start({.name = "child",
                              .arguments = {"/bin/sh", "-c", script},
                              .environment = {"PATH=/bin:/usr/bin"},
                              .output = "/dev/null",
                              .log = "/dev/null"});
}

TEST(ChildProcessTest, ReportsTheStatusOfAChildThatEnded) {
  Pipe pipe;
  auto child = StartShell("exit 7");
  ASSERT_TRUE(child.ok()) << child.status().message();
  pipe.CloseWriter();
  EXPECT_FALSE(pipe.Read());
  EXPECT_EQ(child->Stop(std::chrono::seconds(30)), 7);
  EXPECT_EQ(child->ExitStatus(), 7);
}

TEST(ChildProcessTest, AsksAChildToEnd) {
  Pipe pipe;
  auto child = StartShell("trap 'exit 3' TERM; echo >&" + pipe.Writer() + "; sleep 1000 & wait");
  ASSERT_TRUE(child.ok()) << child.status().message();
  ASSERT_TRUE(pipe.Read());
  EXPECT_EQ(child->ExitStatus(), std::nullopt);
  EXPECT_EQ(child->Stop(std::chrono::seconds(30)), 3);
}

TEST(ChildProcessTest, EndsAChildThatDoesNotWantToAndWhatItStarted) {
  Pipe pipe;
  auto child =
      StartShell("trap '' TERM; sleep 1000 & echo >&" + pipe.Writer() + "; while :; do wait; done");
  ASSERT_TRUE(child.ok()) << child.status().message();
  pipe.CloseWriter();
  ASSERT_TRUE(pipe.Read());
  EXPECT_EQ(child->Stop(std::chrono::milliseconds(1)), 128 + 9);
  EXPECT_FALSE(pipe.Read());
}

TEST(ChildProcessTest, EndsItsChildWhenItGoes) {
  Pipe pipe;
  {
    auto child = StartShell("echo >&" + pipe.Writer() + "; exec sleep 1000");
    ASSERT_TRUE(child.ok()) << child.status().message();
    pipe.CloseWriter();
    ASSERT_TRUE(pipe.Read());
  }
  EXPECT_FALSE(pipe.Read());
}

TEST(ChildProcessTest, NamesAProgramThatCannotBeRun) {
  const auto child = ChildProcess::Start({.name = "child",
                                          .arguments = {"/nowhere/x"},
                                          .environment = {},
                                          .output = "/dev/null",
                                          .log = "/dev/null"});
  EXPECT_THAT(std::string(child.status().message()), HasSubstr("/nowhere/x"));
}

TEST(ChildProcessTest, LeavesVariablesOutOfTheEnvironmentByTheirPrefix) {
  setenv("WEFT_TEST_LEFT_OUT", "1", 1);
  setenv("OTHER_TEST_KEPT", "1", 1);
  const std::vector<std::string> kept = EnvironmentWithout({"LANGSMITH_", "WEFT_"});
  EXPECT_THAT(kept, Contains("OTHER_TEST_KEPT=1"));
  EXPECT_THAT(kept, ::testing::Not(Contains(HasSubstr("WEFT_TEST_LEFT_OUT"))));
  unsetenv("WEFT_TEST_LEFT_OUT");
  unsetenv("OTHER_TEST_KEPT");
}

}  // namespace
}  // namespace weft::cli
