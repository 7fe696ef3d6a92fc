// SPDX-License-Identifier: Apache-2.0
#include "exec_command.h"

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <weft/testing/fake_collector.h>
#include <weft/tracing/json.h>
#include <weft/tracing/run_context.h>
#include <weft/tracing/trace_headers.h>

namespace weft::cli {
namespace {

using ::testing::HasSubstr;

/// Whose threads leave all signals to the one that waits for them, as those of weft exec do: the
/// kernel gives a signal to any thread that does not block it.
testing::FakeCollector CollectorWithoutSignals() {
  struct Blocked {
    Blocked() {
      sigset_t all;
      sigfillset(&all);
      pthread_sigmask(SIG_SETMASK, &all, &before);
    }
    ~Blocked() { pthread_sigmask(SIG_SETMASK, &before, nullptr); }
    sigset_t before;
  } const blocked;
  return testing::FakeCollector();
}

class ExecCommandTest : public ::testing::Test {
 protected:
  ExecCommandTest() {
    for (const char* name : {"LANGSMITH_TRACE", "BAGGAGE", "TRACEPARENT", "TRACESTATE",
                             "LANGSMITH_TRACING", "LANGSMITH_PROJECT"}) {
      unsetenv(name);
    }
    setenv("WEFT_COLLECTOR", collector_.target().c_str(), 1);
    std::filesystem::remove(file_);
  }
  ~ExecCommandTest() override { std::filesystem::remove(file_); }

  int Exec(std::vector<std::string_view> args) {
    std::ostringstream out;
    std::ostringstream err;
    const int code = ExecCommand(args, out, err);
    err_ = err.str();
    return code;
  }

  /// Runs a line of shell that finds the file's name in $1.
  int Shell(std::string_view line, std::vector<std::string_view> options = {}) {
    options.insert(options.end(), {"--", "sh", "-c", line, "sh", file_});
    return Exec(std::move(options));
  }

  std::string Written() const {
    std::ifstream in(file_);
    return {std::istreambuf_iterator<char>(in), {}};
  }

  JsonObject TheRun() const {
    EXPECT_TRUE(collector_.WaitForKept(1));
    const auto kept = collector_.Kept();
    EXPECT_EQ(kept.size(), 1U);
    const std::optional<Json> run = ParseJson(kept.at(0).run());
    EXPECT_TRUE(run && run->is_object());
    return run->get_object();
  }

  testing::FakeCollector collector_ = CollectorWithoutSignals();
  const std::string file_ =
      (std::filesystem::temp_directory_path() / ("weft-exec-" + std::to_string(getpid()))).string();
  std::string err_;
};

TEST_F(ExecCommandTest, NamesTheRunInTheEnvironmentOfTheProgram) {
  EXPECT_EQ(Shell("printf %s \"$LANGSMITH_TRACE\" > $1", {"--name", "nightly", "--type", "tool"}),
            0);
  const JsonObject run = TheRun();
  EXPECT_EQ(run.at("name"), "nightly");
  EXPECT_EQ(run.at("run_type"), "tool");
  EXPECT_EQ(run.at("dotted_order"), Json(Written()));
  EXPECT_EQ(err_, "");
}

TEST_F(ExecCommandTest, IsAChildOfTheRunThatTheEnvironmentNames) {
  constexpr std::string_view kParent = "20260910T004640000001Z01a0b35e-7a00-7000-8000-000000000001";
  setenv("LANGSMITH_TRACE", std::string(kParent).c_str(), 1);
  setenv("BAGGAGE", "langsmith-project=nights,tenant=a", 1);
  EXPECT_EQ(Shell("printf '%s %s' \"$LANGSMITH_TRACE\" \"$BAGGAGE\" > $1"), 0);
  EXPECT_THAT(Written(), ::testing::StartsWith(std::string(kParent) + "."));
  EXPECT_THAT(Written(), HasSubstr("tenant=a"));
  const JsonObject run = TheRun();
  EXPECT_EQ(run.at("parent_run_id"), "01a0b35e-7a00-7000-8000-000000000001");
  EXPECT_EQ(run.at("session_name"), "nights");
  EXPECT_EQ(run.at("name"), "sh");
}

TEST_F(ExecCommandTest, EndsAsTheProgramDoes) {
  EXPECT_EQ(Shell("exit 3"), 3);
  EXPECT_TRUE(collector_.WaitForKept(1));
  EXPECT_EQ(collector_.Kept().at(0).error(), "\"exit code 3\"");
}

TEST_F(ExecCommandTest, SaysWhichSignalEndedTheProgram) {
  EXPECT_EQ(Shell("kill -KILL $$"), 128 + SIGKILL);
  EXPECT_TRUE(collector_.WaitForKept(1));
  EXPECT_THAT(collector_.Kept().at(0).error(), HasSubstr("signal 9"));
}

TEST_F(ExecCommandTest, PassesSignalsOn) {
  EXPECT_EQ(Shell("trap 'exit 7' TERM; kill -TERM $PPID; while :; do :; done"), 7);
}

TEST_F(ExecCommandTest, TellsAMissingProgramAsShellsDo) {
  EXPECT_EQ(Exec({"--", "no-such-program"}), 127);
  EXPECT_THAT(err_, HasSubstr("no-such-program"));
  EXPECT_EQ(Exec({"--", "/etc/passwd"}), 126);
  EXPECT_TRUE(collector_.WaitForKept(2));
}

TEST_F(ExecCommandTest, OnlyRunsTheProgramWithTracingOff) {
  setenv("LANGSMITH_TRACING", "false", 1);
  setenv("BAGGAGE", "tenant=a", 1);
  EXPECT_EQ(Shell("printf '%s.%s' \"$LANGSMITH_TRACE\" \"$BAGGAGE\" > $1"), 0);
  EXPECT_EQ(Written(), ".tenant=a");
  EXPECT_EQ(collector_.batches(), 0U);
}

TEST_F(ExecCommandTest, NamesWhatIsWrongWithTheArguments) {
  EXPECT_EQ(Exec({"--type", "soup", "--", "true"}), 2);
  EXPECT_THAT(err_, HasSubstr("--type: unknown type 'soup'"));
  EXPECT_EQ(Exec({"true"}), 2);
  EXPECT_EQ(Exec({"--name", "x", "--"}), 2);
  EXPECT_THAT(err_, HasSubstr("a command after it"));
  setenv("LANGSMITH_TRACING_SAMPLING_RATE", "lots", 1);
  EXPECT_EQ(Exec({"--", "true"}), 2);
  EXPECT_THAT(err_, HasSubstr("LANGSMITH_TRACING_SAMPLING_RATE"));
  unsetenv("LANGSMITH_TRACING_SAMPLING_RATE");
}

}  // namespace
}  // namespace weft::cli
