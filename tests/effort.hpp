// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace lamella::test {

/// ThreadSanitizer sees threads and not values, and makes everything ten to fifty times as slow: what a test repeats for the sake
/// of values, sizes or faults, it does there in one case of so many.
#ifdef __SANITIZE_THREAD__
inline constexpr unsigned kOneCaseOf = 8;
#else
inline constexpr unsigned kOneCaseOf = 1;
#endif

/// Which cases of a loop are left out.
class Thinning {
 public:
  [[nodiscard]] bool leaves_out() { return cases_++ % kOneCaseOf != 0; }

 private:
  unsigned cases_ = 0;
};

}  // namespace lamella::test
