// SPDX-License-Identifier: Apache-2.0
#include "cli/bench/grid.hpp"
#include "device/test_device.hpp"

lamella::Device lamella::test::device() { return Device::cuda(0); }

// Names that are known without a device: tests are also listed where there is none.
std::vector<std::string> lamella::test::dense_engine_names() {
  return {std::begin(bench::kCudaDenseEngines), std::end(bench::kCudaDenseEngines)};
}
