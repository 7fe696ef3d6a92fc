// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <optional>
#include <string>

#include <curl/curl.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <boost/json.hpp>

#include "doctor_checks.h"

namespace weft::cli {
namespace {

using collector::CollectorConfig;
using collector::DestinationConfig;
using Kind = DestinationConfig::Kind;

constexpr long kTimeoutMs = 5'000;
constexpr std::size_t kMaxReply = 4u << 20;
constexpr std::int64_t kSkewSeconds = 5;

struct Reply {
  CURLcode code = CURLE_OK;
  long status = 0;
  std::string body;
  std::optional<std::time_t> date;
};

struct Request {
  std::string url;
  std::string ca_file{};
  std::vector<std::string> headers{};
  std::optional<std::string> body{};
};

std::size_t TakeBody(char* data, std::size_t size, std::size_t count, void* target) {
  auto& body = *static_cast<std::string*>(target);
  if (body.size() + size * count > kMaxReply) return 0;
  body.append(data, size * count);
  return size * count;
}

std::size_t TakeHeader(char* data, std::size_t size, std::size_t count, void* target) {
  const std::string line(data, size * count);
  if (line.size() > 6 && (line[0] == 'd' || line[0] == 'D') && line.substr(1, 4) == "ate:") {
    const std::time_t date = curl_getdate(line.c_str() + 5, nullptr);
    if (date >= 0) *static_cast<std::optional<std::time_t>*>(target) = date;
  }
  return size * count;
}

Reply Ask(const Request& request) {
  Reply reply;
  const std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> curl(curl_easy_init(),
                                                                 &curl_easy_cleanup);
  curl_slist* list = nullptr;
  for (const std::string& header : request.headers) list = curl_slist_append(list, header.c_str());
  const std::unique_ptr<curl_slist, decltype(&curl_slist_free_all)> headers(list,
                                                                            &curl_slist_free_all);
  curl_easy_setopt(curl.get(), CURLOPT_URL, request.url.c_str());
  curl_easy_setopt(curl.get(), CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl.get(), CURLOPT_NOPROXY, "localhost,127.0.0.1,::1");
  curl_easy_setopt(curl.get(), CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl.get(), CURLOPT_TIMEOUT_MS, kTimeoutMs);
  curl_easy_setopt(curl.get(), CURLOPT_WRITEFUNCTION, &TakeBody);
  curl_easy_setopt(curl.get(), CURLOPT_WRITEDATA, &reply.body);
  curl_easy_setopt(curl.get(), CURLOPT_HEADERFUNCTION, &TakeHeader);
  curl_easy_setopt(curl.get(), CURLOPT_HEADERDATA, &reply.date);
  curl_easy_setopt(curl.get(), CURLOPT_HTTPHEADER, headers.get());
  const char* const roots = std::getenv("SSL_CERT_FILE");
  if (!request.ca_file.empty()) {
    curl_easy_setopt(curl.get(), CURLOPT_CAINFO, request.ca_file.c_str());
  } else if (roots != nullptr && *roots != '\0') {
    curl_easy_setopt(curl.get(), CURLOPT_CAINFO, roots);
  }
  if (request.body) {
    curl_easy_setopt(curl.get(), CURLOPT_POSTFIELDS, request.body->c_str());
    curl_easy_setopt(curl.get(), CURLOPT_POSTFIELDSIZE, static_cast<long>(request.body->size()));
  }
  reply.code = curl_easy_perform(curl.get());
  curl_easy_getinfo(curl.get(), CURLINFO_RESPONSE_CODE, &reply.status);
  return reply;
}

std::string AdviceFor(CURLcode code) {
  switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
      return "check the name and this machine's DNS";
    case CURLE_COULDNT_CONNECT:
      return "check port, firewall, and whether the target runs";
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SSL_CACERT_BADFILE:
      return "check the target's certificate; ca_file of the forward entry names its issuer";
    case CURLE_COULDNT_RESOLVE_PROXY:
      return "check https_proxy and no_proxy";
    default:
      return "check that this is the target's address";
  }
}

void CheckClock(const Reply& reply, const std::string& target, Findings& findings) {
  if (!reply.date) return;
  const auto skew = static_cast<std::int64_t>(std::time(nullptr) - *reply.date);
  const std::string text = "clock: " + std::to_string(skew) + " s from that of " + target;
  if (skew > kSkewSeconds || skew < -kSkewSeconds) {
    findings.push_back({Health::kWarning, "clock", text,
                        "let NTP set it: times of runs decide about their order"});
  } else {
    findings.push_back({Health::kOk, "clock", text});
  }
}

// False when nobody answers.
bool CheckReachable(const Reply& reply, const std::string& name, Findings& findings) {
  if (reply.code == CURLE_OK) return true;
  findings.push_back({Health::kFailure, "destination", name + ": " + curl_easy_strerror(reply.code),
                      AdviceFor(reply.code)});
  return false;
}

void CheckLangSmith(const DestinationConfig& to, Findings& findings) {
  const std::string name = to.Spec();
  const Reply info = Ask({.url = to.target + "/info", .ca_file = to.ca_file});
  if (!CheckReachable(info, name, findings)) return;
  CheckClock(info, to.target, findings);
  if (info.status != 200) {
    findings.push_back({Health::kFailure, "destination",
                        name + ": /info answers " + std::to_string(info.status),
                        "check that the URL is that of LangSmith's API"});
    return;
  }
  if (to.api_key.empty()) {
    findings.push_back({Health::kOk, "destination", name + " answers; callers bring the key"});
    return;
  }
  const Reply sessions = Ask({.url = to.target + "/sessions?limit=1",
                              .ca_file = to.ca_file,
                              .headers = {"x-api-key: " + to.api_key}});
  if (sessions.status == 401 || sessions.status == 403) {
    findings.push_back({Health::kFailure, "destination",
                        name + " refuses its key (" + std::to_string(sessions.status) + ")",
                        "replace the key where the configuration names it, and send SIGHUP"});
  } else {
    findings.push_back({Health::kOk, "destination", name + " answers, and takes its key"});
  }
}

void CheckOtlpHttp(const DestinationConfig& to, Findings& findings) {
  std::string url = to.target;
  if (!url.ends_with("/v1/traces")) url += "/v1/traces";
  Request request{.url = url,
                  .ca_file = to.ca_file,
                  .headers = {"Content-Type: application/x-protobuf"},
                  .body = ""};
  if (!to.api_key.empty()) request.headers.push_back("x-api-key: " + to.api_key);
  const Reply reply = Ask(request);
  if (!CheckReachable(reply, to.Spec(), findings)) return;
  CheckClock(reply, to.target, findings);
  const bool fine = reply.status >= 200 && reply.status < 300;
  findings.push_back(
      {fine ? Health::kOk : Health::kFailure, "destination",
       to.Spec() + (fine ? " takes an empty request" : " answers " + std::to_string(reply.status)),
       fine ? "" : "check address, path and key"});
}

std::string ReadFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void CheckOtlpGrpc(const DestinationConfig& to, Findings& findings) {
  const bool secure = to.target.starts_with("grpcs://");
  const std::string address = to.target.substr(to.target.find("://") + 3);
  grpc::SslCredentialsOptions options;
  if (!to.ca_file.empty()) options.pem_root_certs = ReadFile(to.ca_file);
  const auto channel = grpc::CreateChannel(
      address, secure ? grpc::SslCredentials(options) : grpc::InsecureChannelCredentials());
  grpc::GenericStub stub(channel);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(kTimeoutMs));
  if (!to.api_key.empty()) context.AddMetadata("x-api-key", to.api_key);
  grpc::CompletionQueue queue;
  const grpc::Slice nothing{std::string()};
  const grpc::ByteBuffer request(&nothing, 1);
  const auto call = stub.PrepareUnaryCall(
      &context, "/opentelemetry.proto.collector.trace.v1.TraceService/Export", request, &queue);
  call->StartCall();
  grpc::ByteBuffer response;
  grpc::Status status;
  call->Finish(&response, &status, &queue);
  void* tag = nullptr;
  bool ok = false;
  queue.Next(&tag, &ok);
  if (status.ok()) {
    findings.push_back({Health::kOk, "destination", to.Spec() + " takes an empty request"});
  } else {
    findings.push_back({Health::kFailure, "destination",
                        to.Spec() + ": " + status.error_message() + " (code " +
                            std::to_string(status.error_code()) + ")",
                        "check name, port, TLS (grpcs://) and whether the target runs"});
  }
}

