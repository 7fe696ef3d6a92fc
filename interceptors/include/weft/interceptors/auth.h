// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <absl/status/statusor.h>

#include <weft/interceptors/middleware.h>

namespace weft {
inline namespace v0 {

/// Who makes a call.
struct Identity {
  std::string name;
  std::map<std::string, std::string> attributes{};
};

/// An identity that the calls of one caller share: a check that knows its callers beforehand need
/// not copy it for each call.
///
///     return who;  // a std::shared_ptr<const weft::Identity>; null lets nobody in
class SharedIdentity {
 public:
  // NOLINTBEGIN(google-explicit-constructor): a check returns either.
  SharedIdentity(Identity identity)
      : identity_(std::make_shared<const Identity>(std::move(identity))) {}
  SharedIdentity(std::shared_ptr<const Identity> identity) noexcept
      : identity_(std::move(identity)) {}
  // NOLINTEND(google-explicit-constructor)

  const std::shared_ptr<const Identity>& get() const noexcept { return identity_; }

 private:
  std::shared_ptr<const Identity> identity_;
};

/// What is known of a call before its handler runs. Borrows: valid during the check.
struct AuthRequest {
  const Call& call;
  const MetadataView& metadata;
};

/// Says who makes a call, or why it may not: UNAUTHENTICATED, PERMISSION_DENIED ... The caller sees
/// the message. Runs on gRPC's threads, several at once: it must not block. May return a
/// `absl::StatusOr<Identity>`, too.
using AuthCheck = std::function<absl::StatusOr<SharedIdentity>(const AuthRequest&)>;

struct AuthOptions {
  /// Adds the identity's name to the call's run, as the metadata `enduser.id`.
  bool record = false;
};

/// On a server: lets calls through that a check approves, before their handlers run.
///
///     auto check = weft::ApiKey({{"s3cret", {.name = "billing"}}});
///     weft::InterceptServer(builder, {.tracer = tracer, .middlewares = {weft::Auth(check)}});
///     builder.RegisterService(&cart);
///     ...
///     if (const weft::Identity* who = weft::CurrentIdentity()) Log(who->name);   // in a handler
///
/// Services that are to be left out, such as health checks, are said by the selector of its place
/// in the list. An empty check gives null.
///
/// Errors: fails closed: a check that throws rejects the call with INTERNAL, and is counted as a
///   hook failure; one that lets in a null identity rejects it so, too.
std::shared_ptr<Middleware> Auth(AuthCheck check, AuthOptions options = {});

/// Passes the token of `authorization: Bearer TOKEN` to `check`. UNAUTHENTICATED without exactly
/// one.
AuthCheck BearerToken(std::function<absl::StatusOr<SharedIdentity>(std::string_view token)> check);

/// Knows callers by a secret in a header. How long it takes says nothing about the secrets. Empty
/// secrets are never right.
AuthCheck ApiKey(std::map<std::string, Identity> secrets, std::string header = "x-api-key");

/// Knows callers by the TLS certificate with which they connected, and which gRPC has verified
/// against the server's root certificates. Their name is the first of the certificate's alternative
/// names (its common name where it has none) that one of the globs in `allowed` fits; the attribute
/// `tls.names` has them all. UNAUTHENTICATED without a certificate, PERMISSION_DENIED without such
/// a name.
///
///     grpc::SslServerCredentialsOptions tls(
///         GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
///     weft::Auth(weft::MtlsIdentity({"*.team.example", "spiffe://example/*"}))
AuthCheck MtlsIdentity(std::vector<std::string> allowed = {"*"});

/// Who made the call that the calling stack handles, or null. Valid while its context is current.
const Identity* CurrentIdentity() noexcept;
/// The same of a context: in a middleware after Auth, `IdentityOf(call.context())`.
const Identity* IdentityOf(ContextView context) noexcept;

}  // namespace v0
}  // namespace weft
