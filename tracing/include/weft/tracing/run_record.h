// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <weft/tracing/json.h>
#include <weft/tracing/run_context.h>

namespace weft {
inline namespace v0 {

/// LangSmith's kinds of runs.
enum class RunType { kChain, kLlm, kTool, kRetriever, kEmbedding, kPrompt, kParser };

/// `chain`, `llm` ...
std::string_view RunTypeName(RunType type) noexcept;

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
  RunContext context;  ///< Ids, dotted order, project, inherited tags and metadata.
  std::string name;
  RunType type = RunType::kChain;
  std::chrono::system_clock::time_point start;
  std::optional<std::chrono::system_clock::time_point> end;
  JsonObject inputs;
  std::optional<JsonObject> outputs;
  std::optional<std::string> error;
  std::vector<std::string> tags;  ///< The run's own, besides inherited ones.
  JsonObject metadata;            ///< The run's own; wins over inherited keys.
  std::vector<RunEvent> events;
  std::vector<RunAttachment> attachments;
};

}  // namespace v0
}  // namespace weft
