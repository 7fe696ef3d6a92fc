// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace weft {
inline namespace v0 {
namespace internal {

/// The JSON encoding of an `ExportTraceServiceRequest` in protobuf's wire format, as OTLP has it:
/// names in lowerCamelCase, the ids of spans in hex, enumerations as numbers, 64-bit integers as
/// strings. Fields that OTLP does not have are left out.
std::string OtlpJson(std::string_view request);

}  // namespace internal
}  // namespace v0
}  // namespace weft
