// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <clocale>
#include <csignal>
#include <iostream>
#include <string_view>
#include <vector>

#include "commands.h"

int main(int argc, char** argv) {
  // A reader that goes away (`weft ls | head`) ends the output, not the collector.
  signal(SIGPIPE, SIG_IGN);
  // Widths of characters come from the locale; this one is always there.
  std::setlocale(LC_CTYPE, "C.UTF-8");
  const std::vector<std::string_view> args(argv + 1, argv + argc);
  const int code =
      weft::cli::RunWeft(args, weft::cli::StyleOf(STDOUT_FILENO), std::cin, std::cout, std::cerr);
  std::cout.flush();
  return code == 0 && !std::cout ? 1 : code;
}
