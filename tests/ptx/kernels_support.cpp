// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>
#include <string_view>

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

/// Whatever was found while a test ran fails it.
class Findings : public testing::EmptyTestEventListener {
  void OnTestEnd(const testing::TestInfo&) override {
    for (const ptx::Finding& finding : ptx::runtime::take_findings()) ADD_FAILURE() << finding;
  }
};

const bool listening = [] {
  const char* const how = std::getenv("LAMELLA_PTX_APPROXIMATIONS");
  if (how != nullptr && std::string_view(how) == "documented") ptx::runtime::approximate(ptx::Approximation::documented, 1);
  testing::UnitTest::GetInstance()->listeners().Append(new Findings);
  return true;
}();

}  // namespace
