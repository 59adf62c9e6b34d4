// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cfenv>
#include <cstdint>

namespace lamella::core {

/// While it lives, this thread computes as the library's results are defined: rounding to nearest even, subnormals
/// kept, no trapping exceptions. Then restores the caller's environment. Costs a few nanoseconds if there is
/// nothing to change.
class FloatEnvironment {
 public:
  FloatEnvironment() noexcept : differs_(!is_default()) {
    if (!differs_) return;
    static_cast<void>(std::fegetenv(&callers_));
    static_cast<void>(std::fesetenv(FE_DFL_ENV));
  }
  ~FloatEnvironment() {
    if (differs_) static_cast<void>(std::fesetenv(&callers_));
  }
  FloatEnvironment(const FloatEnvironment&) = delete;
  FloatEnvironment& operator=(const FloatEnvironment&) = delete;

 private:
  static bool is_default() noexcept {
#if defined(__x86_64__)
    constexpr unsigned kFlags = 0x3F;  // sticky exception flags
    std::uint16_t x87 = 0;
    asm volatile("fnstcw %0" : "=m"(x87));
    return (__builtin_ia32_stmxcsr() & ~kFlags) == 0x1F80 && (x87 & 0x0F3F) == 0x033F;
#elif defined(__aarch64__)
    std::uint64_t control = 0;
    asm volatile("mrs %0, fpcr" : "=r"(control));
    return control == 0;
#else
    return false;
#endif
  }

  bool differs_;
  std::fenv_t callers_;
};

}  // namespace lamella::core
