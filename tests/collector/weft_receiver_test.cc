// SPDX-License-Identifier: Apache-2.0
#include "weft_receiver.h"

#include <array>
#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/impl/client_unary_call.h>
#include <gtest/gtest.h>
#include <weft/collector/v1/collector.grpc.pb.h>

#include <weft/collector/metrics.h>
#include <weft/tracing/collector_exporter.h>
#include <weft/tracing/internal/form_data.h>
#include <weft/tracing/run.h>
#include <weft/tracing/tracer.h>

#include "grpc_listener.h"

namespace weft::collector {
namespace {

using std::chrono::seconds;
using testing::HasSubstr;

// Takes batches and answers them when the test says so.
class ManualIngest final : public Ingest {
 public:
  void Accept(IngestBatch batch, Done done) override {
    std::unique_lock lock(mutex_);
    batches_.push_back(std::move(batch));
    if (automatic_) {
      lock.unlock();
      done(automatic_status_);
      lock.lock();
    } else {
      waiting_.push_back(std::move(done));
    }
    changed_.notify_all();
  }
  void CountRefused(Receiver, std::string_view reason, std::uint64_t) override {
    std::lock_guard lock(mutex_);
    refused_.emplace_back(reason);
  }
  absl::Status Ready() const override { return absl::OkStatus(); }
  const IngestStats& stats(Receiver) const override { return stats_; }
  std::uint64_t logged() const override { return 0; }
  void WriteMetrics(MetricsWriter&) const override {}

  void AnswerAllWith(absl::Status status) {
    std::lock_guard lock(mutex_);
    automatic_ = true;
    automatic_status_ = std::move(status);
  }

  bool WaitForBatches(std::size_t count) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, seconds(20), [&] { return batches_.size() >= count; });
  }

  // Answers the batch that came as number `index` among the unanswered ones.
  void Answer(std::size_t index, absl::Status status = absl::OkStatus()) {
    Done done;
    {
      std::lock_guard lock(mutex_);
      done = std::move(waiting_.at(index));
      waiting_.erase(waiting_.begin() + static_cast<std::ptrdiff_t>(index));
    }
    done(std::move(status));
  }

  std::size_t batches() {
    std::lock_guard lock(mutex_);
    return batches_.size();
  }
  IngestBatch Batch(std::size_t index) {
    std::lock_guard lock(mutex_);
    return batches_.at(index);
  }
  std::vector<std::string> refused() {
    std::lock_guard lock(mutex_);
    return refused_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<IngestBatch> batches_;
  std::vector<Done> waiting_;
  std::vector<std::string> refused_;
  bool automatic_ = false;
  absl::Status automatic_status_;
  IngestStats stats_;
};

std::string BytesOf(RunId id) {
  return {reinterpret_cast<const char*>(id.bytes.data()), id.bytes.size()};
}

v1::RunOperation Post(RunId id, const std::string& inputs = "{\"q\":1}") {
  const std::string text = id.ToString();
  v1::RunOperation operation;
  operation.set_kind(v1::RunOperation::KIND_POST);
  operation.set_run_id(BytesOf(id));
  operation.set_trace_id(BytesOf(id));
  operation.set_run("{\"id\":\"" + text + "\",\"trace_id\":\"" + text +
                    "\",\"dotted_order\":\"20261121T130000000000Z" + text +
                    "\",\"name\":\"n\",\"run_type\":\"chain\",\"session_name\":\"project\"}");
  operation.set_inputs(inputs);
  return operation;
}

RunId NewId() { return RunId::New(std::chrono::system_clock::now()); }

class WeftReceiverTest : public testing::Test {
 protected:
  void Start(WeftReceiverOptions options = {}) {
    options.ingest = &ingest_;
    auto listener = GrpcListener::Start({.address = "127.0.0.1:0"}, std::move(options));
    ASSERT_TRUE(listener.ok()) << listener.status();
    listener_ = *std::move(listener);
    channel_ = grpc::CreateChannel(listener_->address(), grpc::InsecureChannelCredentials());
    stub_ = v1::CollectorService::NewStub(channel_);
  }

  WeftReceiverOptions ToIngest() {
    WeftReceiverOptions options;
    options.ingest = &ingest_;
    return options;
  }

