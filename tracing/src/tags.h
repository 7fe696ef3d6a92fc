// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

namespace weft {
inline namespace v0 {
namespace internal {

/// Appends those of `from` that are not there yet.
void MergeTags(std::vector<std::string>& into, const std::vector<std::string>& from);

}  // namespace internal
}  // namespace v0
}  // namespace weft