void CheckFile(const DestinationConfig& to, Findings& findings) {
  std::error_code error;
  const std::filesystem::path path = std::filesystem::absolute(to.target, error);
  const bool exists = std::filesystem::exists(path, error);
  const std::filesystem::path place = exists ? path : path.parent_path();
  if (::access(place.c_str(), W_OK) == 0) {
    findings.push_back({Health::kOk, "destination", to.Spec() + " can be written"});
  } else {
    findings.push_back({Health::kFailure, "destination", to.Spec() + " cannot be written",
                        "make its folder, and give this user the right to write there"});
  }
}

void CheckStatus(const boost::json::object& status, Findings& findings) {
  const auto* const destinations = status.if_contains("destinations");
  if (destinations == nullptr || !destinations->is_array()) return;
  for (const auto& entry : destinations->get_array()) {
    const auto* const destination = entry.if_object();
    if (destination == nullptr) continue;
    const auto number = [&](const char* name) {
      const auto* const value = destination->if_contains(name);
      return value != nullptr && value->is_number() ? value->to_number<double>() : 0;
    };
    const auto* const to = destination->if_contains("to");
    const std::string name = to == nullptr ? "" : boost::json::value_to<std::string>(*to);
    if (number("held_keys") > 0) {
      findings.push_back({Health::kFailure, "collector", name + " refuses keys; their runs wait",
                          "replace the keys (docs/collector.md, alarms)"});
    }
    if (number("parked") > 0) {
      findings.push_back({Health::kWarning, "collector", name + " refused operations: parked",
                          "see GET /admin/parked"});
    }
    if (number("lag_seconds") > 60) {
      findings.push_back({Health::kWarning, "collector", name + " is behind",
                          "see its errors in GET /admin/status"});
    }
  }
}

}  // namespace

