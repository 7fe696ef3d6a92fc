// SPDX-License-Identifier: Apache-2.0
#include <weft/collector/keys.h>

#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <fstream>
#include <utility>

#include <absl/strings/escaping.h>

#include "line_file.h"

namespace weft::collector {
namespace {

constexpr std::size_t kNonceBytes = 12;
constexpr std::size_t kTagBytes = 16;
// Longer than any key of a LangSmith-like service; HTTP and gRPC bound headers before this.
constexpr std::size_t kMaxKeyBytes = 8192;

// In front of a name that stands in the place of a key.
constexpr char kMappedMark = '\x01';

using Bytes32 = std::array<unsigned char, 32>;
using CipherContext = std::unique_ptr<EVP_CIPHER_CTX, decltype(&EVP_CIPHER_CTX_free)>;

const unsigned char* Data(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}
unsigned char* Data(std::string& text) { return reinterpret_cast<unsigned char*>(text.data()); }

Bytes32 Hmac(const Bytes32& secret, std::string_view text) {
  Bytes32 digest{};
  unsigned int length = 0;
  HMAC(EVP_sha256(), secret.data(), static_cast<int>(secret.size()), Data(text), text.size(),
       digest.data(), &length);
  return digest;
}

std::string IdText(std::uint64_t id) {
  std::string text(16, '0');
  for (std::size_t i = 16; i-- > 0; id >>= 4) text[i] = "0123456789abcdef"[id & 15];
  return text;
}

// nonce | cipher text | tag. The id is authenticated with it, so that lines cannot be swapped.
std::string Encrypt(const Bytes32& secret, const std::string& id, std::string_view plain) {
  std::string out(kNonceBytes + plain.size() + kTagBytes, '\0');
  CipherContext context(EVP_CIPHER_CTX_new(), &EVP_CIPHER_CTX_free);
  int length = 0;
  const bool ok =
      RAND_bytes(Data(out), kNonceBytes) == 1 &&
      EVP_EncryptInit_ex(context.get(), EVP_aes_256_gcm(), nullptr, secret.data(), Data(out)) ==
          1 &&
      EVP_EncryptUpdate(context.get(), nullptr, &length, Data(id), static_cast<int>(id.size())) ==
          1 &&
      EVP_EncryptUpdate(context.get(), Data(out) + kNonceBytes, &length, Data(plain),
                        static_cast<int>(plain.size())) == 1 &&
      EVP_EncryptFinal_ex(context.get(), Data(out) + kNonceBytes + plain.size(), &length) == 1 &&
      EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_GCM_GET_TAG, kTagBytes,
                          Data(out) + kNonceBytes + plain.size()) == 1;
  return ok ? out : std::string();
}

std::optional<std::string> Decrypt(const Bytes32& secret, const std::string& id,
                                   std::string sealed) {
  if (sealed.size() < kNonceBytes + kTagBytes) return std::nullopt;
  std::string plain(sealed.size() - kNonceBytes - kTagBytes, '\0');
  CipherContext context(EVP_CIPHER_CTX_new(), &EVP_CIPHER_CTX_free);
  int length = 0;
  const bool ok = EVP_DecryptInit_ex(context.get(), EVP_aes_256_gcm(), nullptr, secret.data(),
                                     Data(sealed)) == 1 &&
                  EVP_DecryptUpdate(context.get(), nullptr, &length, Data(id),
                                    static_cast<int>(id.size())) == 1 &&
                  EVP_DecryptUpdate(context.get(), Data(plain), &length, Data(sealed) + kNonceBytes,
                                    static_cast<int>(plain.size())) == 1 &&
                  EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_GCM_SET_TAG, kTagBytes,
                                      Data(sealed) + kNonceBytes + plain.size()) == 1 &&
                  EVP_DecryptFinal_ex(context.get(), Data(plain) + plain.size(), &length) == 1;
  if (!ok) return std::nullopt;
  return plain;
}

absl::StatusOr<Bytes32> ReadSecret(const std::filesystem::path& path) {
  absl::StatusOr<File> file = OpenFile(path, O_RDONLY);
  if (!file.ok()) return file.status();
  struct stat info {};
  Bytes32 secret{};
  if (::fstat(file->fd(), &info) != 0) return FileError("cannot read", path, errno);
  const ssize_t got = ::read(file->fd(), secret.data(), secret.size());
  if (got != static_cast<ssize_t>(secret.size()) || info.st_size != got) {
    return absl::DataLossError("the secret " + path.string() + " must hold exactly 32 bytes");
  }
  if ((info.st_mode & 077) != 0) {
    return absl::FailedPreconditionError("the secret " + path.string() +
                                         " can be read by others: chmod 600 it");
  }
  return secret;
}

absl::StatusOr<Bytes32> ReadOrMakeSecret(const std::filesystem::path& path) {
  absl::StatusOr<Bytes32> secret = ReadSecret(path);
  if (secret.ok() || !absl::IsNotFound(secret.status())) return secret;
  std::string fresh(32, '\0');
  if (RAND_bytes(Data(fresh), 32) != 1)
    return absl::InternalError("no random bytes for " + path.string());
  if (absl::Status status = ReplaceFile(path, fresh); !status.ok()) return status;
  return ReadSecret(path);
}

}  // namespace

