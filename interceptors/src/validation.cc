// SPDX-License-Identifier: Apache-2.0
#include <weft/interceptors/validation.h>

#include <cstdint>
#include <string_view>

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include "message_content.h"
#include "stats.h"

namespace weft {
inline namespace v0 {
namespace {

constexpr std::size_t kLongestText = 1024;
constexpr std::size_t kMostDetails = 4096;  // gRPC refuses trailers of more than 8 KiB in all

// The details are written as bytes, since Debian has no library with the messages of google.rpc.
void AppendVarint(std::string& out, std::uint64_t value) {
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  out += static_cast<char>(value);
}

void AppendField(std::string& out, int number, std::string_view bytes) {
  constexpr int kLengthDelimited = 2;
  AppendVarint(out, static_cast<std::uint64_t>(number << 3 | kLengthDelimited));
  AppendVarint(out, bytes.size());
  out += bytes;
}

/// A google.rpc.Status{code = 1, message = 2, details = 3} with an Any{type_url = 1, value = 2} of
/// google.rpc.BadRequest{field_violations = 1 {field = 1, description = 2}}.
std::string DetailsOf(const std::string& text, const std::vector<Violation>& violations) {
  std::string bad_request;
  for (const Violation& violation : violations) {
    std::string one;
    AppendField(one, 1, violation.field);
    AppendField(one, 2, violation.description);
    if (bad_request.size() + one.size() > kMostDetails) break;
    AppendField(bad_request, 1, one);
  }
  std::string any;
  AppendField(any, 1, "type.googleapis.com/google.rpc.BadRequest");
  AppendField(any, 2, bad_request);
  std::string status;
  AppendVarint(status, 1 << 3);
  AppendVarint(status, grpc::StatusCode::INVALID_ARGUMENT);
  AppendField(status, 2, text);
  AppendField(status, 3, any);
  return status;
}

grpc::Status StatusOf(const std::vector<Violation>& violations) {
  std::string text;
  for (const Violation& violation : violations) {
    if (!text.empty()) text += "; ";
    text.append(violation.field).append(": ").append(violation.description);
    if (text.size() <= kLongestText) continue;
    text.resize(kLongestText);
    text += "...";
    break;
  }
  std::string details = DetailsOf(text, violations);
  return {grpc::StatusCode::INVALID_ARGUMENT, std::move(text), std::move(details)};
}

class ValidationMiddleware final : public Middleware {
 public:
  explicit ValidationMiddleware(std::vector<MessageCheck> checks) : checks_(std::move(checks)) {}

  std::string_view name() const noexcept override { return "validation"; }
  HookSet hooks() const noexcept override { return HooksOf<ValidationMiddleware>(); }
  bool may_reject() const noexcept override { return true; }

  std::shared_ptr<void> OnMethod(const MethodDescription& method) noexcept override {
    return std::make_shared<Checks>(Of(method));
  }
  bool wants_messages(const MethodDescription& method) const noexcept override {
    return !Of(method).empty();
  }

  void OnMessage(Call& call, const MessageView& message) noexcept override {
    const Checks& checks = call.method_state<Checks>();
    if (checks.empty() || message.direction != MessageView::Direction::kReceived) return;
    try {
      if (grpc::Status status = Check(checks, message); !status.ok()) {
        call.Reject({.status = std::move(status)});
      }
    } catch (...) {
      internal::CountHookFailure();
      call.Reject({.status = grpc::Status(grpc::StatusCode::INTERNAL, "validation failed")});
    }
  }

 private:
  using Checks = std::vector<const MessageCheck*>;

  Checks Of(const MethodDescription& method) const {
    Checks checks;
    if (method.side == CallSide::kClient) return checks;
    const auto* const found = internal::FindGeneratedMethod(method);
    for (const MessageCheck& check : checks_) {
      if (found != nullptr && found->input_type() == check.type) checks.push_back(&check);
    }
    return checks;
  }

  static grpc::Status Check(const Checks& checks, const MessageView& message) {
    const google::protobuf::Message* const content = message.message();
    if (content == nullptr) {
      return {grpc::StatusCode::INVALID_ARGUMENT,
              "the message is no " + checks[0]->type->full_name()};
    }
    std::vector<Violation> all;
    for (const MessageCheck* const check : checks) {
      for (Violation& violation : check->check(*content)) all.push_back(std::move(violation));
    }
    return all.empty() ? grpc::Status() : StatusOf(all);
  }

  const std::vector<MessageCheck> checks_;
};

}  // namespace

std::shared_ptr<Middleware> Validation(std::vector<MessageCheck> checks) {
  return std::make_shared<ValidationMiddleware>(std::move(checks));
}

}  // namespace v0
}  // namespace weft
