// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <string>
#include <utility>

#include <weft/tracing/run_record.h>

namespace weft {

/// A finished root run.
inline RunRecord MakeRecord(std::string name) {
  const auto now = std::chrono::system_clock::now();
  RunRecord record;
  record.context = RunContext::Root(RunId::New(now), now, nullptr);
  record.name = std::move(name);
  record.start = now;
  record.end = now;
  return record;
}

}  // namespace weft
