// SPDX-License-Identifier: Apache-2.0
#include "kill_loop_batch.h"

#include <random>

namespace weft::stress {
namespace {

constexpr std::string_view kTime = "2026-11-21T13:00:00.000000Z";
constexpr std::string_view kOrderTime = "20261121T130000000000Z";
constexpr std::uint64_t kStartNanoseconds = 1'795'266'000'000'000'000;

void PutBytes(std::uint64_t value, std::uint8_t* out) {
  for (int i = 7; i >= 0; --i, value >>= 8) out[i] = static_cast<std::uint8_t>(value);
}

std::string Bytes(const RunId& id) {
  return {reinterpret_cast<const char*>(id.bytes.data()), id.bytes.size()};
}

void AddPart(std::string& body, const std::string& name, const std::string& content) {
  body +=
      "--B\r\nContent-Disposition: form-data; name=\"" + name +
      "\"\r\nContent-Type: application/json\r\nContent-Length: " + std::to_string(content.size()) +
      "\r\n\r\n" + content + "\r\n";
}

}  // namespace

RunId Batch::Id(std::uint64_t run) const {
  RunId id;
  if (!spans_ || run == 0) PutBytes(0x0193'4b1e'8c00'7000, id.bytes.data());
  PutBytes(0x8000'0000'0000'0000 | (number_ * 16 + run), id.bytes.data() + 8);
  return id;
}

std::optional<std::pair<std::uint64_t, std::uint64_t>> Batch::Parse(std::string_view text) {
  const std::optional<RunId> id = RunId::Parse(text);
  if (!id) return std::nullopt;
  std::uint64_t number = 0;
  for (std::size_t i = 8; i < 16; ++i) number = number << 8 | id->bytes[i];
  number &= ~(std::uint64_t{1} << 63);
  return std::pair(number / 16, number % 16);
}

std::string Batch::Text(std::uint64_t salt) const {
  std::minstd_rand random(static_cast<unsigned>(number_ * 2 * kRuns + salt));
  std::string text = std::to_string(number_) + "/" + std::to_string(salt) + " Grüße, 世界 ";
  // Mostly short, at times long.
  const std::size_t size = random() % 16 == 0 ? random() % 20'000 : random() % 600;
  text.reserve(text.size() + size);
  for (std::size_t i = 0; i < size; ++i) text += static_cast<char>('a' + random() % 26);
  return text + " " + std::to_string(salt) + "/" + std::to_string(number_);
}

// The members that a POST and a PATCH both have, without the closing brace.
std::string Batch::Head(std::uint64_t run) const {
  const std::string trace = trace_id().ToString();
  const std::string id = Id(run).ToString();
  std::string order = std::string(kOrderTime) + trace;
  if (run > 0) order += "." + std::string(kOrderTime) + id;
  return R"({"id":")" + id + R"(","trace_id":")" + trace + R"(","dotted_order":")" + order +
         (run > 0 ? R"(","parent_run_id":")" + trace : "") + "\"";
}

std::string Batch::Multipart() const {
  const std::string started =
      R"(,"name":"step","run_type":"chain","session_name":"soak","start_time":")" +
      std::string(kTime) + R"(","unknown_field":[1.50,{"deep":null}]})";
  std::string body;
  for (std::uint64_t run = 0; run < kRuns; ++run) {
    const std::string id = Id(run).ToString();
    AddPart(body, "post." + id, Head(run) + started);
    AddPart(body, "post." + id + ".inputs", Inputs(run));
    AddPart(body, "patch." + id, Head(run) + R"(,"end_time":")" + std::string(kTime) + "\"}");
    AddPart(body, "patch." + id + ".outputs", Outputs(run));
  }
  return body + "--B--\r\n";
}

std::string Batch::Json() const {
  std::string runs;
  for (std::uint64_t run = 0; run < kRuns; ++run) {
    if (run > 0) runs += ",";
    runs += Head(run) +
            R"(,"name":"step","run_type":"chain","session_name":"soak","start_time":")" +
            std::string(kTime) + R"(","end_time":")" + std::string(kTime) + R"(","inputs":)" +
            Inputs(run) + R"(,"outputs":)" + Outputs(run) + "}";
  }
  return R"({"post":[)" + runs + "]}";
}

weft::collector::v1::RunBatch Batch::Operations() const {
  using weft::collector::v1::RunOperation;
  weft::collector::v1::RunBatch batch;
  for (std::uint64_t run = 0; run < kRuns; ++run) {
    RunOperation* const post = batch.add_operations();
    post->set_kind(RunOperation::KIND_POST);
    RunOperation* const patch = batch.add_operations();
    patch->set_kind(RunOperation::KIND_PATCH);
    for (RunOperation* const operation : {post, patch}) {
      operation->set_run_id(Bytes(Id(run)));
      operation->set_trace_id(Bytes(trace_id()));
    }
    post->set_run(Head(run) + R"(,"name":"step","run_type":"chain","session_name":"soak",)" +
                  R"("start_time":")" + std::string(kTime) + "\"}");
    post->set_inputs(Inputs(run));
    patch->set_run(Head(run) + R"(,"end_time":")" + std::string(kTime) + "\"}");
    patch->set_outputs(Outputs(run));
  }
  return batch;
}

opentelemetry::proto::collector::trace::v1::ExportTraceServiceRequest Batch::Spans() const {
  opentelemetry::proto::collector::trace::v1::ExportTraceServiceRequest request;
  auto* const spans = request.add_resource_spans()->add_scope_spans();
  for (std::uint64_t run = 0; run < kRuns; ++run) {
    auto* const span = spans->add_spans();
    span->set_trace_id(Bytes(trace_id()));
    span->set_span_id(Bytes(Id(run)).substr(8));
    if (run > 0) span->set_parent_span_id(Bytes(trace_id()).substr(8));
    span->set_name("step");
    span->set_start_time_unix_nano(kStartNanoseconds);
    span->set_end_time_unix_nano(kStartNanoseconds + 1'000'000);
    const auto add = [span](const char* key, const std::string& value) {
      auto* const attribute = span->add_attributes();
      attribute->set_key(key);
      attribute->mutable_value()->set_string_value(value);
    };
    add("gen_ai.prompt", Inputs(run));
    add("gen_ai.completion", Outputs(run));
    add("langsmith.trace.session_name", "soak");
  }
  return request;
}

}  // namespace weft::stress
