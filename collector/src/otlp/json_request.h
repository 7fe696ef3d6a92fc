// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include <absl/status/statusor.h>

namespace weft::collector {

/// An ExportTraceServiceRequest in protobuf's JSON mapping, as the same message in its wire format.
///
/// As OTLP has it: ids are hexadecimal, enumerators numbers or names, 64-bit integers numbers or
/// texts, names lowerCamelCase or as in the .proto file, unknown members are ignored. An id that is
/// not hexadecimal becomes an empty one, so that only its span is rejected. Unpaired surrogates and
/// text that is not UTF-8 become U+FFFD.
///
/// Errors: InvalidArgument names the member or the byte.
absl::StatusOr<std::string> TraceRequestFromJson(std::string json);

}  // namespace weft::collector
