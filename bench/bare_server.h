// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>

/// LangSmith's part in the benchmarks: reads whole bodies on two threads, keeps nothing. Passes its
/// address on and does not return.
void ServeBare(const std::function<void(const std::string& address)>& listening);
