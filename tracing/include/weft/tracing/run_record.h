// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include <weft/tracing/json.h>
#include <weft/tracing/run_context.h>

namespace weft {
inline namespace v0 {

namespace internal {
class Redactor;
}

/// LangSmith's kinds of runs.
enum class RunType { kChain, kLlm, kTool, kRetriever, kEmbedding, kPrompt, kParser };

/// `chain`, `llm` ...
std::string_view RunTypeName(RunType type) noexcept;

/// Metadata that many runs share: rendered once, a reference per run.
class SharedMetadata {
 public:
  explicit SharedMetadata(JsonObject values);

  const JsonObject& values() const noexcept { return values_; }
  /// The members as JSON text without the braces.
  std::string_view json() const noexcept { return json_; }

  /// KeyBit of every key: sets without a common bit have no common key.
  std::uint64_t key_bits() const noexcept { return key_bits_; }
  static std::uint64_t KeyBit(std::string_view key) noexcept {
    if (key.empty()) return 1;
    const unsigned mixed = static_cast<unsigned>(key.size()) * 31 +
                           static_cast<unsigned char>(key.back()) * 7 +
                           static_cast<unsigned char>(key[key.size() / 2]);
    return std::uint64_t{1} << (mixed & 63);
  }

 private:
  JsonObject values_;
  std::string json_;
  std::uint64_t key_bits_ = 0;
};

/// What all runs of one kind have in common. Made once, for instance for each RPC method, it saves
/// every run the copies.
///
///     static const auto kind = std::make_shared<const weft::RunTemplate>(
///         "shop.Cart/Add", weft::RunType::kTool, weft::JsonObject{{"rpc.system", "grpc"}});
///     weft::Run run(kind, {.make_current = false});
///
/// The metadata belongs to each run itself: descendants and headers do not get it.
struct RunTemplate {
  RunTemplate(std::string run_name, RunType run_type, JsonObject run_metadata = {});

  std::string name;
  RunType type;
  SharedMetadata metadata;
  std::string rpc_method{};  ///< `/package.Service/Method` if it is the kind of an RPC's runs.
};

/// A metadata entry of one run that instrumentation adds: no JSON object is built for it, and
/// descendants and headers do not get it. Text given as `std::string_view` is not copied: it must
/// have static storage, as the key must.
struct RunAttribute {
  using Value = std::variant<std::int64_t, double, bool, std::string_view, std::string>;

  std::string_view key;
  Value value;
};

struct RunRecord;

/// What is costly to render about a run: kept as it is until the thread that sends the run asks.
///
/// Threads: any; more may be left here while the run goes on.
class RunPayload {
 public:
  struct Hidden {
    bool inputs = false;
    bool outputs = false;
  };

  RunPayload() = default;
  RunPayload(const RunPayload&) = delete;
  RunPayload& operator=(const RunPayload&) = delete;
  virtual ~RunPayload() = default;

  /// Puts what there is into `record`, but for what is hidden. Called again for the end of a run
  /// that was sent while open (kPatch): then without the attachments that went before.
  virtual void RenderInto(RunRecord& record, Hidden hidden) const = 0;

  /// The run is sent while it is open, once: attachments that are here go with that.
  virtual void SendsOpen() const noexcept {}

  /// The bytes that it occupies, about.
  virtual std::size_t size() const noexcept = 0;
};

/// What all runs of a tracer have in common, and what applies to them before they are sent.
class RunEnvironment : public SharedMetadata {
 public:
  explicit RunEnvironment(JsonObject values) : SharedMetadata(std::move(values)) {}

  RunPayload::Hidden hidden;
  std::shared_ptr<const internal::Redactor> redactor;  ///< Null: nothing is redacted.
};

/// Something that happened during a run.
struct RunEvent {
  std::string name;
  std::chrono::system_clock::time_point time;
  JsonObject kwargs;
};

/// A named binary value of a run. The name holds no `.` (LangSmith's rule).
struct RunAttachment {
  std::string name;
  std::string mime_type;
  std::string content;
};

/// Everything about a run that an exporter sends: an open run (`end` absent) or a finished one.
struct RunRecord {
  enum class Operation { kPost, kPatch };

  Operation operation = Operation::kPost;
  RunContext context;  ///< Ids, dotted order, project; tags and metadata known at the start.
  std::string name;    ///< Empty: the kind's.
  RunType type = RunType::kChain;
  std::chrono::system_clock::time_point start;
  std::optional<std::chrono::system_clock::time_point> end;
  JsonObject inputs;  ///< A patch leaves them out when they are empty.
  std::optional<JsonObject> outputs;
  std::optional<std::string> error;
  std::vector<std::string> tags;  ///< Added after the start.
  JsonObject metadata;            ///< Added after the start; wins over all other.
  std::vector<RunAttribute> attributes;
  std::vector<RunEvent> events;
  std::vector<RunAttachment> attachments;
  std::shared_ptr<const RunPayload> payload;          ///< Not rendered yet; may be null.
  std::shared_ptr<const RunTemplate> kind;            ///< May be null.
  std::shared_ptr<const RunEnvironment> environment;  ///< Of the tracer; may be null.
  /// The trace is to be kept whatever samples further on.
  bool keep = false;

  /// The name as it is sent: the run's, else its kind's, else `Unnamed`.
  std::string_view DisplayName() const noexcept;
  /// `extra.metadata` as it is sent: inherited, then environment, kind, attributes, own; each wins
  /// over those before it.
  JsonObject AllMetadata() const;
  /// Tags as they are sent: each once.
  std::vector<std::string> AllTags() const;
};

}  // namespace v0
}  // namespace weft