AcceptedKeys::AcceptedKeys(std::vector<NamedKey> keys) : keys_(std::move(keys)) {
  for (NamedKey& key : keys_) {
    SHA256(Data(key.value), key.value.size(), digests_.emplace_back().data());
    key.value.clear();
    key.forward_key.clear();
  }
}

const NamedKey* AcceptedKeys::Find(std::string_view key) const {
  std::array<unsigned char, 32> digest{};
  SHA256(Data(key), key.size(), digest.data());
  const NamedKey* found = nullptr;
  // All of them, so that the time does not tell which one was near.
  for (std::size_t i = 0; i < digests_.size(); ++i) {
    if (CRYPTO_memcmp(digests_[i].data(), digest.data(), digest.size()) == 0) found = &keys_[i];
  }
  return key.empty() ? nullptr : found;
}

absl::StatusOr<std::unique_ptr<KeyRing>> KeyRing::Open(const std::filesystem::path& directory) {
  absl::StatusOr<Bytes32> secret = ReadOrMakeSecret(directory / "secret");
  if (!secret.ok()) return secret.status();
  std::unique_ptr<KeyRing> ring(new KeyRing);
  ring->encryption_ = Hmac(*secret, "weft key ring: encryption");
  ring->hashing_ = Hmac(*secret, "weft key ring: ids");
  OPENSSL_cleanse(secret->data(), secret->size());
  const std::filesystem::path path = directory / "keys";
  absl::StatusOr<LineFile> file = LineFile::Open(path);
  if (!file.ok()) return file.status();
  ring->file_ = std::make_unique<LineFile>(*std::move(file));
  if (absl::Status status = ring->LoadEntries(path); !status.ok()) return status;
  return ring;
}

KeyRing::KeyRing() = default;

KeyRing::~KeyRing() { OPENSSL_cleanse(encryption_.data(), encryption_.size()); }

absl::Status KeyRing::LoadEntries(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::string id_text;
  std::string sealed;
  while (in >> id_text >> sealed) {
    std::uint64_t id = 0;
    const auto parsed = std::from_chars(id_text.data(), id_text.data() + id_text.size(), id, 16);
    std::optional<std::string> key;
    if (parsed.ec == std::errc() && sealed.size() % 2 == 0) {
      key = Decrypt(encryption_, id_text, absl::HexStringToBytes(sealed));
    }
    if (key) {
      keys_[id] = *std::move(key);
    } else {
      ++unreadable_;
    }
  }
  return in.bad() ? absl::UnavailableError("cannot read " + path.string()) : absl::OkStatus();
}

std::uint64_t KeyRing::IdOf(std::string_view key) const {
  const Bytes32 digest = Hmac(hashing_, key);
  std::uint64_t id = 0;
  std::memcpy(&id, digest.data(), sizeof id);
  return id == 0 ? 1 : id;
}

absl::StatusOr<std::uint64_t> KeyRing::Remember(std::string_view key) {
  if (key.empty()) return 0;
  if (key.front() == kMappedMark) return absl::InvalidArgumentError("x-api-key: is no text");
  return Store(key);
}

absl::StatusOr<std::uint64_t> KeyRing::Store(std::string_view key) {
  if (key.size() > kMaxKeyBytes) return absl::InvalidArgumentError("x-api-key is too long");
  std::uint64_t id = IdOf(key);
  std::lock_guard lock(mutex_);
  auto found = keys_.find(id);
  // Two keys with the same 64 bits are not to be expected, but must not be taken for each other.
  while (found != keys_.end() && found->second != key) found = keys_.find(++id);
  if (found != keys_.end()) return id;
  if (keys_.size() >= kMaxKeys) {
    return absl::UnavailableError("too many different API keys are remembered");
  }
  const std::string id_text = IdText(id);
  const std::string sealed = Encrypt(encryption_, id_text, key);
  if (sealed.empty()) return absl::InternalError("cannot encrypt an API key");
  absl::Status status = file_->Append(id_text + " " + absl::BytesToHexString(sealed) + "\n");
  if (status.ok()) status = file_->Sync();
  // A full disk has room again; callers are told that of nothing else.
  if (absl::IsResourceExhausted(status)) return absl::UnavailableError(status.message());
  if (!status.ok()) return status;
  keys_.emplace(id, key);
  return id;
}

absl::StatusOr<std::uint64_t> KeyRing::RememberMapped(std::string_view name) {
  return Store(kMappedMark + std::string(name));
}

void KeyRing::SetMapped(std::map<std::string, std::string, std::less<>> keys) {
  std::lock_guard lock(mutex_);
  mapped_ = std::move(keys);
}

std::optional<std::string> KeyRing::Find(std::uint64_t id) const {
  std::lock_guard lock(mutex_);
  const auto found = keys_.find(id);
  if (found == keys_.end()) return std::nullopt;
  const std::string& key = found->second;
  if (key.front() != kMappedMark) return key;
  const auto mapped = mapped_.find(std::string_view(key).substr(1));
  if (mapped == mapped_.end()) return std::nullopt;
  return mapped->second;
}

std::size_t KeyRing::size() const {
  std::lock_guard lock(mutex_);
  return keys_.size();
}

}  // namespace weft::collector
