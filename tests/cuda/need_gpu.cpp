// SPDX-License-Identifier: Apache-2.0
// Tests of a program that needs a GPU are skipped where there is none; with LAMELLA_REQUIRE_GPU=1 they fail.
#include <gtest/gtest.h>

#include <cstdlib>
#include <lamella/device.hpp>
#include <string>

namespace lamella::test {
namespace {

class NeedGpu : public testing::Environment {
 public:
  void SetUp() override {
    const std::string why = why_no_cuda();
    if (why.empty()) return;
    const char* required = std::getenv("LAMELLA_REQUIRE_GPU");
    if (required != nullptr && std::string(required) == "1") FAIL() << "LAMELLA_REQUIRE_GPU=1, and " << why;
    GTEST_SKIP() << why;
  }
};

const auto* const environment = testing::AddGlobalTestEnvironment(new NeedGpu);

}  // namespace
}  // namespace lamella::test
