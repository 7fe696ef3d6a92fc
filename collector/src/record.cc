// SPDX-License-Identifier: Apache-2.0
#include <weft/collector/record.h>

#include <algorithm>
#include <cstring>
#include <unordered_map>
#include <utility>

#include <absl/status/status.h>
#include <zstd.h>

namespace weft::collector {
namespace {

constexpr std::uint8_t kHeaderVersion = 1;

// Bits of an operation's first byte; the kind has the lowest two.
// In the place of the kind: a POST with a child_run_id.
constexpr std::uint8_t kPostOfChild = 3;
constexpr std::uint8_t kRootBit = 1 << 2;
constexpr std::uint8_t kErrorBit = 1 << 3;
constexpr std::uint8_t kKeepBit = 1 << 4;
constexpr int kTraceShift = 5;
constexpr std::uint8_t kOtelTraceBit = 1 << 7;

// How an operation's trace id is written: most requests repeat one of few.
enum class TraceForm : std::uint8_t { kNil = 0, kSameAsRun = 1, kSameAsBefore = 2, kWritten = 3 };

class Writer {
 public:
  explicit Writer(std::string& out) : out_(out) {}

  void Byte(std::uint8_t value) { out_.push_back(static_cast<char>(value)); }
  void Varint(std::uint64_t value) {
    for (; value >= 0x80; value >>= 7) Byte(static_cast<std::uint8_t>(value | 0x80));
    Byte(static_cast<std::uint8_t>(value));
  }
  void Signed(std::int64_t value) {
    Varint((static_cast<std::uint64_t>(value) << 1) ^ static_cast<std::uint64_t>(value >> 63));
  }
  void Text(std::string_view text) {
    Varint(text.size());
    out_.append(text);
  }
  void Id(const RunId& id) {
    out_.append(reinterpret_cast<const char*>(id.bytes.data()), id.bytes.size());
  }
  void SecondHalf(const RunId& id) {
    out_.append(reinterpret_cast<const char*>(id.bytes.data()) + 8, id.bytes.size() - 8);
  }

 private:
  std::string& out_;
};

// Every read is checked; the first that fails makes all later ones fail too.
class Reader {
 public:
  explicit Reader(std::string_view in) : in_(in) {}

  bool ok() const { return ok_; }
  std::size_t left() const { return in_.size(); }

  std::uint8_t Byte() { return static_cast<std::uint8_t>(Take(1).empty() ? 0 : taken_[0]); }
  std::uint64_t Varint() {
    std::uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      std::uint8_t byte = Byte();
      if (shift == 63 && byte > 1) break;
      value |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
      if ((byte & 0x80) == 0) return value;
    }
    ok_ = false;
    return 0;
  }
  std::int64_t Signed() {
    std::uint64_t value = Varint();
    return static_cast<std::int64_t>((value >> 1) ^ (~(value & 1) + 1));
  }
  // A count of things that take at least `least` bytes each: never more than what is left can hold,
  // so that a hostile count reserves nothing.
  std::size_t Count(std::size_t least) {
    std::uint64_t count = Varint();
    if (count > in_.size() / least) ok_ = false;
    return ok_ ? static_cast<std::size_t>(count) : 0;
  }
  std::string_view Text() { return Take(Varint()); }
  RunId Id() {
    RunId id;
    if (std::string_view bytes = Take(id.bytes.size()); !bytes.empty()) {
      std::memcpy(id.bytes.data(), bytes.data(), bytes.size());
    }
    return id;
  }
  RunId SecondHalf() {
    RunId id;
    if (std::string_view bytes = Take(id.bytes.size() - 8); !bytes.empty()) {
      std::memcpy(id.bytes.data() + 8, bytes.data(), bytes.size());
    }
    return id;
  }
  template <typename Enum>
  Enum Choice(Enum last) {
    std::uint8_t value = Byte();
    if (value > static_cast<std::uint8_t>(last)) ok_ = false;
    return ok_ ? static_cast<Enum>(value) : Enum{};
  }

