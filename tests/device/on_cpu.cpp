// SPDX-License-Identifier: Apache-2.0
#include "cpu/dense/engines.hpp"
#include "device/test_device.hpp"

lamella::Device lamella::test::device() { return Device::cpu(); }

std::vector<std::string> lamella::test::dense_engine_names() {
  std::vector<std::string> names;
  for (const cpu::DenseEngine* engine : cpu::dense_engines()) names.emplace_back(engine->name());
  return names;
}
