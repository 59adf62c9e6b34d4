// SPDX-License-Identifier: Apache-2.0
// Options: defaults from the environment, and values that are refused.
#include <gtest/gtest.h>

#include <cstdlib>
#include <lamella/model.hpp>

#include "model/model_support.hpp"
#include "model/spec_builder.hpp"

namespace lamella {
namespace {

using namespace test;

const Options kCpu{.device = Device::cpu(), .threads = 1};

TEST(OptionsTest, ThreadsDefaultToTheEnvironment) {
  SpecBuilder builder;
  const auto spec = builder.build({builder.dense(builder.input({3}), 3, 2, ActivationSpec{})});
  const char* const before = std::getenv("LAMELLA_THREADS");
  const std::string kept = before == nullptr ? "" : before;
  const Tensor x = random_input({5, 3});
  const Tensor wanted = model_of(spec, kCpu).predict(x);
  for (const char* good : {"1", "3", "1024"}) {
    ASSERT_EQ(setenv("LAMELLA_THREADS", good, 1), 0);
    EXPECT_TRUE(same_bits(model_of(spec, {.device = Device::cpu()}).predict(x), wanted)) << good;
  }
  for (const char* bad : {"0", "-1", "1025", "many", "2 ", "2.0", "99999999999"}) {
    ASSERT_EQ(setenv("LAMELLA_THREADS", bad, 1), 0);
    EXPECT_THROW(model_of(spec, {.device = Device::cpu()}), ArgumentError) << bad;
    EXPECT_NO_THROW(model_of(spec, kCpu)) << bad;
  }
  ASSERT_EQ(kept.empty() ? unsetenv("LAMELLA_THREADS") : setenv("LAMELLA_THREADS", kept.c_str(), 1), 0);
}

TEST(OptionsTest, RefusesInvalidOptions) {
  SpecBuilder builder;
  const auto x = builder.input({4});
  const auto spec = builder.build({builder.dense(x, 4, 3)});
  EXPECT_THROW(model_of(spec, {.device = Device::cpu(), .engine = "warp_drive"}), ArgumentError);
  EXPECT_THROW(model_of(spec, {.device = Device::cpu(), .threads = -1}), ArgumentError);
  EXPECT_THROW(model_of(spec, {.device = Device::cpu(), .max_batch = 0}), ArgumentError);
  EXPECT_THROW(model_of(spec, {.device = Device::cpu(), .dtype = DType::int8}), ArgumentError);
  EXPECT_THROW(model_of(spec, {.device = Device::cpu(), .reserved = {0, 1}}), ArgumentError);
}

// Programs that are not compiled anew pass as much: an option takes of the room, and nothing moves.
static_assert(sizeof(void*) != 8 || sizeof(Options) == 160);

TEST(OptionsTest, ExplainSaysWhyNoOtherDeviceIsUsedIfNoDeviceWasNamed) {
  if (why_no_cuda().empty()) GTEST_SKIP() << "this machine has CUDA";
  SpecBuilder builder;
  const auto spec = builder.build({builder.dense(builder.input({3}), 3, 2, ActivationSpec{})});
  const std::string line = "No other device can be used: " + why_no_cuda();
  EXPECT_NE(model_of(spec, {}).explain().find(line), std::string::npos);
  EXPECT_EQ(model_of(spec, kCpu).explain().find("No other device"), std::string::npos);
}

TEST(OptionsTest, EveryEnumerationHasNames) {
  EXPECT_EQ(to_string(Math::tf32), "tf32");
  EXPECT_EQ(to_string(Math::bf16x6), "bf16x6");
  EXPECT_EQ(to_string(Fusion::epilogue), "epilogue");
  EXPECT_EQ(to_string(Determinism::batch_invariant), "batch_invariant");
  EXPECT_EQ(to_string(Tuning::measure), "measure");
  EXPECT_EQ(to_string(HardSigmoid::as_written), "as_written");
  EXPECT_EQ(to_string(DeviceKind::cuda), "cuda");
  EXPECT_EQ(to_string(static_cast<Math>(9)), "none of Math");
  EXPECT_EQ(to_string(static_cast<Fusion>(9)), "none of Fusion");
  EXPECT_EQ(to_string(static_cast<Determinism>(9)), "none of Determinism");
  EXPECT_EQ(to_string(static_cast<Tuning>(9)), "none of Tuning");
  EXPECT_EQ(to_string(static_cast<HardSigmoid>(9)), "none of HardSigmoid");
  EXPECT_EQ(to_string(static_cast<DeviceKind>(9)), "no device");
  EXPECT_EQ(to_string(static_cast<ActivationKind>(250)), "no activation");
}

}  // namespace
}  // namespace lamella