 private:
  std::string_view Take(std::uint64_t size) {
    if (!ok_ || size > in_.size()) {
      ok_ = false;
      return {};
    }
    taken_ = in_.substr(0, size);
    in_.remove_prefix(size);
    return taken_;
  }

  std::string_view in_;
  std::string_view taken_;
  bool ok_ = true;
};

void WriteParts(const PartList& parts, std::uint64_t& end, Writer& out) {
  out.Varint(parts.size());
  for (const Part& part : parts) {
    out.Byte(static_cast<std::uint8_t>(part.field));
    out.Signed(static_cast<std::int64_t>(part.offset - end));
    out.Varint(part.length);
    end = part.offset + part.length;
    if (part.field != PartField::kAttachment) continue;
    out.Text(part.name.str());
    out.Text(part.mime_type.str());
  }
}

bool ReadParts(Reader& in, std::uint64_t decoded_size, std::uint64_t& end, PartList& parts) {
  parts.resize(in.Count(3));
  for (Part& part : parts) {
    part.field = in.Choice(PartField::kScope);
    part.offset = end + static_cast<std::uint64_t>(in.Signed());
    part.length = in.Varint();
    if (!in.ok() || part.offset > decoded_size || part.length > decoded_size - part.offset) {
      return false;
    }
    end = part.offset + part.length;
    if (part.field != PartField::kAttachment) continue;
    part.name = in.Text();
    part.mime_type = in.Text();
  }
  return in.ok();
}

absl::Status Damaged(const char* what) { return absl::DataLossError(what); }

absl::StatusOr<std::string> Inflate(std::string_view payload, std::uint64_t size) {
  // A frame expands at most about 128 Ki times; a larger claim must not reserve memory.
  if (size > (payload.size() + 1) * (std::uint64_t{128} << 10)) {
    return Damaged("payload is too small for its decoded size");
  }
  std::string out;
  out.resize(size);
  // A context is costly to make: each thread that reads has one.
  thread_local const std::unique_ptr<ZSTD_DCtx, decltype(&ZSTD_freeDCtx)> context(ZSTD_createDCtx(),
                                                                                  &ZSTD_freeDCtx);
  const std::size_t written =
      ZSTD_decompressDCtx(context.get(), out.data(), out.size(), payload.data(), payload.size());
  if (ZSTD_isError(written) || written != size)
    return Damaged("payload is no zstd frame of its size");
  return out;
}

}  // namespace

std::string_view PartFieldName(PartField field) noexcept {
  switch (field) {
    case PartField::kRun:
      return "";
    case PartField::kInputs:
      return "inputs";
    case PartField::kOutputs:
      return "outputs";
    case PartField::kEvents:
      return "events";
    case PartField::kExtra:
      return "extra";
    case PartField::kError:
      return "error";
    case PartField::kSerialized:
      return "serialized";
    case PartField::kAttachment:
      return "attachments";
    case PartField::kFeedback:
      return "feedback";
    case PartField::kSpan:
    case PartField::kResource:
    case PartField::kScope:
      return "";
  }
  return "";
}

