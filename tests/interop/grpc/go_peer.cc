// SPDX-License-Identifier: Apache-2.0
#include "go_peer.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <utility>

#include <gtest/gtest.h>

namespace weft::interop {

GoPeer::GoPeer(std::vector<std::string> arguments) {
  const char* const peers = std::getenv("PEERS");  // Set by tests/interop/run.
  const std::string program = std::string(peers == nullptr ? "." : peers) + "/bin/grpc_go";
  arguments.insert(arguments.begin(), program);
  std::vector<char*> pointers;
  for (std::string& argument : arguments) pointers.push_back(argument.data());
  pointers.push_back(nullptr);

  std::array<int, 2> input{};
  std::array<int, 2> output{};
  EXPECT_EQ(pipe2(input.data(), O_CLOEXEC), 0);
  EXPECT_EQ(pipe2(output.data(), O_CLOEXEC), 0);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, input[0], STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, output[1], STDOUT_FILENO);
  const int error =
      posix_spawn(&pid_, program.c_str(), &actions, nullptr, pointers.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  close(input[0]);
  close(output[1]);
  input_ = input[1];
  output_ = output[0];
  if (error != 0) pid_ = -1;
  EXPECT_EQ(error, 0) << "cannot start " << program << "; run: tools/bootstrap --tests";
}

std::string GoPeer::ReadLine() {
  std::string line;
  for (char c = 0; read(output_, &c, 1) == 1 && c != '\n';) line += c;
  return line;
}

int GoPeer::Wait() {
  if (pid_ < 0) return -1;
  close(input_);
  int status = 0;
  waitpid(std::exchange(pid_, -1), &status, 0);
  close(output_);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

}  // namespace weft::interop
