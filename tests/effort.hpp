// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <string_view>

namespace lamella::test {

/// ThreadSanitizer checks threads, not values, and slows everything down ten to fifty times. Under it, loops over values, sizes
/// or faults run only one case in several.
#ifdef __SANITIZE_THREAD__
inline constexpr unsigned kOneCaseOf = 8;
#else
inline constexpr unsigned kOneCaseOf = 1;
#endif

/// AddressSanitizer sees what a fault leaves behind, at five times the price: one fault in three there, all without it.
#ifdef __SANITIZE_ADDRESS__
inline constexpr unsigned kOneFaultOf = 3;
#else
inline constexpr unsigned kOneFaultOf = kOneCaseOf;
#endif

/// The first call that a test makes fail, of the first kOneFaultOf: not the same in all of them.
inline unsigned first_fault() {
  const std::string_view name = testing::UnitTest::GetInstance()->current_test_info()->name();
  return 1 + static_cast<unsigned>(std::hash<std::string_view>()(name) % kOneFaultOf);
}

/// Says which cases of a loop are left out.
class Thinning {
 public:
  [[nodiscard]] bool leaves_out() { return cases_++ % kOneCaseOf != 0; }

 private:
  unsigned cases_ = 0;
};

}  // namespace lamella::test
