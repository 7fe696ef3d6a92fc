// SPDX-License-Identifier: Apache-2.0
// Runs a fuzz target over the files of a folder and over mutants of them, so that it stays alive
// without a fuzzer. The mutants of a number are the same each time; the input that ended the
// process is left in broken-input.
//
//   trace_headers_fuzz fuzz/corpus/trace_headers [MUTANTS [NUMBER]]
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

constexpr std::size_t kMaxSize = 1 << 14;

std::string g_input;

void SaveInput(int signal) {
  const int file = open("broken-input", O_WRONLY | O_CREAT | O_TRUNC, 0644);
  [[maybe_unused]] const ssize_t written = write(file, g_input.data(), g_input.size());
  constexpr char kText[] = "see broken-input\n";
  [[maybe_unused]] const ssize_t told = write(STDERR_FILENO, kText, sizeof kText - 1);
  std::signal(signal, SIG_DFL);
  raise(signal);
}

void Run(const std::string& input) {
  g_input = input;
  LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(g_input.data()), g_input.size());
}

class Mutator {
 public:
  Mutator(const std::vector<std::string>& seeds, std::uint32_t number)
      : seeds_(seeds), random_(number) {}

  std::string Next() {
    std::string text = Seed();
    for (std::size_t steps = 1 + Below(4); steps > 0; --steps) Mutate(text);
    text.resize(std::min(text.size(), kMaxSize));
    return text;
  }

 private:
  std::size_t Below(std::size_t n) { return n == 0 ? 0 : random_() % n; }
  const std::string& Seed() { return seeds_[Below(seeds_.size())]; }
  std::string Piece(const std::string& text) {
    return text.empty() ? "" : text.substr(Below(text.size()), 1 + Below(32));
  }

  void Mutate(std::string& text) {
    constexpr std::array kBytes = {'\0', '\n', ' ', '"',  '%',  ',',    ';',    '=',
                                   '-',  '.',  '/', '\\', '\r', '\x7f', '\x80', '\xff'};
    const std::size_t at = Below(text.size() + 1);
    switch (Below(7)) {
      case 0:
        if (at < text.size()) text[at] = static_cast<char>(text[at] ^ (1 << Below(8)));
        return;
      case 1:
        if (at < text.size()) text[at] = kBytes[Below(kBytes.size())];
        return;
      case 2:
        text.insert(at, 1 + Below(3), kBytes[Below(kBytes.size())]);
        return;
      case 3:
        text.erase(at, 1 + Below(16));
        return;
      case 4:
        text.insert(at, Piece(text));
        return;
      case 5:
        text.insert(at, Piece(Seed()));
        return;
      default: {
        const std::string& other = Seed();
        text = text.substr(0, at) + other.substr(Below(other.size() + 1));
      }
    }
  }

  const std::vector<std::string>& seeds_;
  std::mt19937 random_;
};

std::vector<std::string> ReadFolder(const char* folder) {
  std::vector<std::filesystem::path> paths;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    paths.push_back(entry.path());
  }
  if (error) std::fprintf(stderr, "%s: %s\n", folder, error.message().c_str());
  std::sort(paths.begin(), paths.end());
  std::vector<std::string> texts;
  for (const auto& path : paths) {
    std::ifstream file(path, std::ios::binary);
    texts.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  }
  return texts;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> seeds =
      argc > 1 ? ReadFolder(argv[1]) : std::vector<std::string>();
  const long mutants = argc > 2 ? std::atol(argv[2]) : 0;
  if (seeds.empty()) return 1;  // An empty folder tests nothing.
  for (const int signal : {SIGABRT, SIGSEGV, SIGBUS, SIGFPE}) std::signal(signal, SaveInput);
  for (const std::string& seed : seeds) Run(seed);
  Mutator mutator(seeds, argc > 3 ? static_cast<std::uint32_t>(std::atol(argv[3])) : 20261121);
  for (long i = 0; i < mutants; ++i) Run(mutator.Next());
  std::printf("%zu inputs, %ld mutants\n", seeds.size(), mutants);
  return 0;
}
