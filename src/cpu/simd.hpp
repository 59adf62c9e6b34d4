// SPDX-License-Identifier: Apache-2.0
#pragma once

// Loops are compiled for several instruction sets within one file; the one to run is selected once, when a plan is made.
// Everything that such a loop calls must be LAMELLA_HD (always inlined), or code for one set would run under another.

#if defined(__x86_64__)
#define LAMELLA_TARGET_AVX512 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,prefer-vector-width=512")))
#define LAMELLA_TARGET_AVX2 __attribute__((target("avx2,fma")))
#else
#define LAMELLA_TARGET_AVX512
#define LAMELLA_TARGET_AVX2
#endif

#include "core/isa.hpp"

namespace lamella::cpu {

using core::Isa;
#if defined(__x86_64__)
using core::best_isa;
#else  // elsewhere the compiler then drops the loops for AVX
constexpr Isa best_isa() { return Isa::generic; }
#endif

}  // namespace lamella::cpu