void CheckDestinations(const CollectorConfig& config, Findings& findings) {
  curl_global_init(CURL_GLOBAL_DEFAULT);
  for (const DestinationConfig& to : config.forward) {
    if (to.kind == Kind::kLangSmith) {
      CheckLangSmith(to, findings);
    } else if (to.kind == Kind::kFile) {
      CheckFile(to, findings);
    } else if (to.target.starts_with("grpc")) {
      CheckOtlpGrpc(to, findings);
    } else {
      CheckOtlpHttp(to, findings);
    }
  }
  if (config.forward.empty()) {
    findings.push_back({Health::kOk, "destination", "none: runs stay in the log"});
  }
}

void CheckCollector(const std::string& endpoint, Findings& findings) {
  curl_global_init(CURL_GLOBAL_DEFAULT);
  Request request{.url = endpoint + "/ready"};
  if (const char* key = std::getenv("WEFT_API_KEY"); key != nullptr && *key != '\0') {
    request.headers.push_back(std::string("x-api-key: ") + key);
  }
  const Reply ready = Ask(request);
  if (ready.code != CURLE_OK) {
    findings.push_back({Health::kFailure, "collector",
                        endpoint + ": " + curl_easy_strerror(ready.code),
                        "start it with `weft collect`, or name another with --endpoint"});
    return;
  }
  if (ready.status == 200) {
    findings.push_back({Health::kOk, "collector", endpoint + " is ready"});
  } else {
    findings.push_back({Health::kFailure, "collector", endpoint + " is not ready: " + ready.body,
                        "do what it says; it takes no runs until then"});
  }
  request.url = endpoint + "/admin/status";
  const Reply status = Ask(request);
  if (status.status != 200) {
    findings.push_back({Health::kWarning, "collector",
                        endpoint + "/admin/status answers " + std::to_string(status.status),
                        "set WEFT_API_KEY to a key with admin"});
    return;
  }
  boost::json::error_code error;
  const boost::json::value parsed = boost::json::parse(status.body, error);
  if (!error && parsed.is_object()) CheckStatus(parsed.get_object(), findings);
}

}  // namespace weft::cli
