// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <cstdlib>

#include <gtest/gtest.h>

#include "tests/kernels/allocation.hpp"
#include "tests/ptx/runtime.hpp"

namespace lamella::test {

void allocated(const void* begin, std::size_t bytes, bool written) {
  using ptx::MemoryMap;
  ptx::runtime::memory().add(begin, bytes, "an allocation", MemoryMap::Access::write,
                             written ? MemoryMap::Contents::defined : MemoryMap::Contents::undefined);
}
void released(const void* begin) { ptx::runtime::memory().remove(begin); }

}  // namespace lamella::test

namespace {

/// Any finding during a test fails it.
class Findings : public testing::EmptyTestEventListener {
  void OnTestEnd(const testing::TestInfo&) override {
    for (const ptx::Finding& finding : ptx::runtime::take_findings()) ADD_FAILURE() << finding;
  }
  void OnTestProgramEnd(const testing::UnitTest&) override {
    std::size_t kernels = 0;
    for (const ptx::Module& module : ptx::registry::modules()) kernels += module.kernels().size();
    std::printf("%zu of %zu kernels were executed\n", ptx::registry::launched().size(), kernels);
  }
};

const bool listening = [] {
  const char* const error = std::getenv("LAMELLA_PTX_APPROXIMATION_ERROR");
  if (error != nullptr) ptx::runtime::approximate(std::strtod(error, nullptr), 1);
  testing::UnitTest::GetInstance()->listeners().Append(new Findings);
  return true;
}();

}  // namespace
