// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace weft::collector {

/// Sets what a process that is a collector and nothing else wants of its libraries: memory that was
/// freed is kept for the next request, and locks are not checked for cycles. Before any thread
/// starts.
void PrepareProcess();

}  // namespace weft::collector
