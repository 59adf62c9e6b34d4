// SPDX-License-Identifier: Apache-2.0
// The main() of test programs that need a GPU: their tests are skipped where there is none; with LAMELLA_REQUIRE_GPU=1 they fail.
#include <gmock/gmock.h>

#include <cstdio>
#include <cstdlib>
#include <lamella/device.hpp>
#include <string>

int main(int argc, char** argv) {
  testing::InitGoogleMock(&argc, argv);
  if (testing::GTEST_FLAG(list_tests)) return RUN_ALL_TESTS();
  const std::string why = lamella::why_no_cuda();
  if (why.empty()) return RUN_ALL_TESTS();
  const char* const required = std::getenv("LAMELLA_REQUIRE_GPU");
  if (required != nullptr && std::string(required) == "1") {
    std::printf("LAMELLA_REQUIRE_GPU=1, and %s\n", why.c_str());
    return 1;
  }
  std::printf("[  SKIPPED ] %s\n", why.c_str());  // ctest recognises a skipped test by this text
  return 0;
}
