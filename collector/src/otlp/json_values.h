// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "otlp/attributes.h"

namespace weft::collector {

/// Attributes that hold JSON as text, as the SDKs send what OpenTelemetry has no type for.

/// The text without the blanks of JSON at its ends.
std::string_view Trimmed(std::string_view text);

/// The text as JSON, one value and valid; nothing when it is no JSON.
std::optional<std::string> ParsedJson(std::string_view text);

/// Whether JSON text is an object, or an array.
bool IsJsonObject(std::string_view json);
bool IsJsonArray(std::string_view json);

/// The value as JSON; a text that is JSON itself is taken as that.
std::string JsonOf(const AttributeValue& value);

/// Appends the value as a JSON object: one that it is, or `{key: value}`.
void AppendJsonOrWrap(const AttributeValue& value, std::string_view key, std::string& out);

/// `{key: json}`
std::string Wrap(std::string_view key, std::string_view json);

}  // namespace weft::collector
