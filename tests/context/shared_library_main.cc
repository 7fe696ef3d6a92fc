// SPDX-License-Identifier: Apache-2.0
// The tests are in the shared library; see build_variants.cmake.
#include <gtest/gtest.h>

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
