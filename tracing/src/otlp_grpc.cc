// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdint>
#include <fstream>
#include <sstream>
#include <string_view>
#include <utility>
#include <vector>

#include <absl/status/status.h>
#include <absl/strings/str_cat.h>
#include <grpcpp/client_context.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/byte_buffer.h>

#include <weft/tracing/internal/otlp_transport.h>

#include "base_url.h"
#include "export_channel.h"
#include "otlp_answer.h"
#include "text.h"

namespace weft {
inline namespace v0 {
namespace internal {
namespace {

using std::chrono::milliseconds;
using std::chrono::system_clock;

constexpr char kMethod[] = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
constexpr std::string_view kDefaultTarget = "localhost:4317";
constexpr milliseconds kAbortLook{100};

absl::StatusOr<std::string> ReadFile(const char* option, const std::string& path) {
  if (path.empty()) return std::string();
  std::ifstream file(path, std::ios::binary);
  std::ostringstream content;
  content << file.rdbuf();
  if (!file || content.view().empty()) {
    return absl::InvalidArgumentError(absl::StrCat(option, ": \"", path, "\" cannot be read"));
  }
  return std::move(content).str();
}

absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> TlsOf(
    const OtlpExporterOptions& options) {
  grpc::SslCredentialsOptions tls;
  const struct {
    const char* name;
    const std::string& path;
    std::string& into;
  } files[] = {{"certificate", options.certificate, tls.pem_root_certs},
               {"client_certificate", options.client_certificate, tls.pem_cert_chain},
               {"client_key", options.client_key, tls.pem_private_key}};
  for (const auto& [name, path, into] : files) {
    absl::StatusOr<std::string> content = ReadFile(name, path);
    if (!content.ok()) return content.status();
    into = *std::move(content);
  }
  return grpc::SslCredentials(tls);
}

struct Target {
  std::string address;
  bool tls = false;
};

absl::StatusOr<Target> TargetOf(const OtlpExporterOptions& options) {
  std::string_view rest = options.endpoint;
  Target target;
  if (rest.empty()) return Target{std::string(kDefaultTarget), false};
  if (rest.starts_with("http://") || rest.starts_with("https://")) {
    target.tls = rest.starts_with("https://");
    rest.remove_prefix(rest.find("//") + 2);
    // OpenTelemetry allows a path and takes no notice of it.
    rest = rest.substr(0, rest.find('/'));
  } else {
    target.tls = !options.insecure && !rest.starts_with("unix:");
  }
  const bool plain = std::all_of(rest.begin(), rest.end(),
                                 [](char c) { return c > 0x20 && c < 0x7f && c != '@'; });
  if (rest.empty() || !plain) {
    return absl::InvalidArgumentError(
        absl::StrCat("endpoint: \"", ShownUrl(options.endpoint), "\" is no HOST:PORT"));
  }
  target.address = rest;
  return target;
}

std::string BytesOf(const grpc::ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  std::string bytes;
  if (!buffer.Dump(&slices).ok()) return bytes;
  for (const grpc::Slice& slice : slices) {
    bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  }
  return bytes;
}

// Takes the bytes over: gRPC may hold them longer than the call takes.
grpc::ByteBuffer BufferOf(std::string bytes) {
  auto* const owned = new std::string(std::move(bytes));
  const grpc::Slice slice(
      owned->data(), owned->size(), [](void* string) { delete static_cast<std::string*>(string); },
      owned);
  return grpc::ByteBuffer(&slice, 1);
}

/// By the method's name and with bytes, because generated code of the same names may be in the
/// program.
class GrpcTransport final : public OtlpTransport {
 public:
  GrpcTransport(const OtlpExporterOptions& options, std::shared_ptr<grpc::Channel> channel)
      : timeout_(options.timeout),
        gzip_(options.compression != OtlpCompression::kNone),
        stub_(std::move(channel)) {
    for (const auto& [name, value] : options.headers)
      headers_.emplace_back(AsciiLower(name), value);
  }

  ~GrpcTransport() override { completions_.Shutdown(); }

  SendResult Send(std::string request, std::size_t spans, const std::atomic<bool>& abort) override {
    grpc::ClientContext context;
    for (const auto& [name, value] : headers_) context.AddMetadata(name, value);
    if (timeout_.count() > 0) context.set_deadline(system_clock::now() + timeout_);
    if (gzip_) context.set_compression_algorithm(GRPC_COMPRESS_GZIP);
    const auto call =
        stub_.PrepareUnaryCall(&context, kMethod, BufferOf(std::move(request)), &completions_);
    call->StartCall();
    grpc::ByteBuffer reply;
    grpc::Status status;
    call->Finish(&reply, &status, this);
    Await(context, abort);
    return ReadOtlpStatus(status, status.ok() ? BytesOf(reply) : std::string(), spans);
  }

 private:
  void Await(grpc::ClientContext& context, const std::atomic<bool>& abort) {
    void* tag = nullptr;
    bool ok = false;
    while (completions_.AsyncNext(&tag, &ok, system_clock::now() + kAbortLook) ==
           grpc::CompletionQueue::TIMEOUT) {
      if (abort) context.TryCancel();
    }
  }

  const milliseconds timeout_;
  const bool gzip_;
  std::vector<std::pair<std::string, std::string>> headers_;
  grpc::GenericStub stub_;
  grpc::CompletionQueue completions_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<OtlpTransport>> MakeOtlpGrpc(const OtlpExporterOptions& options) {
  const absl::StatusOr<Target> target = TargetOf(options);
  if (!target.ok()) return target.status();
  std::shared_ptr<grpc::ChannelCredentials> credentials = grpc::InsecureChannelCredentials();
  if (target->tls) {
    auto tls = TlsOf(options);
    if (!tls.ok()) return tls.status();
    credentials = *std::move(tls);
  }
  return std::make_unique<GrpcTransport>(options,
                                         internal::MakeExportChannel(target->address, credentials));
}

}  // namespace internal
}  // namespace v0
}  // namespace weft
