// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <weft/tracing/json.h>

#include "headers_codec.h"

namespace weft::cli {

/// What a reader of headers makes of them.
struct HeaderReading {
  enum class Outcome : std::uint8_t { kNoParent, kParent, kThrows };

  Outcome outcome = Outcome::kNoParent;
  std::string error{};                   ///< kThrows: the class.
  std::string run_id{};                  ///< kParent: the calling run; empty: one is made up.
  std::string trace_id{};                ///< The same.
  std::optional<std::string> project{};  ///< Absent: the reader's own, but for `no_project`.
  bool no_project = false;               ///< Runs get none at all, not even the reader's own.
  std::optional<std::string> address{};
  std::vector<std::string> tags{};
  JsonObject metadata{};
  std::size_t replicas = 0;
  std::vector<std::string> notes{};  ///< What else is to be known, for people.
};

/// As `RunTree.from_headers` of LangSmith's Python SDK reads a mapping (0.14).
HeaderReading ReadLikePython(const HeaderFields& headers);

/// As `RunTree.fromHeaders` of the npm package `langsmith` reads an object (0.10).
HeaderReading ReadLikeNpm(const HeaderFields& headers);

}  // namespace weft::cli
