// SPDX-License-Identifier: Apache-2.0
#include <weft/tracing/file_exporter.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <weft/tracing/json.h>

#include "export_records.h"

namespace weft {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;

class FileExporterTest : public ::testing::Test {
 protected:
  FileExporterTest() {
    std::string name = (fs::temp_directory_path() / "weft-runs-XXXXXX").string();
    folder_ = mkdtemp(name.data());
    path_ = folder_ / "runs.jsonl";
  }
  ~FileExporterTest() override { fs::remove_all(folder_); }

  std::vector<Json> Lines() const {
    std::ifstream file(path_);
    std::vector<Json> lines;
    for (std::string line; std::getline(file, line);) lines.push_back(boost::json::parse(line));
    return lines;
  }

  fs::path folder_;
  fs::path path_;
};

TEST_F(FileExporterTest, WritesALineForEachOperation) {
  const auto exporter = FileExporter::Create({.path = path_}).value();
  RunRecord record = MakeRecord("line\nbreak");
  const std::string id = record.context.id().ToString();
  record.inputs = {{"q", "two\nlines"}};
  record.error = "broken";
  record.attachments.push_back({"a", "text/plain", std::string("\0A", 2)});
  RunRecord patch = MakeRecord("end");
  patch.operation = RunRecord::Operation::kPatch;
  exporter->Export(std::move(record));
  exporter->Export(std::move(patch));
  ASSERT_TRUE(exporter->Shutdown(seconds(20)));
  const std::vector<Json> lines = Lines();
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[0].at("op").as_string(), "post");
  EXPECT_EQ(lines[0].at("run_id").as_string(), id);
  EXPECT_EQ(lines[0].at("trace_id").as_string(), id);
  EXPECT_TRUE(lines[0].at("received").is_string());
  EXPECT_EQ(lines[0].at("run").at("name").as_string(), "line\nbreak");
  EXPECT_EQ(lines[0].at("run").at("inputs").at("q").as_string(), "two\nlines");
  EXPECT_EQ(lines[0].at("run").at("error").as_string(), "broken");
  EXPECT_TRUE(lines[0].at("run").at("extra").is_object());
  EXPECT_EQ(lines[0].at("attachments").at(0).at("base64").as_string(), "AEE=");
  EXPECT_EQ(lines[1].at("op").as_string(), "patch");
  EXPECT_EQ(exporter->Stats().acknowledged, 2u);
  EXPECT_EQ(fs::status(path_).permissions(), fs::perms::owner_read | fs::perms::owner_write);
}

TEST_F(FileExporterTest, AppendsToWhatIsThere) {
  for (int i = 0; i < 2; ++i) {
    const auto exporter = FileExporter::Create({.path = path_}).value();
    for (int run = 0; run < 700; ++run) exporter->Export(MakeRecord(std::to_string(run)));
    ASSERT_TRUE(exporter->Shutdown(seconds(20)));
  }
  ASSERT_EQ(Lines().size(), 1400u);
  EXPECT_EQ(Lines()[701].at("run").at("name").as_string(), "1");
}

TEST_F(FileExporterTest, DropsWhatCannotBeWritten) {
  const auto exporter =
      FileExporter::Create({.path = "/dev/full", .retry_for = milliseconds(20)}).value();
  exporter->Export(MakeRecord("lost"));
  EXPECT_TRUE(exporter->Flush(seconds(20)));
  EXPECT_EQ(exporter->Stats().dropped_expired, 1u);
}

TEST_F(FileExporterTest, APipeThatNobodyReadsEndsNothing) {
  const auto before = std::signal(SIGPIPE, SIG_DFL);
  ASSERT_EQ(mkfifo(path_.c_str(), S_IRUSR | S_IWUSR), 0);
  const int reader = open(path_.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  const auto exporter =
      FileExporter::Create({.path = path_, .retry_for = milliseconds(20)}).value();
  close(reader);
  exporter->Export(MakeRecord("lost"));
  EXPECT_TRUE(exporter->Flush(seconds(20)));
  EXPECT_EQ(exporter->Stats().dropped_expired, 1u);
  std::signal(SIGPIPE, before);
}

TEST_F(FileExporterTest, LeavesSignalsToTheThreadsOfTheProgram) {
  const auto exporter = FileExporter::Create({.path = path_}).value();
  exporter->Export(MakeRecord("run"));
  ASSERT_TRUE(exporter->Flush(seconds(20)));  // Its thread is at work by now.
  sigset_t user;
  sigset_t before;
  sigemptyset(&user);
  sigaddset(&user, SIGUSR1);
  pthread_sigmask(SIG_BLOCK, &user, &before);
  // A thread that takes it would be the end of the process.
  kill(getpid(), SIGUSR1);
  const timespec at_once{};
  EXPECT_EQ(sigtimedwait(&user, nullptr, &at_once), SIGUSR1);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

TEST_F(FileExporterTest, RefusesOptionsByName) {
  const auto refusal = [](FileExporterOptions options) {
    return std::string(FileExporter::Create(std::move(options)).status().message());
  };
  EXPECT_THAT(refusal({}), HasSubstr("path"));
  EXPECT_THAT(refusal({.path = folder_ / "none" / "x"}), HasSubstr("path: \""));
  EXPECT_THAT(refusal({.path = path_, .batch_runs = 0}), HasSubstr("batch_runs"));
}

}  // namespace
}  // namespace weft
