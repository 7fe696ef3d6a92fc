// SPDX-License-Identifier: Apache-2.0
#include <weft/tracing/run_id.h>

#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstring>
#include <span>

#include "hex.h"
#include "random_bits.h"

namespace weft {
inline namespace v0 {
namespace {

// A child of fork() has its parent's generators; the generation tells it to seed them again.
constinit std::atomic<std::uint32_t> fork_generation{1};
[[maybe_unused]] const int fork_handler = pthread_atfork(
    nullptr, nullptr, [] { fork_generation.fetch_add(1, std::memory_order_relaxed); });

struct Generator {
  std::array<std::uint64_t, 4> state;  // xoshiro256++
  std::int64_t millisecond;
  std::uint32_t counter;
  std::uint32_t generation;  // 0: never seeded
};

std::uint64_t SplitMix(std::uint64_t& state) noexcept {
  std::uint64_t z = (state += 0x9E3779B97F4A7C15);
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
  return z ^ (z >> 31);
}

void Seed(Generator& generator, std::uint32_t generation) noexcept {
  if (getentropy(generator.state.data(), sizeof(generator.state)) != 0) {
    // No system call in a sandbox: time, process and thread still make it different from others.
    auto mixed =
        static_cast<std::uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count()) ^
        static_cast<std::uint64_t>(getpid()) << 40 ^ reinterpret_cast<std::uintptr_t>(&generator);
    for (std::uint64_t& word : generator.state) word = SplitMix(mixed);
  }
  generator.state[0] |= 1;  // The all-zero state is a fixed point.
  generator.millisecond = -1;
  generator.generation = generation;
}

std::uint64_t Next(std::array<std::uint64_t, 4>& s) noexcept {
  const std::uint64_t result = std::rotl(s[0] + s[3], 23) + s[0];
  const std::uint64_t t = s[1] << 17;
  s[2] ^= s[0];
  s[3] ^= s[1];
  s[1] ^= s[2];
  s[0] ^= s[3];
  s[2] ^= t;
  s[3] = std::rotl(s[3], 45);
  return result;
}

// Not inlined: a fiber may have moved to another thread since its last call, and a compiler may
// keep the address of a thread-local variable across the switch.
[[gnu::noinline]] Generator& ThisThreadsGenerator() noexcept {
  thread_local constinit Generator generator{};
  const std::uint32_t generation = fork_generation.load(std::memory_order_relaxed);
  if (generator.generation != generation) [[unlikely]]
    Seed(generator, generation);
  return generator;
}

void StoreBigEndian(std::uint64_t value, std::uint8_t* out) noexcept {
  if constexpr (std::endian::native == std::endian::little) value = __builtin_bswap64(value);
  std::memcpy(out, &value, sizeof(value));
}

std::uint64_t FromLittleEndian(std::uint64_t value) noexcept {
  if constexpr (std::endian::native != std::endian::little) value = __builtin_bswap64(value);
  return value;
}

template <typename Word>
Word WordAt(std::string_view text, std::size_t at) noexcept {
  Word word;
  std::memcpy(&word, text.data() + at, sizeof word);
  return word;
}

/// As if they stood behind each other in memory.
std::uint64_t Joined(std::uint32_t first, std::uint32_t second) noexcept {
  constexpr bool kIsLittle = std::endian::native == std::endian::little;
  const std::uint64_t low = kIsLittle ? first : second, high = kIsLittle ? second : first;
  return low | high << 32;
}

void StoreLittleEndian(std::uint64_t value, char* out) noexcept {
  value = FromLittleEndian(value);
  std::memcpy(out, &value, sizeof(value));
}

constexpr std::array<std::size_t, 4> kHyphens = {8, 13, 18, 23};

}  // namespace

std::uint64_t internal::RandomBits() noexcept { return Next(ThisThreadsGenerator().state); }

RunId RunId::New(std::chrono::system_clock::time_point start) noexcept {
  Generator& generator = ThisThreadsGenerator();
  const std::int64_t millisecond = std::max<std::int64_t>(
      0, std::chrono::floor<std::chrono::milliseconds>(start).time_since_epoch().count());
  if (millisecond == generator.millisecond) {
    ++generator.counter;
  } else {
    generator.millisecond = millisecond;
    // Starts in the lower half, so that a thread's next 2048 ids of this millisecond sort as made.
    generator.counter = static_cast<std::uint32_t>(Next(generator.state) >> 53);
  }
  RunId id;
  StoreBigEndian(
      static_cast<std::uint64_t>(millisecond) << 16 | 0x7000 | (generator.counter & 0xFFF),
      id.bytes.data());
  StoreBigEndian((Next(generator.state) >> 2) | std::uint64_t{1} << 63, id.bytes.data() + 8);
  return id;
}

std::optional<RunId> RunId::Parse(std::string_view text) noexcept {
  if (text.size() != kTextSize) return std::nullopt;
  for (const std::size_t at : kHyphens) {
    if (text[at] != '-') return std::nullopt;
  }
  const std::array<std::uint64_t, 4> digits = {
      WordAt<std::uint64_t>(text, 0),
      Joined(WordAt<std::uint32_t>(text, 9), WordAt<std::uint32_t>(text, 14)),
      Joined(WordAt<std::uint32_t>(text, 19), WordAt<std::uint32_t>(text, 24)),
      WordAt<std::uint64_t>(text, 28)};
  RunId id;
  return internal::ReadHexDigits(digits, id.bytes) ? std::optional<RunId>(id) : std::nullopt;
}

std::string RunId::ToString() const {
  std::string text(kTextSize, '\0');
  Write(text.data());
  return text;
}

void RunId::Write(char* out) const noexcept {
  // Few wide stores, each from a register: who reads the text at once would wait for many small.
  constexpr std::uint64_t kHyphen = '-';
  const std::array<char, 32> digits = internal::HexDigits(bytes);
  const auto words = std::bit_cast<std::array<std::uint64_t, 4>>(digits);
  const std::uint64_t second = FromLittleEndian(words[1]);
  const std::uint64_t third = FromLittleEndian(words[2]);
  const std::uint64_t last = FromLittleEndian(words[3]);
  std::memcpy(out, digits.data(), 8);
  StoreLittleEndian(kHyphen | (second & 0xFFFFFFFF) << 8 | kHyphen << 40 | (second >> 32) << 48,
                    out + 8);
  StoreLittleEndian(second >> 48 | kHyphen << 16 | (third & 0xFFFFFFFF) << 24 | kHyphen << 56,
                    out + 16);
  StoreLittleEndian(third >> 32 | last << 32, out + 24);
  std::memcpy(out + 32, digits.data() + 28, 4);
}

}  // namespace v0
}  // namespace weft

namespace {

// Ids come from others: who does not know the seed of this process finds none that collide.
struct HashSeed {
  std::array<std::uint64_t, 2> words;

  static const HashSeed& Get() noexcept {
    static const HashSeed kSeed = [] {
      weft::Generator generator{};
      weft::Seed(generator, 1);
      return HashSeed{{weft::Next(generator.state), weft::Next(generator.state)}};
    }();
    return kSeed;
  }
};

}  // namespace

std::size_t std::hash<weft::RunId>::operator()(const weft::RunId& id) const noexcept {
  __extension__ using Wide = unsigned __int128;
  std::uint64_t head = 0;
  std::uint64_t tail = 0;
  std::memcpy(&head, id.bytes.data(), sizeof(head));
  std::memcpy(&tail, id.bytes.data() + sizeof(head), sizeof(tail));
  const HashSeed& seed = HashSeed::Get();
  const Wide product = Wide{head ^ seed.words[0]} * (tail ^ seed.words[1]);
  return static_cast<std::size_t>(product) ^ static_cast<std::size_t>(product >> 64);
}
