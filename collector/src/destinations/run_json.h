// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "destinations/sink.h"

namespace weft::collector {

/// `post`, `patch` or `feedback`.
std::string_view OpName(OpKind kind) noexcept;

/// The operation's run as one object, the split-out fields in their places. Feedback: its object.
std::string RunObject(const OutgoingOp& op);

/// The operation as one line of JSON without the newline (docs/collector.md, "Files").
/// `head` goes to the front: members without braces, each followed by a comma, or nothing.
std::string OperationLine(const OutgoingOp& op, std::string_view head = "");

}  // namespace weft::collector
