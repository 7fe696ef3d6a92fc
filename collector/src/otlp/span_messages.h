// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "otlp/span_view.h"

namespace weft::collector {

/// Chat messages of spans in LangSmith's form, as JSON arrays without their brackets: elements
/// separated by commas; empty where a span has none. What was used is marked.

/// `gen_ai.input.messages` or `gen_ai.output.messages`: `{role, parts: [...]}` each, as a list or
/// as JSON text. System instructions, a list of parts, come first where their key is given.
std::string MessagesOfParts(Attributes& attributes, std::string_view key,
                            std::string_view instructions_key);

/// `<prefix>{n}.role`, `<prefix>{n}.content` and what else lies under the index, also one level
/// down under `message.` (`gen_ai.prompt.`, `gen_ai.completion.`, `llm.input_messages.` ...).
std::string MessagesOfIndexes(Attributes& attributes, std::string_view prefix);

/// Of an event that is a message, e.g. `gen_ai.user.message`.
std::string MessageOfEvent(SpanEvent& event);

/// Of an event `gen_ai.choice`.
std::string ChoiceOfEvent(SpanEvent& event);

}  // namespace weft::collector
