// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>

namespace weft::collector {

/// What goes wrong at one call of the C library that changes files, counted from 1.
///
/// A program that links disk_faults.cc has its own write, fsync, rename ... in front of the C
/// library's, so code needs no seam to be stopped between any two of its steps. Its syncs never
/// wait for a disk.
struct DiskFault {
  enum class Kind {
    kNone,  ///< Only counts.
    kKill,  ///< SIGKILL before the call.
    kTear,  ///< A write puts half of its bytes, then SIGKILL; before any other call.
    kFail,  ///< The call fails with `error`; later ones do not.
  };
  Kind kind = Kind::kNone;
  std::uint64_t at = 0;
  int error = 0;
  /// Which calls fail from then on, too, until LiftDiskFault; empty = none.
  std::function<bool(const char* call)> stays{};
};

/// Counts calls on files below `directory` from now on, and lets `fault` happen.
///
/// With a `mirror`, a directory beside it, what a loss of power would leave is kept there: of each
/// file what it held at its last fsync, under the names its directory had at its own.
void ArmDiskFault(const std::filesystem::path& directory, DiskFault fault,
                  const std::filesystem::path& mirror = {});

/// Nothing fails any more; calls are still counted.
void LiftDiskFault();

/// Calls so far.
std::uint64_t DiskCalls();

/// Sets the clock of the day of this process: system_clock is so much ahead, or behind.
void SetClock(std::chrono::seconds ahead);

/// Puts what a loss of power left, as `mirror` knows it, into the new directory `target`.
void RestoreAfterPowerLoss(const std::filesystem::path& mirror,
                           const std::filesystem::path& target);

}  // namespace weft::collector
