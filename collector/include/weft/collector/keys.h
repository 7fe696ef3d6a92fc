// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <absl/status/statusor.h>

namespace weft::collector {

class LineFile;

/// An API key that callers may use, with the name it has in the configuration.
struct NamedKey {
  /// Which key destinations get for the runs that this one brought.
  enum class Forward : std::uint8_t { kCaller, kDestination, kMapped };

  std::string name;
  std::string value;
  std::string tenant{};                 ///< Empty = none: no tenant's limits, not counted apart.
  std::vector<std::string> projects{};  ///< That it may write to; empty = all.
  bool read = true;                     ///< May read runs.
  bool admin = false;                   ///< May use `/admin`.
  Forward forward = Forward::kCaller;
  std::string forward_key{};  ///< Of kMapped.
};

/// The keys that open the collector. Without any, every caller is let in.
///
/// Threads: any; a value that never changes.
/// Cost: one SHA-256 and one comparison for each key, whether or not it matches.
class AcceptedKeys {
 public:
  AcceptedKeys() = default;
  explicit AcceptedKeys(std::vector<NamedKey> keys);

  bool Accepts(std::string_view key) const { return empty() || Find(key) != nullptr; }
  /// Which key it is; null for an unknown one. `value` and `forward_key` are left out.
  const NamedKey* Find(std::string_view key) const;
  bool empty() const { return keys_.empty(); }

 private:
  std::vector<NamedKey> keys_;
  std::vector<std::array<unsigned char, 32>> digests_;
};

/// Remembers the keys that callers gave, for destinations that pass them on.
///
///     auto ring = KeyRing::Open(data_directory);
///     absl::StatusOr<std::uint64_t> id = (*ring)->Remember(key);  // goes into the record's header
///     (*ring)->Find(*id);                                         // the key, also after a restart
///
/// Keys lie in `<directory>/keys`, each encrypted with AES-256-GCM under `<directory>/secret`
/// (mode 0600, made when there is none). An id is a keyed hash, so neither file nor log tells keys
/// apart from guesses without the secret.
///
/// Threads: any.
/// Errors: a key that cannot be stored is not remembered (Unavailable). Entries that cannot be
///   decrypted, because the secret was replaced, are skipped and counted.
class KeyRing {
 public:
  /// So many keys at most, for a caller may send a new one with each request.
  static constexpr std::size_t kMaxKeys = 65536;

  static absl::StatusOr<std::unique_ptr<KeyRing>> Open(const std::filesystem::path& directory);
  ~KeyRing();
  KeyRing(const KeyRing&) = delete;
  KeyRing& operator=(const KeyRing&) = delete;

  /// The id of `key`, which is on disk when this returns. 0 for an empty key.
  absl::StatusOr<std::uint64_t> Remember(std::string_view key);

  /// The id of the key that belongs to the name `name` whenever it is asked for: see SetMapped.
  absl::StatusOr<std::uint64_t> RememberMapped(std::string_view name);
  /// What names stand for from now on. A name without a key is found as nothing.
  void SetMapped(std::map<std::string, std::string, std::less<>> keys);

  std::optional<std::string> Find(std::uint64_t id) const;

  std::size_t size() const;
  /// Entries that were skipped when the ring was opened.
  std::size_t unreadable() const { return unreadable_; }

 private:
  using Secret = std::array<unsigned char, 32>;

  KeyRing();
  absl::Status LoadEntries(const std::filesystem::path& path);
  absl::StatusOr<std::uint64_t> Store(std::string_view key);
  std::uint64_t IdOf(std::string_view key) const;

  Secret encryption_{};
  Secret hashing_{};
  std::unique_ptr<LineFile> file_;
  std::size_t unreadable_ = 0;
  mutable std::mutex mutex_;
  std::map<std::uint64_t, std::string> keys_;
  std::map<std::string, std::string, std::less<>> mapped_;
};

}  // namespace weft::collector
