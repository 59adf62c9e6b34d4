// SPDX-License-Identifier: Apache-2.0
// Options: where they come from, and what they cannot be.
#include <gtest/gtest.h>

#include <cstdlib>
#include <lamella/model.hpp>

#include "model/model_support.hpp"
#include "model/spec_builder.hpp"

namespace lamella {
namespace {

using namespace test;

const Options kCpu{.device = Device::cpu(), .threads = 1};

TEST(OptionsTest, TakesTheNumberOfThreadsFromTheEnvironmentUnlessItIsGiven) {
  SpecBuilder builder;
  const auto spec = builder.build({builder.dense(builder.input({3}), 3, 2, ActivationSpec{})});
  const char* const before = std::getenv("LAMELLA_THREADS");
  const std::string kept = before == nullptr ? "" : before;
  const Tensor x = random_input({5, 3});
  const Tensor wanted = Model(spec, kCpu).predict(x);
  for (const char* good : {"1", "3", "1024"}) {
    ASSERT_EQ(setenv("LAMELLA_THREADS", good, 1), 0);
    EXPECT_TRUE(same_bits(Model(spec, {.device = Device::cpu()}).predict(x), wanted)) << good;
  }
  for (const char* bad : {"0", "-1", "1025", "many", "2 ", "2.0", "99999999999"}) {
    ASSERT_EQ(setenv("LAMELLA_THREADS", bad, 1), 0);
    EXPECT_THROW(Model(spec, {.device = Device::cpu()}), ArgumentError) << bad;
    EXPECT_NO_THROW(Model(spec, kCpu)) << bad;
  }
  ASSERT_EQ(kept.empty() ? unsetenv("LAMELLA_THREADS") : setenv("LAMELLA_THREADS", kept.c_str(), 1), 0);
}

TEST(OptionsTest, RefusesOptionsThatCannotBe) {
  SpecBuilder builder;
  const auto x = builder.input({4});
  const auto spec = builder.build({builder.dense(x, 4, 3)});
  EXPECT_THROW(Model(spec, {.device = Device::cpu(), .engine = "warp_drive"}), ArgumentError);
  EXPECT_THROW(Model(spec, {.device = Device::cpu(), .threads = -1}), ArgumentError);
  EXPECT_THROW(Model(spec, {.device = Device::cpu(), .max_batch = 0}), ArgumentError);
  EXPECT_THROW(Model(spec, {.device = Device::cpu(), .dtype = DType::int8}), ArgumentError);
}

}  // namespace
}  // namespace lamella
