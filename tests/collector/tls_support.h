// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <fstream>
#include <memory>
#include <stdexcept>
#include <string>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

namespace weft::collector {

/// An issuer of certificates for 127.0.0.1.
class TestIssuer {
 public:
  struct Issued {
    std::string cert;
    std::string key;
  };

  explicit TestIssuer(const std::string& name)
      : key_(EVP_EC_gen("P-256")), cert_(Make(name, key_.get(), nullptr, nullptr, true, 3600)) {}

  std::string cert() const { return Pem(cert_.get()); }

  /// `seconds`: how long it is valid.
  Issued Issue(const std::string& name, long seconds = 3600) const {
    const Key key(EVP_EC_gen("P-256"));
    const Cert cert = Make(name, key.get(), cert_.get(), key_.get(), false, seconds);
    return {Pem(cert.get()), PemOfKey(key.get())};
  }

 private:
  template <auto Free>
  struct Deleter {
    template <typename T>
    void operator()(T* object) const {
      Free(object);
    }
  };
  using Key = std::unique_ptr<EVP_PKEY, Deleter<EVP_PKEY_free>>;
  using Cert = std::unique_ptr<X509, Deleter<X509_free>>;
  using Bio = std::unique_ptr<BIO, Deleter<BIO_free_all>>;

  static Cert Make(const std::string& name, EVP_PKEY* key, X509* issuer, EVP_PKEY* issuer_key,
                   bool is_issuer, long seconds) {
    Cert cert(X509_new());
    static long serial = 1;
    X509_set_version(cert.get(), X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(cert.get()), serial++);
    X509_gmtime_adj(X509_getm_notBefore(cert.get()), -60);
    X509_gmtime_adj(X509_getm_notAfter(cert.get()), seconds);
    X509_set_pubkey(cert.get(), key);
    X509_NAME* const subject = X509_get_subject_name(cert.get());
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC,
                               reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
    X509* const signer = issuer == nullptr ? cert.get() : issuer;
    X509_set_issuer_name(cert.get(), X509_get_subject_name(signer));
    X509V3_CTX context;
    X509V3_set_ctx(&context, signer, cert.get(), nullptr, nullptr, 0);
    const auto extend = [&](int id, const char* value) {
      std::unique_ptr<X509_EXTENSION, Deleter<X509_EXTENSION_free>> extension(
          X509V3_EXT_conf_nid(nullptr, &context, id, value));
      X509_add_ext(cert.get(), extension.get(), -1);
    };
    extend(NID_basic_constraints, is_issuer ? "critical,CA:TRUE" : "critical,CA:FALSE");
    if (!is_issuer) extend(NID_subject_alt_name, "IP:127.0.0.1,DNS:localhost");
    X509_sign(cert.get(), issuer_key == nullptr ? key : issuer_key, EVP_sha256());
    return cert;
  }

  static std::string Text(const Bio& bio) {
    char* data = nullptr;
    const long size = BIO_get_mem_data(bio.get(), &data);
    return {data, static_cast<std::size_t>(size)};
  }
  static std::string Pem(X509* cert) {
    const Bio bio(BIO_new(BIO_s_mem()));
    PEM_write_bio_X509(bio.get(), cert);
    return Text(bio);
  }
  static std::string PemOfKey(EVP_PKEY* key) {
    const Bio bio(BIO_new(BIO_s_mem()));
    PEM_write_bio_PrivateKey(bio.get(), key, nullptr, nullptr, 0, nullptr, nullptr);
    return Text(bio);
  }

  Key key_;
  Cert cert_;
};

inline std::filesystem::path WriteText(const std::filesystem::path& path, const std::string& text) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << text;
  return path;
}

}  // namespace weft::collector
