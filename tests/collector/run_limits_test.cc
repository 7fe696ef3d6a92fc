// SPDX-License-Identifier: Apache-2.0
#include "run_limits.h"

#include <openssl/sha.h>

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <absl/strings/escaping.h>

#include <weft/collector/run_store.h>
#include <weft/tracing/internal/proto_writer.h>

#include "batch_payload.h"
#include "otlp/trace_request.h"
#include "storage_support.h"

namespace weft::collector {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

// Of one trace that is full, and one run of it.
class FullTrace final : public RunStore {
 public:
  FullTrace(RunId trace, RunId run) : trace_(trace), run_(run) {}
  bool IsFull(const RunId& trace, const RunId& run, std::uint64_t max_runs) const override {
    return max_runs <= 25'000 && trace == trace_ && run != run_ && run != trace_;
  }
  bool has_full_traces() const override { return true; }
  void SetMaxTraceRuns(std::uint16_t) override {}

  absl::StatusOr<StoredRun> FindRun(RunId) const override { return absl::NotFoundError(""); }
  absl::StatusOr<std::vector<StoredRun>> FindTrace(RunId) const override {
    return absl::NotFoundError("");
  }
  absl::StatusOr<std::vector<StoredRun>> ListTraces(const TraceQuery&) const override {
    return absl::NotFoundError("");
  }
  std::vector<RunId> ListTraceIds(const TraceQuery&) const override { return {}; }
  absl::StatusOr<std::vector<StoredRun>> FindRoots(std::span<const RunId>) const override {
    return absl::NotFoundError("");
  }
  absl::StatusOr<AttachmentContent> FindAttachment(RunId, std::string_view) const override {
    return absl::NotFoundError("");
  }
  std::vector<Project> Projects() const override { return {}; }
  bool WaitUntilIndexed(std::chrono::milliseconds) const override { return true; }
  std::uint64_t lag_records() const override { return 0; }
  std::chrono::microseconds lag() const override { return {}; }
  std::uint64_t index_bytes() const override { return 0; }
  void Stop() override {}

 private:
  const RunId trace_;
  const RunId run_;
};

std::string Sha256(std::string_view text) {
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest);
  return absl::BytesToHexString(
      absl::string_view(reinterpret_cast<const char*>(digest), sizeof digest));
}

std::string Truncated(std::string_view text) {
  return R"({"weft_truncated":{"bytes":)" + std::to_string(text.size()) + R"(,"sha256":")" +
         Sha256(text) + "\"}}";
}

class RunLimitsTest : public testing::Test {
 protected:
  struct Piece {
    PartField field;
    std::string text;
    std::string name{};
  };

  // The next operation of the batch.
  RunOp& Add(RunId run, RunId trace, const std::vector<Piece>& pieces) {
    RunOp& op = batch_.header.ops.emplace_back();
    op.run_id = run;
    op.trace_id = trace;
    for (const Piece& piece : pieces) {
      op.parts.push_back({piece.field, payload_.size(), piece.text.size(), piece.name, ""});
      payload_ += piece.text;
    }
    return op;
  }

  void Apply(const RunLimits& limits) {
    batch_.header.form_boundary = "boundary";
    batch_.header.decoded_size = payload_.size();
    batch_.payload = payload_;
    ApplyRunLimits(limits, batch_);
    const absl::StatusOr<std::string> rest = DecodedPayload(batch_);
    ASSERT_TRUE(rest.ok()) << rest.status();
    payload_ = *rest;
  }

  std::string Text(std::size_t op, std::size_t part) const {
    const Part& found = batch_.header.ops.at(op).parts.at(part);
    return payload_.substr(found.offset, found.length);
  }

  IngestBatch batch_;
  std::string payload_;
};

