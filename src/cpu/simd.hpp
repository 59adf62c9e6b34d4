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

#include <string_view>

namespace lamella::cpu {

enum class Isa { generic, avx2, avx512 };

/// The best instruction set of this machine that LAMELLA_MAX_CPU_ISA (generic, avx2 or avx512) allows; read once. Throws
/// ArgumentError (value) for any other word.
[[nodiscard]] Isa best_isa();
/// The word of LAMELLA_MAX_CPU_ISA.
[[nodiscard]] std::string_view to_string(Isa isa) noexcept;

}  // namespace lamella::cpu
