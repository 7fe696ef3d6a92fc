// SPDX-License-Identifier: Apache-2.0
#include "commands.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <sstream>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace weft::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::MatchesRegex;

constexpr char kTrace[] = "01a0b35e-7a00-7a11-9a22-0123456789ab";

struct Result {
  int code;
  std::string out;
  std::string err;
};

Result Weft(const std::vector<std::string_view>& args) {
  std::istringstream in;
  std::ostringstream out;
  std::ostringstream err;
  const int code = RunWeft(args, Style{}, in, out, err);
  return {code, out.str(), err.str()};
}

/// An address at which nobody listens while this lives: bound, but not listening.
class SilentAddress {
 public:
  SilentAddress() : socket_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    bind(socket_, reinterpret_cast<sockaddr*>(&address), size);
    getsockname(socket_, reinterpret_cast<sockaddr*>(&address), &size);
    url_ = "http://127.0.0.1:" + std::to_string(ntohs(address.sin_port));
  }
  SilentAddress(const SilentAddress&) = delete;
  SilentAddress& operator=(const SilentAddress&) = delete;
  ~SilentAddress() { close(socket_); }
  const std::string& url() const { return url_; }

 private:
  int socket_;
  std::string url_;
};

TEST(CommandsTest, HelpListsTheCommandsOnStdout) {
  const Result result = Weft({"--help"});
  EXPECT_EQ(result.code, 0);
  for (const char* command : {"collect", "demo", "ls", "show", "usage", "export", "headers"}) {
    EXPECT_THAT(result.out, HasSubstr(std::string("\n  ") + command + " "));
  }
  EXPECT_THAT(result.err, IsEmpty());
}

TEST(CommandsTest, VersionNamesWeftGrpcAndProtobuf) {
  const Result result = Weft({"--version"});
  EXPECT_EQ(result.code, 0);
  EXPECT_THAT(result.out, MatchesRegex("weft [0-9]+\\.[0-9]+\\.[0-9]+ \\(gRPC [0-9.]+, "
                                       "protobuf [0-9.]+\\)\n"));
}

TEST(CommandsTest, EverySubcommandHasHelp) {
  for (const std::string_view command :
       {"collect", "demo", "ls", "show", "usage", "export", "headers"}) {
    if (command == "collect")
      continue;  // Writes to the process's own stdout; see cli_process_test.
    const Result result = Weft({command, "--help"});
    EXPECT_EQ(result.code, 0) << command;
    EXPECT_THAT(result.out, HasSubstr("Usage: weft " + std::string(command)));
  }
}

TEST(CommandsTest, WrongUseEndsWithTwoAndNamesWhatIsWrong) {
  const std::vector<std::pair<std::vector<std::string_view>, std::string>> cases = {
      {{"frobnicate"}, "frobnicate"},
      {{"--frobnicate"}, "--frobnicate"},
      {{"ls", "--filter", "x"}, "--filter"},
      {{"ls", "--limit", "lots"}, "--limit"},
      {{"ls", "--endpoint", "localhost:1984"}, "--endpoint"},
      {{"ls", "surplus"}, "surplus"},
      {{"show"}, "TRACE_ID"},
      {{"show", "not-an-id"}, "not-an-id"},
      {{"show", kTrace, "--tail"}, "--tail"},
      {{"show", kTrace, "--count", "some"}, "--count: 'some' is none of leaves, all"},
      {{"usage", "--by", "who"}, "--by: 'who' is none of trace"},
      {{"usage", "--count", "some"}, "--count"},
      {{"usage", "--trace", "not-an-id"}, "not-an-id"},
      {{"usage", "--trace", kTrace, "--project", "p"}, "--project"},
      {{"export", kTrace, "--json"}, "--json"},
      {{"demo", "--twice"}, "--twice"},
      {{"demo", "--docs", "/nowhere/at/all"}, "--docs"},
      {{"demo", "--question", " "}, "--question"},
  };
  for (const auto& [args, expected] : cases) {
    const Result result = Weft(args);
    EXPECT_EQ(result.code, 2) << expected;
    EXPECT_THAT(result.err, HasSubstr(expected));
    EXPECT_THAT(result.out, IsEmpty());
  }
}

TEST(CommandsTest, WithoutACommandShowsHelpAsAnError) {
  const Result result = Weft({});
  EXPECT_EQ(result.code, 2);
  EXPECT_THAT(result.err, HasSubstr("Usage: weft"));
}

TEST(CommandsTest, SaysWhatToDoWhenNoCollectorAnswers) {
  const SilentAddress address;
  const std::vector<std::vector<std::string_view>> commands = {
      {"ls", "--endpoint", address.url()},
      {"show", kTrace, "--endpoint", address.url()},
      {"usage", "--endpoint", address.url()},
      {"export", kTrace, "--endpoint", address.url()}};
  for (const std::vector<std::string_view>& command : commands) {
    const Result result = Weft(command);
    EXPECT_EQ(result.code, 1);
    EXPECT_THAT(result.err, AllOf(HasSubstr(address.url()), HasSubstr("weft collect"),
                                  HasSubstr("--endpoint")));
  }
}

TEST(CommandsTest, TakesTheEndpointFromTheEnvironment) {
  const SilentAddress address;
  setenv("WEFT_ENDPOINT", address.url().c_str(), 1);
  EXPECT_THAT(Weft({"ls"}).err, HasSubstr(address.url()));
  setenv("WEFT_ENDPOINT", "ftp://127.0.0.1", 1);
  const Result wrong = Weft({"ls"});
  EXPECT_EQ(wrong.code, 2);
  EXPECT_THAT(wrong.err, HasSubstr("WEFT_ENDPOINT"));
  unsetenv("WEFT_ENDPOINT");
}

}  // namespace
}  // namespace weft::cli