TEST_F(RunLimitsTest, WhatIsWithinThemStaysAsItIs) {
  Add(IdOf(1), IdOf(1), {{PartField::kRun, "{}"}, {PartField::kInputs, std::string(5000, ' ')}});
  const std::string before = payload_;
  Apply({.max_run_bytes = 5002});
  EXPECT_EQ(payload_, before);
  EXPECT_EQ(batch_.header.form_boundary, "boundary");
}

TEST_F(RunLimitsTest, TheLargestFieldsAreLeftOutUntilTheRunFits) {
  const std::string inputs = "{\"text\":\"" + std::string(9'000, 'i') + "\"}";
  const std::string outputs = "{\"text\":\"" + std::string(4'000, 'o') + "\"}";
  Add(IdOf(1), IdOf(1), {{PartField::kRun, R"({"id":"1"})"}, {PartField::kInputs, "{}"}});
  Add(IdOf(2), IdOf(1),
      {{PartField::kRun, R"({"id":"2","name":"large"})"},
       {PartField::kInputs, inputs},
       {PartField::kOutputs, outputs},
       {PartField::kAttachment, std::string(20'000, 'a'), "picture"}});
  Apply({.max_run_bytes = 5'000});
  EXPECT_TRUE(batch_.rejected.empty());
  EXPECT_EQ(Text(0, 0), R"({"id":"1"})");
  EXPECT_EQ(Text(1, 0), R"({"id":"2","name":"large"})");
  EXPECT_EQ(Text(1, 1), Truncated(inputs));
  EXPECT_EQ(Text(1, 2), outputs) << "one was enough";
  EXPECT_EQ(Text(1, 3), std::string(20'000, 'a'));
  EXPECT_EQ(batch_.header.form_boundary, "") << "the payload is no form any more";
}

TEST_F(RunLimitsTest, FieldsAreFoundWithinTheRun) {
  const std::string inputs = "{\"text\":\"" + std::string(9'000, 'i') + "\"}";
  const std::string error = "\"" + std::string(8'000, 'e') + "\"";
  Add(IdOf(1), IdOf(1),
      {{PartField::kRun, "{\"inputs\":" + inputs + ",\"name\":\"n\",\"error\": " + error + "}"}});
  Apply({.max_run_bytes = 5'000});
  EXPECT_EQ(Text(0, 0), "{\"inputs\":" + Truncated(inputs) +
                            ",\"name\":\"n\",\"error\": \"weft_truncated: 8002 bytes, sha256 " +
                            Sha256(error) + "\"}");
}

TEST_F(RunLimitsTest, ARunThatCannotBeMadeToFitIsParked) {
  Add(IdOf(1), IdOf(1), {{PartField::kRun, R"({"id":"1"})"}});
  Add(IdOf(2), IdOf(1), {{PartField::kRun, "{\"name\":\"" + std::string(9'000, 'n') + "\"}"}});
  Apply({.max_run_bytes = 5'000});
  ASSERT_EQ(batch_.header.ops.size(), 1u);
  EXPECT_EQ(Text(0, 0), R"({"id":"1"})");
  ASSERT_EQ(batch_.rejected.size(), 1u);
  EXPECT_EQ(batch_.rejected[0].index, 1u);
  EXPECT_EQ(batch_.rejected[0].reason, "post." + IdOf(2).ToString() + ": larger than a run may be");
}

TEST_F(RunLimitsTest, LargeRunsAreRefusedWhereTheConfigurationSaysSo) {
  const std::string inputs = "\"" + std::string(9'000, 'i') + "\"";
  Add(IdOf(1), IdOf(1), {{PartField::kRun, R"({"id":"1"})"}});
  Add(IdOf(2), IdOf(1), {{PartField::kRun, R"({"id":"2"})"}, {PartField::kInputs, inputs}});
  Apply({.max_run_bytes = 5'000, .large_runs = LargeRuns::kRefuse});
  ASSERT_EQ(batch_.header.ops.size(), 1u);
  EXPECT_EQ(Text(0, 0), R"({"id":"1"})");
  ASSERT_EQ(batch_.rejected.size(), 1u);
  EXPECT_THAT(batch_.rejected[0].reason, HasSubstr("larger than a run may be"));
  EXPECT_THAT(batch_.rejected[0].bytes, HasSubstr(inputs)) << "all of it is kept";
}

TEST_F(RunLimitsTest, ATraceMayHaveMoreRunsWhereItsTenantMay) {
  const FullTrace store(IdOf(1), IdOf(2));
  Add(IdOf(3), IdOf(1), {{PartField::kRun, "{}"}});
  Apply({.max_trace_runs = 30'000, .store = &store});
  EXPECT_EQ(batch_.header.ops.size(), 1u);
  EXPECT_TRUE(batch_.rejected.empty());
}

TEST_F(RunLimitsTest, NewRunsOfAFullTraceAreParked) {
  Add(IdOf(2), IdOf(1), {{PartField::kRun, "{}"}}).kind = OpKind::kPatch;
  Add(IdOf(3), IdOf(1), {{PartField::kRun, "{\"name\":3}"}, {PartField::kInputs, "{\"a\":1}"}});
  Add(IdOf(5), IdOf(4), {{PartField::kRun, "{\"name\":5}"}});
  Add(IdOf(1), IdOf(1), {{PartField::kFeedback, "{\"score\":1}"}}).kind = OpKind::kFeedback;
  const FullTrace store(IdOf(1), IdOf(2));
  Apply({.store = &store});
  ASSERT_EQ(batch_.header.ops.size(), 3u);
  EXPECT_EQ(Text(1, 0), "{\"name\":5}");
  ASSERT_EQ(batch_.rejected.size(), 1u);
  const std::string label = "post." + IdOf(3).ToString();
  EXPECT_THAT(batch_.rejected[0].reason, StartsWith(label + ": its trace"));
  EXPECT_EQ(batch_.rejected[0].bytes, label + "\n{\"name\":3}\n" + label + ".inputs\n{\"a\":1}\n");
}

void WriteSpan(internal::ProtoWriter& out, const std::string& trace, const std::string& span,
               const std::string& name) {
  const auto mark = out.Begin(2);
  out.Text(1, trace);
  out.Text(2, span);
  out.Text(4, "11111111");
  out.Text(5, name);
  out.Fixed64(7, 1'700'000'000'000'000'000);
  out.End(mark);
}

TEST_F(RunLimitsTest, NewSpansOfAFullTraceAreParked) {
  internal::ProtoWriter out(payload_);
  const auto resource_spans = out.Begin(1);
  const auto scope_spans = out.Begin(2);
  WriteSpan(out, "0123456789abcdef", "00000001", "first");
  WriteSpan(out, "fedcba9876543210", "00000002", "second");
  WriteSpan(out, "0123456789abcdef", "00000003", "third");
  out.End(scope_spans);
  out.End(resource_spans);
  batch_.header.receiver = Receiver::kOtlp;
  batch_.header.ops = DecodeTraceRequest("p", &payload_)->ops;
  ASSERT_EQ(batch_.header.ops.size(), 3u);
  const std::vector<RunOp> before = batch_.header.ops;
  const FullTrace store(before[0].trace_id, before[0].run_id);
  Apply({.store = &store});
  ASSERT_EQ(batch_.header.ops.size(), 2u);
  EXPECT_EQ(batch_.header.ops[0].run_id, before[0].run_id);
  EXPECT_EQ(batch_.header.ops[1].run_id, before[1].run_id);
  EXPECT_EQ(batch_.header.ops[1].project, "p");
  EXPECT_THAT(Text(1, 0), HasSubstr("second"));
  EXPECT_THAT(payload_, AllOf(HasSubstr("first"), Not(HasSubstr("third"))));
  ASSERT_EQ(batch_.rejected.size(), 1u);
  EXPECT_EQ(batch_.rejected[0].project, "p");
  std::string again = batch_.rejected[0].bytes;
  const auto third = DecodeTraceRequest("", &again);
  ASSERT_TRUE(third.ok()) << third.status();
  ASSERT_EQ(third->ops.size(), 1u);
  EXPECT_EQ(third->ops[0].run_id, before[2].run_id);
}

TEST_F(RunLimitsTest, SpansThatAreTooLargeAreRejectedAndOthersStay) {
  internal::ProtoWriter out(payload_);
  const auto resource_spans = out.Begin(1);
  const auto resource = out.Begin(1);
  const auto attribute = out.Begin(1);
  out.Text(1, std::string(9'000, 'k'));
  out.End(attribute);
  out.End(resource);
  const auto scope_spans = out.Begin(2);
  WriteSpan(out, "0123456789abcdef", "00000001", "small, with a resource that is not");
  WriteSpan(out, "0123456789abcdef", "00000002", std::string(6'000, 'x'));
  WriteSpan(out, "0123456789abcdef", "00000003", std::string(2 << 20, 'y'));
  WriteSpan(out, "0123456789abcdef", "00000004", "last");
  out.End(scope_spans);
  out.End(resource_spans);
  batch_.header.receiver = Receiver::kOtlp;
  batch_.header.ops = DecodeTraceRequest("p", &payload_)->ops;
  const std::vector<RunOp> before = batch_.header.ops;
  ASSERT_EQ(before.size(), 4u);
  const std::uint64_t large = before[1].parts[0].length;
  Apply({.max_run_bytes = large - 1});
  ASSERT_EQ(batch_.header.ops.size(), 2u);
  EXPECT_EQ(batch_.header.ops[0].run_id, before[0].run_id);
  EXPECT_EQ(batch_.header.ops[1].run_id, before[3].run_id);
  EXPECT_EQ(batch_.header.ops[1].project, "p");
  EXPECT_THAT(Text(1, 0), HasSubstr("last"));
  ASSERT_EQ(batch_.rejected.size(), 2u);
  EXPECT_EQ(batch_.rejected[0].index, 1u);
  EXPECT_EQ(batch_.rejected[0].reason, "span: larger than a run may be, " + std::to_string(large) +
                                           " bytes of " + std::to_string(large - 1));
  std::string again = batch_.rejected[0].bytes;
  const auto sent_again = DecodeTraceRequest("", &again);
  ASSERT_TRUE(sent_again.ok()) << sent_again.status();
  EXPECT_EQ(sent_again->ops.at(0).run_id, before[1].run_id);
  EXPECT_EQ(batch_.rejected[1].index, 2u);
  EXPECT_EQ(batch_.rejected[1].bytes.size(), 1u << 20);
}

TEST_F(RunLimitsTest, ASpanAsLargeAsARunMayBeStays) {
  internal::ProtoWriter out(payload_);
  const auto resource_spans = out.Begin(1);
  const auto scope_spans = out.Begin(2);
  WriteSpan(out, "0123456789abcdef", "00000001", std::string(6'000, 'x'));
  out.End(scope_spans);
  out.End(resource_spans);
  batch_.header.receiver = Receiver::kOtlp;
  batch_.header.ops = DecodeTraceRequest("p", &payload_)->ops;
  const std::string before = payload_;
  Apply({.max_run_bytes = batch_.header.ops.at(0).parts[0].length});
  EXPECT_TRUE(batch_.rejected.empty());
  EXPECT_EQ(payload_, before);
}

TEST_F(RunLimitsTest, ARequestOfAFullTraceAloneLeavesNothing) {
  Add(IdOf(3), IdOf(1), {{PartField::kRun, "{}"}});
  const FullTrace store(IdOf(1), IdOf(2));
  Apply({.store = &store});
  EXPECT_TRUE(batch_.header.ops.empty());
  EXPECT_EQ(batch_.rejected.size(), 1u);
}

}  // namespace
}  // namespace weft::collector
