// SPDX-License-Identifier: Apache-2.0
#include "doctor_command.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <weft/collector/collector.h>

namespace weft::cli {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

struct Result {
  int code;
  std::string out;
  std::string err;
};

Result Doctor(const std::vector<std::string_view>& args) {
  std::ostringstream out;
  std::ostringstream err;
  const int code = DoctorCommand(args, Style{}, out, err);
  return {code, out.str(), err.str()};
}

// A port that somebody listens on.
class Listener {
 public:
  Listener() : socket_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    ::bind(socket_, reinterpret_cast<sockaddr*>(&address), size);
    ::listen(socket_, 1);
    ::getsockname(socket_, reinterpret_cast<sockaddr*>(&address), &size);
    address_ = "127.0.0.1:" + std::to_string(ntohs(address.sin_port));
  }
  ~Listener() { ::close(socket_); }
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;
  const std::string& address() const { return address_; }

 private:
  const int socket_;
  std::string address_;
};

class DoctorCommandTest : public ::testing::Test {
 protected:
  DoctorCommandTest() : path_(::testing::TempDir() + "doctor-XXXXXX") {
    EXPECT_NE(::mkdtemp(path_.data()), nullptr);
  }
  ~DoctorCommandTest() override {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  // A configuration that this machine is fine for.
  std::string File(const std::string& more) {
    const std::string file = path_ + "/weft.yaml";
    std::ofstream(file) << "data: " << path_
                        << "\nlisten_grpc: 127.0.0.1:0\nlisten_otlp_http: 127.0.0.1:0\n"
                           "log: {min_free: 1, retention_size: 1MiB}\n"
                        << more;
    return file;
  }

  std::string path_;
};

TEST_F(DoctorCommandTest, FindsAMachineThatIsFine) {
  const std::string file = File("listen_http: 127.0.0.1:0\nforward: [\"file=" + path_ + "/x\"]\n");
  const Result result = Doctor({"--config", file});
  EXPECT_EQ(result.code, 0) << result.out;
  EXPECT_THAT(result.out, AllOf(HasSubstr("the configuration is right"), HasSubstr("is free"),
                                HasSubstr("a sync takes"), HasSubstr("can be written"),
                                Not(HasSubstr("FAIL"))));
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(path_), {}), 1);
}

TEST_F(DoctorCommandTest, SaysWhatIsWrongAndWhatToDo) {
  const Listener taken;
  const std::string file = File("listen_http: " + taken.address() +
                                "\nforward: [\"file=/does/not/exist/x\"]\nextra: 1\n");
  const Result result = Doctor({"--json", "--config", file});
  EXPECT_EQ(result.code, 1);
  EXPECT_THAT(result.out,
              AllOf(HasSubstr(file + ":7: extra"), HasSubstr("listen_http " + taken.address()),
                    HasSubstr("ss -ltnp"), HasSubstr("file=/does/not/exist/x cannot be written")));
  std::istringstream lines(result.out);
  for (std::string line; std::getline(lines, line);) EXPECT_EQ(line.front(), '{') << line;
}

TEST_F(DoctorCommandTest, LooksAtARunningCollectorAndAtDestinations) {
  collector::CollectorConfig config;
  config.data = path_ + "/data";
  config.listen_grpc = config.listen_otlp_http = config.listen_http = "127.0.0.1:0";
  config.min_free = 0;
  auto collector = collector::Collector::Start(config);
  ASSERT_TRUE(collector.ok()) << collector.status();
  const auto& addresses = (*collector)->addresses();
  const std::string http = "http://" + addresses.http;
  const std::string file = File(
      "listen_http: " + addresses.http + "\nforward: [\"langsmith=" + http + "\", \"otlp=http://" +
      addresses.otlp_http + "\", \"otlp=grpc://" + addresses.grpc + "\"]\n");
  const std::string data = path_ + "/data";
  const Result result = Doctor({"--config", file, "--data", data, "--endpoint", http});
  EXPECT_EQ(result.code, 0) << result.out;
  EXPECT_THAT(result.out,
              AllOf(HasSubstr("is held by a running collector"), HasSubstr(http + " is ready"),
                    HasSubstr("by the running collector it seems"),
                    HasSubstr("langsmith=" + http + " answers"),
                    HasSubstr("otlp=http://" + addresses.otlp_http + " takes an empty request"),
                    HasSubstr("otlp=grpc://" + addresses.grpc + " takes an empty request")));
  (*collector)->Stop();
  const Result stopped = Doctor({"--config", file, "--data", data, "--endpoint", http});
  EXPECT_EQ(stopped.code, 1);
  EXPECT_THAT(stopped.out, HasSubstr("check port, firewall, and whether the target runs"));
}

TEST_F(DoctorCommandTest, SaysThatAnswersDoNotWaitForTheDisk) {
  const std::string file = path_ + "/weft.yaml";
  const auto write = [&](const char* ack) {
    std::ofstream(file)
        << "data: " << path_
        << "\nlisten_grpc: 127.0.0.1:0\nlisten_otlp_http: 127.0.0.1:0\n"
           "listen_http: 127.0.0.1:0\nlog: {min_free: 1, retention_size: 1MiB, ack: "
        << ack << "}\n";
  };
  write("durable");
  EXPECT_THAT(Doctor({"--config", file}).out, Not(HasSubstr("log.ack")));
  write("memory");
  const Result result = Doctor({"--config", file});
  EXPECT_EQ(result.code, 0) << result.out;
  EXPECT_THAT(result.out, AllOf(HasSubstr("warn"), HasSubstr("log.ack: memory")));
}

TEST_F(DoctorCommandTest, WrongUseIsTold) {
  EXPECT_EQ(Doctor({"--confg", "x"}).code, 2);
  EXPECT_EQ(Doctor({"--endpoint"}).code, 2);
  EXPECT_THAT(Doctor({"--help"}).out, HasSubstr("weft doctor"));
}

}  // namespace
}  // namespace weft::cli
