// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <weft/context/context_stats.h>

#include "counted_id.h"

namespace weft {
inline namespace v0 {
namespace testing {

// A test that neither leaves anything in the store nor misuses it.
class UnchangedStore : public ::testing::Test {
 protected:
  void TearDown() override {
    const ContextStats now = ContextStats::Read();
    EXPECT_EQ(now.wrong_stack, before_.wrong_stack);
    EXPECT_EQ(now.out_of_order, before_.out_of_order);
    EXPECT_EQ(now.stale, before_.stale);
    EXPECT_EQ(now.slots_live, before_.slots_live);
    EXPECT_EQ(CountedId::live(), 0);
    EXPECT_EQ(CurrentId(), 0);
  }

  const ContextStats before_ = ContextStats::Read();
};

}  // namespace testing
}  // namespace v0
}  // namespace weft
