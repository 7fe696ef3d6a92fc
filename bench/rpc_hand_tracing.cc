// SPDX-License-Identifier: Apache-2.0
#include "rpc_hand_tracing.h"

#include <charconv>
#include <random>

namespace bench {
namespace {

constexpr char kHeader[] = "traceparent";
constexpr std::size_t kMostQueued = 2048;
constexpr std::size_t kBatch = 512;

std::uint64_t RandomId() {
  static thread_local std::mt19937_64 random{std::random_device()()};
  return random();
}

void AppendHex(std::string& out, std::uint64_t id) {
  for (int shift = 60; shift >= 0; shift -= 4) out += "0123456789abcdef"[(id >> shift) & 15];
}

bool ParseHex(std::string_view text, std::uint64_t* id) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *id, 16);
  return error == std::errc() && end == text.data() + text.size();
}

// 00-TRACE_ID-SPAN_ID-FLAGS
std::string FormatHeader(const HandSpan& span) {
  std::string header = "00-";
  header.reserve(55);
  AppendHex(header, span.trace_id[0]);
  AppendHex(header, span.trace_id[1]);
  header += '-';
  AppendHex(header, span.span_id);
  return header += "-01";
}

bool ParseHeader(std::string_view header, HandSpan* span) {
  return header.size() == 55 && header.starts_with("00-") && header[35] == '-' &&
         header[52] == '-' && ParseHex(header.substr(3, 16), &span->trace_id[0]) &&
         ParseHex(header.substr(19, 16), &span->trace_id[1]) &&
         ParseHex(header.substr(36, 16), &span->parent_id);
}

std::unique_ptr<HandSpan> Start(std::string_view service, std::string_view method,
                                std::string_view kind, std::string_view side) {
  auto span = std::make_unique<HandSpan>();
  span->start = std::chrono::system_clock::now();
  span->span_id = RandomId();
  span->name.append(service).append("/").append(method);
  span->attributes.reserve(8);
  span->Set("rpc.system", std::string("grpc"));
  span->Set("rpc.service", std::string(service));
  span->Set("rpc.method", std::string(method));
  span->Set("rpc.grpc.kind", std::string(kind));
  span->Set("span.kind", std::string(side));
  return span;
}

}  // namespace

HandTracer::HandTracer() : thread_([this] { Run(); }) {}

HandTracer::~HandTracer() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

std::unique_ptr<HandSpan> HandTracer::StartClient(std::string_view service, std::string_view method,
                                                  std::string_view kind,
                                                  grpc::ClientContext& context) const {
  auto span = Start(service, method, kind, "CLIENT");
  span->trace_id = {RandomId(), RandomId()};
  span->Set("server.address", std::string("inproc"));
  context.AddMetadata(kHeader, FormatHeader(*span));
  return span;
}

std::unique_ptr<HandSpan> HandTracer::StartServer(std::string_view service, std::string_view method,
                                                  std::string_view kind,
                                                  const grpc::ServerContextBase& context) const {
  auto span = Start(service, method, kind, "SERVER");
  const auto& metadata = context.client_metadata();
  const auto found = metadata.find(kHeader);
  if (found == metadata.end() ||
      !ParseHeader({found->second.data(), found->second.size()}, span.get())) {
    span->trace_id = {RandomId(), RandomId()};
  }
  span->Set("network.peer.address", context.peer());
  return span;
}

void HandTracer::End(std::unique_ptr<HandSpan> span, const grpc::Status& status) {
  span->Set("rpc.grpc.status_code", std::int64_t{status.error_code()});
  span->failed = !status.ok();
  span->end = std::chrono::system_clock::now();
  bool full_batch = false;
  {
    const std::lock_guard lock(mutex_);
    if (queue_.size() == kMostQueued) return;
    queue_.push_back(std::move(span));
    full_batch = queue_.size() % kBatch == 0;
  }
  if (full_batch) wake_.notify_one();
}

void HandTracer::Run() {
  std::vector<std::unique_ptr<HandSpan>> batch;
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    wake_.wait_for(lock, std::chrono::seconds(5),
                   [this] { return stopping_ || queue_.size() >= kBatch; });
    batch.swap(queue_);
    lock.unlock();
    batch.clear();
    lock.lock();
  }
}

}  // namespace bench
