// SPDX-License-Identifier: Apache-2.0
#pragma once

// Loops are compiled for several instruction sets inside one file; which one runs is chosen once, when a plan is made.
// Everything that such a loop calls must be LAMELLA_HD (always inlined), or code of one set would run under another.

#if defined(__x86_64__)
#define LAMELLA_TARGET_AVX512 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,prefer-vector-width=512")))
#define LAMELLA_TARGET_AVX2 __attribute__((target("avx2,fma")))
#else
#define LAMELLA_TARGET_AVX512
#define LAMELLA_TARGET_AVX2
#endif

namespace lamella::cpu {

enum class Isa { generic, avx2, avx512 };

/// The best instruction set of this machine.
inline Isa best_isa() {
#if defined(__x86_64__)
  static const Isa isa = [] {
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl")) {
      return Isa::avx512;
    }
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? Isa::avx2 : Isa::generic;
  }();
  return isa;
#else
  return Isa::generic;
#endif
}

}  // namespace lamella::cpu