std::string RecordHeader::Encode() const {
  std::string bytes;
  bytes.reserve(32 + ops.size() * 48);
  Writer out(bytes);
  out.Byte(kHeaderVersion);
  out.Byte(static_cast<std::uint8_t>(receiver));
  out.Byte(static_cast<std::uint8_t>(coding));
  out.Varint(decoded_size);
  out.Varint(received_us);
  out.Varint(key_id);

  // Projects are few and repeat: they stand once, and an operation has 1 + its index or 0.
  std::vector<std::string_view> projects;
  std::unordered_map<std::string_view, std::uint64_t> numbers;
  for (const RunOp& op : ops) {
    if (!op.project.empty() && numbers.try_emplace(op.project, projects.size() + 1).second) {
      projects.push_back(op.project);
    }
  }
  out.Varint(projects.size());
  for (std::string_view project : projects) out.Text(project);

  out.Varint(ops.size());
  RunId trace_before;
  std::uint64_t end = 0;
  for (const RunOp& op : ops) {
    TraceForm form = op.trace_id.IsNil()           ? TraceForm::kNil
                     : op.trace_id == op.run_id    ? TraceForm::kSameAsRun
                     : op.trace_id == trace_before ? TraceForm::kSameAsBefore
                                                   : TraceForm::kWritten;
    const bool has_child_id = !op.child_run_id.IsNil();
    const int kind = has_child_id ? kPostOfChild : static_cast<int>(op.kind);
    out.Byte(static_cast<std::uint8_t>(kind | (op.is_root ? kRootBit : 0) |
                                       (op.has_error ? kErrorBit : 0) | (op.keep ? kKeepBit : 0) |
                                       (static_cast<int>(form) << kTraceShift) |
                                       (op.otel_trace_id.IsNil() ? 0 : kOtelTraceBit)));
    out.Id(op.run_id);
    if (form == TraceForm::kWritten) out.Id(op.trace_id);
    if (form != TraceForm::kNil) trace_before = op.trace_id;
    if (!op.otel_trace_id.IsNil()) out.Id(op.otel_trace_id);
    if (has_child_id) out.SecondHalf(op.child_run_id);
    out.Varint(op.project.empty() ? 0 : numbers[op.project]);
    WriteParts(op.parts, end, out);
  }
  if (!form_boundary.empty() || !tenant.empty()) out.Text(form_boundary);
  if (!tenant.empty()) out.Text(tenant);
  return bytes;
}

absl::StatusOr<RecordHeader> RecordHeader::Decode(std::string_view bytes) {
  Reader in(bytes);
  RecordHeader header;
  if (in.Byte() != kHeaderVersion) return Damaged("record header has an unknown version");
  header.receiver = in.Choice(Receiver::kOtlp);
  header.coding = in.Choice(PayloadCoding::kZstd);
  header.decoded_size = in.Varint();
  header.received_us = in.Varint();
  header.key_id = in.Varint();

  std::vector<std::string_view> projects(in.Count(1));
  for (std::string_view& project : projects) project = in.Text();

  header.ops.resize(in.Count(19));
  RunId trace_before;
  std::uint64_t end = 0;
  for (RunOp& op : header.ops) {
    std::uint8_t bits = in.Byte();
    const bool has_child_id = (bits & 3) == kPostOfChild;
    op.kind = has_child_id ? OpKind::kPost : static_cast<OpKind>(bits & 3);
    op.is_root = (bits & kRootBit) != 0;
    op.has_error = (bits & kErrorBit) != 0;
    op.keep = (bits & kKeepBit) != 0;
    op.run_id = in.Id();
    switch (static_cast<TraceForm>((bits >> kTraceShift) & 3)) {
      case TraceForm::kNil:
        break;
      case TraceForm::kSameAsRun:
        op.trace_id = op.run_id;
        break;
      case TraceForm::kSameAsBefore:
        op.trace_id = trace_before;
        break;
      case TraceForm::kWritten:
        op.trace_id = in.Id();
        break;
    }
    if (!op.trace_id.IsNil()) trace_before = op.trace_id;
    if ((bits & kOtelTraceBit) != 0) op.otel_trace_id = in.Id();
    if (has_child_id) op.child_run_id = in.SecondHalf();
    std::uint64_t project = in.Varint();
    if (project > projects.size()) return Damaged("operation names an unknown project");
    if (project != 0) op.project = projects[project - 1];
    if (!ReadParts(in, header.decoded_size, end, op.parts))
      return Damaged("bad part of an operation");
  }
  if (in.ok() && in.left() != 0) {
    header.form_boundary = in.Text();
    const bool has_tenant = in.left() != 0;
    if (has_tenant) header.tenant = in.Text();
    // What says nothing is not written.
    if ((has_tenant ? header.tenant : header.form_boundary).empty()) {
      return Damaged("record header ends with an empty text");
    }
  }
  if (!in.ok() || in.left() != 0) return Damaged("record header has a wrong length");
  return header;
}

absl::StatusOr<std::string> Record::Decoded() const {
  if (header.coding == PayloadCoding::kZstd) return Inflate(payload, header.decoded_size);
  if (payload.size() != header.decoded_size) return Damaged("payload has a wrong size");
  return payload;
}

}  // namespace weft::collector