  std::unique_ptr<grpc::ClientContext> Context(const std::string& key = "") {
    auto context = std::make_unique<grpc::ClientContext>();
    context->set_deadline(std::chrono::system_clock::now() + seconds(30));
    if (!key.empty()) context->AddMetadata("x-api-key", key);
    return context;
  }

  grpc::Status Export(const v1::ExportRequest& request, v1::ExportResponse* response,
                      const std::string& key = "") {
    const auto context = Context(key);
    return stub_->Export(context.get(), request, response);
  }

  ManualIngest ingest_;
  std::unique_ptr<GrpcListener> listener_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::CollectorService::Stub> stub_;
};

TEST_F(WeftReceiverTest, PutsOperationsIntoTheLogAsSlicesOfTheirTexts) {
  Start();
  ingest_.AnswerAllWith(absl::OkStatus());
  const RunId id = NewId();
  v1::ExportRequest request;
  *request.mutable_batch()->add_operations() = Post(id, "{\"q\": 1.0000000000000000001}");
  v1::Attachment* const attachment =
      request.mutable_batch()->mutable_operations(0)->add_attachments();
  attachment->set_name("image");
  attachment->set_mime_type("image/png");
  attachment->set_content(std::string("\0\xff", 2));
  request.mutable_batch()->mutable_operations(0)->set_error("\"boom\"");
  request.mutable_batch()->mutable_operations(0)->set_keep(true);
  v1::ExportResponse response;
  ASSERT_TRUE(Export(request, &response, "lsv2_key").ok());
  EXPECT_EQ(response.result().code(), 0);

  const IngestBatch batch = ingest_.Batch(0);
  EXPECT_EQ(batch.api_key, "lsv2_key");
  EXPECT_EQ(batch.header.receiver, Receiver::kWeft);
  ASSERT_EQ(batch.header.ops.size(), 1u);
  const RunOp& op = batch.header.ops[0];
  EXPECT_EQ(op.run_id, id);
  EXPECT_EQ(op.trace_id, id);
  EXPECT_TRUE(op.is_root);
  EXPECT_TRUE(op.has_error);
  EXPECT_TRUE(op.keep);
  EXPECT_EQ(op.project, "project");
  ASSERT_EQ(op.parts.size(), 4u);
  const auto text = [&](std::size_t i) {
    return batch.payload.substr(op.parts[i].offset, op.parts[i].length);
  };
  EXPECT_EQ(text(1), "{\"q\": 1.0000000000000000001}");
  EXPECT_EQ(text(2), "\"boom\"");
  EXPECT_EQ(text(3), std::string("\0\xff", 2));
  EXPECT_EQ(op.parts[3].mime_type, "image/png");
  EXPECT_EQ(batch.header.decoded_size, batch.payload.size());
}

TEST_F(WeftReceiverTest, RejectsInvalidOperationsAloneAndNamesTheField) {
  Start();
  ingest_.AnswerAllWith(absl::OkStatus());
  v1::ExportRequest request;
  v1::RunBatch* const batch = request.mutable_batch();
  *batch->add_operations() = Post(NewId());
  *batch->add_operations() = Post(NewId(), "{not json");
  *batch->add_operations() = Post(NewId());
  batch->mutable_operations(2)->set_run_id("short");
  *batch->add_operations() = Post(NewId());
  batch->mutable_operations(3)->set_kind(v1::RunOperation::KIND_UNSPECIFIED);
  *batch->add_operations() = Post(NewId());
  batch->mutable_operations(4)->set_trace_id(BytesOf(NewId()));
  *batch->add_operations() = Post(NewId());
  v1::ExportResponse response;
  ASSERT_TRUE(Export(request, &response).ok());
  ASSERT_EQ(response.result().rejected_size(), 4);
  const std::array<std::pair<std::uint32_t, const char*>, 4> expected = {
      {{1, "inputs"}, {2, "run_id"}, {3, "kind"}, {4, "trace_id"}}};
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(response.result().rejected(i).index(), expected[static_cast<std::size_t>(i)].first);
    EXPECT_THAT(response.result().rejected(i).reason(),
                HasSubstr(expected[static_cast<std::size_t>(i)].second));
  }
  EXPECT_EQ(ingest_.Batch(0).header.ops.size(), 2u);
  EXPECT_EQ(ingest_.Batch(0).rejected.size(), 4u);
}

