// SPDX-License-Identifier: Apache-2.0
#include "tls.h"

#include <cerrno>
#include <cstring>
#include <ctime>
#include <fstream>
#include <iterator>
#include <utility>

#include <openssl/pem.h>
#include <boost/asio/ssl/context.hpp>

namespace weft::collector {
namespace {

namespace ssl = boost::asio::ssl;
using ErrorCode = boost::system::error_code;
using Context = std::shared_ptr<ssl::context>;

absl::Status Wrong(std::string_view key, const std::filesystem::path& path,
                   const std::string& problem) {
  return absl::FailedPreconditionError("tls." + std::string(key) + ": '" + path.string() + "' " +
                                       problem);
}

absl::StatusOr<std::string> ReadFile(std::string_view key, const std::filesystem::path& path) {
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) return Wrong(key, path, "is a directory");
  std::ifstream in(path, std::ios::binary);
  if (!in) return Wrong(key, path, std::string("cannot be read: ") + std::strerror(errno));
  return std::string(std::istreambuf_iterator<char>(in), {});
}

absl::StatusOr<Context> MakeContext(const TlsFiles& files, const TlsConfig& config) {
  auto context = std::make_shared<ssl::context>(ssl::context::tls_server);
  SSL_CTX_set_min_proto_version(context->native_handle(), TLS1_2_VERSION);
  SSL_CTX_set_options(context->native_handle(), SSL_OP_NO_RENEGOTIATION);
  SSL_CTX_set_mode(context->native_handle(), SSL_MODE_RELEASE_BUFFERS);
  // A key with a passphrase would be asked for on the terminal.
  context->set_password_callback([](std::size_t, ssl::context::password_purpose) { return ""; });
  ErrorCode error;
  context->use_certificate_chain(boost::asio::buffer(files.cert), error);
  if (error) return Wrong("cert", config.cert, "holds no certificate in PEM: " + error.message());
  context->use_private_key(boost::asio::buffer(files.key), ssl::context::pem, error);
  if (error) {
    return Wrong("key", config.key, "is no private key of tls.cert in PEM: " + error.message());
  }
  if (SSL_CTX_check_private_key(context->native_handle()) != 1) {
    return Wrong("key", config.key, "is not the key of tls.cert");
  }
  if (files.client_ca.empty()) return context;
  context->add_certificate_authority(boost::asio::buffer(files.client_ca), error);
  if (error) {
    return Wrong("client_ca", config.client_ca, "holds no certificate in PEM: " + error.message());
  }
  context->set_verify_mode(ssl::verify_peer | ssl::verify_fail_if_no_peer_cert, error);
  // Sessions of callers with certificates are resumed only under a context of the same name.
  constexpr unsigned char kName[] = "weft";
  SSL_CTX_set_session_id_context(context->native_handle(), kName, sizeof kName - 1);
  return context;
}

}  // namespace

absl::StatusOr<TlsFiles> TlsFiles::Read(const TlsConfig& config) {
  TlsFiles files;
  const std::pair<std::string_view, std::pair<const std::filesystem::path*, std::string*>> all[] = {
      {"cert", {&config.cert, &files.cert}},
      {"key", {&config.key, &files.key}},
      {"client_ca", {&config.client_ca, &files.client_ca}}};
  for (const auto& [key, file] : all) {
    const auto& [path, content] = file;
    if (path->empty()) continue;
    absl::StatusOr<std::string> read = ReadFile(key, *path);
    if (!read.ok()) return read.status();
    *content = *std::move(read);
    // Empty means that callers need none: a file that was emptied must not.
    if (content->empty()) return Wrong(key, *path, "is empty");
  }
  if (absl::Status status = MakeContext(files, config).status(); !status.ok()) return status;
  return files;
}

std::chrono::system_clock::time_point TlsFiles::Expiry() const {
  auto first = std::chrono::system_clock::time_point::max();
  const std::unique_ptr<BIO, decltype(&BIO_free)> in(
      BIO_new_mem_buf(cert.data(), static_cast<int>(cert.size())), &BIO_free);
  for (;;) {
    const std::unique_ptr<X509, decltype(&X509_free)> one(
        PEM_read_bio_X509(in.get(), nullptr, nullptr, nullptr), &X509_free);
    if (one == nullptr) return first;
    std::tm end{};
    if (ASN1_TIME_to_tm(X509_get0_notAfter(one.get()), &end) != 1) continue;
    first = std::min(first, std::chrono::system_clock::from_time_t(::timegm(&end)));
  }
}

std::optional<std::chrono::system_clock::time_point> TlsExpiry(const TlsConfig& config) {
  const absl::StatusOr<TlsFiles> files = TlsFiles::Read(config);
  if (!files.ok()) return std::nullopt;
  return files->Expiry();
}

absl::StatusOr<TlsContext::State> TlsContext::Load(const TlsConfig& config) {
  absl::StatusOr<TlsFiles> files = TlsFiles::Read(config);
  if (!files.ok()) return files.status();
  absl::StatusOr<Context> context = MakeContext(*files, config);
  if (!context.ok()) return context.status();
  return State{*std::move(files), *std::move(context)};
}

absl::StatusOr<std::shared_ptr<TlsContext>> TlsContext::Create(const TlsConfig& config) {
  absl::StatusOr<State> state = Load(config);
  if (!state.ok()) return state.status();
  auto tls = std::make_shared<TlsContext>();
  tls->state_ = *std::move(state);
  return tls;
}

absl::StatusOr<std::function<void()>> TlsContext::PrepareReload(const TlsConfig& config) {
  absl::StatusOr<State> state = Load(config);
  if (!state.ok()) return state.status();
  {
    std::lock_guard lock(mutex_);
    // gRPC decides once whether it asks callers for certificates.
    if (state->files.client_ca.empty() != state_.files.client_ca.empty()) {
      return absl::FailedPreconditionError("tls.client_ca: comes and goes with a restart only");
    }
  }
  return [this, fresh = *std::move(state)] {
    std::lock_guard lock(mutex_);
    state_ = fresh;
    ++version_;
  };
}

std::shared_ptr<boost::asio::ssl::context> TlsContext::context() const {
  std::lock_guard lock(mutex_);
  return state_.context;
}

TlsFiles TlsContext::files(std::uint64_t* version) const {
  std::lock_guard lock(mutex_);
  *version = version_;
  return state_.files;
}

}  // namespace weft::collector
