// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include "cli/bench/grid.hpp"
#include "cuda/dense/engines.hpp"

namespace lamella {
namespace {

TEST(BenchEngines, AreThoseOfTheCudaDeviceWhereItIsAbsentToo) {
  std::vector<std::string> names;
  for (const auto* engine : cuda::dense_engines()) names.emplace_back(engine->name());
  EXPECT_THAT(names, ::testing::ElementsAreArray(bench::kCudaDenseEngines));
}

}  // namespace
}  // namespace lamella
