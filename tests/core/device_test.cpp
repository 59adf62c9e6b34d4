// SPDX-License-Identifier: Apache-2.0
#include <lamella/device.hpp>

#include <gtest/gtest.h>

#include <lamella/error.hpp>

namespace lamella {
namespace {

TEST(DeviceTest, ParsesWhatItPrints) {
  for (const Device device : {Device::cpu(), Device::automatic(), Device::cuda(), Device::cuda(17)}) {
    EXPECT_EQ(Device::parse(to_string(device)), device);
  }
  EXPECT_EQ(Device::parse("cuda"), Device::cuda(0));
  EXPECT_EQ(Device::parse("auto"), Device::automatic());
}

TEST(DeviceTest, RefusesOtherWords) {
  for (const char* wrong : {"", "CPU", "gpu", "cuda:", "cuda:-1", "cuda:-0", "cuda:1x", "cuda: 1", "cuda:99999999999", "cpu:0"}) {
    EXPECT_THROW(static_cast<void>(Device::parse(wrong)), ArgumentError) << wrong;
  }
  EXPECT_THROW(static_cast<void>(Device::cuda(-1)), ArgumentError);
}

TEST(DeviceTest, AlwaysHasTheCpuAndSaysWhyThereIsNoCuda) {
  const auto devices = available_devices();
  ASSERT_FALSE(devices.empty());
  EXPECT_TRUE(devices.back().is_cpu());
  EXPECT_EQ(resolve(Device::automatic()), devices.front());
  EXPECT_EQ(resolve(Device::cpu()), Device::cpu());
  EXPECT_EQ(why_no_cuda().empty(), devices.front().is_cuda());
  EXPECT_THROW(static_cast<void>(resolve(Device::cuda(1000))), DeviceError);
}

}  // namespace
}  // namespace lamella
