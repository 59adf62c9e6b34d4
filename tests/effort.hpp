// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace lamella::test {

/// ThreadSanitizer checks threads, not values, and slows everything down ten to fifty times. Under it, loops over values, sizes
/// or faults run only one case in several.
#ifdef __SANITIZE_THREAD__
inline constexpr unsigned kOneCaseOf = 8;
#else
inline constexpr unsigned kOneCaseOf = 1;
#endif

/// Says which cases of a loop are left out.
class Thinning {
 public:
  [[nodiscard]] bool leaves_out() { return cases_++ % kOneCaseOf != 0; }

 private:
  unsigned cases_ = 0;
};

}  // namespace lamella::test
