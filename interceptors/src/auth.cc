// SPDX-License-Identifier: Apache-2.0
#include <weft/interceptors/auth.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <optional>
#include <utility>

#include <weft/interceptors/selector.h>
#include <weft/tracing/run.h>

#include "stats.h"

namespace weft {
inline namespace v0 {
namespace {

constexpr ContextKey<Identity> kIdentityKey;

class AuthMiddleware final : public Middleware {
 public:
  AuthMiddleware(AuthCheck check, AuthOptions options)
      : check_(std::move(check)), options_(options) {}

  std::string_view name() const noexcept override { return "auth"; }
  HookSet hooks() const noexcept override { return HooksOf<AuthMiddleware>(); }
  bool may_reject() const noexcept override { return true; }

  Verdict Admit(Call& call, const MetadataView& metadata) noexcept override try {
    absl::StatusOr<Identity> identity = check_({call, metadata});
    if (!identity.ok()) {
      // The codes of absl are gRPC's.
      return {.status = grpc::Status(static_cast<grpc::StatusCode>(identity.status().code()),
                                     std::string(identity.status().message()))};
    }
    Context known = call.context().With(kIdentityKey, *std::move(identity));
    // Without memory for the context the handler would not know who calls.
    if (known == call.context()) return Failed();
    call.SetContext(std::move(known));
    return {};
  } catch (...) {
    internal::CountHookFailure();
    return Failed();
  }

  // Not before: the call's run may begin only now (see TrustOptions).
  void OnVerdict(Call& call, const MetadataView& /*metadata*/) noexcept override try {
    if (!options_.record) return;
    const Identity* const identity = IdentityOf(call.context());
    if (identity == nullptr) return;
    RunOf(call.context()).AddMetadata({{"enduser.id", identity->name}});
  } catch (...) {
    internal::CountHookFailure();
  }

 private:
  static Verdict Failed() noexcept {
    return {.status = grpc::Status(grpc::StatusCode::INTERNAL, "authentication failed")};
  }

  AuthCheck check_;
  AuthOptions options_;
};

/// The value of a header that is there once; else nothing, so that nobody hides one behind another.
std::optional<std::string_view> OnlyValue(const MetadataView& metadata, std::string_view key) {
  const MetadataView::Map& map = metadata.map();
  const grpc::string_ref name(key.data(), key.size());
  const auto found = map.lower_bound(name);
  if (found == map.end() || found->first != name) return std::nullopt;
  const auto next = std::next(found);
  if (next != map.end() && next->first == name) return std::nullopt;
  return std::string_view(found->second.data(), found->second.size());
}

std::uint64_t WordAt(const char* text) noexcept {
  std::uint64_t word = 0;
  std::memcpy(&word, text, sizeof(word));
  return word;
}

// Eight bytes at a time, the last ones perhaps twice. Never ends early.
bool SameSecret(std::string_view given, std::string_view secret) noexcept {
  constexpr std::size_t kWord = sizeof(std::uint64_t);
  const std::size_t size = given.size();
  if (size == 0 || size != secret.size()) return false;
  std::uint64_t difference = 0;
  if (size < kWord) {
    for (std::size_t i = 0; i < size; ++i) {
      difference |= static_cast<unsigned char>(given[i] ^ secret[i]);
    }
    return difference == 0;
  }
  for (std::size_t i = 0; i < size - kWord; i += kWord) {
    difference |= WordAt(given.data() + i) ^ WordAt(secret.data() + i);
  }
  const std::size_t last = size - kWord;
  difference |= WordAt(given.data() + last) ^ WordAt(secret.data() + last);
  return difference == 0;
}

std::optional<std::string_view> TokenOf(std::string_view value) noexcept {
  constexpr std::string_view kScheme = "bearer ";
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  if (value.size() <= kScheme.size() ||
      !std::ranges::equal(value.substr(0, kScheme.size()), kScheme, {}, lower)) {
    return std::nullopt;
  }
  value.remove_prefix(std::min(value.find_first_not_of(' ', kScheme.size()), value.size()));
  return value.empty() ? std::nullopt : std::optional(value);
}

}  // namespace

std::shared_ptr<Middleware> Auth(AuthCheck check, AuthOptions options) {
  if (!check) return nullptr;
  return std::make_shared<AuthMiddleware>(std::move(check), options);
}

AuthCheck BearerToken(std::function<absl::StatusOr<Identity>(std::string_view token)> check) {
  return [check = std::move(check)](const AuthRequest& request) -> absl::StatusOr<Identity> {
    const auto value = OnlyValue(request.metadata, "authorization");
    const auto token = value ? TokenOf(*value) : std::nullopt;
    if (!token) return absl::UnauthenticatedError("a bearer token is needed in 'authorization'");
    return check(*token);
  };
}

AuthCheck ApiKey(std::map<std::string, Identity> secrets, std::string header) {
  return [secrets = std::move(secrets),
          header = std::move(header)](const AuthRequest& request) -> absl::StatusOr<Identity> {
    const std::string_view given = OnlyValue(request.metadata, header).value_or("");
    const Identity* found = nullptr;
    for (const auto& [secret, identity] : secrets) {
      if (SameSecret(given, secret)) found = &identity;
    }
    if (found == nullptr) return absl::UnauthenticatedError("a valid '" + header + "' is needed");
    return *found;
  };
}

AuthCheck MtlsIdentity(std::vector<std::string> allowed) {
  const std::vector<Selector> globs(allowed.begin(), allowed.end());
  return [globs](const AuthRequest& request) -> absl::StatusOr<Identity> {
    const std::vector<std::string> names = request.call.tls_identities();
    if (names.empty()) return absl::UnauthenticatedError("a client certificate is needed");
    const auto fits = [&](const std::string& name) {
      return std::ranges::any_of(globs, [&](const Selector& glob) { return glob.Selects(name); });
    };
    const auto name = std::ranges::find_if(names, fits);
    if (name == names.end()) {
      return absl::PermissionDeniedError("the client certificate is for '" + names[0] +
                                         "', which is not allowed");
    }
    std::string all;
    for (const std::string& each : names) all.append(all.empty() ? "" : ",").append(each);
    return Identity{.name = *name, .attributes = {{"tls.names", all}}};
  };
}

const Identity* IdentityOf(ContextView context) noexcept { return context.Find(kIdentityKey); }

const Identity* CurrentIdentity() noexcept { return IdentityOf(Context::View()); }

}  // namespace v0
}  // namespace weft