TEST_F(WeftReceiverTest, AnswersAStreamBatchByBatchInTheOrderOfTheLog) {
  Start();
  const auto context = Context();
  const auto stream = stub_->ExportStream(context.get());
  v1::ExportStreamResponse response;
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_EQ(response.batch_id(), 0u);
  EXPECT_GT(response.window(), 0u);
  for (const std::uint64_t id : {7, 8}) {
    v1::ExportStreamRequest request;
    request.set_batch_id(id);
    *request.mutable_batch()->add_operations() = Post(NewId());
    ASSERT_TRUE(stream->Write(request));
  }
  ASSERT_TRUE(ingest_.WaitForBatches(2));
  ingest_.Answer(1);
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_EQ(response.batch_id(), 8u);
  ingest_.Answer(0, absl::UnavailableError("disk low"));
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_EQ(response.batch_id(), 7u);
  EXPECT_EQ(response.result().code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_GT(response.result().retry_after_ms(), 0u);
  EXPECT_THAT(response.result().message(), HasSubstr("disk low"));
  stream->WritesDone();
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_TRUE(stream->Finish().ok());
}

TEST_F(WeftReceiverTest, AnswersThatWaitForEachOtherAllArriveWhileTheStreamIsOpen) {
  Start();
  const auto context = Context();
  const auto stream = stub_->ExportStream(context.get());
  v1::ExportStreamResponse response;
  ASSERT_TRUE(stream->Read(&response));
  constexpr std::uint64_t kBatches = 60;
  for (std::uint64_t id = 1; id <= kBatches; ++id) {
    v1::ExportStreamRequest request;
    request.set_batch_id(id);
    *request.mutable_batch()->add_operations() = Post(NewId());
    ASSERT_TRUE(stream->Write(request));
  }
  ASSERT_TRUE(ingest_.WaitForBatches(kBatches));
  for (std::uint64_t id = 1; id <= kBatches; ++id) ingest_.Answer(0);
  for (std::uint64_t id = 1; id <= kBatches; ++id) {
    ASSERT_TRUE(stream->Read(&response));
    EXPECT_EQ(response.batch_id(), id);
    EXPECT_EQ(response.result().code(), grpc::StatusCode::OK);
  }
  stream->WritesDone();
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_TRUE(stream->Finish().ok());
}

TEST_F(WeftReceiverTest, ReportsWhatIsRejectedBehindIt) {
  Start();
  const auto context = Context();
  const auto stream = stub_->ExportStream(context.get());
  v1::ExportStreamResponse response;
  ASSERT_TRUE(stream->Read(&response));
  v1::ExportStreamRequest request;
  request.set_batch_id(1);
  *request.mutable_batch()->add_operations() = Post(NewId());
  ASSERT_TRUE(stream->Write(request));
  ASSERT_TRUE(ingest_.WaitForBatches(1));
  ingest_.Batch(0).on_rejected({{0, "larger than a run may be", "its bytes"}});
  ingest_.Answer(0);
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_EQ(response.result().code(), grpc::StatusCode::OK);
  ASSERT_EQ(response.result().rejected_size(), 1);
  EXPECT_EQ(response.result().rejected(0).reason(), "larger than a run may be");
  stream->WritesDone();
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_TRUE(stream->Finish().ok());
}

// The answer to the one batch of the request, on a stream of its own.
v1::ExportStreamResponse AnswerTo(v1::CollectorService::Stub& stub, grpc::ClientContext* context,
                                  const v1::ExportStreamRequest& request) {
  const auto stream = stub.ExportStream(context);
  v1::ExportStreamResponse response;
  stream->Write(request);
  stream->WritesDone();
  while (stream->Read(&response) && response.batch_id() != request.batch_id()) {
  }
  return response;
}

TEST_F(WeftReceiverTest, PutsACompressedBatchIntoTheLogAsItCame) {
  Start();
  ingest_.AnswerAllWith(absl::OkStatus());
  const RunId id = NewId();
  v1::RunBatch batch;
  *batch.add_operations() = Post(NewId(), "{not json");
  *batch.add_operations() = Post(id, "{\"q\": \"" + std::string(10'000, 'x') + "\"}");
  v1::ExportStreamRequest request;
  request.set_batch_id(1);
  request.set_zstd_batch(internal::CompressZstd(batch.SerializeAsString()));
  const v1::ExportStreamResponse answer = AnswerTo(*stub_, Context().get(), request);
  EXPECT_EQ(answer.result().code(), 0);
  ASSERT_EQ(answer.result().rejected_size(), 1);
  EXPECT_EQ(answer.result().rejected(0).index(), 0u);

  Record record;
  record.header = ingest_.Batch(0).header;
  record.payload = ingest_.Batch(0).payload;
  EXPECT_EQ(record.header.coding, PayloadCoding::kZstd);
  EXPECT_EQ(record.payload, request.zstd_batch());
  const absl::StatusOr<std::string> payload = record.Decoded();
  ASSERT_TRUE(payload.ok()) << payload.status();
  ASSERT_EQ(record.header.ops.size(), 1u);
  EXPECT_EQ(record.header.ops[0].run_id, id);
  ASSERT_EQ(record.header.ops[0].parts.size(), 2u);
  const Part& inputs = record.header.ops[0].parts[1];
  EXPECT_EQ(payload->substr(inputs.offset, inputs.length), batch.operations(1).inputs());
}

TEST_F(WeftReceiverTest, KeepsRepairedTextsBesideACompressedBatch) {
  Start();
  ingest_.AnswerAllWith(absl::OkStatus());
  v1::RunBatch batch;
  *batch.add_operations() = Post(NewId(), "{\"q\": NaN}");
  v1::ExportStreamRequest request;
  request.set_batch_id(1);
  request.set_zstd_batch(internal::CompressZstd(batch.SerializeAsString()));
  EXPECT_EQ(AnswerTo(*stub_, Context().get(), request).result().rejected_size(), 0);
  Record record;
  record.header = ingest_.Batch(0).header;
  record.payload = ingest_.Batch(0).payload;
  const absl::StatusOr<std::string> payload = record.Decoded();
  ASSERT_TRUE(payload.ok()) << payload.status();
  const Part& inputs = record.header.ops.at(0).parts.at(1);
  EXPECT_EQ(payload->substr(inputs.offset, inputs.length), "{\"q\": null}");
}

TEST_F(WeftReceiverTest, RefusesABatchThatIsNoneAndGoesOn) {
  WeftReceiverOptions options;
  options.max_batch_bytes = 1'000'000;
  Start(std::move(options));
  ingest_.AnswerAllWith(absl::OkStatus());
  const auto context = Context();
  const auto stream = stub_->ExportStream(context.get());
  v1::RunBatch large;
  *large.add_operations() = Post(NewId(), "\"" + std::string(2'000'000, 'x') + "\"");
  v1::RunBatch good;
  *good.add_operations() = Post(NewId());
  const std::string frame = internal::CompressZstd(good.SerializeAsString());
  std::string many;
  for (int i = 0; i <= 100'000; ++i) many += std::string("\x0a\x00", 2);
  const std::array<std::string, 5> batches = {"no frame", frame.substr(0, frame.size() / 2),
                                              internal::CompressZstd(large.SerializeAsString()),
                                              internal::CompressZstd(many), frame};
  for (std::uint64_t id = 1; id <= batches.size(); ++id) {
    v1::ExportStreamRequest request;
    request.set_batch_id(id);
    request.set_zstd_batch(batches[id - 1]);
    ASSERT_TRUE(stream->Write(request));
  }
  stream->WritesDone();
  std::map<std::uint64_t, int> codes;
  v1::ExportStreamResponse response;
  while (stream->Read(&response)) codes[response.batch_id()] = response.result().code();
  EXPECT_TRUE(stream->Finish().ok());
  constexpr int kInvalid = grpc::StatusCode::INVALID_ARGUMENT;
  EXPECT_EQ(codes,
            (std::map<std::uint64_t, int>{
                {0, 0}, {1, kInvalid}, {2, kInvalid}, {3, kInvalid}, {4, kInvalid}, {5, 0}}));
  EXPECT_EQ(ingest_.batches(), 1u);
  EXPECT_EQ(ingest_.refused(), std::vector<std::string>(4, "unreadable"));
}

TEST_F(WeftReceiverTest, GetsCompressedBatchesFromAnExporterThatWasAskedToCompress) {
  Start();
  ingest_.AnswerAllWith(absl::OkStatus());
  const auto exporter =
      CollectorExporter::Create({.target = listener_->address(), .compress = true});
  ASSERT_TRUE(exporter.ok()) << exporter.status();
  const auto tracer = Tracer::Create({.exporters = {*exporter}});
  ASSERT_TRUE(tracer.ok()) << tracer.status();
  // The first batch may be sent before the collector said what it takes.
  for (int i = 0; i < 2; ++i) {
    weft::Run("step", {.tracer = *tracer}).End();
    ASSERT_TRUE((*tracer)->Flush(seconds(20)));
  }
  const IngestBatch batch = ingest_.Batch(ingest_.batches() - 1);
  EXPECT_EQ(batch.header.coding, PayloadCoding::kZstd);
  EXPECT_FALSE(batch.header.ops.empty());
}

TEST_F(WeftReceiverTest, AHalfClosedStreamGetsItsLastAnswers) {
  Start();
  const auto context = Context();
  const auto stream = stub_->ExportStream(context.get());
  v1::ExportStreamRequest request;
  request.set_batch_id(1);
  *request.mutable_batch()->add_operations() = Post(NewId());
  ASSERT_TRUE(stream->Write(request));
  stream->WritesDone();
  ASSERT_TRUE(ingest_.WaitForBatches(1));
  ingest_.Answer(0);
  std::set<std::uint64_t> answered;
  v1::ExportStreamResponse response;
  while (stream->Read(&response)) answered.insert(response.batch_id());
  EXPECT_TRUE(answered.contains(1));
  EXPECT_TRUE(stream->Finish().ok());
}

TEST_F(WeftReceiverTest, StopsReadingAStreamWhoseUnansweredBytesExceedItsShare) {
  WeftReceiverOptions options;
  options.max_stream_bytes = 100'000;
  Start(std::move(options));
  const auto context = Context();
  const auto stream = stub_->ExportStream(context.get());
  std::thread writer([&] {
    for (std::uint64_t id = 1; id <= 40; ++id) {
      v1::ExportStreamRequest request;
      request.set_batch_id(id);
      *request.mutable_batch()->add_operations() =
          Post(NewId(), "\"" + std::string(60'000, 'x') + "\"");
      if (!stream->Write(request)) return;
    }
    stream->WritesDone();
  });
  ASSERT_TRUE(ingest_.WaitForBatches(2));
  EXPECT_LE(listener_->inflight_bytes(), 100'000u + 2 * 61'000u);
  EXPECT_LE(ingest_.batches(), 3u);
  ingest_.AnswerAllWith(absl::OkStatus());
  ingest_.Answer(0);
  ingest_.Answer(0);
  std::set<std::uint64_t> answered;
  v1::ExportStreamResponse response;
  while (stream->Read(&response)) answered.insert(response.batch_id());
  writer.join();
  EXPECT_TRUE(stream->Finish().ok());
  answered.erase(0);
  EXPECT_EQ(answered.size(), 40u);
  EXPECT_EQ(listener_->inflight_bytes(), 0u);
}

TEST_F(WeftReceiverTest, LargeBatchesMakeTheWindowSmaller) {
  WeftReceiverOptions options;
  options.max_stream_bytes = 1 << 20;
  Start(std::move(options));
  ingest_.AnswerAllWith(absl::OkStatus());
  const auto context = Context();
  const auto stream = stub_->ExportStream(context.get());
  v1::ExportStreamResponse response;
  ASSERT_TRUE(stream->Read(&response));
  std::uint32_t window = response.window();
  for (std::uint64_t id = 1; id <= 40; ++id) {
    v1::ExportStreamRequest request;
    request.set_batch_id(id);
    *request.mutable_batch()->add_operations() =
        Post(NewId(), "\"" + std::string(400'000, 'x') + "\"");
    ASSERT_TRUE(stream->Write(request));
    ASSERT_TRUE(stream->Read(&response));
    if (response.window() != 0) window = response.window();
  }
  EXPECT_EQ(window, 2u);
  stream->WritesDone();
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_TRUE(stream->Finish().ok());
}

TEST_F(WeftReceiverTest, RefusesBatchesBeyondTheBytesInFlight) {
  WeftReceiverOptions options;
  options.max_inflight_bytes = 10;
  Start(std::move(options));
  v1::ExportRequest request;
  *request.mutable_batch()->add_operations() = Post(NewId());
  v1::ExportResponse response;
  const grpc::Status status = Export(request, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_THAT(status.error_details(), HasSubstr("google.rpc.RetryInfo"));
  EXPECT_THAT(ingest_.refused(), testing::ElementsAre("overload"));
  EXPECT_EQ(listener_->inflight_bytes(), 0u);
}

TEST_F(WeftReceiverTest, WantsAnAcceptedKey) {
  WeftReceiverOptions options;
  options.accepts_key = [](std::string_view key) { return key == "right"; };
  Start(std::move(options));
  ingest_.AnswerAllWith(absl::OkStatus());
  v1::ExportRequest request;
  *request.mutable_batch()->add_operations() = Post(NewId());
  v1::ExportResponse response;
  EXPECT_EQ(Export(request, &response).error_code(), grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(Export(request, &response, "wrong").error_code(), grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_TRUE(Export(request, &response, "right").ok());
  const auto context = Context("wrong");
  const auto stream = stub_->ExportStream(context.get());
  v1::ExportStreamResponse answer;
  EXPECT_FALSE(stream->Read(&answer));
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(ingest_.batches(), 1u);
}

TEST_F(WeftReceiverTest, ACancelledStreamLeavesNothingBehind) {
  Start();
  {
    const auto context = Context();
    const auto stream = stub_->ExportStream(context.get());
    v1::ExportStreamRequest request;
    request.set_batch_id(1);
    *request.mutable_batch()->add_operations() = Post(NewId());
    ASSERT_TRUE(stream->Write(request));
    ASSERT_TRUE(ingest_.WaitForBatches(1));
    context->TryCancel();
    EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::CANCELLED);
  }
  ingest_.Answer(0);
  EXPECT_EQ(listener_->inflight_bytes(), 0u);
  listener_->BeginStop(seconds(20));
  listener_->FinishStop();
  EXPECT_EQ(listener_->streams(), 0u);
}

TEST_F(WeftReceiverTest, StoppingAnswersWhatWasReadAndEndsStreams) {
  Start();
  const auto context = Context();
  const auto stream = stub_->ExportStream(context.get());
  v1::ExportStreamRequest request;
  request.set_batch_id(3);
  *request.mutable_batch()->add_operations() = Post(NewId());
  ASSERT_TRUE(stream->Write(request));
  ASSERT_TRUE(ingest_.WaitForBatches(1));
  listener_->BeginStop(seconds(20));
  ingest_.Answer(0);
  bool answered = false;
  v1::ExportStreamResponse response;
  while (stream->Read(&response)) answered |= response.batch_id() == 3;
  EXPECT_TRUE(answered);
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
  listener_->FinishStop();
}

TEST_F(WeftReceiverTest, AMessageOverTheLimitIsResourceExhausted) {
  auto small =
      GrpcListener::Start({.address = "127.0.0.1:0", .max_message_bytes = 1 << 20}, ToIngest());
  ASSERT_TRUE(small.ok());
  auto stub = v1::CollectorService::NewStub(
      grpc::CreateChannel((*small)->address(), grpc::InsecureChannelCredentials()));
  v1::ExportRequest request;
  *request.mutable_batch()->add_operations() =
      Post(NewId(), "\"" + std::string(2 << 20, 'x') + "\"");
  v1::ExportResponse response;
  const auto context = Context();
  EXPECT_EQ(stub->Export(context.get(), request, &response).error_code(),
            grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(ingest_.batches(), 0u);
}

// gRPC's own compression, of a call and of a stream.
TEST_F(WeftReceiverTest, TakesCompressedMessagesUpToTheLimit) {
  listener_ =
      *GrpcListener::Start({.address = "127.0.0.1:0", .max_message_bytes = 1 << 20}, ToIngest());
  stub_ = v1::CollectorService::NewStub(
      grpc::CreateChannel(listener_->address(), grpc::InsecureChannelCredentials()));
  ingest_.AnswerAllWith(absl::OkStatus());
  for (const auto algorithm : {GRPC_COMPRESS_GZIP, GRPC_COMPRESS_DEFLATE}) {
    for (const bool fits : {true, false}) {
      const std::string inputs = "\"" + std::string(fits ? 100'000 : 2 << 20, 'x') + "\"";
      const auto code = fits ? grpc::StatusCode::OK : grpc::StatusCode::RESOURCE_EXHAUSTED;
      v1::ExportRequest call;
      *call.mutable_batch()->add_operations() = Post(NewId(), inputs);
      const auto context = Context();
      context->set_compression_algorithm(algorithm);
      v1::ExportResponse answer;
      EXPECT_EQ(stub_->Export(context.get(), call, &answer).error_code(), code);

      v1::ExportStreamRequest request;
      request.set_batch_id(1);
      *request.mutable_batch()->add_operations() = Post(NewId(), inputs);
      const auto streaming = Context();
      streaming->set_compression_algorithm(algorithm);
      const auto stream = stub_->ExportStream(streaming.get());
      ASSERT_TRUE(stream->Write(request));
      stream->WritesDone();
      bool accepted = false;
      for (v1::ExportStreamResponse response; stream->Read(&response);) {
        accepted |= response.batch_id() == 1 && response.result().code() == grpc::StatusCode::OK;
      }
      EXPECT_EQ(accepted, fits);
      EXPECT_EQ(stream->Finish().error_code(), code);
    }
  }
  EXPECT_EQ(ingest_.batches(), 4u);
}

TEST_F(WeftReceiverTest, APortInUseIsNamed) {
  Start();
  const auto second = GrpcListener::Start({.address = listener_->address()}, ToIngest());
  ASSERT_FALSE(second.ok());
  EXPECT_THAT(std::string(second.status().message()),
              testing::AllOf(HasSubstr(listener_->address()), HasSubstr("in use")));
}

// Health and reflection have no generated code here: their messages are few bytes.
grpc::ByteBuffer Bytes(const std::string& bytes) {
  const grpc::Slice slice(bytes);
  return {&slice, 1};
}

std::string Text(const grpc::ByteBuffer& buffer) {
  grpc::Slice slice;
  buffer.DumpToSingleSlice(&slice);
  return {reinterpret_cast<const char*>(slice.begin()), slice.size()};
}

TEST_F(WeftReceiverTest, HealthAnswersForEachService) {
  Start();
  for (const bool serving : {true, false}) {
    listener_->SetServing(serving);
    for (const std::string service :
         {"", "weft.collector.v1.CollectorService", "grpc.health.v1.Health"}) {
      const auto context = Context();
      const std::string request =
          "\x0a" + std::string(1, static_cast<char>(service.size())) + service;
      grpc::ByteBuffer response;
      const grpc::internal::RpcMethod method("/grpc.health.v1.Health/Check",
                                             grpc::internal::RpcMethod::NORMAL_RPC, channel_);
      const grpc::Status status =
          grpc::internal::BlockingUnaryCallImpl<grpc::ByteBuffer, grpc::ByteBuffer>(
              channel_.get(), method, context.get(), Bytes(request), &response)
              .status();
      ASSERT_TRUE(status.ok()) << service << ": " << status.error_message();
      EXPECT_EQ(Text(response), serving ? "\x08\x01" : "\x08\x02") << service;
    }
  }
}

TEST_F(WeftReceiverTest, ReflectionListsTheServices) {
  Start();
  const auto context = Context();
  const std::unique_ptr<grpc::ClientReaderWriter<grpc::ByteBuffer, grpc::ByteBuffer>> stream(
      grpc::internal::ClientReaderWriterFactory<grpc::ByteBuffer, grpc::ByteBuffer>::Create(
          channel_.get(),
          grpc::internal::RpcMethod(
              "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
              grpc::internal::RpcMethod::BIDI_STREAMING, channel_),
          context.get()));
  ASSERT_TRUE(stream->Write(Bytes(std::string("\x3a\x00", 2))));
  grpc::ByteBuffer response;
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_THAT(Text(response), HasSubstr("weft.collector.v1.CollectorService"));
  EXPECT_THAT(Text(response), HasSubstr("grpc.health.v1.Health"));
  stream->WritesDone();
  EXPECT_TRUE(stream->Finish().ok());
}

}  // namespace
}  // namespace weft::collector
