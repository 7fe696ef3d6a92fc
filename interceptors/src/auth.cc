// SPDX-License-Identifier: Apache-2.0
#include <weft/interceptors/auth.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <utility>

#include <weft/interceptors/selector.h>
#include <weft/tracing/run.h>

#include "context_room.h"
#include "stats.h"

namespace weft {
inline namespace v0 {
namespace {

constexpr ContextKey<std::shared_ptr<const Identity>> kIdentityKey;
using IdentityRoom = internal::ContextRoom<std::shared_ptr<const Identity>>;

std::uint64_t WordAt(const char* text) noexcept {
  std::uint64_t word = 0;
  std::memcpy(&word, text, sizeof(word));
  return word;
}

// Eight bytes at a time, the last ones perhaps twice. Never ends early.
bool SameSecret(std::string_view given, std::string_view secret) noexcept {
  constexpr std::size_t kWord = sizeof(std::uint64_t);
  const std::size_t size = given.size();
  if (size != secret.size()) return false;
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

/// Callers by their secrets.
class ApiKeys {
 public:
  ApiKeys(std::map<std::string, Identity>&& secrets, std::string header)
      : header_(std::move(header)) {
    for (auto& [secret, identity] : secrets) {
      if (secret.empty()) continue;
      callers_.push_back({secret, std::make_shared<const Identity>(std::move(identity))});
    }
  }

  /// Null: nobody's.
  const std::shared_ptr<const Identity>* Find(const MetadataView& metadata) const noexcept {
    const std::optional<std::string_view> given = metadata.GetOnly(header_);
    if (!given) return nullptr;
    const std::shared_ptr<const Identity>* found = nullptr;
    for (const Caller& caller : callers_) {
      if (SameSecret(*given, caller.secret)) found = &caller.identity;
    }
    return found;
  }
  absl::Status Refusal() const {
    return absl::UnauthenticatedError("a valid '" + header_ + "' is needed");
  }

  absl::StatusOr<SharedIdentity> operator()(const AuthRequest& request) const {
    const std::shared_ptr<const Identity>* const identity = Find(request.metadata);
    if (identity == nullptr) return Refusal();
    return *identity;
  }

 private:
  struct Caller {
    std::string secret;
    std::shared_ptr<const Identity> identity;
  };

  std::vector<Caller> callers_;
  std::string header_;
};

class AuthMiddleware final : public Middleware {
 public:
  AuthMiddleware(AuthCheck check, AuthOptions options)
      : check_(std::move(check)), keys_(check_.target<ApiKeys>()), options_(options) {}

  std::string_view name() const noexcept override { return "auth"; }
  HookSet hooks() const noexcept override {
    HookSet hooks = HooksOf<AuthMiddleware>();
    if (!options_.record) hooks.Remove(HookSet::kOnVerdict);
    return hooks;
  }
  bool may_reject() const noexcept override { return true; }
  CallStateType call_state() const noexcept override { return IdentityRoom::State(); }

  Verdict Admit(Call& call, const MetadataView& metadata) noexcept override try {
    if (keys_ != nullptr) {
      const std::shared_ptr<const Identity>* const known = keys_->Find(metadata);
      return known != nullptr ? LetIn(call, *known) : Refused(keys_->Refusal());
    }
    const absl::StatusOr<SharedIdentity> identity = check_({call, metadata});
    if (!identity.ok()) return Refused(identity.status());
    return identity->get() != nullptr ? LetIn(call, identity->get()) : Failed();
  } catch (...) {
    internal::CountHookFailure();
    return Failed();
  }

  // Not before: the call's run may begin only now (see TrustOptions).
  void OnVerdict(Call& call, const MetadataView& /*metadata*/) noexcept override try {
    const Identity* const identity = IdentityOf(call.context());
    if (identity == nullptr) return;
    RunOf(call.context()).AddMetadata({{"enduser.id", identity->name}});
  } catch (...) {
    internal::CountHookFailure();
  }

 private:
  static Verdict LetIn(Call& call, const std::shared_ptr<const Identity>& identity) noexcept {
    IdentityRoom::Fill(call, kIdentityKey, identity);
    return {};
  }
  // The codes of absl are gRPC's.
  static Verdict Refused(const absl::Status& why) {
    return {.status = grpc::Status(static_cast<grpc::StatusCode>(why.code()),
                                   std::string(why.message()))};
  }
  static Verdict Failed() noexcept {
    return {.status = grpc::Status(grpc::StatusCode::INTERNAL, "authentication failed")};
  }

  AuthCheck check_;
  const ApiKeys* keys_;  // what the check is; null: something else
  AuthOptions options_;
};

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

AuthCheck BearerToken(std::function<absl::StatusOr<SharedIdentity>(std::string_view token)> check) {
  return [check = std::move(check)](const AuthRequest& request) -> absl::StatusOr<SharedIdentity> {
    const auto value = request.metadata.GetOnly("authorization");
    const auto token = value ? TokenOf(*value) : std::nullopt;
    if (!token) return absl::UnauthenticatedError("a bearer token is needed in 'authorization'");
    return check(*token);
  };
}

AuthCheck ApiKey(std::map<std::string, Identity> secrets, std::string header) {
  return ApiKeys(std::move(secrets), std::move(header));
}

AuthCheck MtlsIdentity(std::vector<std::string> allowed) {
  const std::vector<Selector> globs(allowed.begin(), allowed.end());
  return [globs](const AuthRequest& request) -> absl::StatusOr<SharedIdentity> {
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

const Identity* IdentityOf(ContextView context) noexcept {
  const std::shared_ptr<const Identity>* const identity = context.Find(kIdentityKey);
  return identity == nullptr ? nullptr : identity->get();
}

const Identity* CurrentIdentity() noexcept { return IdentityOf(Context::View()); }

}  // namespace v0
}  // namespace weft
